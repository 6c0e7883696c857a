import { type Kysely, sql } from 'kysely'

/** What is let go by age is found by age: rows lie in the order of their time, so a block range index is enough. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index attempt_in_time on attempt using brin (started_at)`.execute(db)
  await sql`create index lifecycle_event_in_time on lifecycle_event using brin (recorded_at)`.execute(db)
}
