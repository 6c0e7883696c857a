import { Unavailable } from './errors.ts'

/** SQLSTATE class 08 and 57P0x, 25P03 (silent for too long in a transaction), the socket errors of a database that is gone, and pg's own words for both. */
const codes =
  /^(08...|57P0[1-5]|25P03|53300|ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)$/
const messages =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/

/**
 * The database did not answer: an Unavailable (503, and the caller tries again) for an error that says so, undefined for
 * any other. A commit whose answer was lost counts too; what callers repeat is idempotent.
 */
export function asUnavailable(error: unknown): Unavailable | undefined {
  if (error instanceof Unavailable) return error
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (!codes.test(code) && !messages.test(error.message)) return undefined
  return new Unavailable('The database does not answer', { cause: error })
}
