import { type Kysely, sql } from 'kysely'

/** How many SCIM requests each token of a directory may make in a second; null: the default. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table directory
      add column scim_requests_per_second integer check (scim_requests_per_second between 1 and 100000)`.execute(db)
}
