import { type Kysely, sql } from 'kysely'

/**
 * Whom the authorization server believes: issuers of ID-JAGs and MCP clients, the assertions that were used, and the
 * keys with which it signs.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table directory
      add column assertion_reuse text not null default 'forbid' check (assertion_reuse in ('forbid', 'same_client_until_exp'))`.execute(
    db,
  )

  await sql`
    create table trusted_issuer (
      id text collate "C" primary key, -- made of issuer and tenant: one that is registered anew finds its used assertions
      directory_id text collate "C" not null references directory (id),
      key text collate "C" not null,
      issuer text collate "C" not null, -- compared byte for byte
      tenant text collate "C",
      jwks_uri text collate "C" not null,
      subject text not null check (subject in ('externalId', 'userName', 'email')),
      algorithms text[] not null,
      created_at timestamptz not null default clock_timestamp(),
      keys_failing_since timestamptz, -- since when its key set could not be had
      keys_failed_at timestamptz, -- when that was last tried
      unique (directory_id, key)
    )`.execute(db)
  await sql`
    create unique index trusted_issuer_once on trusted_issuer (issuer, tenant) nulls not distinct`.execute(db)

  // No reference to the issuer: what was used stays used when an issuer is removed and comes back.
  await sql`
    create table assertion_use (
      issuer_id text collate "C" not null,
      jti_hash bytea not null,
      client text collate "C" not null,
      expires_at timestamptz not null, -- from when on the assertion is refused for its age
      primary key (issuer_id, jti_hash)
    )`.execute(db)
  await sql`create index assertion_use_over on assertion_use (expires_at)`.execute(db)

  await sql`
    create table mcp_client (
      id text collate "C" primary key,
      name text not null,
      auth text not null check (auth in ('client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none')),
      jwks_uri text,
      preset text,
      token_requests_per_minute integer check (token_requests_per_minute between 1 and 1000000), -- null: the default
      created_at timestamptz not null default clock_timestamp(),
      check ((auth = 'private_key_jwt') = (jwks_uri is not null))
    )`.execute(db)

  await sql`
    create table mcp_client_secret (
      id text collate "C" primary key,
      client_id text collate "C" not null references mcp_client (id) on delete cascade,
      secret_hash bytea not null,
      created_at timestamptz not null default clock_timestamp(),
      expires_at timestamptz -- null: the current one
    )`.execute(db)
  await sql`create index mcp_client_secret_by_client on mcp_client_secret (client_id, created_at)`.execute(db)

  // Newest last: the one that signs is the last whose time has come.
  await sql`
    create table signing_key (
      kid text collate "C" primary key, -- RFC 7638 thumbprint
      public_jwk jsonb not null,
      sealed text not null, -- the private JWK as a compact JWE
      sealed_under text not null, -- its "kid"
      created_at timestamptz not null default clock_timestamp(),
      signs_from timestamptz not null unique,
      published_until timestamptz -- null: no newer one is to follow it yet
    )`.execute(db)
}
