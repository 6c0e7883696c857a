import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeProtectedHeader, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../support/clients.ts'
import { type IdJagIssuer, startIdJagIssuer } from '../support/id-jag-issuer.ts'
import {
  basic,
  type ClientCredentials,
  expectRefused,
  type OAuthWorld,
  type Person,
  startOAuthWorld,
} from '../support/oauth-world.ts'

let world: OAuthWorld
let ada: Person

beforeAll(async () => {
  world = await startOAuthWorld()
  ada = await world.engineer()
})
afterAll(() => world?.close())

/** A good ID-JAG for this client, redeemed with these credentials. */
async function redeemAs(clientId: string, credentials: ClientCredentials, form: Record<string, string> = {}) {
  return world.redeem(await world.mint(ada, { client_id: clientId }), form, credentials)
}

function expectUnknownClient(answer: Answer, reason: string): void {
  expectRefused(answer, 401, 'invalid_client')
  expect(answer.body.error_description).toBe('Client authentication failed')
  expect(answer.headers.get('www-authenticate')).toMatch(/^Basic/)
  expect(world.lastLine()).toMatchObject({ status: 401, reason })
}

const post = (client_id: string, client_secret: string): ClientCredentials => ({ form: { client_id, client_secret } })

describe('secrets (RFC 6749 §2.3.1)', () => {
  // Claude sends its secret in the body whatever the metadata says, so both are taken for either (§7.3).
  it.each(['client_secret_basic', 'client_secret_post'])(
    'of a client with %s are taken from header and body',
    async (auth) => {
      const { secret } = await world.admin.post('/clients', { id: `by-${auth.slice(14)}`, auth })
      const id = `by-${auth.slice(14)}`
      expect(await redeemAs(id, basic(id, secret))).toMatchObject({ status: 200 })
      expect(await redeemAs(id, post(id, secret))).toMatchObject({ status: 200 })
      expect(await redeemAs(id, { ...basic(id, secret), form: { client_id: id } })).toMatchObject({ status: 200 })
    },
  )

  // §7.25.
  it('of a client whose id is a URL are split at the last colon, raw and form-encoded alike', async () => {
    const id = 'https://agents.example:8443/oauth/client%20metadata?v=1+2'
    const { secret } = await world.admin.post('/clients', { id, auth: 'client_secret_basic' })
    expect(await redeemAs(id, basic(id, secret))).toMatchObject({ status: 200 })
    expect(await redeemAs(id, basic(encodeURIComponent(id), secret))).toMatchObject({ status: 200 })
    expect(await redeemAs(id, post(id, secret))).toMatchObject({ status: 200 })
    expectUnknownClient(await redeemAs(id, basic(id, `${secret}x`)), 'client_secret')
  })

  it('are good beside the new one for a while after they were rotated, and end with the client', async () => {
    const { secret: old } = await world.admin.post('/clients', { id: 'rotated', auth: 'client_secret_basic' })
    const { secret: young } = await world.admin.post('/clients/rotated/rotate-secret')
    for (const secret of [old, young])
      expect(await redeemAs('rotated', basic('rotated', secret))).toMatchObject({ status: 200 })
    await world.admin.delete('/clients/rotated')
    expectUnknownClient(await redeemAs('rotated', basic('rotated', young)), 'client_secret')
  })

  it.each([
    ['a wrong secret', () => basic('claude', 'wrong'), 'client_secret'],
    ['no secret', () => basic('claude', ''), 'client_secret'],
    [
      'no colon',
      () => ({ headers: { authorization: `Basic ${Buffer.from('claude').toString('base64')}` } }),
      'client_secret',
    ],
    ['no base64', () => ({ headers: { authorization: 'Basic %%%' } }), 'client_secret'],
    ['a NUL', () => basic('claude\0', 'x'), 'client_secret'],
    ['an encoded NUL', () => basic('claude%00', 'x'), 'client_secret'],
    ['an unknown client', () => basic('nobody', 'x'), 'client_secret'],
    ["a server's own credentials", () => basic('srv_x', 'cred_x'), 'client_secret'],
    ['a wrong secret in the body', () => post('claude', 'wrong'), 'client_secret'],
    [
      'only the id of a client that has a secret',
      () => ({ form: { client_id: 'claude' } }),
      'client_must_authenticate',
    ],
    ['only an id that nobody has', () => ({ form: { client_id: 'nobody' } }), 'client_unknown'],
    ['another client_id in the body', () => ({ ...world.claude, form: { client_id: 'cursor' } }), 'client_secret'],
    ['nothing', () => ({}), 'client_unidentified'],
    [
      'an admin key',
      () => ({ headers: { authorization: 'Bearer test-admin-key-of-this-run' } }),
      'client_unidentified',
    ],
  ])('answers %s with invalid_client', async (_what, credentials, reason) => {
    expectUnknownClient(await redeemAs('claude', credentials()), reason)
  })

  it('answers two ways at once with invalid_request', async () => {
    const twice = { ...world.claude, form: { client_id: 'claude', client_secret: world.claudeSecret } }
    expectRefused(await redeemAs('claude', twice), 400, 'invalid_request')
  })
})

describe('none', () => {
  // §7.1, §7.2: by the act of the operator who registers it, or by its document.
  it('is enough for a client that is registered as public, and takes no secret for one', async () => {
    await world.admin.post('/clients', { id: 'public', auth: 'none' })
    expect(await redeemAs('public', { form: { client_id: 'public' } })).toMatchObject({ status: 200 })
    expectUnknownClient(await redeemAs('public', post('public', 'x')), 'client_secret')
    expectUnknownClient(await redeemAs('public', basic('public', '')), 'client_secret')
  })
})

describe('private_key_jwt (RFC 7523 §2.2)', () => {
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  let keys: IdJagIssuer

  beforeAll(async () => {
    keys = await startIdJagIssuer()
    await world.admin.post('/clients', { id: 'signer', auth: 'private_key_jwt', jwksUri: keys.jwksUri })
  })
  afterAll(() => keys?.close())

  /** What `createPrivateKeyJwtAuth` of the SDK signs: `jti`, and no `typ`. */
  async function sign(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1_000)
    const own = { iss: 'signer', sub: 'signer', aud: `${world.tenure.url}/oauth2/token`, jti: randomUUID() }
    return keys.mint({ ...own, iat: now, exp: now + 300, ...claims }, { header: { typ: undefined, ...header } })
  }
  const by = (client_assertion: string, fields: Record<string, string> = {}): ClientCredentials => ({
    form: { client_assertion_type: type, client_assertion, ...fields },
  })

  it.each([
    ['the token endpoint', () => ({})],
    ['the issuer', () => ({ aud: world.tenure.url })],
    ['the issuer alone in an array', () => ({ aud: [world.tenure.url] })],
  ])('takes %s for its audience', async (_what, claims) => {
    expect(await redeemAs('signer', by(await sign(claims())))).toMatchObject({ status: 200 })
  })

  it('takes the client_id beside it, and both types', async () => {
    expect(await redeemAs('signer', by(await sign({}, { typ: 'JWT' }), { client_id: 'signer' }))).toMatchObject({
      status: 200,
    })
    expect(await redeemAs('signer', by(await sign({}, { typ: 'client-authentication+jwt' })))).toMatchObject({
      status: 200,
    })
    expectUnknownClient(await redeemAs('signer', by(await sign(), { client_id: 'claude' })), 'client_unidentified')
  })

  it('takes each once', async () => {
    const assertion = await sign()
    expect(await redeemAs('signer', by(assertion))).toMatchObject({ status: 200 })
    expectUnknownClient(await redeemAs('signer', by(assertion)), 'client_assertion_reused')
  })

  it('takes it at the revocation endpoint too', async () => {
    const { body } = await redeemAs('signer', by(await sign()))
    const form = { token: body.access_token, client_assertion_type: type, client_assertion: await sign() }
    const answer = await fetch(`${world.tenure.url}/oauth2/revoke`, { method: 'POST', body: new URLSearchParams(form) })
    expect(answer.status).toBe(200)
    expect(await world.asLinear.introspect(body.access_token)).toEqual({ active: false })
  })

  const wrong: ReadonlyArray<[what: string, make: () => Promise<string>, reason: string]> = [
    ['another issuer than subject', () => sign({ iss: 'claude' }), 'client_assertion_malformed'],
    ['no subject', () => sign({ iss: undefined, sub: undefined }), 'client_assertion_malformed'],
    ['a subject that is no text', () => sign({ iss: null, sub: null }), 'client_assertion_malformed'],
    ['a typ that is no text', () => sign({}, { typ: ['JWT'] }), 'client_assertion_malformed'],
    ['no jti', () => sign({ jti: undefined }), 'client_assertion_malformed'],
    ['no exp', () => sign({ exp: undefined }), 'client_assertion_malformed'],
    ['an exp that is over', () => sign({ exp: Math.floor(Date.now() / 1_000) - 61 }), 'client_assertion_expired'],
    ['an exp of tomorrow', () => sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }), 'client_assertion_expired'],
    ['an iat in the future', () => sign({ iat: Math.floor(Date.now() / 1_000) + 200 }), 'client_assertion_expired'],
    ['another audience', () => sign({ aud: 'https://elsewhere.example' }), 'client_assertion_audience'],
    [
      'two audiences',
      () => sign({ aud: [world.tenure.url, 'https://elsewhere.example'] }),
      'client_assertion_audience',
    ],
    ['a key that is not in its key set', () => sign({}, { kid: 'nobody' }), 'client_assertion_key'],
    ['an ID-JAG', () => sign({}, { typ: 'oauth-id-jag+jwt' }), 'client_assertion_malformed'],
    ['a client that has a secret', () => sign({ iss: 'claude', sub: 'claude' }), 'client_unknown'],
    ['a client that nobody knows', () => sign({ iss: 'nobody', sub: 'nobody' }), 'client_unknown'],
    ['no JWT', async () => 'nonsense', 'client_assertion_malformed'],
    [
      'a shared secret for a key',
      () =>
        new SignJWT({ iss: 'signer', sub: 'signer', aud: world.tenure.url, jti: 'x', exp: 4_000_000_000 })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(new TextEncoder().encode('x'.repeat(32))),
      'client_assertion_malformed',
    ],
  ]
  it.each(wrong)('answers %s with invalid_client', async (_what, make, reason) => {
    expectUnknownClient(await redeemAs('signer', by(await make())), reason)
  })

  it('answers a signature by another key, or another type of assertion, with a refusal', async () => {
    const { kid } = decodeProtectedHeader(await sign())
    const now = Math.floor(Date.now() / 1_000)
    const claims = { iss: 'signer', sub: 'signer', aud: world.tenure.url, exp: now + 300 }
    const forged = await keys.mint(claims, { key: await keys.makeKey(), header: { typ: undefined, kid } })
    expectUnknownClient(await redeemAs('signer', by(forged)), 'client_assertion_signature')
    const saml = await redeemAs('signer', {
      form: {
        client_assertion: await sign(),
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
      },
    })
    expectRefused(saml, 400, 'invalid_request')
  })

  it('takes nothing else from a client that signs', async () => {
    expectUnknownClient(await redeemAs('signer', { form: { client_id: 'signer' } }), 'client_must_authenticate')
    expectUnknownClient(await redeemAs('signer', post('signer', 'x')), 'client_secret')
  })

  it('answers 503 while its key set cannot be had', async () => {
    keys.serve('broken')
    const id = 'far-away'
    await world.admin.post('/clients', { id, auth: 'private_key_jwt', jwksUri: `${keys.jwksUri}` })
    // Its key set is kept for a while: another address is one that was never asked.
    const other = await startIdJagIssuer()
    other.serve('broken')
    await world.admin.send('PATCH', `/clients/${id}`, { jwksUri: other.jwksUri })
    const answer = await redeemAs(
      id,
      by(await other.mint({ iss: id, sub: id, aud: world.tenure.url }, { header: { typ: undefined } })),
    )
    expectRefused(answer, 503, 'temporarily_unavailable')
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/)
    await other.close()
    keys.serve('good')
  })
})

describe('Client ID Metadata Documents (§1.13)', () => {
  const documents = new Map<string, unknown>()
  const server = createServer((req, res) => {
    const document = documents.get(req.url!)
    res.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(document))
  })
  let base: string

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  function publish(path: string, fields: Record<string, unknown> = {}): string {
    const id = `${base}${path}`
    documents.set(path, {
      client_id: id,
      client_name: 'Agent',
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
      token_endpoint_auth_method: 'none',
      ...fields,
    })
    return id
  }

  it('name a client that nobody has registered', async () => {
    const id = publish('/public')
    const answer = await redeemAs(id, { form: { client_id: id } })
    expect(answer.status).toBe(200)
    expect(await world.asLinear.introspect(answer.body.access_token)).toMatchObject({ client_id: id })
  })

  it('may bring keys instead', async () => {
    const keys = await startIdJagIssuer()
    const id = publish('/signing', { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: keys.jwksUri })
    const assertion = await keys.mint({ iss: id, sub: id, aud: world.tenure.url }, { header: { typ: undefined } })
    const form = {
      client_id: id,
      client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    }
    expect(await redeemAs(id, { form })).toMatchObject({ status: 200 })
    expectUnknownClient(await redeemAs(id, { form: { client_id: id } }), 'client_must_authenticate')
    await keys.close()
  })

  it('that list no jwt-bearer make a client that may not use it', async () => {
    const id = publish('/interactive', { grant_types: ['authorization_code'] })
    expectRefused(await redeemAs(id, { form: { client_id: id } }), 400, 'unauthorized_client')
    // By the explicit act of an operator it may.
    await world.admin.post('/clients', { id, auth: 'none' })
    expect(await redeemAs(id, { form: { client_id: id } })).toMatchObject({ status: 200 })
  })

  it('that speak of another id, or are not there, make none', async () => {
    const id = publish('/other', { client_id: `${base}/public` })
    expectUnknownClient(await redeemAs(id, { form: { client_id: id } }), 'client_unknown')
    const missing = `${base}/missing`
    expectUnknownClient(await redeemAs(missing, { form: { client_id: missing } }), 'client_unknown')
  })
})
