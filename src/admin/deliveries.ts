import { Router } from 'express'
import { type RawBuilder, sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { NotFound } from '../errors.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'

const deliveryQuery = pageQuery.extend({
  user: z.uuid().optional(),
  server: z.string().optional(),
  state: z.enum(['pending', 'delivered', 'parked']).optional(),
})
const entitlementQuery = pageQuery.extend({ user: z.uuid().optional(), server: z.string().optional() })

export const deliveryState = sql<string>`
  case when d.parked_at is not null then 'parked' when d.wanted_generation is not distinct from d.delivered_generation then 'delivered' else 'pending' end`

const deliveryView = sql`
  d.id, d.server_id as server, d.connector_id as connector, d.user_id as "user", ${deliveryState} as state,
  d.wanted_generation as "wantedGeneration", d.delivered_generation as "deliveredGeneration", d.urgent, d.due_at as "nextTry",
  d.parked_at as "parkedAt", d.delivered_at as "deliveredAt", d.last_outcome as "lastOutcome", d.last_error as "lastError"`

/** `/entitlements` and `/deliveries`: what each user should have where, and what each server has heard of it. */
export function deliveryRoutes({ db }: { db: Database }): Router {
  const routes = Router()

  routes.get('/entitlements', async (req, res) => {
    const { user, server, limit, cursor } = parse(entitlementQuery, req.query)
    const after = cursorKey(cursor, /^[0-9a-f-]{36} [a-z0-9-]+$/)?.split(' ')
    const { rows } = await sql<{ user: string; server: string }>`
      select e.user_id as "user", e.server_id as server, e.active, e.generation, e.epoch, e.access, e.rules, e.changed_at as since
      from entitlement e
      where ${isUser(sql`e.user_id`, user)} and ${equals(sql`e.server_id`, server)}
        and ${after ? sql`(e.user_id, e.server_id) > (${after[0]}::uuid, ${after[1]})` : sql`true`}
      order by e.user_id, e.server_id limit ${limit}`.execute(db)
    res.json(listed(rows, limit, (row) => `${row.user} ${row.server}`))
  })

  routes.get('/deliveries', async (req, res) => {
    const { user, server, state, limit, cursor } = parse(deliveryQuery, req.query)
    const after = cursorKey(cursor)
    const { rows } = await sql<{ id: string }>`
      select ${deliveryView} from delivery d
      where ${isUser(sql`d.user_id`, user)} and ${equals(sql`d.server_id`, server)} and ${equals(deliveryState, state)}
        and ${after === undefined ? sql`true` : sql`d.id > ${after}`}
      order by d.id limit ${limit}`.execute(db)
    res.json(listed(rows, limit, ({ id }) => id))
  })

  routes.get('/deliveries/:id', async (req, res) => {
    const { rows } = await sql<Record<string, unknown>>`
      select ${deliveryView},
        (select coalesce(jsonb_agg(jsonb_build_object('at', a.started_at, 'ms', a.ms, 'outcome', a.outcome, 'status', a.status,
           'generation', a.generation, 'error', a.error) order by a.started_at), '[]')
         from attempt a where a.delivery_id = d.id) as attempts
      from delivery d where d.id = ${req.params.id}`.execute(db)
    if (!rows[0]) throw new NotFound(`Delivery "${req.params.id}" not found`)
    res.json(rows[0])
  })

  return routes
}

function isUser(column: RawBuilder<unknown>, id: string | undefined): RawBuilder<unknown> {
  return id === undefined ? sql`true` : sql`${column} = ${id}::uuid`
}

function equals(column: RawBuilder<unknown>, value: string | undefined): RawBuilder<unknown> {
  return value === undefined ? sql`true` : sql`${column} = ${value}`
}
