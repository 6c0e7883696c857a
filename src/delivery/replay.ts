import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import type { Lane } from '../queue/catalog.ts'

export interface ReplayQuery {
  readonly deliveryId?: string
  readonly serverId?: string
  /** Only rows with an attempt since. */
  readonly since?: Date
  /** Counts, and changes nothing. */
  readonly dryRun?: boolean
}

/** What a replay did, or would do. */
export interface ReplayCounts {
  /** Rows that are due now because of it. */
  readonly requeued: number
  readonly skipped: {
    /** Being sent at this moment. */
    readonly inFlight: number
    /** The server knows already. */
    readonly delivered: number
    /** Due already, with a fresh schedule: by an earlier replay, say, or because something newer is wanted. */
    readonly alreadyDue: number
  }
  readonly servers: ReadonlyArray<{ readonly serverId: string; readonly lane: Lane }>
}

type State = 'requeued' | 'inFlight' | 'delivered' | 'alreadyDue'

/** Parked, or to be sent and not taken the last time. */
const hasFailed = sql`(d.parked_at is not null
  or (d.due_at is not null and (d.attempts > 0 or d.last_outcome not in ('applied', 'unchanged'))))`

/**
 * Makes failed and parked deliveries due now with a fresh schedule: all that `query` selects, or one by its id whatever
 * its state. A replay sends what is wanted now, whichever generation it was that failed. Of several at once, one counts
 * a row as requeued.
 */
export async function replayDeliveries(db: Database, query: ReplayQuery): Promise<ReplayCounts> {
  const selected = sql`
    select d.id, d.server_id, d.urgent,
      case when d.wanted_generation is not distinct from d.delivered_generation then 'delivered'
           when d.leased_until > clock_timestamp() then 'inFlight'
           when d.parked_at is null and d.attempts = 0 and d.due_at <= clock_timestamp() then 'alreadyDue'
           else 'requeued' end as state
    from delivery d
    where ${query.deliveryId === undefined ? hasFailed : sql`d.id = ${query.deliveryId}`}
      and ${query.serverId === undefined ? sql`true` : sql`d.server_id = ${query.serverId}`}
      and ${query.since === undefined ? sql`true` : sql`exists (select from attempt a where a.delivery_id = d.id and a.started_at >= ${query.since})`}`
  const statement = sql<{ server_id: string; urgent: boolean; state: State }>`
    with chosen as materialized (
      ${selected} order by d.server_id, d.connector_id, d.id for no key update -- the order in which deliveries are locked
    ), requeued as (
      update delivery d set due_at = clock_timestamp(), attempts = 0, parked_at = null
      from chosen c where d.id = c.id and c.state = 'requeued'
    )
    select server_id, urgent, state from chosen`
  const { rows } = await (query.dryRun
    ? sql<{ server_id: string; urgent: boolean; state: State }>`${selected}`.execute(db)
    : retrying(() => statement.execute(db)))
  const count = (state: State) => rows.filter((row) => row.state === state).length
  const requeued = rows.filter(({ state }) => state === 'requeued')
  const servers = new Map(
    requeued.map(({ server_id, urgent }) => [
      `${server_id} ${urgent}`,
      { serverId: server_id, lane: urgent ? ('urgent' as const) : ('normal' as const) },
    ]),
  )
  return {
    requeued: requeued.length,
    skipped: { inFlight: count('inFlight'), delivered: count('delivered'), alreadyDue: count('alreadyDue') },
    servers: [...servers.values()],
  }
}
