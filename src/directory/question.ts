import { sql } from 'kysely'
import type { Database, Executor } from '../db/pool.ts'
import { snapshot } from '../db/transaction.ts'
import { TenureError } from '../errors.ts'

/** For one statement. Nobody's filter may keep the connections that everybody's deactivations need. */
const longestMs = 10_000

const QUERY_CANCELED = '57014'

/** It would have taken too long to find out. */
export class TooCostly extends TenureError {
  constructor(options?: ErrorOptions) {
    super('ERR_TOO_COSTLY', 'This takes too long to answer: ask for less', options)
  }
}

/**
 * Answers a question that a request has shaped: of one moment, whatever number of statements it takes, and given up when
 * one of them takes too long.
 *
 * @throws TooCostly
 */
export async function answerShaped<T>(
  db: Database,
  read: (executor: Executor) => Promise<T>,
  givenUpAfterMs = longestMs,
): Promise<T> {
  try {
    return await snapshot(db, async (trx) => {
      await sql`select set_config('statement_timeout', ${String(givenUpAfterMs)}, true)`.execute(trx)
      return read(trx)
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === QUERY_CANCELED)
      throw new TooCostly({ cause: error })
    throw error
  }
}
