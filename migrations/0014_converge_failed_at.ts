import { type Kysely, sql } from 'kysely'

/** When a user could not be converged the last time: what is listed and replayed by that time must know it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table user_state add column converge_failed_at timestamptz`.execute(db)
  await sql`
    update user_state set converge_failed_at = coalesce(behind_since, clock_timestamp()) where converge_error is not null`.execute(
    db,
  )
  await sql`
    alter table user_state add constraint failed_at_goes_with_error
      check ((converge_error is null) = (converge_failed_at is null))`.execute(db)
}
