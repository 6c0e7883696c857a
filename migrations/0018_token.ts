import { type Kysely, sql } from 'kysely'

/**
 * What a grant says of its token: whether it is ours, and in which form, which tells until when a server that does not
 * ask may still take it. And what an issuer's people must have done to sign in.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table access_grant
      add column token_format text check (token_format in ('opaque', 'jwt')) -- null: issued elsewhere`.execute(db)

  // When it was first asked about: a token that was obtained is not yet one in use. Apart from the grant, whose every
  // change has its ledger entry.
  await sql`
    create table grant_use (
      grant_id text collate "C" primary key references access_grant (id) on delete cascade,
      used_at timestamptz not null default clock_timestamp()
    )`.execute(db)

  await sql`
    alter table trusted_issuer
      add column max_auth_age_seconds integer check (max_auth_age_seconds > 0), -- null: whenever it was
      add column acr_values text[] check (cardinality(acr_values) > 0) -- null: however it was`.execute(db)
}
