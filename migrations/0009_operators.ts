import { type Kysely, sql } from 'kysely'

/** Named admin keys, and what was done with each: a record written before the deed, and closed with its outcome. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table admin_key (
      id text collate "C" primary key,
      name text collate "C" not null,
      key_hash bytea not null unique,
      created_by text not null,
      created_at timestamptz not null default clock_timestamp(),
      expires_at timestamptz,
      last_used_at timestamptz
    )`.execute(db)
  await sql`create unique index admin_key_name on admin_key (name)`.execute(db)

  await sql`
    create table admin_action (
      id text collate "C" primary key,
      actor text collate "C" not null,
      operation text not null, -- method and route template
      path text not null,
      request_id text not null,
      started_at timestamptz not null default clock_timestamp(),
      status integer -- null: it never came to an answer
    )`.execute(db)
  await sql`create index admin_action_by_actor on admin_action (actor, id)`.execute(db)
  await sql`create index admin_action_in_time on admin_action (started_at)`.execute(db)
}
