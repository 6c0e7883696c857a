import { sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { allows, scopesFor } from '../lifecycle/access.ts'
import type { Wanted } from '../lifecycle/rules.ts'
import type { PolicyCache } from './policy.ts'
import { type SubjectRow, subjectColumns, wantedFor } from './subject.ts'

/** May this user, through this MCP client, hold these scopes at this server now? */
export interface Question {
  readonly serverId: string
  readonly client: string
  readonly scopes: readonly string[]
}

/** What was asked and what came of it, for whoever counts. */
export type Answer =
  | { readonly question: 'grant'; readonly answer: 'allowed' | 'refused' }
  | { readonly question: 'introspection'; readonly answer: 'active' | 'inactive' }

/**
 * The gate: the rules, evaluated on committed rows at the moment of asking. It never answers from an entitlement, which
 * is what servers were told, and it depends on no worker, queue or fan-out.
 */
export function createGate({ policies, onAnswer }: { policies: PolicyCache; onAnswer?: (answer: Answer) => void }) {
  return {
    /**
     * For whoever is about to issue or record: the caller holds the user's row `for share` in `executor`, so the answer
     * stays true until it commits. Undefined when there is no such user.
     */
    async ask(
      executor: Executor,
      userId: string,
      question: Question,
    ): Promise<{ subject: SubjectRow; allowed: boolean } | undefined> {
      const read = await policies.read(executor, () => readSubject(executor, userId))
      const wanted = read && wantedFor(read.snapshot, read.policy).get(question.serverId)
      const allowed = wanted !== undefined && allows(wanted.access, question.client, question.scopes)
      onAnswer?.({ question: 'grant', answer: allowed ? 'allowed' : 'refused' })
      return read && { subject: read.snapshot, allowed }
    },

    /**
     * The same for whoever issues what is left of what was asked: `scopes` are those of the question that this client may
     * hold there, `mayHold` says whether there are any at all. `readAt` is later than whatever committed before the lock.
     */
    async narrow(
      executor: Executor,
      userId: string,
      question: Question,
    ): Promise<{ subject: SubjectRow; readAt: Date; mayHold: boolean; scopes: string[] } | undefined> {
      const read = await policies.read(executor, () => readSubject(executor, userId))
      const wanted = read && wantedFor(read.snapshot, read.policy).get(question.serverId)
      const given = wanted ? scopesFor(wanted.access, question.client) : new Set()
      const scopes = question.scopes.filter((scope) => given.has(scope))
      onAnswer?.({ question: 'grant', answer: scopes.length > 0 ? 'allowed' : 'refused' })
      return read && { subject: read.snapshot, readAt: read.snapshot.readAt, mayHold: given.size > 0, scopes }
    },

    /**
     * Whether grants are good now: open, unexpired, of the user's epoch, and still within what the rules give. `where`
     * selects rows of `access_grant g`; one statement reads the grant and everything that decides about it, so no lock
     * is needed.
     */
    async check(executor: Executor, where: ReturnType<typeof sql<boolean>>): Promise<CheckedGrant | undefined> {
      const read = await policies.read(executor, () => readGrant(executor, where))
      const good = read !== undefined && isGood(read.snapshot, wantedFor(read.snapshot, read.policy))
      onAnswer?.({ question: 'introspection', answer: good ? 'active' : 'inactive' })
      return read && { ...read.snapshot, good }
    },
  }
}

export type Gate = ReturnType<typeof createGate>

function isGood(grant: GrantRow, given: ReadonlyMap<string, Wanted>): boolean {
  const wanted = given.get(grant.serverId)
  return (
    grant.isOpen &&
    grant.grantEpoch === grant.epoch &&
    wanted !== undefined &&
    allows(wanted.access, grant.client, grant.scopes)
  )
}

export interface GrantRow extends SubjectRow {
  readonly grantId: string
  readonly serverId: string
  readonly resource: string
  readonly client: string
  readonly scopes: readonly string[]
  readonly jti: string | null
  readonly grantEpoch: number
  /** When a server first asked about it. */
  readonly usedAt: Date | null
  readonly issuedAt: Date
  readonly expiresAt: Date
  /** Not closed, not expired, at a living server. */
  readonly isOpen: boolean
}

export interface CheckedGrant extends GrantRow {
  readonly good: boolean
}

async function readSubject(executor: Executor, userId: string): Promise<(SubjectRow & { readAt: Date }) | undefined> {
  const { rows } = await sql<SubjectRow & { readAt: Date }>`${prepared}
    select ${subjectColumns}, clock_timestamp() as "readAt"
    from scim_user u join user_state s on s.user_id = u.id join directory d on d.id = u.directory_id
    where u.id = ${userId}`.execute(executor)
  return rows[0]
}

/** Undefined unless exactly one grant matches: a jti found at several servers names none of them. */
async function readGrant(executor: Executor, where: ReturnType<typeof sql<boolean>>): Promise<GrantRow | undefined> {
  const { rows } = await sql<GrantRow>`${prepared}
    select ${subjectColumns}, g.id as "grantId", g.server_id as "serverId", v.resource, g.client, g.scopes, g.jti, g.epoch as "grantEpoch",
      (select used_at from grant_use where grant_id = g.id) as "usedAt", g.issued_at as "issuedAt", g.expires_at as "expiresAt",
      (g.closed_at is null and g.expires_at > clock_timestamp() and v.deleted_at is null) as "isOpen"
    from access_grant g
      join scim_user u on u.id = g.user_id join user_state s on s.user_id = u.id
      join directory d on d.id = u.directory_id join server v on v.id = g.server_id
    where ${where} limit 2`.execute(executor)
  return rows.length === 1 ? rows[0] : undefined
}
