import { type RawBuilder, sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { snapshot } from '../db/transaction.ts'
import { NotFound } from '../errors.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { queriedUser, userQuery } from './user-query.ts'

const state = z.enum(['pending', 'delivered', 'parked'])

const delivery = z
  .object({
    id: z.string(),
    server: z.string(),
    connector: z.string(),
    user: z.string(),
    state,
    wantedGeneration: z.int(),
    deliveredGeneration: z.int().nullable(),
    urgent: z.boolean(),
    nextTry: instant.nullable(),
    parkedAt: instant.nullable(),
    deliveredAt: instant.nullable(),
    lastOutcome: z.string().nullable(),
    lastError: z.string().nullable(),
  })
  .meta({ id: 'Delivery' })

const attempt = z
  .object({
    at: instant,
    ms: z.number().nullable(),
    outcome: z.enum(['applied', 'unchanged', 'refused', 'unavailable', 'unanswered']),
    status: z.int().nullable().meta({ description: 'What the server answered, as an HTTP status' }),
    generation: z.int(),
    error: z.string().nullable(),
  })
  .meta({ id: 'Attempt' })

const mostAttempts = 100

const triedDelivery = z
  .object({
    ...delivery.shape,
    attempts: z
      .array(attempt)
      .meta({ description: `The newest ${mostAttempts}, in the order in which they were made` }),
  })
  .meta({ id: 'DeliveryWithAttempts' })

const deliveryState = sql<string>`
  case when d.parked_at is not null then 'parked' when d.wanted_generation is not distinct from d.delivered_generation then 'delivered' else 'pending' end`

const deliveryView = sql`
  d.id, d.server_id as server, d.connector_id as connector, d.user_id as "user", ${deliveryState} as state,
  d.wanted_generation as "wantedGeneration", d.delivered_generation as "deliveredGeneration", d.urgent, d.due_at as "nextTry",
  d.parked_at as "parkedAt", d.delivered_at as "deliveredAt", d.last_outcome as "lastOutcome", d.last_error as "lastError"`

const tag = 'Deliveries'

/** `/deliveries`: what each server has heard of each user's access. */
export function deliveryOperations({ db }: { db: Database }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/deliveries',
      operationId: 'listDeliveries',
      summary: 'List deliveries',
      tag,
      query: pageQuery.extend({ ...userQuery, server: z.string().optional(), state: state.optional() }),
      answers: { 200: pageOf(delivery), 404: problem },
      async handle({ query: { server, state, limit, cursor, ...query } }) {
        const after = cursorKey(cursor)
        const userId = await queriedUser(db, query)
        const { rows } = await sql<z.input<typeof delivery>>`
          select ${deliveryView} from delivery d
          where ${userId === undefined ? sql`true` : sql`d.user_id = ${userId}::uuid`}
            and ${equals(sql`d.server_id`, server)} and ${equals(deliveryState, state)}
            and ${after === undefined ? sql`true` : sql`d.id > ${after}`}
          order by d.id limit ${limit}`.execute(db)
        return listed(rows, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/deliveries/{id}',
      operationId: 'getDelivery',
      summary: 'Show a delivery with its attempts',
      tag,
      answers: { 200: triedDelivery },
      async handle({ params }) {
        // Of one moment: an attempt stands beside what came of it.
        return snapshot(db, async (trx) => {
          const { rows: deliveries } = await sql<z.input<typeof delivery>>`
            select ${deliveryView} from delivery d where d.id = ${params.id}`.execute(trx)
          if (!deliveries[0]) throw new NotFound(`Delivery "${params.id}" not found`)
          const { rows: attempts } = await sql<z.input<typeof attempt>>`
            select started_at as at, ms, outcome, status, generation, error from attempt
            where delivery_id = ${params.id} order by started_at desc limit ${mostAttempts}`.execute(trx)
          return { ...deliveries[0], attempts: attempts.reverse() }
        })
      },
    }),
  ]
}

function equals(column: RawBuilder<unknown>, value: string | undefined): RawBuilder<unknown> {
  return value === undefined ? sql`true` : sql`${column} = ${value}`
}
