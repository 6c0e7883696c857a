import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { queriedUser, userQuery } from './user-query.ts'

export const eventKind = z.enum(['joined', 'changed', 'left', 'suspended', 'resumed', 'sessions_revoked'])
export const eventSource = z.enum(['scim', 'okta', 'ssf', 'graph', 'google', 'ping', 'admin'])

const event = z
  .object({
    id: z.string(),
    directory: z.string(),
    user: z.string(),
    kind: eventKind,
    source: eventSource,
    occurredAt: instant.meta({ description: 'By the clock of the source' }),
    recordedAt: instant,
    epoch: z.int().nullable().meta({ description: 'The epoch that it raised the user to; null when it was no cut' }),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'LifecycleEvent' })

/** `/events`: lifecycle events, newest first. */
export function eventOperations({ db }: { db: Database }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/events',
      operationId: 'listEvents',
      summary: 'List lifecycle events, newest first',
      tag: 'Users',
      query: pageQuery.extend({
        ...userQuery,
        directory: z
          .string()
          .optional()
          .meta({ description: 'With `userName`, in place of `user`; without: everybody in it' }),
      }),
      answers: { 200: pageOf(event), 404: problem },
      async handle({ query: { user, directory, userName, limit, cursor } }) {
        const before = cursorKey(cursor, /^\d{1,15}$/)
        const userId = userName === undefined ? user : await queriedUser(db, { user, directory, userName })
        const { rows } = await sql<z.input<typeof event> & { seq: number }>`
          select id, seq, directory_id as directory, user_id as "user", kind, source, occurred_at as "occurredAt", recorded_at as "recordedAt", epoch, detail
          from lifecycle_event
          where ${directory === undefined ? sql`true` : sql`directory_id = ${directory}`} and ${userId === undefined ? sql`true` : sql`user_id = ${userId}`}
            and ${before === undefined ? sql`true` : sql`seq < ${Number(before)}`}
          order by seq desc limit ${limit}`.execute(db)
        const { next } = listed(rows, limit, ({ seq }) => String(seq))
        return { items: rows.map(({ seq: _, ...event }) => event), next }
      },
    }),
  ]
}
