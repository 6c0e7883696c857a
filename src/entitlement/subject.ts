import { type RawBuilder, sql } from 'kysely'
import { type Wanted, wantedAccess } from '../lifecycle/rules.ts'
import type { Policy } from './policy.ts'

/** What the gate and converge need of one user, from one statement. */
export interface SubjectRow {
  readonly userId: string
  readonly directoryId: string
  readonly policyVersion: number
  readonly epoch: number
  readonly notBefore: Date | null
  /** Active, not held, not deleted, in a living directory. */
  readonly mayHaveAccess: boolean
  readonly document: Record<string, unknown>
  /** Every transitive group. */
  readonly groups: ReadonlyArray<{ value: string; display: string; type: string }>
}

/** Columns of `SubjectRow`; wants `scim_user u`, `user_state s` and `directory d` in the from clause. */
export const subjectColumns: RawBuilder<unknown> = sql`
  u.id as "userId", u.directory_id as "directoryId", d.policy_version as "policyVersion", s.epoch, s.not_before as "notBefore",
  (u.active and u.deleted_at is null and s.hold_at is null and d.deleted_at is null) as "mayHaveAccess", u.document,
  (with recursive above as (
     select group_id, true as direct from group_user where user_id = u.id
     union
     select n.parent_id, false from group_nesting n join above on above.group_id = n.child_id
   )
   select coalesce(jsonb_agg(jsonb_build_object('value', g.id, 'display', g.display_name, 'type', case when a.direct then 'direct' else 'indirect' end)), '[]')
   from (select group_id, bool_or(direct) as direct from above group by group_id) a join scim_group g on g.id = a.group_id) as groups`

/**
 * What the user may have now, by server. A user who is inactive, held or deleted may have nothing, before any rule is
 * read: memberships stay while a user is inactive, so the rules would still match.
 */
export function wantedFor(subject: SubjectRow, policy: Policy): Map<string, Wanted> {
  if (!subject.mayHaveAccess) return new Map()
  const { id: _, ...document } = subject.document
  return wantedAccess(policy.rules, { ...document, id: subject.userId, groups: subject.groups })
}
