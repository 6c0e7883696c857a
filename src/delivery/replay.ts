import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import type { Lane } from '../queue/catalog.ts'

export interface ReplayQuery {
  readonly deliveryId?: string
  readonly serverId?: string
  /** Only rows that failed or were parked since. */
  readonly since?: Date
}

/** What a replay did, by reason; `requeued` is how many rows are due now because of it. */
export interface ReplayCounts {
  readonly requeued: number
  readonly skipped: { readonly inFlight: number; readonly delivered: number }
  readonly servers: ReadonlyArray<{ readonly serverId: string; readonly lane: Lane }>
}

/**
 * Makes failed and parked deliveries due now with a fresh schedule. What is in flight is left to its sender, and what
 * the server already knows is not sent again.
 */
export async function replayDeliveries(db: Database, query: ReplayQuery): Promise<ReplayCounts> {
  const statement = sql<{
    id: string
    server_id: string
    urgent: boolean
    state: 'requeued' | 'in flight' | 'delivered'
  }>`
    with chosen as materialized (
      select d.id, d.server_id, d.urgent,
        case when d.wanted_generation is not distinct from d.delivered_generation then 'delivered'
             when d.leased_until > clock_timestamp() then 'in flight' else 'requeued' end as state
      from delivery d
      where ${query.deliveryId === undefined ? sql`(d.parked_at is not null or (d.attempts > 0 and d.due_at is not null))` : sql`d.id = ${query.deliveryId}`}
        and ${query.serverId === undefined ? sql`true` : sql`d.server_id = ${query.serverId}`}
        and ${query.since === undefined ? sql`true` : sql`exists (select from attempt a where a.delivery_id = d.id and a.started_at >= ${query.since})`}
      order by d.server_id, d.connector_id, d.id for no key update -- the order in which deliveries are locked
    ), requeued as (
      update delivery d set due_at = clock_timestamp(), attempts = 0, parked_at = null
      from chosen c where d.id = c.id and c.state = 'requeued'
    )
    select id, server_id, urgent, state from chosen`
  const { rows } = await retrying(() => statement.execute(db))
  const count = (state: string) => rows.filter((row) => row.state === state).length
  const requeued = rows.filter(({ state }) => state === 'requeued')
  const servers = new Map(
    requeued.map(({ server_id, urgent }) => [
      `${server_id} ${urgent}`,
      { serverId: server_id, lane: urgent ? ('urgent' as const) : ('normal' as const) },
    ]),
  )
  return {
    requeued: requeued.length,
    skipped: { inFlight: count('in flight'), delivered: count('delivered') },
    servers: [...servers.values()],
  }
}
