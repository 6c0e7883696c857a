import { setTimeout as delay } from 'node:timers/promises'
import { Unavailable } from '../errors.ts'
import type { Database, Transaction } from './pool.ts'

const DEADLOCK_DETECTED = '40P01'
const SERIALIZATION_FAILURE = '40001'
const tries = 6

/** Thrown by work that learned too late which locks it needs: the transaction is rolled back and the work run again. */
export class StartOver extends Error {}

/**
 * Runs `work` in one READ COMMITTED transaction, again from the start when Postgres breaks a deadlock or `work` asks
 * for it. `work` must therefore have no effect outside the transaction.
 *
 * @throws Unavailable when it still fails after several times
 */
export function transaction<T>(db: Database, work: (trx: Transaction) => Promise<T>): Promise<T> {
  return retrying(() => db.transaction().execute(work))
}

/** The same, rolled back once `work` is done: what would have happened, and nothing has. */
export function rehearsal<T>(db: Database, work: (trx: Transaction) => Promise<T>): Promise<T> {
  return retrying(async () => {
    const trx = await db.startTransaction().execute()
    try {
      return await work(trx)
    } finally {
      await trx.rollback().execute()
    }
  })
}

/** The same for a single statement, which is a transaction of its own. */
export async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isWorthAnotherTry(error)) throw error
      if (attempt === tries) throw new Unavailable('Too much is changing at once', { cause: error })
      await delay(Math.random() * 10 * attempt)
    }
  }
}

/** What several statements read of one moment. Takes no lock and changes nothing. */
export function snapshot<T>(db: Database, read: (trx: Transaction) => Promise<T>): Promise<T> {
  return db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(read)
}

function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof StartOver) return true
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === DEADLOCK_DETECTED || code === SERIALIZATION_FAILURE
}

/** The name of the unique index that a 23505 names, if the error is one. */
export function violatedUnique(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || error.code !== '23505') return undefined
  return 'constraint' in error && typeof error.constraint === 'string' ? error.constraint : ''
}
