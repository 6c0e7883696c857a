import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { newId } from '../ids.ts'
import type { Lane } from '../queue/catalog.ts'
import { buildMessage, type MessageFacts, mostGrantsTold, type ToldState } from './message.ts'

/** Three times the send timeout, by the database's clock. */
export const leaseSeconds = 30
/** An open breaker lets one normal delivery through this often. */
const probeSeconds = 15

/** One row, leased to this process: nobody else sends it until the lease has run out. */
export interface Claim {
  readonly id: string
  readonly lease: string
  readonly serverId: string
  readonly connector: ClaimedConnector
  readonly userId: string
  readonly generation: number
  /** Failed attempts of this generation so far. */
  readonly failures: number
  readonly urgent: boolean
  readonly message: FixedMessage
  /** Whether the server had failures in a row when this was claimed. */
  readonly serverWasFailing: boolean
}

/** How to tell it, as the connector's row says now; secrets still sealed. */
export interface ClaimedConnector {
  readonly id: string
  readonly type: string
  readonly config: Readonly<Record<string, unknown>>
  /** Newest first. */
  readonly sealedSecrets: readonly string[]
}

/** What one generation tells: stored before its first byte leaves, the same for every attempt. */
export interface FixedMessage {
  readonly body: string
  /** What the connector will have been told once it acknowledges. */
  readonly state: ToldState
  /** The last event that the message accounts for. */
  readonly eventSeq: number
}

export interface DueQuery {
  readonly serverIds: readonly string[]
  readonly lane: Lane
  /** Only this user's. */
  readonly userId?: string
}

/**
 * Leases due rows, never more of a server than it has free slots, so that a claimed row is a row being sent.
 *
 * Slots are counted under the server's row lock, over the rows that any process has leased. The normal lane leaves one
 * slot to the urgent one, and waits while the server is paused or its breaker is open; revocations never wait.
 */
export async function claimDue(db: Database, query: DueQuery): Promise<Claim[]> {
  return transaction(db, async (trx) => {
    const { rows: servers } = await sql<{ id: string; isProbe: boolean; failing: boolean }>`
      select id, probe_at is not null as "isProbe", failures_in_a_row > 0 as failing
      from server where id = any(${query.serverIds}) order by id for no key update`.execute(trx)
    const leased = await leaseRows(trx, query)
    if (leased.length === 0) return []
    const probed =
      query.lane === 'urgent'
        ? []
        : servers.filter(({ id, isProbe }) => isProbe && leased.some(({ serverId }) => serverId === id))
    if (probed.length > 0) await notBeforeNextProbe(trx, probed)
    const contents = await readContents(trx, leased)
    const failing = new Set(servers.filter((server) => server.failing).map(({ id }) => id))
    return leased.map((row) => ({
      ...row,
      ...contents.get(row.id)!,
      serverWasFailing: failing.has(row.serverId),
    }))
  })
}

type LeasedRow = Omit<Claim, 'connector' | 'message' | 'serverWasFailing'>

/** The statement after the lock, so that it counts what whoever held the lock before has leased. */
async function leaseRows(trx: Transaction, { serverIds, lane, userId }: DueQuery): Promise<LeasedRow[]> {
  const isUrgent = lane === 'urgent'
  const free = isUrgent
    ? sql`s.concurrency - f.count`
    : sql`case when s.paused_at is not null or s.probe_at > clock_timestamp() then 0
               when s.probe_at is not null then least(1, greatest(s.concurrency - 1, 1) - f.count)
               else greatest(s.concurrency - 1, 1) - f.count end`
  // A lease that ran out was held by a sender that died or froze: whether its request arrived is not known.
  const { rows } = await sql<LeasedRow>`
    with due as materialized (
      select d.* from server s
        cross join lateral (
          select count(*) from delivery where server_id = s.id and leased_until > clock_timestamp()) f
        cross join lateral (
          select id, lease is not null as abandoned, leased_generation, leased_until from delivery
          where server_id = s.id and urgent = ${isUrgent} and due_at <= clock_timestamp()
            and (leased_until is null or leased_until <= clock_timestamp())
            and ${userId === undefined ? sql`true` : sql`user_id = ${userId}`}
          order by due_at limit greatest(${free}, 0) for no key update skip locked) d
      where s.id = any(${serverIds})
    ), lost as (
      insert into attempt (id, delivery_id, generation, started_at, outcome, error)
      select 'att_' || replace(gen_random_uuid()::text, '-', ''), id, leased_generation,
        leased_until - make_interval(secs => ${leaseSeconds}), 'unanswered', 'the sender was lost'
      from due where abandoned
    )
    update delivery d set
      lease = ${newId('att')}, leased_generation = d.wanted_generation,
      leased_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}),
      attempts = d.attempts + case when d.lease is not null and d.leased_generation = d.wanted_generation then 1 else 0 end
    where d.id = any(array(select id from due)) -- by the key: a join would read the whole table
    returning d.id, d.lease, d.server_id as "serverId", d.user_id as "userId",
      d.wanted_generation as generation, d.attempts as failures, d.urgent`.execute(trx)
  return rows
}

async function notBeforeNextProbe(trx: Transaction, servers: ReadonlyArray<{ id: string }>): Promise<void> {
  await sql`
    update server set probe_at = clock_timestamp() + make_interval(secs => ${probeSeconds})
    where id = any(${servers.map(({ id }) => id)})`.execute(trx)
}

/** The connector and the message of each leased row: as it was fixed, else built from the rows that this transaction sees. */
async function readContents(
  trx: Transaction,
  leased: readonly LeasedRow[],
): Promise<Map<string, Pick<Claim, 'connector' | 'message'>>> {
  const { rows } = await sql<
    MessageFacts & { deliveryId: string; eventSeq: number; fixed: FixedMessage | null; connector: ClaimedConnector }
  >`
    select d.id as "deliveryId", d.server_id as "serverId", d.wanted_generation as generation, d.user_id as "userId", s.directory_id as "directoryId",
      case when d.body_generation = d.wanted_generation
        then jsonb_build_object('body', d.body, 'state', d.body_state, 'eventSeq', d.body_event_seq) end as fixed,
      jsonb_build_object('id', c.id, 'type', c.type, 'config', c.config, 'sealedSecrets', (
         select coalesce(jsonb_agg(k.sealed order by k.created_at desc, k.id desc), '[]') from connector_secret k
         where k.connector_id = c.id and (k.signs_until is null or k.signs_until > clock_timestamp()))) as connector,
      jsonb_build_object('active', e.active, 'epoch', e.epoch, 'access', e.access, 'identity', e.identity) as state, d.told,
      ${rfc3339(sql`e.changed_at`)} as at, ${rfc3339(sql`s.not_before`)} as "notBefore",
      coalesce(seen.seq, d.told_event_seq) as "eventSeq", seen.cause,
      (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'client', g.client, 'jti', g.jti)), '[]') from (
         select id, client, jti from access_grant
         where user_id = d.user_id and server_id = d.server_id and closed_generation > coalesce(d.delivered_generation, 0)
           and closed_generation <= d.wanted_generation
         order by closed_generation desc, id limit ${mostGrantsTold + 1}) g) as "closedGrants"
    from delivery d
      join connector c on c.id = d.connector_id
      join entitlement e on e.user_id = d.user_id and e.server_id = d.server_id and e.generation = d.wanted_generation
      join user_state s on s.user_id = d.user_id
      left join lateral (
        select max(v.seq) as seq,
          (array_agg(jsonb_build_object('id', v.id, 'kind', v.kind, 'source', v.source, 'at', ${rfc3339(sql`v.occurred_at`)})
             order by array_position(array['left', 'suspended', 'sessions_revoked', 'changed', 'resumed', 'joined'], v.kind), v.seq desc))[1] as cause
        from lifecycle_event v
        where v.user_id = d.user_id and v.seq > d.told_event_seq and v.recorded_at <= e.changed_at) seen on true
    where d.id = any(${leased.map(({ id }) => id)})`.execute(trx)
  return new Map(
    rows.map(({ deliveryId, connector, eventSeq, fixed, ...facts }) => [
      deliveryId,
      { connector, message: fixed ?? { ...buildMessage(facts), eventSeq } },
    ]),
  )
}

/** Milliseconds, rounded up: a token issued in the last fraction before a cut must not look younger than it. */
function rfc3339(time: ReturnType<typeof sql>) {
  return sql`to_char(date_trunc('milliseconds', ${time} + interval '999 microseconds') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}
