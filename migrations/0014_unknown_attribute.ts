import { type Kysely, sql } from 'kysely'

/** Attributes that an identity provider sends and that no schema knows: their names, never their values. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table unknown_attribute (
      directory_id text collate "C" not null references directory (id),
      resource_type text collate "C" not null check (resource_type in ('User', 'Group')),
      path_key text collate "C" not null, -- folded: names are compared without case
      path text collate "C" not null check (length(path) <= 200), -- as first spelled
      occurrences bigint not null,
      first_seen_at timestamptz not null default clock_timestamp(),
      last_seen_at timestamptz not null default clock_timestamp(),
      primary key (directory_id, resource_type, path_key)
    )`.execute(db)
}
