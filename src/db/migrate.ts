import { readdir } from 'node:fs/promises'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import pg from 'pg'

const folder = new URL('../../migrations/', import.meta.url)

/**
 * Brings the database to the newest schema as the role that owns it, and gives the working role exactly what it needs:
 * it owns no table, so it cannot switch the ledger's trigger off, and may only add to the ledger.
 *
 * Safe to run from several processes at once: Kysely's migrator holds a lock for the whole run.
 *
 * @returns names of the migrations that were applied
 */
export async function migrateDatabase(options: { ownerUrl: string; runtimeRole: string }): Promise<string[]> {
  const pool = new pg.Pool({ connectionString: options.ownerUrl, max: 2, connectionTimeoutMillis: 10_000 })
  pool.on('error', () => {})
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  try {
    const { error, results = [] } = await new Migrator({ db, provider: { getMigrations } }).migrateToLatest()
    if (error) throw error
    await grantTo(db, options.runtimeRole)
    return results.filter(({ status }) => status === 'Success').map(({ migrationName }) => migrationName)
  } finally {
    await db.destroy()
  }
}

/** Files of migrations/, oldest first. */
async function listFiles(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^\d{4}_\w+\.ts$/.test(name)).sort()
}

/** The migration that this code wants to have been applied. A database may be newer: the next version migrates first. */
export async function newestMigration(): Promise<string> {
  return (await listFiles()).at(-1)!.replace(/\.ts$/, '')
}

async function getMigrations(): Promise<Record<string, Migration>> {
  const files = await listFiles()
  const loaded = await Promise.all(files.map((name) => import(new URL(name, folder).href) as Promise<Migration>))
  return Object.fromEntries(files.map((name, index) => [name.replace(/\.ts$/, ''), loaded[index]!]))
}

async function grantTo(db: Kysely<unknown>, role: string): Promise<void> {
  const { rows } = await sql<{ same: boolean }>`select current_user = ${role} as same`.execute(db)
  if (rows[0]?.same) return
  const name = sql.id(role)
  await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('tenure grants'))`.execute(trx)
    await sql`grant usage on schema public to ${name}`.execute(trx)
    await sql`grant select, insert, update, delete on all tables in schema public to ${name}`.execute(trx)
    await sql`revoke update, delete on ledger_entry from ${name}`.execute(trx)
    await sql`revoke insert, update, delete on kysely_migration, kysely_migration_lock from ${name}`.execute(trx)
    await sql`grant usage, select on all sequences in schema public to ${name}`.execute(trx)
  })
}
