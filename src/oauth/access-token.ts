import { SignJWT } from 'jose'
import type { Minted } from '../ledger/issuance.ts'
import { newSecret } from '../secrets.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'
import type { Target } from './target.ts'

/**
 * A token that is introspected at every use dies with the role and may live long; a JWT that is checked without asking
 * lives on until its time is up.
 */
const defaultLifeSeconds = { opaque: 3_600, jwt: 300 } as const

export type Mint = (made: Minted) => Promise<string>

/** Access tokens for one server: random ones, or JWTs (RFC 9068) where the server wants to check them by itself. */
export function createAccessTokens({
  signingKeys,
  issuer,
}: {
  signingKeys: Pick<SigningKeys, 'current'>
  issuer: () => string
}) {
  /** The key is taken now, so that minting needs nothing more. */
  return async function prepare(target: Target, clientId: string): Promise<{ lifeSeconds: number; mint: Mint }> {
    const lifeSeconds = target.tokenLifeSeconds ?? defaultLifeSeconds[target.tokenFormat]
    if (target.tokenFormat === 'opaque') return { lifeSeconds, mint: async () => newSecret('tnr_at') }
    const { kid, alg, key } = await signingKeys.current()
    const mint: Mint = ({ grantId, userId, scopes, issuedAtSeconds, expiresAtSeconds }) =>
      new SignJWT({ client_id: clientId, scope: scopes.join(' ') })
        .setProtectedHeader({ typ: 'at+jwt', alg, kid })
        .setIssuer(issuer())
        .setAudience(target.resource)
        .setSubject(userId)
        .setJti(grantId)
        .setIssuedAt(issuedAtSeconds)
        .setExpirationTime(expiresAtSeconds)
        .sign(key)
    return { lifeSeconds, mint }
  }
}

export type PrepareToken = ReturnType<typeof createAccessTokens>
