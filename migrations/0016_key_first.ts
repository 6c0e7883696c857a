import { type Kysely, sql } from 'kysely'

/**
 * The keys by which identity providers look somebody up come first in their indexes, and the directory after. The other
 * way round each index that begins with the directory is as good a guess to a planner that knows nothing of the
 * directory yet, and a lookup reads everybody in it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const [table, name, key] of [
    ['scim_user', 'scim_user_name', 'user_name_key'],
    ['scim_group', 'scim_group_name', 'display_name_key'],
  ]) {
    await sql`drop index ${sql.raw(name!)}`.execute(db)
    await sql`create unique index ${sql.raw(name!)} on ${sql.raw(table!)} (${sql.raw(key!)}, directory_id) where deleted_at is null`.execute(
      db,
    )
  }
  for (const table of ['scim_user', 'scim_group']) {
    await sql`drop index ${sql.raw(`${table}_external_id`)}`.execute(db)
    await sql`create index ${sql.raw(`${table}_external_id`)} on ${sql.raw(table)} (external_id, directory_id) where deleted_at is null`.execute(
      db,
    )
  }
}
