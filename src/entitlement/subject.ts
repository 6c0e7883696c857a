import { type RawBuilder, sql } from 'kysely'
import { type Subject, type Wanted, wantedAccess } from '../lifecycle/rules.ts'
import type { Policy } from './policy.ts'

/** Why a user may have nothing anywhere, whatever the rules say; null: the rules decide. */
export type BlockedBy = 'directory_deleted' | 'deleted' | 'inactive' | 'held' | null

/** What the gate and converge need of one user, from one statement. */
export interface SubjectRow {
  readonly userId: string
  readonly directoryId: string
  readonly policyVersion: number
  readonly epoch: number
  readonly notBefore: Date | null
  readonly blockedBy: BlockedBy
  readonly document: Record<string, unknown>
  /** Every transitive group. */
  readonly groups: ReadonlyArray<{ value: string; display: string; type: string }>
}

/** `BlockedBy` of a row; wants `scim_user u`, `user_state s` and `directory d` in the from clause. */
export const blockedBy: RawBuilder<BlockedBy> = sql`
  case when d.deleted_at is not null then 'directory_deleted' when u.deleted_at is not null then 'deleted'
       when not u.active then 'inactive' when s.hold_at is not null then 'held' end`

/** Every group of user `u`, direct or through others, with whether it is direct, as `above (group_id, direct)`. */
const above = sql`
  with recursive above as (
    select group_id, true as direct from group_user where user_id = u.id
    union
    select n.parent_id, false from group_nesting n join above on above.group_id = n.child_id
  )`

/** One of `groups`, of `scim_group g` and whether the user is in it directly, `a.direct`. */
export const groupObject = sql`
  jsonb_build_object('value', g.id, 'display', g.display_name, 'type', case when a.direct then 'direct' else 'indirect' end)`

/** Columns of `SubjectRow`; wants what `blockedBy` wants. */
export const subjectColumns: RawBuilder<unknown> = sql`
  u.id as "userId", u.directory_id as "directoryId", d.policy_version as "policyVersion", s.epoch, s.not_before as "notBefore",
  ${blockedBy} as "blockedBy", u.document,
  (${above}
   select coalesce(jsonb_agg(${groupObject}), '[]')
   from (select group_id, bool_or(direct) as direct from above group by group_id) a join scim_group g on g.id = a.group_id) as groups`

/** How the groups of user `u` are nested: a row of pairs. */
export const nestingColumn: RawBuilder<unknown> = sql`
  (${above}
   select coalesce(jsonb_agg(jsonb_build_object('child', n.child_id, 'parent', n.parent_id)), '[]')
   from (select distinct group_id from above) a join group_nesting n on n.child_id = a.group_id) as nesting`

/**
 * What the user may have now, by server. A user who is inactive, held or deleted may have nothing, before any rule is
 * read: memberships stay while a user is inactive, so the rules would still match.
 */
export function wantedFor(subject: SubjectRow, policy: Policy): Map<string, Wanted> {
  return subject.blockedBy === null ? wantedAccess(policy.rules, asSubject(subject)) : new Map()
}

/** The user as rules see it: the id is ours whatever the document says, and groups are rows, not part of the document. */
export function asSubject({ userId, document, groups }: Pick<SubjectRow, 'userId' | 'document' | 'groups'>): Subject {
  return { ...document, id: userId, groups }
}
