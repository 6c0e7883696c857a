import { type Kysely, sql } from 'kysely'

/** Whether a SCIM POST for somebody inactive takes that user back instead of being refused. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table directory add column reactivate_on_create boolean not null default false`.execute(db)
}
