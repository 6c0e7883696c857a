import { Router } from 'express'
import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'

const eventQuery = pageQuery.extend({ directory: z.string().optional(), user: z.uuid().optional() })

/** `/events`: lifecycle events, newest first. */
export function eventRoutes({ db }: { db: Database }): Router {
  const routes = Router()
  routes.get('/events', async (req, res) => {
    const { directory, user, limit, cursor } = parse(eventQuery, req.query)
    const before = cursorKey(cursor, /^\d{1,15}$/)
    const { rows } = await sql<{ seq: number }>`
      select id, seq, directory_id as directory, user_id as "user", kind, source, occurred_at as "occurredAt", recorded_at as "recordedAt", epoch, detail
      from lifecycle_event
      where ${directory === undefined ? sql`true` : sql`directory_id = ${directory}`} and ${user === undefined ? sql`true` : sql`user_id = ${user}`}
        and ${before === undefined ? sql`true` : sql`seq < ${Number(before)}`}
      order by seq desc limit ${limit}`.execute(db)
    const page = listed(rows, limit, ({ seq }) => String(seq))
    res.json({ ...page, items: rows.map(({ seq: _, ...event }) => event) })
  })
  return routes
}
