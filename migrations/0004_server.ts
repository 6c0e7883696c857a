import { type Kysely, sql } from 'kysely'

/** Downstream MCP servers, how each is told with which secrets, and the credentials with which it asks. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table server (
      id text collate "C" primary key check (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
      name text not null,
      resource text not null, -- RFC 9728 resource identifier, compared byte for byte
      scopes text[], -- null: whatever its rules name
      token_life_seconds integer,
      token_format text not null default 'opaque' check (token_format in ('opaque', 'jwt')),
      -- Limits and health live here because every worker shares them.
      concurrency integer not null check (concurrency between 1 and 1000),
      paused_at timestamptz,
      paused_reason text,
      failures_in_a_row integer not null default 0,
      probe_at timestamptz, -- set while the breaker is open: when the next probe may go
      created_at timestamptz not null default clock_timestamp(),
      deleted_at timestamptz
    ) with (fillfactor = 70)`.execute(db)
  await sql`create unique index server_resource on server (resource) where deleted_at is null`.execute(db)

  await sql`
    create table connector (
      id text collate "C" primary key,
      server_id text collate "C" not null references server (id),
      type text not null,
      config jsonb not null,
      created_at timestamptz not null default clock_timestamp(),
      deleted_at timestamptz
    )`.execute(db)
  await sql`create index connector_by_server on connector (server_id)`.execute(db)

  // A row each: while one is rotated the older still signs, and each says under which sealing key it lies, so that those
  // can be rotated and the end of that be seen.
  await sql`
    create table connector_secret (
      id text collate "C" primary key,
      connector_id text collate "C" not null references connector (id),
      sealed text not null, -- compact JWE
      sealed_under text not null, -- its "kid"
      created_at timestamptz not null default clock_timestamp(),
      signs_until timestamptz -- null: the current one
    )`.execute(db)
  await sql`create index connector_secret_by_connector on connector_secret (connector_id, created_at)`.execute(db)

  await sql`
    create table server_credential (
      client_id text collate "C" primary key,
      server_id text collate "C" not null references server (id),
      secret_hash bytea not null,
      created_at timestamptz not null default clock_timestamp()
    )`.execute(db)
}
