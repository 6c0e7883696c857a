import type { Refusal } from './responses.ts'
import type { Settings } from './settings.ts'

const retryAfterSeconds = 5

/** What the guard says to whom it does not let in. None tells more than that: why, only Tenure's records tell. */
export function createRefusals({ metadataUrl, scopesSupported }: Settings) {
  const resource = { resource_metadata: metadataUrl.href }
  const asked: Record<string, string> = scopesSupported.length > 0 ? { scope: scopesSupported.join(' ') } : {}
  const bad = (description: string): Refusal => {
    const said = { error: 'invalid_token', error_description: description }
    return { status: 401, error: 'invalid_token', description, challenge: { ...said, ...asked, ...resource } }
  }

  return {
    /** Without an error code: there is nothing wrong with a request that was not authenticated yet (RFC 6750 §3.1). */
    missing: {
      status: 401,
      error: 'invalid_token',
      description: 'An access token is needed',
      challenge: { ...asked, ...resource },
    } satisfies Refusal,
    malformed: {
      status: 400,
      error: 'invalid_request',
      description: 'The Authorization header holds no access token',
    } satisfies Refusal,
    bad: bad('The access token is expired, revoked, bound to a key that was not shown, or not meant for this server'),
    ended: bad('Access has ended'),
    insufficient(scopes: readonly string[]): Refusal {
      const said = { error: 'insufficient_scope', error_description: 'The access token has too few scopes' }
      const challenge = { ...said, scope: scopes.join(' '), ...resource }
      return { status: 403, error: 'insufficient_scope', description: said.error_description, challenge }
    },
    unknown: {
      status: 503,
      error: 'temporarily_unavailable',
      description: 'Whether the access token is good cannot be found out now',
      retryAfterSeconds,
    } satisfies Refusal,
  }
}

export type Refusals = ReturnType<typeof createRefusals>
