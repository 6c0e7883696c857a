/** What is known of an access token, however it was found out. Times in seconds since 1970, as tokens have them. */
export interface Claims {
  readonly userId: string
  readonly clientId: string
  readonly scopes: readonly string[]
  readonly issuedAt: number
  readonly expiresAt: number
  readonly jti: string | undefined
}

/**
 * Reads an introspection answer (RFC 7662 §2.2) or the payload of a JWT (RFC 9068 §2.2): they use the same names.
 * Undefined when anything that decides is missing or of the wrong kind.
 */
export function readClaims(given: Record<string, unknown>): Claims | undefined {
  const { sub, client_id: clientId, scope, iat, exp, jti } = given
  if (typeof sub !== 'string' || sub === '' || typeof clientId !== 'string') return undefined
  if (scope !== undefined && typeof scope !== 'string') return undefined
  if (typeof iat !== 'number' || typeof exp !== 'number') return undefined
  return {
    userId: sub,
    clientId,
    scopes: (scope ?? '').split(' ').filter((each) => each !== ''),
    issuedAt: Math.floor(iat),
    expiresAt: exp,
    jti: typeof jti === 'string' ? jti : undefined,
  }
}

/** Several audiences are a token that others may use too: refused, as an array of none is. */
export function isFor(resource: string, aud: unknown): boolean {
  return aud === resource || (Array.isArray(aud) && aud.length === 1 && aud[0] === resource)
}

export function isExpired({ expiresAt }: Claims): boolean {
  return expiresAt * 1_000 <= Date.now()
}
