import { type Kysely, sql } from 'kysely'

/**
 * The ledger: grants, and one entry per change of a grant or an entitlement, written in the transaction that made it
 * true and never changed afterwards. Entries hold ids, no names. Expiry is computed from `expires_at`, never recorded.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // "grant" is a keyword of SQL.
  await sql`
    create table access_grant (
      id text collate "C" primary key,
      directory_id text collate "C" not null references directory (id),
      user_id uuid not null references scim_user (id),
      server_id text collate "C" not null references server (id),
      client text not null,
      scopes text[] not null,
      jti text collate "C",
      token_hash bytea,
      epoch bigint not null,
      issued_at timestamptz not null,
      expires_at timestamptz not null,
      recorded_by text not null,
      recorded_at timestamptz not null default clock_timestamp(),
      closed_at timestamptz,
      closed_reason text,
      closed_generation bigint,
      check (jti is not null or token_hash is not null),
      check ((closed_at is null) = (closed_reason is null))
    )`.execute(db)
  await sql`create unique index access_grant_jti on access_grant (server_id, jti) where jti is not null`.execute(db)
  await sql`create unique index access_grant_token on access_grant (token_hash) where token_hash is not null`.execute(
    db,
  )
  await sql`create index access_grant_open on access_grant (user_id, server_id) where closed_at is null`.execute(db)
  await sql`create index access_grant_by_user on access_grant (user_id, recorded_at)`.execute(db)
  await sql`create index access_grant_by_jti on access_grant (jti) where jti is not null`.execute(db)

  await sql`
    create table ledger_entry (
      id bigint generated always as identity primary key,
      kind text not null check (kind in ('cut', 'entitled', 'granted', 'closed', 'delivered')),
      directory_id text collate "C" not null references directory (id),
      user_id uuid not null references scim_user (id),
      server_id text collate "C" references server (id), -- null for a cut of the whole user
      event_id text collate "C" references lifecycle_event (id),
      grant_id text collate "C" references access_grant (id),
      delivery_id text collate "C" references delivery (id),
      generation bigint,
      epoch bigint,
      since_at timestamptz, -- delivered: since when the far side was behind
      detail jsonb not null default '{}',
      recorded_at timestamptz not null default clock_timestamp()
    )`.execute(db)
  await sql`create index ledger_entry_by_user on ledger_entry (user_id, id)`.execute(db)
  await sql`create index ledger_entry_delivered on ledger_entry (recorded_at) where kind = 'delivered'`.execute(db)

  await sql`
    create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
    end $$`.execute(db)
  await sql`
    create trigger ledger_entry_is_append_only before update or delete or truncate on ledger_entry
    for each statement execute function refuse_change()`.execute(db)
}
