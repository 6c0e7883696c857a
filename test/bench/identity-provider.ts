import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

/** An identity provider as Tenure meets it: an issuer with its JWK Set on 127.0.0.1, and ID-JAGs that it has signed. */
export interface IdentityProvider {
  readonly issuer: string
  readonly jwksUri: string
  /** For five minutes from now, with a `jti` of its own; `claims` over that. */
  mint(claims: Readonly<JWTPayload>): Promise<string>
  close(): void
}

const alg = 'ES256'
const kid = 'bench'

export async function startIdentityProvider(): Promise<IdentityProvider> {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  const keySet = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }] })
  const server = createServer((_req, res) => res.setHeader('content-type', 'application/jwk-set+json').end(keySet))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    issuer,
    jwksUri: `${issuer}/jwks`,
    mint(claims) {
      const now = Math.floor(Date.now() / 1_000)
      return new SignJWT({ iss: issuer, jti: randomUUID(), iat: now, exp: now + 300, ...claims })
        .setProtectedHeader({ alg, kid, typ: 'oauth-id-jag+jwt' })
        .sign(privateKey)
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
