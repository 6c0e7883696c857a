import { type Kysely, sql } from 'kysely'

/**
 * Directories, servers and users can go for good: the ledger, which holds ids only, outlives what it speaks of, so its
 * rows no longer pin theirs. Directories and servers stay as tombstones, since their ids must not come to mean
 * something else.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    alter table ledger_entry
      drop constraint ledger_entry_user_id_fkey,
      drop constraint ledger_entry_event_id_fkey,
      drop constraint ledger_entry_grant_id_fkey,
      drop constraint ledger_entry_delivery_id_fkey`.execute(db)
  await sql`create index ledger_entry_by_directory on ledger_entry (directory_id, id)`.execute(db)
  await sql`
    alter table directory
      add column purged_at timestamptz, -- deleted, told everywhere, its rows gone
      add column last_seen_at timestamptz, -- when its identity provider last called, to the minute
      add column silent_after_hours integer not null default 168 check (silent_after_hours between 1 and 8760)`.execute(
    db,
  )
  await sql`alter table directory_token add column last_used_at timestamptz`.execute(db)
  await sql`
    alter table server
      add column purged_at timestamptz,
      add column failing_since timestamptz`.execute(db)
  await sql`
    alter table server_credential
      add column label text,
      add column expires_at timestamptz,
      add column last_used_at timestamptz`.execute(db)
  await sql`create index server_credential_by_server on server_credential (server_id)`.execute(db)
  await sql`create index scim_user_deleted on scim_user (deleted_at) where deleted_at is not null`.execute(db)
}
