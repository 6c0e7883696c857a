import { type RawBuilder, sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { EventKind, EventSource } from '../db/tables.ts'
import { NotFound } from '../errors.ts'
import { nearestOf } from '../filter/explain.ts'
import { isResourceId } from '../ids.ts'
import { flatten, noAccess } from '../lifecycle/access.ts'
import { causingEvent } from './cause.ts'
import { type ExplainedRow, type ExplainedRule, explainedColumns, explainerOf } from './explanation.ts'
import type { PolicyCache, WrittenRule } from './policy.ts'
import { type BlockedBy, wantedFor } from './subject.ts'

/** What brought or took access: a lifecycle event of the user, or a rule or server that was changed. */
export type By =
  | {
      readonly kind: 'event'
      readonly id: string
      readonly event: EventKind
      readonly source: EventSource
      /** By the source's own clock. */
      readonly at: Date
      readonly detail: Readonly<Record<string, unknown>>
    }
  | { readonly kind: 'policy'; readonly at: Date | null }

/** A rule at the server, and what of the user satisfies it or is missing. */
export interface RuleReason extends ExplainedRule {
  readonly rule: string
  readonly when: string
  readonly scopes: readonly string[]
  readonly clients: readonly string[] | null
}

export interface Why {
  readonly user: { readonly id: string; readonly userName: string; readonly directory: string }
  readonly server: string
  /** As the gate answers at this moment. */
  readonly has: boolean
  readonly access: { readonly scopes: readonly string[]; readonly clients: readonly string[] }
  /** What denies everything, whatever the rules say. */
  readonly blockedBy: BlockedBy | 'server_deleted'
  /** Since when `has` is as it is; null when there never was access. */
  readonly since: Date | null
  /** null: nothing did, or the event is no longer kept. */
  readonly by: By | null
  /** Every rule that gives access. */
  readonly rules: readonly RuleReason[]
  /** Without access: the rule that lacks the fewest conditions; it lacks none when only `blockedBy` stands in its way. */
  readonly nearest: RuleReason | null
}

/**
 * Why a user has access at a server, or has not: the rules, evaluated on committed rows as the gate does, and what
 * satisfies them.
 *
 * `since` and `by` are of the first ledger entry that says so after the last that said otherwise, and of the event that
 * converge put it down to. Where the gate has changed its answer and converge has yet to write that down, they are of
 * the event that converge will put it down to; or, when the user has not changed, of the latest change of the
 * server's rules, with its time unknown when that was the removal of one.
 */
export function createWhy({ db, policies }: { db: Database; policies: PolicyCache }) {
  /** @throws NotFound */
  return async function why(userId: string, serverId: string): Promise<Why> {
    const read = await policies.read(db, () => readRow(db, userId, serverId))
    if (!read) throw new NotFound(`User "${userId}" not found`)
    const { snapshot: row, policy } = read
    if (!row.isServer) throw new NotFound(`Server "${serverId}" not found`)

    const wanted = wantedFor(row, policy).get(serverId)
    const has = wanted !== undefined
    const explained = explainerOf(row)
    const reasons = policy.rules
      .filter((rule) => rule.serverId === serverId)
      .map((rule) => reasonOf(rule, explained(rule.filter)))
    return {
      user: { id: row.userId, userName: String(row.document.userName), directory: row.directoryId },
      server: serverId,
      has,
      access: flatten(wanted?.access ?? noAccess),
      blockedBy: row.serverDeletedAt ? 'server_deleted' : row.blockedBy,
      ...originOf(row, has),
      rules: has ? reasons.filter(({ matches }) => matches) : [],
      nearest: has ? null : (nearestOf(reasons) ?? null),
    }
  }
}

export type ExplainAccess = ReturnType<typeof createWhy>

function reasonOf({ id, when, scopes, clients }: WrittenRule, explained: ExplainedRule): RuleReason {
  return { rule: id, when, scopes, clients, ...explained }
}

/** A lifecycle event as it comes out of a JSON document. */
interface EventFact {
  readonly id: string
  readonly event: EventKind
  readonly source: EventSource
  readonly at: string
  readonly recordedAt: string
  readonly detail: Record<string, unknown>
}

interface WhyRow extends ExplainedRow {
  readonly isServer: boolean
  readonly serverDeletedAt: Date | null
  /** The first entry that says what the last one says; null when there is none. */
  readonly turnedAt: Date | null
  readonly turnedActive: boolean | null
  readonly turnedBy: EventFact | null
  readonly wasEvent: boolean | null
  /** What converge has yet to account for. */
  readonly unsettled: EventFact | null
  readonly policyChangedAt: Date | null
}

function originOf(row: WhyRow, has: boolean): Pick<Why, 'since' | 'by'> {
  if (row.turnedAt === null && !has) return { since: null, by: null }
  if (row.turnedAt && row.turnedActive === has) {
    if (row.turnedBy) return byEvent(row.turnedBy)
    // The event is no longer kept: it was one, and more is not known.
    return row.wasEvent ? { since: row.turnedAt, by: null } : byPolicy(row.turnedAt)
  }
  return row.unsettled ? byEvent(row.unsettled) : byPolicy(row.policyChangedAt)
}

/** The gate answers otherwise from the moment the event is recorded on, converge or not. */
function byEvent({ recordedAt, at, ...event }: EventFact): Pick<Why, 'since' | 'by'> {
  return { since: new Date(recordedAt), by: { kind: 'event', ...event, at: new Date(at) } }
}

function byPolicy(at: Date | null): Pick<Why, 'since' | 'by'> {
  return { since: at, by: { kind: 'policy', at } }
}

async function readRow(db: Database, userId: string, serverId: string): Promise<WhyRow | undefined> {
  const { rows } = await sql<WhyRow>`
    select ${explainedColumns}, v.id is not null as "isServer", v.deleted_at as "serverDeletedAt",
      turn.recorded_at as "turnedAt", turn.active as "turnedActive",
      ${eventFact(sql`turn.event_id`)} as "turnedBy", turn.event_id is not null as "wasEvent", ${eventFact(causingEvent)} as unsettled,
      (select nullif(greatest(max(r.changed_at), v.deleted_at, last.recorded_at), last.recorded_at)
       from rule r where r.directory_id = d.id and r.server_id = v.id) as "policyChangedAt"
    from scim_user u join user_state s on s.user_id = u.id join directory d on d.id = u.directory_id
      left join server v on v.id = ${serverId}
      left join lateral (${entitled} order by l.id desc limit 1) last on true
      left join lateral (
        ${entitled} and (l.detail ->> 'active')::boolean = last.active and l.id > coalesce((
          select max(other.id) from (${entitled}) other where other.active <> last.active), 0)
        order by l.id limit 1) turn on true
    where u.id = ${isResourceId(userId) ? userId : null}::uuid`.execute(db)
  return rows[0]
}

/** What converge wrote down of user `u` at server `v`. */
const entitled = sql`
  select l.id, l.recorded_at, l.event_id, (l.detail ->> 'active')::boolean as active
  from ledger_entry l where l.user_id = u.id and l.server_id = v.id and l.kind = 'entitled'`

function eventFact(id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    (select jsonb_build_object('id', e.id, 'event', e.kind, 'source', e.source, 'at', e.occurred_at, 'recordedAt', e.recorded_at, 'detail', e.detail)
     from lifecycle_event e where e.id = ${id})`
}
