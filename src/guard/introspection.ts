import { type Claims, isFor, readClaims } from './claims.ts'
import { GuardError } from './errors.ts'
import { fetchText } from './fetching.ts'
import type { Settings } from './settings.ts'

export type Introspected =
  | { readonly kind: 'active'; readonly claims: Claims }
  | { readonly kind: 'inactive' }
  | { readonly kind: 'unreachable' }

/**
 * Asks Tenure about a token (RFC 7662), as this server. Never rejects: what stands in the way is reported, and is
 * `unreachable` to whoever waits for an answer.
 */
export function createIntrospection(settings: Settings): (token: string) => Promise<Introspected> {
  const { issuer, resource, authorization, timeoutMs, report } = settings
  const url = `${issuer}/oauth2/introspect`

  return async (token) => {
    const body = new URLSearchParams({ token, token_type_hint: 'access_token' })
    const headers = { authorization, accept: 'application/json' }
    try {
      const answer = await fetchText(settings.fetch, url, { method: 'POST', headers, body }, timeoutMs)
      return read(answer.status, answer.text)
    } catch (cause) {
      const error =
        cause instanceof GuardError
          ? cause
          : new GuardError('ERR_GUARD_UNREACHABLE', `${url} could not be reached`, { cause })
      report(error)
      return { kind: 'unreachable' }
    }
  }

  function read(status: number, text: string): Introspected {
    if (status === 401 || status === 403)
      throw new GuardError('ERR_GUARD_CREDENTIALS', `${url} does not accept clientId and clientSecret`)
    if (status === 429 || status >= 500) throw new GuardError('ERR_GUARD_UNREACHABLE', `${url} answered ${status}`)
    if (status !== 200) throw new GuardError('ERR_GUARD_ANSWER', `${url} answered ${status}`)
    const answer = parse(text)
    if (answer?.active === false) return { kind: 'inactive' }
    const claims = answer?.active === true ? readClaims(answer) : undefined
    if (!answer || !claims) throw new GuardError('ERR_GUARD_ANSWER', `${url} answered what is no introspection`)
    if (answer.iss !== issuer || !isFor(resource, answer.aud)) {
      report(mismatch(`${String(answer.aud)} of ${String(answer.iss)}`, settings))
      return { kind: 'inactive' }
    }
    // Bound to a key that a bearer has not shown (RFC 9449 §6.2): not for the guard to look away from.
    if (answer.cnf !== undefined) return { kind: 'inactive' }
    return { kind: 'active', claims }
  }
}

export function mismatch(what: string, { resource, issuer }: Settings): GuardError {
  return new GuardError(
    'ERR_GUARD_MISMATCH',
    `A token for ${what} was shown here, where resource is ${resource} and tenure ${issuer}`,
  )
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
