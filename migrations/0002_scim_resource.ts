import { type Kysely, sql } from 'kysely'

/**
 * Users and groups as the identity provider last told us, and who is in what.
 *
 * The document is kept as it was spelled; whatever is compared without case stands beside it folded (src/fold.ts) in a
 * column `collate "C"`, so the database's locale never decides who equals whom. Names are unique per directory among
 * the living: a deleted user is a tombstone whose name can be given again (RFC 7644 §3.6).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table scim_user (
      id uuid primary key,
      directory_id text collate "C" not null references directory (id),
      user_name_key text collate "C" not null,
      external_id text collate "C",
      active boolean not null,
      document jsonb not null,
      folded jsonb not null,
      version bigint not null default 1,
      created_at timestamptz not null default clock_timestamp(),
      last_modified timestamptz not null default clock_timestamp(),
      deleted_at timestamptz
    ) with (fillfactor = 80)`.execute(db)
  await sql`create unique index scim_user_name on scim_user (directory_id, user_name_key) where deleted_at is null`.execute(
    db,
  )
  await sql`create index scim_user_external_id on scim_user (directory_id, external_id) where deleted_at is null`.execute(
    db,
  )
  await sql`create index scim_user_in_order on scim_user (directory_id, created_at, id) where deleted_at is null`.execute(
    db,
  )
  await sql`create index scim_user_emails on scim_user using gin ((folded -> 'emails') jsonb_path_ops)`.execute(db)

  await sql`
    create table scim_group (
      id uuid primary key,
      directory_id text collate "C" not null references directory (id),
      display_name text collate "C" not null,
      display_name_key text collate "C" not null,
      external_id text collate "C",
      document jsonb not null,
      folded jsonb not null,
      version bigint not null default 1,
      created_at timestamptz not null default clock_timestamp(),
      last_modified timestamptz not null default clock_timestamp(),
      deleted_at timestamptz
    )`.execute(db)
  await sql`create unique index scim_group_name on scim_group (directory_id, display_name_key) where deleted_at is null`.execute(
    db,
  )
  await sql`create index scim_group_external_id on scim_group (directory_id, external_id) where deleted_at is null`.execute(
    db,
  )
  await sql`create index scim_group_in_order on scim_group (directory_id, created_at, id) where deleted_at is null`.execute(
    db,
  )

  await sql`
    create table group_user (
      group_id uuid not null references scim_group (id),
      user_id uuid not null references scim_user (id),
      primary key (group_id, user_id)
    )`.execute(db)
  await sql`create index group_user_by_user on group_user (user_id)`.execute(db)

  await sql`
    create table group_nesting (
      parent_id uuid not null references scim_group (id),
      child_id uuid not null references scim_group (id),
      primary key (parent_id, child_id),
      check (parent_id <> child_id)
    )`.execute(db)
  await sql`create index group_nesting_by_child on group_nesting (child_id)`.execute(db)
}
