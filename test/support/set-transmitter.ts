import { randomUUID } from 'node:crypto'
import { type CompactJWSHeaderParameters, CompactSign } from 'jose'
import { type IdJagIssuer, startIdJagIssuer } from './id-jag-issuer.ts'
import { record } from './secret-setup.ts'

type Members = Readonly<Record<string, unknown>>
export type TransmitterKey = Awaited<ReturnType<IdJagIssuer['rotate']>>

export interface Signing {
  /** Parameters of the header over its own; undefined leaves one out. */
  readonly header?: Members
  /** Signs with this one; default: the newest RS256 key that is served. */
  readonly key?: TransmitterKey
}

/** An SSF transmitter as a receiver meets it: an issuer with a JWK Set on 127.0.0.1, and its SETs. */
export interface SetTransmitter extends Pick<IdJagIssuer, 'issuer' | 'jwksUri' | 'serve' | 'makeKey' | 'close'> {
  readonly fetches: number
  /** The newest RS256 key that is served. */
  readonly key: TransmitterKey
  /** From now on signs with a new RS256 key, or serves one of another algorithm beside. */
  rotate(alg?: string): Promise<TransmitterKey>
  /** A signed SET; `claims` over its own, undefined to leave one out. */
  sign(claims: Members, signing?: Signing): Promise<string>
  /** Any bytes at all, signed. */
  signText(text: string | Uint8Array, signing?: Signing): Promise<string>
}

export const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
export const risc = 'https://schemas.openid.net/secevent/risc/event-type/'
export const oauth = 'https://schemas.openid.net/secevent/oauth/event-type/'
export const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/'
export const scimEvent = 'urn:ietf:params:scim:event:'

export const audience = 'https://tenure.example/streams/acme'

export async function startTransmitter(): Promise<SetTransmitter> {
  const idp = await startIdJagIssuer()
  let newest = await idp.rotate('RS256')

  async function signText(text: string | Uint8Array, { header = {}, key = newest }: Signing = {}): Promise<string> {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
    const own = { alg: key.alg, kid: key.kid, typ: 'secevent+jwt' }
    const set = await new CompactSign(bytes)
      .setProtectedHeader({ ...own, ...header } as CompactJWSHeaderParameters)
      .sign(key.privateKey, { crit: { 'urn:example:unknown': true } })
    record.secret(set, 'SET')
    return set
  }

  return {
    issuer: idp.issuer,
    jwksUri: idp.jwksUri,
    get fetches() {
      return idp.fetches
    },
    get key() {
      return newest
    },
    serve: idp.serve,
    makeKey: idp.makeKey,
    close: idp.close,
    async rotate(alg = 'RS256') {
      const key = await idp.rotate(alg)
      if (alg === 'RS256') newest = key
      return key
    },
    sign(claims, signing) {
      const own = { iss: idp.issuer, aud: audience, jti: randomUUID(), iat: Math.floor(Date.now() / 1_000) }
      return signText(JSON.stringify({ ...own, ...claims }), signing)
    },
    signText,
  }
}
