import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Retention } from '../retention.ts'

const batch = 5_000

/** Takes what is older than it is kept for, some of each at a turn. @returns how many rows went, by table */
export async function expire(db: Database, retention: Retention): Promise<Record<string, number>> {
  const gone: Record<string, number> = {}
  const take = async (table: string, days: number | undefined, since: ReturnType<typeof sql>, key = 'id') => {
    if (days === undefined) return
    const { numAffectedRows } = await sql`
      delete from ${sql.table(table)} where ${sql.ref(key)} in (
        select ${sql.ref(key)} from ${sql.table(table)}
        where ${since} < clock_timestamp() - make_interval(days => ${days}) limit ${batch})`.execute(db)
    if (numAffectedRows) gone[table] = Number(numAffectedRows)
  }
  await take('attempt', retention.attempt, sql`started_at`)
  await take('lifecycle_event', retention.lifecycle_event, sql`recorded_at`)
  await take('access_grant', retention.access_grant, sql`least(closed_at, expires_at)`)
  await take('admin_action', retention.admin_action, sql`started_at`)
  await take('admin_key', retention.credential, sql`expires_at`)
  await take('directory_token', retention.credential, sql`expires_at`)
  await take('server_credential', retention.credential, sql`expires_at`, 'client_id')
  await take('connector_secret', 0, sql`signs_until`)
  return gone
}
