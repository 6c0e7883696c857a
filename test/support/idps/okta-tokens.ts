import { randomUUID } from 'node:crypto'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'

/** What an org signs, with the one key of its issuer. */
export interface OktaSigner {
  /** `GET /oauth2/v1/keys`. */
  readonly jwks: { readonly keys: readonly JWK[] }
  /** From now on signs with a new key, served beside the older ones. */
  rotate(): Promise<void>
  /** Who asks for a Global Token Revocation: `sub` is the app, `aud` the endpoint without query. `over` undefined leaves one out. */
  revocationToken(of: { app: string; endpoint: string }, over?: Over): Promise<string>
  /**
   * A SET as Okta's SSF transmitter still makes them: the subject inside the event, no `sub_id`, no `txn`, times in
   * milliseconds.
   */
  securityEvent(of: { audience: string; type: string; user: string }, over?: Over): Promise<string>
}

export interface Over {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  /** Over the members of the one event. */
  readonly event?: Readonly<Record<string, unknown>>
}

export const sessionRevoked = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
export const credentialChange = 'https://schemas.openid.net/secevent/caep/event-type/credential-change'

const alg = 'RS256'
/** `nbf` lies so long before `iat`, and `exp` so long after it. */
const revocationSeconds = 300

export async function createOktaSigner(issuer: () => string): Promise<OktaSigner> {
  const pairs: Array<{ privateKey: CryptoKey; jwk: JWK }> = []

  async function rotate(): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg)
    pairs.push({ privateKey, jwk: { ...(await exportJWK(publicKey)), kid: randomUUID(), alg, use: 'sig' } })
  }

  function sign(typ: string, claims: JWTPayload, { header = {}, claims: over = {} }: Over): Promise<string> {
    const { privateKey, jwk } = pairs.at(-1)!
    return new SignJWT({ ...claims, ...over })
      .setProtectedHeader({ alg, kid: jwk.kid!, typ, ...header })
      .sign(privateKey)
  }

  await rotate()
  return {
    get jwks() {
      return { keys: pairs.map(({ jwk }) => jwk) }
    },
    rotate,
    revocationToken({ app, endpoint }, over = {}) {
      const { origin, pathname } = new URL(endpoint)
      const iat = Math.floor(Date.now() / 1_000)
      const times = { iat, nbf: iat - revocationSeconds, exp: iat + revocationSeconds }
      const claims = { jti: randomUUID(), iss: issuer(), sub: app, aud: origin + pathname, ...times }
      return sign('global-token-revocation+jwt', claims, over)
    },
    securityEvent({ audience, type, user }, over = {}) {
      const event = {
        event_timestamp: Date.now(),
        initiating_entity: 'admin',
        reason_admin: { en: 'A reason for administrators' },
        subject: { format: 'iss_sub', iss: issuer(), sub: user },
        ...over.event,
      }
      const iat = Math.floor(Date.now() / 1_000)
      const claims = { iss: issuer(), jti: randomUUID(), iat, aud: audience, events: { [type]: event } }
      return sign('secevent+jwt', claims as JWTPayload, over)
    },
  }
}
