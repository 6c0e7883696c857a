import { Router } from 'express'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Queue } from '../queue/queue.ts'

export interface Stats {
  readonly users: { living: number; active: number; behind: number; held: number }
  readonly grants: { open: number }
  readonly queue: { backend: string; hintsGiven: number; hintsDropped: number }
  readonly servers: ReadonlyArray<{
    server: string
    pending: number
    urgentPending: number
    parked: number
    inFlight: number
    paused: boolean
    failing: number
    oldestMs: number | null
  }>
  /** Of the last 24 hours, from the change's commit to the server's answer; null without any. */
  readonly killTimeMs: { count: number; p50: number | null; p99: number | null }
}

export async function readStats(db: Database, queue: Queue): Promise<Stats> {
  const [users, servers, kill, grants] = await Promise.all([
    sql<Stats['users']>`
      select count(*) filter (where u.deleted_at is null) as living, count(*) filter (where u.deleted_at is null and u.active) as active,
        count(*) filter (where s.version > s.converged_version or (u.active and u.deleted_at is null and s.converged_policy_version < d.policy_version)) as behind,
        count(*) filter (where s.hold_at is not null) as held
      from user_state s join scim_user u on u.id = s.user_id join directory d on d.id = s.directory_id`.execute(db),
    sql<Stats['servers'][number]>`
      select s.id as server, s.paused_at is not null as paused, s.failures_in_a_row as failing,
        count(d.id) filter (where d.due_at is not null and d.parked_at is null) as pending,
        count(d.id) filter (where d.due_at is not null and d.parked_at is null and d.urgent) as "urgentPending",
        count(d.id) filter (where d.parked_at is not null) as parked,
        count(d.id) filter (where d.leased_until > clock_timestamp()) as "inFlight",
        round(extract(epoch from clock_timestamp() - min(d.behind_since)) * 1000)::float8 as "oldestMs"
      from server s left join delivery d on d.server_id = s.id and (d.due_at is not null or d.parked_at is not null or d.leased_until is not null)
      where s.deleted_at is null group by s.id order by s.id`.execute(db),
    sql<{ count: number; p50: number | null; p99: number | null }>`
      select count(*) as count,
        percentile_cont(0.5) within group (order by ms) as p50, percentile_cont(0.99) within group (order by ms) as p99
      from (select extract(epoch from recorded_at - since_at)::float8 * 1000 as ms from ledger_entry
            where kind = 'delivered' and recorded_at > clock_timestamp() - interval '1 day' and (detail ->> 'urgent')::boolean) t`.execute(
      db,
    ),
    sql<{
      open: number
    }>`select count(*) as open from access_grant where closed_at is null and expires_at > clock_timestamp()`.execute(
      db,
    ),
  ])
  const round = (ms: number | null) => (ms === null ? null : Math.round(ms * 10) / 10)
  const { count, p50, p99 } = kill.rows[0]!
  return {
    users: users.rows[0]!,
    grants: grants.rows[0]!,
    queue: { backend: queue.backend, hintsGiven: queue.counts.given, hintsDropped: queue.counts.dropped },
    servers: servers.rows,
    killTimeMs: { count, p50: round(p50), p99: round(p99) },
  }
}

/** `/stats`: what is behind, per server, and how long a cut takes to arrive. */
export function statsRoutes({ db, queue }: { db: Database; queue: Queue }): Router {
  const routes = Router()
  routes.get('/stats', async (_req, res) => {
    res.json(await readStats(db, queue))
  })
  return routes
}
