import type { Egress, EgressResponse } from '../../connectors/egress.ts'
import { retryAfterMs } from '../../connectors/webhook/retry-after.ts'
import { TenureError } from '../../errors.ts'

/** Why there is nothing to go on with, in words without secrets and without any of the transmitter's. */
export interface Failed {
  readonly kind: 'failed'
  readonly reason: string
  /** When it makes sense to come again, if that was said or is a long time. */
  readonly againMs?: number
  /** What was asked about is not there any more. */
  readonly isGone?: true
}

/** `body`: what its JSON says; undefined where there is none. */
export type Answer = { readonly kind: 'answered'; readonly status: number; readonly body: unknown } | Failed

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH'
  readonly url: string
  readonly body?: unknown
  /** What is an answer too, beside all from 200 to 299. */
  readonly knows?: readonly number[]
  readonly mostBytes?: number
}

export type TransmitterApi = (call: Call) => Promise<Answer>

const timeoutMs = 15_000
/** A token that is refused is refused until somebody sets up another one, which does not wait for this. */
const refusedAgainMs = 5 * 60_000
const tooManyAgainMs = 60_000
const longestWaitMs = 15 * 60_000

/**
 * The endpoints of an SSF transmitter (SSF 1.0 §8.1, RFC 8936), asked with one bearer token. `keep`: nothing is asked
 * once the turn has passed to somebody else.
 */
export function createTransmitterApi({
  egress,
  token,
  keep,
  signal,
}: {
  egress: Pick<Egress, 'request'>
  token: string | undefined
  keep: () => Promise<boolean>
  signal: AbortSignal
}): TransmitterApi {
  return async ({ method, url, body, knows = [], mostBytes = 65_536 }) => {
    if (!(await keep())) return { kind: 'failed', reason: 'The turn has passed to somebody else' }
    const headers = {
      accept: 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    try {
      const limits = { timeoutMs, signal, maxResponseBytes: mostBytes }
      return read(await egress.request(url, { method, headers, ...sent, ...limits }), knows)
    } catch (error) {
      if (error instanceof TenureError) return { kind: 'failed', reason: error.message }
      throw error
    }
  }
}

function read({ status, headers, body, truncated }: EgressResponse, knows: readonly number[]): Answer {
  const failed = (reason: string, againMs?: number): Failed => ({
    kind: 'failed',
    reason,
    ...(againMs !== undefined && { againMs }),
  })
  if ((status < 200 || status > 299) && !knows.includes(status)) {
    if (status === 401)
      return failed('The transmitter refuses the token (401): it is wrong, expired or revoked', refusedAgainMs)
    if (status === 403)
      return failed(
        'The transmitter does not let the token do this (403): it needs ssf.manage, or ssf.read to poll',
        refusedAgainMs,
      )
    const saidMs = retryAfterMs(headers['retry-after'], new Date())
    const againMs = saidMs === undefined ? undefined : Math.min(saidMs, longestWaitMs)
    if (status === 429) return failed('The transmitter is asked too often (429)', againMs ?? tooManyAgainMs)
    return failed(`The transmitter answered ${status}`, againMs)
  }
  if (truncated) return failed('The transmitter answered with more than is read')
  return { kind: 'answered', status, body: parse(body) }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
