import { type Kysely, sql } from 'kysely'

/** Who of one directory gets which scopes at which server, through which MCP clients (null: any). */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table rule (
      id text collate "C" primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
      directory_id text collate "C" not null references directory (id),
      server_id text collate "C" not null references server (id),
      filter text not null,
      scopes text[] not null,
      clients text[],
      created_at timestamptz not null default clock_timestamp(),
      changed_at timestamptz not null default clock_timestamp()
    )`.execute(db)
  await sql`create index rule_by_directory on rule (directory_id)`.execute(db)
}
