import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Logger } from '../log.ts'
import type { Retention } from '../retention.ts'
import type { Sealer } from '../secrets.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'
import { expire } from './expire.ts'
import { purgeLeft } from './leaving.ts'
import { reseal } from './reseal.ts'

/**
 * What has to be done now and then and by one process at a time: signing keys followed by new ones, secrets sealed anew after a change of keys, rows of
 * what has left taken away, and what is kept for a time let go. Each part is safe to be cut short and done again, and
 * has transactions of its own beside the one that holds the lock.
 */
export function createHousekeeping({
  db,
  sealer,
  signingKeys,
  retention,
  log,
}: {
  db: Database
  sealer: Sealer
  signingKeys: Pick<SigningKeys, 'rotateWhenDue'>
  retention: Retention
  log: Logger
}) {
  return async function keepHouse(): Promise<void> {
    await db.transaction().execute(async (trx) => {
      const { rows } = await sql<{
        mine: boolean
      }>`select pg_try_advisory_xact_lock(hashtext('tenure housekeeping')) as mine`.execute(trx)
      if (!rows[0]!.mine) return
      // One part that fails must not keep the others from being done.
      const failures: unknown[] = []
      const attempt = async <T>(part: () => Promise<T>, otherwise: T) => {
        // A sign of life: a transaction that is silent for 10 s loses its lock (src/db/pool.ts).
        await sql`select 1`.execute(trx)
        return part().catch((error) => {
          failures.push(error)
          return otherwise
        })
      }
      const users = await attempt(() => purgeLeft(db, { tombstoneDays: retention.tombstone }), 0)
      const expired = await attempt(() => expire(db, retention), {})
      const resealed = await attempt(() => reseal(db, sealer), 0)
      const isKeyRotated = await attempt(() => signingKeys.rotateWhenDue(), false)
      if (isKeyRotated) log.info({}, 'signing_key.rotated')
      if (users + resealed + Object.keys(expired).length > 0) log.info({ users, expired, resealed }, 'house.kept')
      if (failures.length > 0) throw failures[0]
    })
  }
}
