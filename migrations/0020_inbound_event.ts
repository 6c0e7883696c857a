import { type Kysely, sql } from 'kysely'

/**
 * What event channels told, each event once, with what became of it; the names of users that events teach; and when
 * SCIM last stated that a user is active, against which an event that waited is measured.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table inbound_event (
      id text collate "C" primary key,
      seq bigint generated always as identity unique,
      directory_id text collate "C" not null references directory (id),
      channel_kind text collate "C" not null,
      dedupe_hash bytea not null, -- SHA-256 of what makes it the same event
      type text not null, -- the sender's name of it
      kind text not null check (kind in ('left', 'suspended', 'sessions_revoked', 'enabled', 'changed', 'noted')),
      occurred_at timestamptz, -- by the sender's clock
      received_at timestamptz not null default clock_timestamp(), -- of a known user: under its lock
      effect text not null check (effect in ('cut', 'confirmed', 'overtaken', 'recorded', 'waiting', 'unmatched', 'ambiguous')),
      user_id uuid references scim_user (id),
      event_id text collate "C", -- the lifecycle event that it became, or that it confirms
      subject jsonb, -- whom it names, only while it waits
      waits_until timestamptz,
      ask_due_at timestamptz, -- when the sender is to be asked how the user stands now
      detail jsonb not null default '{}', -- ids only
      unique (directory_id, channel_kind, dedupe_hash),
      check ((effect = 'waiting') = (waits_until is not null)),
      check ((effect = 'waiting') = (subject is not null))
    )`.execute(db)
  await sql`create index inbound_event_waiting on inbound_event (seq) where waits_until is not null`.execute(db)
  await sql`create index inbound_event_by_channel on inbound_event (directory_id, channel_kind, received_at)`.execute(
    db,
  )
  // What access hangs on is a small part of it, and what a channel's health is read from.
  await sql`
    create index inbound_event_that_cut on inbound_event (directory_id, channel_kind, received_at) where effect in ('cut', 'confirmed')`.execute(
    db,
  )
  await sql`create index inbound_event_by_user on inbound_event (user_id, seq)`.execute(db)
  await sql`create index inbound_event_ambiguous on inbound_event (directory_id, received_at) where effect = 'ambiguous'`.execute(
    db,
  )
  await sql`create index inbound_event_to_ask on inbound_event (directory_id, channel_kind, ask_due_at) where ask_due_at is not null`.execute(
    db,
  )
  await sql`create index inbound_event_in_time on inbound_event using brin (received_at)`.execute(db)

  // What SCIM states of a user is looked up where SCIM keeps it; here is what only events tell: a sender's own id of
  // somebody who was found by another name of the same event.
  await sql`
    create table identity_link (
      directory_id text collate "C" not null references directory (id),
      issuer text collate "C" not null,
      subject text collate "C" not null,
      user_id uuid not null references scim_user (id),
      first_seen_at timestamptz not null default clock_timestamp(),
      primary key (directory_id, issuer, subject)
    )`.execute(db)
  await sql`create index identity_link_by_user on identity_link (user_id)`.execute(db)

  // An event about somebody who was deleted is about nobody new.
  await sql`create index scim_user_gone on scim_user (external_id, directory_id) where deleted_at is not null`.execute(
    db,
  )

  // What was written lately is read from end to end for each address that is asked for, until a vacuum: after an import
  // that cost more than the index saves (measured: 300 pages for one address, of 20,000 people).
  await sql`alter index scim_user_emails set (fastupdate = off)`.execute(db)
  await sql`select gin_clean_pending_list('scim_user_emails'::regclass)`.execute(db)

  await sql`alter table user_state add column stated_active_at timestamptz`.execute(db)
}
