import { type Kysely, sql } from 'kysely'

/**
 * What is let go by age is found by age: where rows lie in the order of their time a block range index is enough. And
 * what an alarm asks for at every scrape is found without reading everything.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index attempt_in_time on attempt using brin (started_at)`.execute(db)
  await sql`create index access_grant_over on access_grant (least(closed_at, expires_at))`.execute(db)
  await sql`create index lifecycle_event_in_time on lifecycle_event using brin (recorded_at)`.execute(db)
  await sql`create index delivery_behind on delivery (server_id, behind_since) where behind_since is not null`.execute(
    db,
  )
  await sql`create index user_state_failed on user_state (directory_id) where converge_error is not null`.execute(db)
}
