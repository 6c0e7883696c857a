import { type Kysely, sql } from 'kysely'

/**
 * The narrow row that is the lock of everything about one user, and the facts that moved it.
 *
 * `version` grows with every change of the user or of its transitive groups; `converged_*` are the values that the last
 * converge read. A user is behind while they differ. `converge_due_at` only spares the sweep rows whose hint is fresh.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table user_state (
      user_id uuid primary key references scim_user (id),
      directory_id text collate "C" not null references directory (id),
      epoch bigint not null default 0,
      not_before timestamptz, -- of the last epoch raise
      version bigint not null default 1,
      converged_version bigint not null default 0,
      converged_policy_version bigint not null default 0,
      urgent boolean not null default false, -- something may be lost
      behind_since timestamptz default clock_timestamp(),
      converge_due_at timestamptz,
      converge_attempts integer not null default 0,
      converge_error text,
      converge_failed_at timestamptz,
      hold_source text,
      hold_at timestamptz,
      check ((converge_error is null) = (converge_failed_at is null)),
      check ((hold_source is null) = (hold_at is null))
    ) with (fillfactor = 70)`.execute(db)
  await sql`create index user_state_behind on user_state (converge_due_at) where version > converged_version`.execute(
    db,
  )
  await sql`create index user_state_policy on user_state (directory_id, converged_policy_version)`.execute(db)

  await sql`
    create table lifecycle_event (
      id text collate "C" primary key,
      seq bigint generated always as identity unique,
      directory_id text collate "C" not null references directory (id),
      user_id uuid not null references scim_user (id),
      kind text not null check (kind in ('joined', 'changed', 'left', 'suspended', 'resumed', 'sessions_revoked')),
      source text not null check (source in ('scim', 'okta', 'ssf', 'graph', 'google', 'ping', 'admin')),
      occurred_at timestamptz not null, -- by the source's clock
      recorded_at timestamptz not null default clock_timestamp(),
      epoch bigint, -- set when the event cut
      detail jsonb not null default '{}'
    )`.execute(db)
  await sql`create index lifecycle_event_by_user on lifecycle_event (user_id, seq)`.execute(db)
  await sql`create index lifecycle_event_by_directory on lifecycle_event (directory_id, seq)`.execute(db)
}
