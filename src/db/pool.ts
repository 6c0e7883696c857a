import { Kysely, type Transaction as KyselyTransaction, PostgresDialect } from 'kysely'
import pg from 'pg'
import { PreparingClient } from './prepared.ts'
import type { Tables } from './tables.ts'

export type Database = Kysely<Tables>
export type Transaction = KyselyTransaction<Tables>
/** Either: for statements that do not care whether they run inside a transaction. */
export type Executor = Kysely<Tables>

const INT8 = 20
/** Versions, epochs and generations are bigint and stay far below 2^53. */
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 && format !== 'binary'
      ? Number
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
}

/** A frozen process (a paused machine) must not hold its locks for ever; a live one is never silent for that long. */
const idleInTransactionMs = 10_000

/**
 * A pool that outlives its database: an idle connection that breaks is dropped, not thrown, and a connection that
 * cannot be had within `connectTimeoutMs` is an error that `asUnavailable` knows.
 */
export function createPool(
  url: string,
  options: { max: number; name: string; connectTimeoutMs?: number; searchPath?: string },
): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: options.name,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    keepAlive: true,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    types,
    Client: PreparingClient,
    ...(options.searchPath ? { options: `-c search_path=${options.searchPath}` } : {}),
  })
  pool.on('error', () => {})
  // The pool listens to idle connections only: one that breaks while it is lent out would end the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

export function createDatabase(pool: pg.Pool): Database {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
}
