import type { Egress, EgressResponse } from '../../connectors/egress.ts'
import { TenureError } from '../../errors.ts'

/** What the org said, or why it said nothing: a value, with no word of the sender's and no secret in it. */
export type OktaAnswer =
  | {
      readonly kind: 'answered'
      readonly body: unknown
      /** RFC 8288 `rel="next"`. */
      readonly next: string | undefined
      /** So long nothing more should be asked, so that others who use this API of the org still can; 0: go on. */
      readonly restMs: number
    }
  /** 404 */
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'failed'
      readonly status?: number
      readonly reason: string
      /** When it makes sense to come again, if that was said or is a long time. */
      readonly againMs?: number
    }

export interface OktaApi {
  /** @param scope what the token must allow, to say so when it does not */
  get(address: URL, scope: string, signal: AbortSignal): Promise<OktaAnswer>
  address(path: string): URL
  /** Whether this leads to the org itself: only there is the token shown. */
  isOwn(url: string): boolean
}

const timeoutMs = 15_000
const mostBytes = 32 * 1024 * 1024
/** A token that is refused is refused until somebody sets up another one, which does not wait for this. */
const refusedAgainMs = 5 * 60_000
const longestWaitMs = 15 * 60_000
/** Of the requests that the org allows in a minute, so much is left to others. */
const shareLeft = 0.1

/** The management API of an Okta org, to be read with one token: an API token (`SSWS`) or an OAuth access token. */
export function createOktaApi({
  egress,
  apiUrl,
  token,
}: {
  egress: Pick<Egress, 'request'>
  apiUrl: string
  token: string
}): OktaApi {
  const { origin } = new URL(apiUrl)
  const isOwn = (url: string) => URL.parse(url)?.origin === origin
  const headers = { accept: 'application/json', authorization: authorizationOf(token) }

  return {
    isOwn,
    address: (path) => new URL(path, origin),
    async get(address, scope, signal) {
      if (!isOwn(address.href)) throw new Error('A token of Okta would be shown to somebody else')
      try {
        const response = await egress.request(address, { headers, timeoutMs, signal, maxResponseBytes: mostBytes })
        return read(response, scope)
      } catch (error) {
        if (error instanceof TenureError) return { kind: 'failed', reason: error.message }
        throw error
      }
    },
  }
}

/** An access token of an org is a JWT in form; an API token has no dots. */
function authorizationOf(token: string): string {
  return `${token.split('.').length === 3 ? 'Bearer' : 'SSWS'} ${token}`
}

function read({ status, headers, body, truncated }: EgressResponse, scope: string): OktaAnswer {
  const failed = (reason: string, againMs?: number) =>
    ({ kind: 'failed', status, reason, ...(againMs !== undefined && { againMs }) }) as const
  if (status === 404) return { kind: 'absent' }
  if (status === 401) return failed('Okta refuses the token (401): it is wrong, expired or revoked', refusedAgainMs)
  if (status === 403) return failed(`Okta does not let the token read this (403): it needs ${scope}`, refusedAgainMs)
  if (status === 429) return failed('The rate limit of the Okta org is used up (429)', untilResetMs(headers))
  if (status !== 200) return failed(`Okta answered ${status}`)
  if (truncated) return failed(`Okta answered with more than ${mostBytes / 1024 / 1024} MiB`)
  const value = parse(body)
  if (value === undefined) return failed('What Okta answered is not JSON')
  return { kind: 'answered', body: value, next: nextOf(headers.link), restMs: restMs(headers) }
}

type Headers = EgressResponse['headers']

/** `X-Rate-Limit-Reset` is in seconds since 1970, by the clock that `Date` tells. */
function untilResetMs(headers: Headers): number {
  const now = Date.parse(headers.date ?? '') || Date.now()
  const wait = Number(headers['x-rate-limit-reset'] ?? Number.NaN) * 1_000 - now
  return Number.isNaN(wait) ? 60_000 : Math.min(Math.max(wait, 1_000), longestWaitMs)
}

function restMs(headers: Headers): number {
  const remaining = Number(headers['x-rate-limit-remaining'] ?? Number.NaN)
  const limit = Number(headers['x-rate-limit-limit'] ?? Number.NaN)
  return remaining < limit * shareLeft ? untilResetMs(headers) : 0
}

/** Okta repeats the header: `self` and `next`. */
function nextOf(link: string | undefined): string | undefined {
  return /<([^<>]*)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1]
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
