import { type Kysely, sql } from 'kysely'

/**
 * A connector's secrets, one row each: while one is rotated the older still signs until `signs_until`, and each says
 * under which sealing key it lies, so that the keys can be rotated and the end of that be seen.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table connector_secret (
      id text collate "C" primary key,
      connector_id text collate "C" not null references connector (id),
      sealed text not null, -- compact JWE
      sealed_under text not null, -- its "kid"
      created_at timestamptz not null default clock_timestamp(),
      signs_until timestamptz -- null: the current one
    )`.execute(db)
  await sql`create index connector_secret_by_connector on connector_secret (connector_id, created_at)`.execute(db)
  await sql`
    insert into connector_secret (id, connector_id, sealed, sealed_under, created_at)
    select 'sec_' || replace(gen_random_uuid()::text, '-', ''), c.id, s.sealed,
      convert_from(decode(rpad(translate(split_part(s.sealed, '.', 1), '-_', '+/'), (length(split_part(s.sealed, '.', 1)) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb ->> 'kid',
      c.created_at
    from connector c, unnest(c.sealed_secrets) as s (sealed)`.execute(db)
  await sql`alter table connector drop column sealed_secrets`.execute(db)
}
