import type { GlobalTokenRevocationConfig } from '../../directory/channel-config.ts'
import { type Algorithm, defaultAlgorithms } from '../../trust/algorithms.ts'
import { audienceOf, isJti, isText, isTime, readUnverified, skewSeconds, verifySignature } from '../../trust/jwt.ts'
import type { KeySets } from '../../trust/key-sets.ts'
import { TurnedAway } from '../turned-away.ts'

/** Whoever asks for a revocation, proven. */
export interface Caller {
  readonly jti: string
  /** Its `sub`: an OAuth client id, or the instance of a SAML app. */
  readonly client: string
  readonly issuedAt: Date
}

const mediaType = 'global-token-revocation+jwt'
/** Okta gives 5 minutes from `iat`. What may be used for longer would outlive our memory of it. */
const longestLifeSeconds = 3_600

/**
 * Verifies the bearer token of a call. Its key is of the key set of the channel, whatever the token says of keys, and
 * nothing is fetched for one that could not be good.
 *
 * @param audience the URL of the endpoint, without a query
 * @throws TurnedAway; UnknownKey, KeySetUnreachable: the same token may be good later
 */
export async function verifyCaller(
  token: string | undefined,
  config: GlobalTokenRevocationConfig,
  audience: string,
  keySets: KeySets,
): Promise<Caller> {
  if (token === undefined) throw new TurnedAway(401, 'credential')
  const unverified = readUnverified(token)
  if (!unverified) throw new TurnedAway(401, 'content')
  const { header, claims } = unverified
  // RFC 7515 §4.1.9: in any case, and `application/` goes without saying.
  if (header.typ?.toLowerCase().replace(/^application\//, '') !== mediaType) throw new TurnedAway(401, 'type')
  if (header.crit !== undefined) throw new TurnedAway(401, 'content')
  if (claims.iss !== config.issuer) throw new TurnedAway(401, 'issuer')
  const allowed: readonly string[] = config.algorithms ?? defaultAlgorithms
  if (!allowed.includes(header.alg as Algorithm)) throw new TurnedAway(401, 'algorithm')
  if (!(await verifySignature(token, unverified, config.jwksUri, keySets))) throw new TurnedAway(401, 'signature')
  if (audienceOf(claims) !== audience) throw new TurnedAway(401, 'audience')
  const { sub, jti, iat, exp, nbf } = claims
  if (!isText(sub) || !isJti(jti)) throw new TurnedAway(401, 'content')
  if (!isTime(iat) || !isTime(exp) || !isNow(iat, exp, nbf)) throw new TurnedAway(401, 'time')
  if (config.client !== undefined && sub !== config.client) throw new TurnedAway(403, 'credential')
  return { jti, client: sub, issuedAt: new Date(iat * 1_000) }
}

function isNow(iat: number, exp: number, nbf: unknown): boolean {
  const now = Date.now() / 1_000
  const hasBegun = nbf === undefined || (isTime(nbf) && nbf <= now + skewSeconds)
  return hasBegun && iat <= now + skewSeconds && exp > now - skewSeconds && exp - iat <= longestLifeSeconds
}
