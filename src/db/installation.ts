import { sql } from 'kysely'
import { TenureError } from '../errors.ts'
import { keyIdOf, type Sealer, UnsealError } from '../secrets.ts'
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
  const { rows: found } = await sql<{
    migrated: boolean
  }>`select to_regclass('installation') is not null as migrated`.execute(db)
  if (!found[0]!.migrated) throw new InstallationError('The database is not migrated; run: tenure migrate')
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

async function readCheck(db: Database): Promise<string> {
  const { rows } = await sql<{ sealed_check: string }>`select sealed_check from installation`.execute(db)
  return rows[0]!.sealed_check
}
