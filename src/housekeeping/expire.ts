import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Retention } from '../retention.ts'

const batch = 5_000
/** There may be as many as tokens are issued: this many in one turn of five seconds. */
const mostAssertions = 50_000

/** Takes what is older than it is kept for, some of each at a turn. @returns how many rows went, by table */
export async function expire(db: Database, retention: Retention): Promise<Record<string, number>> {
  const gone: Record<string, number> = {}
  // Not clock_timestamp(): what may change within the statement cannot be looked up in an index.
  const take = async (
    table: string,
    days: number | undefined,
    since: ReturnType<typeof sql>,
    { key = 'id', unless = sql`false`, most = batch } = {},
  ) => {
    if (days === undefined) return
    const { numAffectedRows } = await sql`
      delete from ${sql.table(table)} where ${sql.ref(key)} in (
        select ${sql.ref(key)} from ${sql.table(table)} t
        where ${since} < statement_timestamp() - make_interval(days => ${days}) and not (${unless}) limit ${most})`.execute(
      db,
    )
    if (numAffectedRows) gone[table] = Number(numAffectedRows)
  }
  await take('attempt', retention.attempt, sql`started_at`)
  await take('lifecycle_event', retention.lifecycle_event, sql`recorded_at`)
  await take('inbound_event', retention.inbound_event, sql`received_at`)
  await take('access_grant', retention.access_grant, sql`least(closed_at, expires_at)`, { unless: isUntold })
  await take('admin_action', retention.admin_action, sql`started_at`)
  await take('admin_key', retention.credential, sql`expires_at`)
  await take('directory_token', retention.credential, sql`expires_at`)
  await take('server_credential', retention.credential, sql`expires_at`, { key: 'client_id' })
  await take('mcp_client_secret', 0, sql`expires_at`)
  await take('connector_secret', 0, sql`signs_until`)
  await take('signing_key', 0, sql`published_until`, { key: 'kid' })
  await take('assertion_use', 0, sql`expires_at`, { key: 'ctid', most: mostAssertions })
  return gone
}

/** A grant `t` of whose closing some server has yet to hear. */
const isUntold = sql`
  (t.closed_at is not null and t.closed_generation is null)
  or exists (select from delivery d where d.user_id = t.user_id and d.server_id = t.server_id
             and d.wanted_generation is distinct from d.delivered_generation and t.closed_generation > coalesce(d.delivered_generation, 0))`
