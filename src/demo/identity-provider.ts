import { randomBytes, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Request, type Response } from 'express'
import { exportJWK, generateKeyPair, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import type { Employee } from './company.ts'

/**
 * Where the company's people sign in. An MCP client that keeps somebody's ID token gets ID-JAGs for it (RFC 8693), and
 * nobody looks. It never refuses: it knows nothing of SCIM, so that whatever ends an agent's access is Tenure alone.
 */
export interface IdentityProvider {
  readonly issuer: string
  /** The MCP client as it is registered here. */
  readonly client: { readonly id: string; readonly secret: string }
  /** ID-JAGs so far. */
  readonly minted: number
  /** What remains of a login in a browser: an ID token, which the MCP client keeps. */
  signIn(employee: Employee): Promise<string>
  close(): Promise<void>
}

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const idJag = 'urn:ietf:params:oauth:token-type:id-jag'
const idToken = 'urn:ietf:params:oauth:token-type:id_token'
const sessionSeconds = 3_600
const idJagSeconds = 300

/** @param mcpClient the id that its one MCP client has at Tenure */
export async function startIdentityProvider(mcpClient: string): Promise<IdentityProvider> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const key = { ...(await exportJWK(publicKey)), kid: randomUUID(), alg: 'ES256', use: 'sig' }
  const client = { id: `${mcpClient}-at-acme`, secret: randomBytes(24).toString('base64url') }
  let minted = 0

  const app = express()
  const http = createServer({ keepAliveTimeout: 60_000 }, app)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  function sign(typ: string, claims: JWTPayload, seconds: number): Promise<string> {
    const iat = Math.floor(Date.now() / 1_000)
    return new SignJWT({ ...claims, iss: issuer, iat, exp: iat + seconds })
      .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ })
      .sign(privateKey)
  }

  async function exchange(req: Request, res: Response): Promise<void> {
    const given = req.body
    const refuse = (status: number, error: string) => void res.status(status).json({ error })
    if (given.client_id !== client.id || given.client_secret !== client.secret) return refuse(401, 'invalid_client')
    if (given.grant_type !== tokenExchange) return refuse(400, 'unsupported_grant_type')
    if (given.requested_token_type !== idJag || given.subject_token_type !== idToken)
      return refuse(400, 'invalid_request')
    const signedIn = await jwtVerify(given.subject_token, publicKey, { issuer, audience: client.id }).catch(() => {})
    if (!signedIn) return refuse(400, 'invalid_grant')
    const { sub, email } = signedIn.payload
    const { audience: aud, resource, scope } = given
    const claims = { sub, email, aud, resource, scope, client_id: mcpClient, jti: randomUUID() } as JWTPayload
    const assertion = await sign('oauth-id-jag+jwt', claims, idJagSeconds)
    minted++
    res.set('Cache-Control', 'no-store')
    res.json({ access_token: assertion, issued_token_type: idJag, token_type: 'N_A', expires_in: idJagSeconds })
  }

  app.get(['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'], (_req, res) => {
    res.json({
      issuer,
      authorization_endpoint: `${issuer}/login`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      grant_types_supported: ['authorization_code', tokenExchange],
      token_endpoint_auth_methods_supported: ['client_secret_post'],
      identity_chaining_requested_token_types_supported: [idJag],
    })
  })
  app.get('/jwks', (_req, res) => void res.json({ keys: [key] }))
  app.post('/token', express.urlencoded(), exchange)

  return {
    issuer,
    client,
    get minted() {
      return minted
    },
    signIn: ({ oktaId, userName }) =>
      sign(
        'JWT',
        { sub: oktaId, email: userName, aud: client.id, auth_time: Math.floor(Date.now() / 1_000) },
        sessionSeconds,
      ),
    async close() {
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}
