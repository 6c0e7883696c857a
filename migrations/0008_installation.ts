import { type Kysely, sql } from 'kysely'

/** One row: a value sealed under TENURE_SECRET_KEY, so that a process with a wrong key is refused at its start. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table installation (
      singleton boolean primary key default true check (singleton),
      sealed_check text not null,
      created_at timestamptz not null default clock_timestamp()
    )`.execute(db)
}
