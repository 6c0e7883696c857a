import { Router } from 'express'
import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { replayDeliveries } from '../delivery/replay.ts'
import { NotFound } from '../errors.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'
import { isResourceId } from '../ids.ts'
import type { Hop, Lane } from '../queue/catalog.ts'

const jobQuery = pageQuery.extend({
  state: z.enum(['failing', 'parked']).optional(),
  server: z.string().optional(),
  kind: z.enum(['delivery', 'user']).optional(),
})
const replayQuery = z.strictObject({
  server: z.string().optional(),
  kind: z.enum(['delivery', 'user']).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
})

interface JobView {
  readonly id: string
  readonly kind: 'delivery' | 'user'
  readonly state: 'failing' | 'parked'
  readonly user: string
  readonly server: string | null
  readonly error: string | null
  readonly attempts: number
  readonly nextTry: Date | null
  readonly failedAt: Date
}

/** Failed work, whatever it is, out of the rows: BullMQ's records say nothing that lasts. */
const jobs = sql`
  select d.id, 'delivery' as kind, case when d.parked_at is not null then 'parked' else 'failing' end as state, d.user_id as "user",
    d.server_id as server, coalesce(d.last_error, d.last_outcome) as error, d.attempts, d.due_at as "nextTry",
    coalesce(d.parked_at, (select max(a.started_at) from attempt a where a.delivery_id = d.id), d.created_at) as "failedAt"
  from delivery d
  where d.wanted_generation is distinct from d.delivered_generation and (d.parked_at is not null or d.attempts > 0)
  union all
  select s.user_id::text, 'user', 'failing', s.user_id, null, s.converge_error, s.converge_attempts, s.converge_due_at, coalesce(s.behind_since, s.converge_due_at)
  from user_state s where s.converge_error is not null`

/** `/jobs`: what failed, and having it done again. */
export function jobRoutes({ db, hint }: { db: Database; hint: (hop: Hop, lane: Lane, id: string) => void }): Router {
  const routes = Router()

  routes.get('/jobs', async (req, res) => {
    const { state, server, kind, limit, cursor } = parse(jobQuery, req.query)
    const after = cursorKey(cursor, /^\d{4}-[\dT:.-]+Z [\w-]+$/)?.split(' ')
    const { rows } = await sql<JobView>`
      select * from (${jobs}) j
      where ${state === undefined ? sql`true` : sql`j.state = ${state}`}
        and ${server === undefined ? sql`true` : sql`j.server = ${server}`}
        and ${kind === undefined ? sql`true` : sql`j.kind = ${kind}`}
        and ${after ? sql`(date_trunc('milliseconds', j."failedAt"), j.id) < (${after[0]}::timestamptz, ${after[1]})` : sql`true`}
      order by date_trunc('milliseconds', j."failedAt") desc, j.id desc limit ${limit}`.execute(db)
    res.json(listed(rows, limit, (row) => `${row.failedAt.toISOString()} ${row.id}`))
  })

  routes.post('/jobs/replay', async (req, res) => {
    const query = parse(replayQuery, req.body)
    const since = query.since === undefined ? undefined : new Date(query.since)
    const deliveries = query.kind === 'user' ? nothing : await replayDeliveries(db, { serverId: query.server, since })
    const users = query.kind === 'delivery' || query.server !== undefined ? 0 : await replayUsers(since)
    res.json(answer(deliveries, users))
  })

  routes.post('/jobs/:id/replay', async (req, res) => {
    const { id } = req.params
    if (isResourceId(id)) {
      const users = await replayUsers(undefined, id)
      if (users === 0) throw new NotFound(`Job "${id}" not found`)
      res.json(answer(nothing, users))
      return
    }
    const deliveries = await replayDeliveries(db, { deliveryId: id })
    const { inFlight, delivered } = deliveries.skipped
    if (deliveries.requeued + inFlight + delivered === 0) throw new NotFound(`Job "${id}" not found`)
    res.json(answer(deliveries, 0))
  })

  return routes

  async function replayUsers(since: Date | undefined, id?: string): Promise<number> {
    const { rows } = await sql<{ user_id: string; urgent: boolean }>`
      update user_state set converge_due_at = clock_timestamp(), converge_attempts = 0
      where converge_error is not null and ${id === undefined ? sql`true` : sql`user_id = ${id}`}
        and ${since === undefined ? sql`true` : sql`behind_since >= ${since}`}
      returning user_id, urgent`.execute(db)
    for (const { user_id, urgent } of rows) hint('converge', urgent ? 'urgent' : 'normal', user_id)
    return rows.length
  }

  function answer(deliveries: Awaited<ReturnType<typeof replayDeliveries>>, users: number) {
    for (const { serverId, lane } of deliveries.servers) hint('deliver', lane, serverId)
    return {
      requeued: deliveries.requeued + users,
      deliveries: deliveries.requeued,
      users,
      skipped: deliveries.skipped,
    }
  }
}

const nothing = { requeued: 0, skipped: { inFlight: 0, delivered: 0 }, servers: [] }
