import { type Kysely, sql } from 'kysely'

/** Directories (one per identity-provider connection) and the bearer tokens that open their SCIM endpoint. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table directory (
      id text collate "C" primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
      provider text not null check (provider in ('okta', 'entra', 'google', 'ping', 'generic')),
      name text not null,
      -- Grows with every change of a rule, server or connector that the directory's users could feel.
      policy_version bigint not null default 1,
      created_at timestamptz not null default clock_timestamp(),
      deleted_at timestamptz
    )`.execute(db)

  await sql`
    create table directory_token (
      id text collate "C" primary key,
      directory_id text collate "C" not null references directory (id),
      label text,
      token_hash bytea not null unique,
      created_at timestamptz not null default clock_timestamp(),
      expires_at timestamptz
    )`.execute(db)
  await sql`create index directory_token_by_directory on directory_token (directory_id, created_at)`.execute(db)
}
