import { sql } from 'kysely'
import { TenureError } from '../errors.ts'
import { keyIdOf, type Sealer, UnsealError } from '../secrets.ts'
import { newestMigration } from './migrate.ts'
import type { Database } from './pool.ts'

const checkText = 'tenure'

/** The database cannot be worked with as it stands: not migrated, or sealed under another key. */
export class InstallationError extends TenureError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_INSTALLATION', message, options)
  }
}

/**
 * Makes sure that this process and the database belong together before anything is read or written: the schema is
 * there, and the sealing key opens what the first process sealed.
 *
 * @throws InstallationError
 */
export async function verifyInstallation(db: Database, sealer: Sealer): Promise<void> {
  const isMigrated = await letIn(() => hasMigration(db))
  if (!isMigrated) throw new InstallationError('The database is not migrated to this version; run: tenure migrate')
  const sealed = await sealer.seal(checkText)
  await sql`insert into installation (sealed_check) values (${sealed}) on conflict do nothing`.execute(db)
  try {
    if ((await sealer.unseal(await readCheck(db))) === checkText) return
  } catch (cause) {
    if (!(cause instanceof UnsealError)) throw cause
  }
  throw new InstallationError('TENURE_SECRET_KEY is not the key that this database was set up with')
}

/** Seals the check value anew under the first key, unless it lies there already. */
export async function resealInstallation(db: Database, sealer: Sealer): Promise<void> {
  const sealed = await readCheck(db)
  if (keyIdOf(sealed) === sealer.kid) return
  const anew = await sealer.seal(await sealer.unseal(sealed))
  await sql`update installation set sealed_check = ${anew} where sealed_check = ${sealed}`.execute(db)
}

/** The `kid` of the key under which the check value lies. */
export async function installationSealedUnder(db: Database): Promise<string | undefined> {
  return keyIdOf(await readCheck(db))
}

/** A role, password or database that Postgres does not know (SQLSTATE class 28, 3D000) is the operator's to mend. */
export async function letIn<T>(firstQuery: () => Promise<T>): Promise<T> {
  try {
    return await firstQuery()
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && /^(28|3D)/.test(String(cause.code)))) throw cause
    throw new InstallationError(`The database refuses us: ${cause.message}`, { cause })
  }
}

async function hasMigration(db: Database): Promise<boolean> {
  const { rows: tables } = await sql<{
    exist: boolean
  }>`select to_regclass('kysely_migration') is not null as exist`.execute(db)
  if (!tables[0]!.exist) return false
  const { rows } = await sql`select 1 from kysely_migration where name = ${await newestMigration()}`.execute(db)
  return rows.length > 0
}

async function readCheck(db: Database): Promise<string> {
  const { rows } = await sql<{ sealed_check: string }>`select sealed_check from installation`.execute(db)
  return rows[0]!.sealed_check
}
