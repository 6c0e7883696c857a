import { type Kysely, sql } from 'kysely'

/** Grants that an operator closed and converge has yet to put into a generation, so that the server is told. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create index access_grant_untold on access_grant (user_id)
    where closed_at is not null and closed_generation is null`.execute(db)
}
