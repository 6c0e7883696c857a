import { type Kysely, sql } from 'kysely'

/**
 * What each user should have at each server as last converged, what each connector was last told of it, and every try.
 *
 * Generations come from one global sequence, drawn under the user's lock, so of two states of one entitlement the
 * higher number is the newer. `due_at` null means nothing is to be sent; a row is in flight while `leased_until` is in
 * the future, and no two sends of one row overlap.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create sequence generation`.execute(db)

  await sql`
    create table entitlement (
      user_id uuid not null references scim_user (id),
      server_id text collate "C" not null references server (id),
      generation bigint not null,
      epoch bigint not null,
      active boolean not null,
      access jsonb not null, -- src/lifecycle/access.ts
      identity jsonb not null, -- userName, email, externalId, displayName when last active
      rules text[] not null,
      changed_at timestamptz not null default clock_timestamp(),
      primary key (user_id, server_id)
    ) with (fillfactor = 80)`.execute(db)
  await sql`create index entitlement_by_server on entitlement (server_id, active)`.execute(db)

  await sql`
    create table delivery (
      id text collate "C" primary key,
      connector_id text collate "C" not null references connector (id),
      server_id text collate "C" not null references server (id),
      user_id uuid not null references scim_user (id),
      wanted_generation bigint not null,
      delivered_generation bigint,
      urgent boolean not null, -- something is lost between what was told and what is wanted
      behind_since timestamptz, -- since when the far side does not know what is so
      due_at timestamptz,
      attempts integer not null default 0, -- of the wanted generation
      parked_at timestamptz,
      leased_until timestamptz,
      lease text,
      leased_generation bigint,
      -- The message of one generation, fixed when it is first claimed, and what it will have told.
      body text,
      body_generation bigint,
      body_state jsonb,
      body_event_seq bigint,
      -- What the connector last acknowledged: {active, epoch, access, identity}
      told jsonb,
      told_event_seq bigint not null default 0,
      delivered_at timestamptz,
      last_outcome text,
      last_status integer,
      last_error text,
      created_at timestamptz not null default clock_timestamp(),
      unique (connector_id, user_id)
    ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)`.execute(db)
  await sql`create index delivery_due on delivery (server_id, urgent, due_at) where due_at is not null`.execute(db)
  await sql`create index delivery_leased on delivery (server_id) where leased_until is not null`.execute(db)
  await sql`create index delivery_parked on delivery (parked_at) where parked_at is not null`.execute(db)
  await sql`create index delivery_by_user on delivery (user_id)`.execute(db)

  await sql`
    create table attempt (
      id text collate "C" primary key,
      delivery_id text collate "C" not null references delivery (id),
      generation bigint not null,
      started_at timestamptz not null,
      ms integer, -- null: the sender died before it could say
      outcome text not null check (outcome in ('applied', 'unchanged', 'refused', 'unavailable', 'unanswered')),
      status integer,
      error text
    )`.execute(db)
  await sql`create index attempt_by_delivery on attempt (delivery_id, started_at)`.execute(db)
}
