import { type Kysely, sql } from 'kysely'

/**
 * Event channels of a directory: how each is set up, how far it was read, and who was turned away. The state of a
 * channel that is polled is in its row, so that any worker takes the next turn.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table channel (
      directory_id text collate "C" not null references directory (id),
      kind text collate "C" not null check (kind in ('okta', 'ssf', 'graph', 'google', 'ping', 'global-token-revocation')),
      config jsonb not null, -- nothing secret
      state jsonb not null default '{}', -- what the channel's own work remembers: a cursor, a stream
      created_at timestamptz not null default clock_timestamp(),
      changed_at timestamptz not null default clock_timestamp(),
      work_due_at timestamptz, -- null: nothing is asked of the sender
      work_leased_until timestamptz,
      work_lease text collate "C",
      worked_at timestamptz, -- the last that succeeded
      work_error text,
      work_failing_since timestamptz,
      primary key (directory_id, kind),
      check ((work_error is null) = (work_failing_since is null))
    )`.execute(db)
  await sql`create index channel_due on channel (work_due_at) where work_due_at is not null`.execute(db)

  // What a sender must show is hashed; what we must show it is sealed.
  await sql`
    create table channel_secret (
      id text collate "C" primary key,
      directory_id text collate "C" not null,
      channel_kind text collate "C" not null,
      purpose text not null check (purpose in ('inbound', 'outbound')),
      place smallint not null, -- of several inbound ones, the newest first
      secret_hash bytea,
      sealed text,
      sealed_under text,
      created_at timestamptz not null default clock_timestamp(),
      last_used_at timestamptz,
      unique (directory_id, channel_kind, purpose, place),
      foreign key (directory_id, channel_kind) references channel (directory_id, kind) on delete cascade,
      check ((purpose = 'inbound') = (secret_hash is not null)),
      check ((purpose = 'outbound') = (sealed is not null)),
      check ((sealed is null) = (sealed_under is null))
    )`.execute(db)

  await sql`
    create table channel_refusal (
      directory_id text collate "C" not null,
      channel_kind text collate "C" not null,
      reason text collate "C" not null,
      count bigint not null,
      first_at timestamptz not null default clock_timestamp(),
      last_at timestamptz not null default clock_timestamp(),
      primary key (directory_id, channel_kind, reason),
      foreign key (directory_id, channel_kind) references channel (directory_id, kind) on delete cascade
    )`.execute(db)
}
