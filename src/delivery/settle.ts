import { sql } from 'kysely'
import type { Outcome } from '../connectors/connector.ts'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import { newId } from '../ids.ts'
import { type Claim, leaseSeconds } from './claim.ts'
import { nextTry } from './schedule.ts'

export interface Settlement {
  readonly claim: Claim
  readonly outcome: Outcome
  readonly startedAt: Date
  readonly ms: number
}

export interface Settled {
  /** What became of the row. `lost`: the lease had run out, so somebody else decides. */
  readonly state: 'delivered' | 'again' | 'retry' | 'parked' | 'lost'
  /** From the change's commit to this settlement, by the database's clock; null unless something urgent was delivered. */
  readonly killSeconds: number | null
}

/** After this many failures in a row the normal lane of a server is probed, not used. */
const failuresToOpen = 10
/** Why a server was paused by its own word. */
export const goneReason = 'answered 410 Gone'

/**
 * Writes down what a server said: attempt, receipt and next state of the row, in one statement, conditional on the
 * lease. Several at once, because each costs a commit.
 *
 * A generation that came while the send was in flight makes the row due at once, whatever this one's outcome.
 */
export async function settle(db: Database, settlements: readonly Settlement[]): Promise<Settled[]> {
  const rows = settlements.map(({ claim, outcome, startedAt, ms }) => {
    const delivered = outcome.kind === 'applied' || outcome.kind === 'unchanged'
    const next = delivered
      ? { parked: false, delayMs: null }
      : nextTry(outcome, claim.failures + 1, claim.urgent, Math.random())
    return {
      id: claim.id,
      lease: claim.lease,
      delivered,
      parked: next.parked,
      delay_ms: next.delayMs,
      attempt_id: newId('att'),
      started_at: startedAt.toISOString(),
      ms: Math.round(ms),
      outcome: outcome.kind,
      status: 'status' in outcome ? (outcome.status ?? null) : null,
      error: 'reason' in outcome ? outcome.reason.slice(0, 500) : null,
    }
  })
  const ids = rows.map(({ id }) => id)
  const statement = sql<Settled & { id: string }>`
    with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as g (
        id text, lease text, delivered boolean, parked boolean, delay_ms bigint, attempt_id text, started_at timestamptz, ms integer,
        outcome text, status integer, error text)
    ), mine as materialized (
      select d.id, g.lease, d.wanted_generation <> d.leased_generation as superseded, d.behind_since, d.leased_generation, d.user_id, d.server_id, d.urgent
      from delivery d join given g on g.id = d.id and g.lease = d.lease
      where d.id = any(${ids}) -- by the key: how many rows "given" has is not known to the planner
      order by d.server_id, d.connector_id, d.id for no key update of d -- the order in which deliveries are locked
    ), settled as (
      update delivery d set
        lease = null, leased_until = null, leased_generation = null,
        last_outcome = g.outcome, last_status = g.status, last_error = g.error,
        delivered_generation = case when g.delivered then m.leased_generation else d.delivered_generation end,
        delivered_at = case when g.delivered then clock_timestamp() else d.delivered_at end,
        told = case when g.delivered then d.body_state else d.told end,
        told_event_seq = case when g.delivered then d.body_event_seq else d.told_event_seq end,
        behind_since = case when g.delivered and not m.superseded then null else d.behind_since end,
        urgent = d.urgent and not (g.delivered and not m.superseded),
        attempts = case when m.superseded or g.delivered then 0 else d.attempts + 1 end,
        parked_at = case when m.superseded or not g.parked then null else coalesce(d.parked_at, clock_timestamp()) end,
        due_at = case when m.superseded then clock_timestamp()
                      when g.delay_ms is null then null
                      else clock_timestamp() + g.delay_ms * interval '1 millisecond' end
      from given g join mine m on m.id = g.id
      where d.id = m.id and d.id = any(${ids})
      returning d.id, case when m.superseded then 'again' when g.delivered then 'delivered' when g.parked then 'parked' else 'retry' end as state,
        case when g.delivered and m.urgent then extract(epoch from clock_timestamp() - m.behind_since)::float8 end as "killSeconds"
    ), tried as (
      insert into attempt (id, delivery_id, generation, started_at, ms, outcome, status, error)
      select g.attempt_id, g.id, m.leased_generation, g.started_at, g.ms, g.outcome, g.status, g.error from given g join mine m on m.id = g.id
    ), noted as (
      insert into ledger_entry (kind, directory_id, user_id, server_id, delivery_id, generation, since_at, detail)
      select 'delivered', s.directory_id, m.user_id, m.server_id, m.id, m.leased_generation, m.behind_since,
        jsonb_build_object('outcome', g.outcome, 'status', g.status, 'urgent', m.urgent)
      from given g join mine m on m.id = g.id join user_state s on s.user_id = m.user_id where g.delivered
    )
    select id, state, "killSeconds" from settled`
  const { rows: settled } = await retrying(() => statement.execute(db))
  await noteHealth(db, settlements)
  const states = new Map(settled.map(({ id, ...state }) => [id, state]))
  return settlements.map(({ claim }) => states.get(claim.id) ?? { state: 'lost', killSeconds: null })
}

/**
 * Right before the bytes leave: extends the leases that still hold, and fixes the message of a generation that is sent
 * for the first time. @returns for each claim whether it may be sent
 */
export async function renew(db: Database, claims: readonly Claim[]): Promise<boolean[]> {
  const ids = claims.map(({ id }) => id)
  const given = claims.map(({ id, lease, message }) => ({ id, lease, ...message }))
  const statement = sql<{ id: string }>`
    with given as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as g (id text, lease text, body text, state jsonb, "eventSeq" bigint)
    ), held as materialized (
      select d.id from delivery d join given g on g.id = d.id and g.lease = d.lease
      where d.id = any(${ids})
      order by d.server_id, d.connector_id, d.id for no key update of d
    )
    update delivery d set leased_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}),
      body = g.body, body_generation = d.leased_generation, body_state = g.state, body_event_seq = g."eventSeq"
    from given g join held on held.id = g.id
    where d.id = g.id and d.id = any(${ids}) and d.lease = g.lease and d.leased_until > clock_timestamp()
    returning d.id`
  const { rows } = await retrying(() => statement.execute(db))
  const held = new Set(rows.map(({ id }) => id))
  return claims.map(({ id }) => held.has(id))
}

/**
 * The breaker. A refusal is an answer: the server is well. Written apart from the settlement because it is a
 * heuristic, and because the server's row is locked before deliveries wherever both are.
 */
async function noteHealth(db: Database, settlements: readonly Settlement[]): Promise<void> {
  const byServer = Map.groupBy(settlements, ({ claim }) => claim.serverId)
  for (const [serverId, group] of byServer) {
    const failed = group.filter(({ outcome }) => outcome.kind === 'unavailable' || outcome.kind === 'unanswered').length
    const answered = group.some(({ outcome }) => outcome.kind !== 'unavailable' && outcome.kind !== 'unanswered')
    const gone = group.some(({ outcome }) => outcome.kind === 'refused' && outcome.gone)
    if (gone)
      await sql`update server set paused_at = clock_timestamp(), paused_reason = ${goneReason} where id = ${serverId} and paused_at is null`.execute(
        db,
      )
    if (failed > 0 && !answered) {
      await sql`
        update server set failures_in_a_row = failures_in_a_row + ${failed},
          failing_since = coalesce(failing_since, clock_timestamp()),
          probe_at = case when failures_in_a_row + ${failed} >= ${failuresToOpen} then coalesce(probe_at, clock_timestamp() + interval '15 seconds') end
        where id = ${serverId}`.execute(db)
    } else if (answered && group.some(({ claim }) => claim.serverWasFailing)) {
      await sql`update server set failures_in_a_row = 0, failing_since = null, probe_at = null where id = ${serverId} and failures_in_a_row > 0`.execute(
        db,
      )
    }
  }
}
