import { createRemoteJWKSet, customFetch, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import { isFor, readClaims } from './claims.ts'
import { GuardError } from './errors.ts'
import { fetchText } from './fetching.ts'
import { type Introspected, mismatch } from './introspection.ts'
import type { Settings } from './settings.ts'

const algorithms = ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA']
const skewSeconds = 60
const keysFreshMs = 300_000
const keysUsableMs = 3_600_000
const retryKeysMs = 30_000

/**
 * Checks a JWT access token (RFC 9068 §4) with Tenure's published keys, which are fetched anew every 5 minutes, and at
 * most every 30 s for a key that is unknown. While Tenure cannot be reached they stay usable for an hour, or for as long
 * as it takes where the guard is to be open.
 */
export function createJwtCheck(settings: Settings): (token: string) => Promise<Introspected> {
  const keys = createKeys(settings)
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, await keys(), { typ: 'at+jwt', algorithms })
      return claimsOf(payload, settings)
    } catch (error) {
      if (error instanceof errors.JOSEError) return { kind: 'inactive' }
      if (!(error instanceof GuardError)) throw error
      settings.report(error)
      return { kind: 'unreachable' }
    }
  }
}

/** An ID-JAG is what a client shows the authorization server; here it must never pass for an access token. */
export function isIdJag(token: string): boolean {
  try {
    return /^(application\/)?oauth-id-jag\+jwt$/i.test(decodeProtectedHeader(token).typ ?? '')
  } catch {
    return false
  }
}

function claimsOf(payload: Record<string, unknown>, settings: Settings): Introspected {
  const { iss, aud, cnf } = payload
  if (iss !== settings.issuer || !isFor(settings.resource, aud)) {
    settings.report(mismatch(`${String(aud)} of ${String(iss)}`, settings))
    return { kind: 'inactive' }
  }
  const claims = readClaims(payload)
  if (!claims?.jti || cnf !== undefined || claims.issuedAt > Date.now() / 1_000 + skewSeconds) {
    return { kind: 'inactive' }
  }
  return { kind: 'active', claims }
}

function createKeys({ issuer, timeoutMs, whenUnreachable, report, ...settings }: Settings) {
  const url = `${issuer}/oauth2/jwks`
  const keySet = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: Number.POSITIVE_INFINITY,
    timeoutDuration: timeoutMs,
    async [customFetch](_url, { headers }) {
      try {
        const { status, text } = await fetchText(settings.fetch, url, { headers }, timeoutMs)
        if (status === 200 && Array.isArray(JSON.parse(text).keys)) return new Response(text)
        throw new Error(`It answered ${status}`)
      } catch (cause) {
        throw new GuardError('ERR_GUARD_UNREACHABLE', `The keys at ${url} could not be read`, { cause })
      }
    },
  })
  let readAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY

  async function load(): Promise<void> {
    triedAt = performance.now()
    await keySet.reload()
    readAt = performance.now()
  }

  return async () => {
    const age = performance.now() - readAt
    const isUsable = age < keysUsableMs || (whenUnreachable === 'open' && readAt > 0)
    if (!isUsable) await load()
    else if (age > keysFreshMs && performance.now() - triedAt > retryKeysMs) load().catch(report)
    return keySet
  }
}
