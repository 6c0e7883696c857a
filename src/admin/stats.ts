import { sql } from 'kysely'
import { z } from 'zod'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { snapshot } from '../db/transaction.ts'
import { readChannelHealth } from '../directory/channel-health.ts'
import { countSealed } from '../housekeeping/reseal.ts'
import { type Operation, operation } from '../http/operation.ts'
import type { Queue } from '../queue/queue.ts'
import { channelHealth } from './channel-health.ts'

const stats = z
  .object({
    users: z.object({ living: z.int(), active: z.int(), behind: z.int(), held: z.int() }),
    grants: z.object({ open: z.int() }),
    queue: z.object({ backend: z.string(), hintsGiven: z.int(), hintsDropped: z.int() }),
    servers: z.array(
      z.object({
        server: z.string(),
        pending: z.int(),
        urgentPending: z.int(),
        parked: z.int(),
        inFlight: z.int(),
        paused: z.boolean(),
        failing: z.int().meta({ description: 'Failures in a row' }),
        oldestMs: z.number().nullable().meta({ description: 'How long the oldest has waited' }),
      }),
    ),
    channels: z
      .array(z.object({ directory: z.string(), channel: z.string(), health: channelHealth }))
      .meta({ description: 'Event channels, of all directories' }),
    secrets: z
      .object({
        sealed: z.int(),
        underOlderKeys: z.int().meta({
          description: 'Not yet under the first key of TENURE_SECRET_KEY; the other keys can be dropped when it is 0',
        }),
      })
      .meta({ description: 'What is stored sealed, the check value of the installation included' }),
    killTimeMs: z
      .object({ count: z.int(), p50: z.number().nullable(), p99: z.number().nullable() })
      .meta({ description: "Of the last 24 hours, from the change's commit to the server's answer; null without any" }),
  })
  .meta({ id: 'Stats' })

export type Stats = z.input<typeof stats>

/** Of one moment, so that what has left one count stands in another. */
export function readStats(db: Database, queue: Queue, sealedUnder: string): Promise<Stats> {
  return snapshot(db, async (trx) => ({
    users: await countUsers(trx),
    grants: await countGrants(trx),
    queue: { backend: queue.backend, hintsGiven: queue.counts.given, hintsDropped: queue.counts.dropped },
    servers: await countDeliveries(trx),
    channels: (await readChannelHealth(trx)).map(({ directoryId: directory, kind: channel, ...health }) => ({
      directory,
      channel,
      health,
    })),
    secrets: await countSealed(trx, sealedUnder),
    killTimeMs: await readKillTimes(trx),
  }))
}

export async function countUsers(executor: Executor): Promise<Stats['users']> {
  const { rows } = await sql<Stats['users']>`
    select count(*) filter (where u.deleted_at is null) as living, count(*) filter (where u.deleted_at is null and u.active) as active,
      count(*) filter (where s.version > s.converged_version or (u.active and u.deleted_at is null and s.converged_policy_version < d.policy_version)) as behind,
      count(*) filter (where s.hold_at is not null) as held
    from user_state s join scim_user u on u.id = s.user_id join directory d on d.id = s.directory_id`.execute(executor)
  return rows[0]!
}

export async function countGrants(executor: Executor): Promise<Stats['grants']> {
  const { rows } = await sql<Stats['grants']>`
    select count(*) as open from access_grant where closed_at is null and expires_at > clock_timestamp()`.execute(
    executor,
  )
  return rows[0]!
}

/** A server that was deleted counts until the last of its people was told out. */
async function countDeliveries(trx: Transaction): Promise<Stats['servers']> {
  const { rows } = await sql<Stats['servers'][number]>`
    select s.id as server, s.paused_at is not null as paused, s.failures_in_a_row as failing,
      count(d.id) filter (where d.due_at is not null and d.parked_at is null) as pending,
      count(d.id) filter (where d.due_at is not null and d.parked_at is null and d.urgent) as "urgentPending",
      count(d.id) filter (where d.parked_at is not null) as parked,
      count(d.id) filter (where d.leased_until > clock_timestamp()) as "inFlight",
      round(extract(epoch from clock_timestamp() - min(d.behind_since)) * 1000)::float8 as "oldestMs"
    from server s left join delivery d on d.server_id = s.id and (d.due_at is not null or d.parked_at is not null or d.leased_until is not null)
    where s.deleted_at is null or s.purged_at is null group by s.id order by s.id`.execute(trx)
  return rows
}

async function readKillTimes(trx: Transaction): Promise<Stats['killTimeMs']> {
  const { rows } = await sql<Stats['killTimeMs']>`
    select count(*) as count,
      round(percentile_cont(0.5) within group (order by ms)::numeric, 1)::float8 as p50,
      round(percentile_cont(0.99) within group (order by ms)::numeric, 1)::float8 as p99
    from (select extract(epoch from recorded_at - since_at)::float8 * 1000 as ms from ledger_entry
          where kind = 'delivered' and recorded_at > clock_timestamp() - interval '1 day' and (detail ->> 'urgent')::boolean) t`.execute(
    trx,
  )
  return rows[0]!
}

/** `/stats`: what is behind, per server, and how long a cut takes to arrive. */
export function statsOperations({
  db,
  queue,
  sealedUnder,
}: {
  db: Database
  queue: Queue
  /** `kid` of the key that seals. */
  sealedUnder: string
}): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/stats',
      operationId: 'getStats',
      summary: 'Show what is behind, and how long a cut takes',
      tag: 'Health',
      answers: { 200: stats },
      handle: () => readStats(db, queue, sealedUnder),
    }),
  ]
}
