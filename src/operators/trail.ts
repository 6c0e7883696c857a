import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { newId } from '../ids.ts'

/** Something that an operator did, or set out to do. */
export interface ActionRecord {
  readonly id: string
  readonly at: Date
  /** The name of the admin key. */
  readonly actor: string
  /** `PUT /rules/{id}` */
  readonly operation: string
  readonly path: string
  readonly requestId: string
  /** The HTTP status of the answer; null while there is none, for ever when the process died first. */
  readonly status: number | null
}

/**
 * The trail of operators: each change is written down before it is begun, so that nothing can be done without a record,
 * and closed with its outcome. Ids and paths only: what was sent is not kept, for it may hold secrets.
 */
export function createTrail({ db }: { db: Database }) {
  return {
    /** @returns closes the record with the status of the answer */
    async begin(
      action: Pick<ActionRecord, 'actor' | 'operation' | 'path' | 'requestId'>,
    ): Promise<(status: number) => Promise<void>> {
      const id = newId('act')
      await db
        .insertInto('admin_action')
        .values({
          id,
          actor: action.actor,
          operation: action.operation,
          path: action.path,
          request_id: action.requestId,
        })
        .execute()
      return async (status) => {
        await db.updateTable('admin_action').set({ status }).where('id', '=', id).execute()
      }
    },

    /** Newest first. */
    async list(query: { actor?: string; since?: Date; limit: number; before?: string }): Promise<ActionRecord[]> {
      const { rows } = await sql<ActionRecord>`
        select id, started_at as at, actor, operation, path, request_id as "requestId", status from admin_action
        where ${query.actor === undefined ? sql`true` : sql`actor = ${query.actor}`}
          and ${query.since === undefined ? sql`true` : sql`started_at >= ${query.since}`}
          and ${query.before === undefined ? sql`true` : sql`id < ${query.before}`}
        order by id desc limit ${query.limit}`.execute(db)
      return rows
    },
  }
}

export type Trail = ReturnType<typeof createTrail>
