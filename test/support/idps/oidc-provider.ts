import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import {
  calculateJwkThumbprint,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose'
import Provider, { errors, type TokenEndpointGrantContext } from 'oidc-provider'
import { fetch as undiciFetch } from 'undici'
import { record } from '../secret-setup.ts'

/** One request for an ID-JAG, and what came of it. */
export interface Exchange {
  readonly sub: string
  readonly audience: string
  readonly resource: string
  readonly scope: string | undefined
  readonly isMinted: boolean
}

/**
 * A company's identity provider: people log in there (authorization code with PKCE), and an MCP client that holds the ID
 * token exchanges it for ID-JAGs (RFC 8693) without anybody looking. It is willing, for everybody, until told otherwise:
 * what Tenure refuses, it refuses alone.
 */
export interface OidcProvider {
  readonly issuer: string
  readonly jwksUri: string
  /** The MCP client as it is registered here. */
  readonly client: { readonly id: string; readonly secret: string }
  readonly exchanges: readonly Exchange[]
  /** What a person does in a browser, once. @returns the ID token that the MCP client keeps */
  logIn(sub: string): Promise<string>
  /** From now on its policy refuses this person. */
  refuse(sub: string): void
  /** ID-JAGs say that they were made in this second since 1970; nothing given: in the one in which they are. */
  pinSecond(second?: number): void
  close(): Promise<void>
}

interface ExchangeParameters {
  audience: string
  resource: string
  requested_token_type: string
  subject_token: string
  subject_token_type: string
}

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const idJagType = 'urn:ietf:params:oauth:token-type:id-jag'
const idTokenType = 'urn:ietf:params:oauth:token-type:id_token'
const redirectUri = 'https://agent.example/callback'
const password = 'the password of everybody at Acme'

/** @param clientIds the id at Tenure of each MCP client, by its id here, which is another (a table, never a rule) */
export async function startOidcProvider(clientIds: Readonly<Record<string, string>>): Promise<OidcProvider> {
  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const key = await makeKey()
  const [clientId] = Object.keys(clientIds)
  const client = { id: clientId!, secret: randomBytes(32).toString('base64url') }
  record.secret(client.secret, 'client secret at an identity provider')
  const refused = new Set<string>()
  const exchanges: Exchange[] = []
  let pinned: number | undefined

  const provider = quietly(() => createProvider(issuer, key.jwk, client))
  provider.registerGrantType<ExchangeParameters>(tokenExchange, exchange, [
    'audience',
    'resource',
    'scope',
    'requested_token_type',
    'subject_token',
    'subject_token_type',
  ])
  app.get('/interaction/:uid', (req, res) => {
    res.send(`<form method="post" action="${req.path}"><input name="login"><input name="password"></form>`)
  })
  app.post('/interaction/:uid', express.urlencoded(), async (req, res) => {
    const { login, password: given } = req.body
    const result = given === password ? { login: { accountId: login } } : { error: 'access_denied' }
    await provider.interactionFinished(req, res, result)
  })
  app.use(provider.callback())

  async function exchange(ctx: TokenEndpointGrantContext<ExchangeParameters>): Promise<void> {
    const { params, client: asking } = ctx.oidc
    if (params.requested_token_type !== idJagType || params.subject_token_type !== idTokenType)
      throw new errors.InvalidRequest('only an ID token is exchanged here, for an ID-JAG')
    const { sub } = await verify(params.subject_token, asking.clientId)
    const isMinted = !refused.has(sub)
    exchanges.push({ sub, audience: params.audience, resource: params.resource, scope: params.scope, isMinted })
    if (!isMinted) throw new errors.CustomOIDCProviderError('access_denied', 'the policy says no')
    const { audience: aud, resource, scope } = params
    const access_token = await mint({ sub, aud, resource, scope, client_id: clientIds[asking.clientId] })
    ctx.body = { access_token, issued_token_type: idJagType, token_type: 'N_A', expires_in: 300 }
  }

  async function verify(idToken: string, audience: string): Promise<{ sub: string }> {
    const { payload } = await jwtVerify(idToken, key.publicKey, { issuer, audience }).catch(() => {
      throw new errors.InvalidGrant('the subject token is not good')
    })
    return { sub: payload.sub! }
  }

  async function mint(claims: JWTPayload): Promise<string> {
    const iat = pinned ?? Math.floor(Date.now() / 1_000)
    const assertion = await new SignJWT({ ...claims, iss: issuer, jti: randomUUID(), iat, exp: iat + 300 })
      .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid!, typ: 'oauth-id-jag+jwt' })
      .sign(key.privateKey)
    record.secret(assertion, 'ID-JAG')
    return assertion
  }

  return {
    issuer,
    jwksUri: `${issuer}/jwks`,
    client,
    exchanges,
    async logIn(sub) {
      const idToken = await logIn(issuer, client, { login: sub, password })
      await verify(idToken, client.id)
      record.secret(idToken, 'ID token')
      return idToken
    },
    refuse: (sub) => void refused.add(sub),
    pinSecond(second) {
      pinned = second
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function createProvider(issuer: string, jwk: JWK, client: OidcProvider['client']): Provider {
  return new Provider(issuer, {
    jwks: { keys: [jwk] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['authorization_code', tokenExchange],
        redirect_uris: [redirectUri],
      },
    ],
    discovery: { identity_chaining_requested_token_types_supported: [idJagType] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    // An administrator has consented for everybody.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client!.clientId,
        accountId: ctx.oidc.session!.accountId!,
      })
      grant.addOIDCScope('openid')
      await grant.save()
      return grant
    },
    ttl: { AccessToken: 3_600, IdToken: 3_600, Interaction: 600, Session: 3_600, Grant: 3_600 },
  })
}

/** A browser that fills the login form, and the MCP client that sent it there. */
async function logIn(issuer: string, client: OidcProvider['client'], person: Record<string, string>): Promise<string> {
  const browse = createBrowser(issuer)
  const [verifier, state, nonce] = [1, 2, 3].map(() => randomBytes(32).toString('base64url'))
  const asked = new URL('/auth', issuer)
  asked.search = new URLSearchParams({
    client_id: client.id,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: 'openid',
    state: state!,
    nonce: nonce!,
    code_challenge: createHash('sha256').update(verifier!).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString()
  const form = await browse(asked)
  const back = await browse(form, person)
  const { searchParams } = await browse(back)
  if (searchParams.get('state') !== state) throw new Error(`The login came back with ${searchParams}`)
  const response = await undiciFetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: searchParams.get('code')!,
      redirect_uri: redirectUri,
      code_verifier: verifier!,
      client_id: client.id,
      client_secret: client.secret,
    }),
  })
  if (!response.ok) throw new Error(`The code was not taken: ${await response.text()}`)
  const { id_token } = (await response.json()) as { id_token: string }
  if (decodeJwt(id_token).nonce !== nonce) throw new Error('The ID token is of another login')
  return id_token
}

/** With a cookie jar. @returns from each page, where it sends the browser: nobody follows on their own */
function createBrowser(issuer: string) {
  const cookies = new Map<string, string>()
  return async function browse(url: URL, form?: Record<string, string>): Promise<URL> {
    const response = await undiciFetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') },
      ...(form ? { method: 'POST', body: new URLSearchParams(form) } : {}),
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!
      cookies.set(name!, value!)
    }
    const location = response.headers.get('location')
    if (location === null) throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`)
    return new URL(location, issuer)
  }
}

async function makeKey() {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(privateKey)
  return { privateKey, publicKey, jwk: { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'ES256', use: 'sig' } }
}

/** It warns of everything that would be wrong in production. */
function quietly<T>(make: () => T): T {
  const { warn, info } = console
  Object.assign(console, { warn: () => {}, info: () => {} })
  try {
    return make()
  } finally {
    Object.assign(console, { warn, info })
  }
}
