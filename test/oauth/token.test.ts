import { randomUUID } from 'node:crypto'
import { exchangeJwtAuthGrant } from '@modelcontextprotocol/client'
import { decodeJwt, exportJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import type { Minting } from '../support/id-jag-issuer.ts'
import {
  basic,
  expectInvalidGrant,
  expectRefused,
  jwtBearer,
  type OAuthWorld,
  type Person,
  postForm,
  resourceOf,
  startOAuthWorld,
} from '../support/oauth-world.ts'

let world: OAuthWorld
let ada: Person

beforeAll(async () => {
  world = await startOAuthWorld()
  ada = await world.engineer()
})
afterAll(() => world?.close())

const now = () => Math.floor(Date.now() / 1_000)
const url = () => `${world.tenure.url}/oauth2/token`

describe('the request (RFC 7523 §2.1)', () => {
  it('answers with a bearer token, what it is good for, and nothing that would renew it', async () => {
    const answer = await world.redeem(await world.mint(ada))
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(/^tnr_at_[\w-]{43}$/),
      token_type: 'Bearer',
      expires_in: 3_600,
      scope: 'read write',
      resource: resourceOf('linear'),
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('pragma')).toBe('no-cache')
    expect(await world.asLinear.introspect(answer.body.access_token)).toMatchObject({
      active: true,
      sub: ada.id,
      client_id: 'claude',
      aud: resourceOf('linear'),
      iss: world.tenure.url,
      scope: 'read write',
    })
  })

  it.each([
    ["of the SDK's stand-alone helper: neither scope nor resource", {}, 'read write'],
    ["of the SDK's provider: scope and resource", { scope: 'read', resource: resourceOf('linear') }, 'read'],
    ['with a scope alone', { scope: 'write' }, 'write'],
    ['with a resource alone', { resource: resourceOf('linear') }, 'read write'],
    ['with parameters that have no value', { scope: '', resource: '' }, 'read write'],
  ])('takes the shape %s', async (_what, form, scope) => {
    const answer = await world.redeem(await world.mint(ada), form)
    expect(answer).toMatchObject({ status: 200, body: { scope } })
  })

  it.each(['client_secret_basic', 'client_secret_post'] as const)(
    'takes what the SDK sends by %s',
    async (authMethod) => {
      const jwtAuthGrant = await world.mint(ada)
      const given = { tokenEndpoint: url(), clientId: 'claude', clientSecret: world.claudeSecret, authMethod }
      const tokens = await exchangeJwtAuthGrant({ ...given, jwtAuthGrant })
      expect(tokens).toMatchObject({ token_type: 'Bearer', scope: 'read write' })
      const again = exchangeJwtAuthGrant({ ...given, jwtAuthGrant })
      await expect(again).rejects.toThrow('invalid_grant')
    },
  )

  it('writes the grant with exactly what the answer says, and a ledger entry that holds no token', async () => {
    const actor = { sub: 'wlp1', act: { sub: 'wlp2' } }
    const jti = `IDAAG.${randomUUID()}`
    const answer = await world.redeem(await world.mint(ada, { act: actor, jti }), { scope: 'read unheard-of' })
    const { items } = await world.admin.get(`/grants?user=${ada.id}&limit=1`)
    expect(items[0]).toMatchObject({
      user: ada.id,
      server: 'linear',
      client: 'claude',
      scopes: ['read'],
      state: 'active',
    })
    expect(items[0].jti).toBe((await world.asLinear.introspect(answer.body.access_token)).jti)
    const lifeMs = Date.parse(items[0].expiresAt) - Date.parse(items[0].issuedAt)
    expect(lifeMs).toBeGreaterThan(3_590_000)
    expect(lifeMs).toBeLessThanOrEqual(3_600_000)
    const { items: told } = await world.admin.get(`/users/${ada.id}/timeline`)
    const entry = told.findLast(({ kind }: Json) => kind === 'granted').detail
    expect(entry).toMatchObject({ grant: items[0].id, client: 'claude', scopes: ['read'], actor })
    expect(JSON.stringify(entry)).not.toContain(jti)
  })

  it("lives as long as the server's tokens do", async () => {
    await world.admin.send('PATCH', '/servers/linear', { tokenLifeSeconds: 120 })
    expect((await world.redeem(await world.mint(ada))).body.expires_in).toBe(120)
    await world.admin.send('PATCH', '/servers/linear', { tokenLifeSeconds: null })
  })
})

describe('§1.7 step 1: the form', () => {
  it.each([
    ['no assertion', { grant_type: jwtBearer }],
    ['an empty assertion', { grant_type: jwtBearer, assertion: '' }],
    ['no grant_type', { assertion: 'x' }],
    ['a repeated assertion', { grant_type: jwtBearer, assertion: ['x', 'y'] }],
    ['a repeated scope', { grant_type: jwtBearer, assertion: 'x', scope: ['read', 'write'] }],
    ['a repeated parameter that nobody knows', { grant_type: jwtBearer, assertion: 'x', foo: ['1', '2'] }],
    ['a body over 16 KB', { grant_type: jwtBearer, assertion: 'x'.repeat(17_000) }],
  ])('refuses %s: invalid_request', async (_what, form) => {
    expectRefused(await postForm(url(), form, world.claude.headers), 400, 'invalid_request')
  })

  it.each([
    ['JSON', 'application/json', JSON.stringify({ grant_type: jwtBearer, assertion: 'x' }), 'The body must be'],
    ['multipart', 'multipart/form-data; boundary=x', '--x--', 'The body must be'],
    ['no type at all', undefined, 'grant_type=x', 'The body must be'],
    ['another charset', 'application/x-www-form-urlencoded; charset=utf-7', 'grant_type=x', 'The charset'],
  ])('refuses %s, and says so: invalid_request', async (_what, type, body, why) => {
    const headers = { ...world.claude.headers, ...(type ? { 'content-type': type } : {}) }
    const answer = await fetch(url(), { method: 'POST', headers, body: Buffer.from(body) })
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({
      status: 400,
      body: { error: 'invalid_request', error_description: expect.stringContaining(why) },
    })
  })

  it.each(['GET', 'PUT', 'DELETE'])('answers %s with 405 and what it takes', async (method) => {
    const answer = await fetch(url(), { method })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('POST')
    expect(await answer.json()).toMatchObject({ error: 'invalid_request' })
  })

  it('takes several resources, which RFC 8707 allows, and asks for one where they stay several', async () => {
    const both = { resource: [resourceOf('linear'), resourceOf('figma')] }
    expectRefused(await world.redeem(await world.mint(ada, both), both), 400, 'invalid_target')
    expectRefused(await world.redeem(await world.mint(ada, both)), 400, 'invalid_target')
    const one = await world.redeem(await world.mint(ada, both), { resource: resourceOf('linear') })
    expect(one).toMatchObject({ status: 200, body: { resource: resourceOf('linear') } })
  })
})

describe('§1.7 step 2: the client before everything else', () => {
  it('does not look at the assertion of a client that it does not know', async () => {
    const fetches = world.idp.fetches
    const assertion = await world.mint(ada)
    expectRefused(await world.redeem(assertion, {}, basic('claude', 'wrong')), 401, 'invalid_client')
    expect((await world.redeem(assertion, {}, basic('claude', 'wrong'))).headers.get('www-authenticate')).toMatch(
      /^Basic/,
    )
    expect(world.idp.fetches).toBe(fetches)
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })

  it('answers another grant type with unsupported_grant_type', async () => {
    for (const grant_type of ['client_credentials', 'refresh_token', 'urn:ietf:params:oauth:grant-type:jwt-dpop'])
      expectRefused(await postForm(url(), { grant_type }, world.claude.headers), 400, 'unsupported_grant_type')
  })
})

describe('§1.7 steps 3 to 14: the ID-JAG', () => {
  const claims: ReadonlyArray<[step: string, what: string, claims: () => Record<string, unknown>, reason: string]> = [
    ['4', 'an issuer that nobody registered', () => ({ iss: 'https://elsewhere.example' }), 'issuer_unknown'],
    ['4', 'its issuer with a slash at the end', () => ({ iss: `${world.idp.issuer}/` }), 'issuer_unknown'],
    ['4', 'an issuer that is no text', () => ({ iss: 7 }), 'issuer_unknown'],
    ['4', 'a NUL in a claim', () => ({ iss: 'https://a.example\0' }), 'malformed'],
    ['4', 'half a surrogate pair in a claim', () => ({ sub: 'a\ud800' }), 'malformed'],
    ['7', 'no sub', () => ({ sub: undefined }), 'claim_missing'],
    ['7', 'an empty sub', () => ({ sub: '' }), 'claim_missing'],
    ['7', 'a sub that is no text', () => ({ sub: 12 }), 'claim_missing'],
    ['7', 'no aud', () => ({ aud: undefined }), 'claim_missing'],
    ['7', 'no client_id', () => ({ client_id: undefined }), 'claim_missing'],
    ['7', 'no jti', () => ({ jti: undefined }), 'claim_missing'],
    ['7', 'an empty jti', () => ({ jti: '' }), 'claim_missing'],
    ['7', 'a jti of 257 characters', () => ({ jti: 'j'.repeat(257) }), 'claim_missing'],
    ['7', 'no iat', () => ({ iat: undefined }), 'claim_missing'],
    ['7', 'no exp', () => ({ exp: undefined }), 'claim_missing'],
    ['7', 'an exp that is text', () => ({ exp: String(now() + 300) }), 'claim_missing'],
    ['8', 'another audience', () => ({ aud: 'https://elsewhere.example' }), 'audience'],
    ['8', 'the token endpoint for an audience', () => ({ aud: url() }), 'audience'],
    ['8', 'the resource for an audience', () => ({ aud: resourceOf('linear') }), 'audience'],
    ['8', 'its audience with a slash at the end', () => ({ aud: `${world.tenure.url}/` }), 'audience'],
    ['8', 'two audiences', () => ({ aud: [world.tenure.url, 'https://elsewhere.example'] }), 'audience'],
    ['8', 'the same audience twice', () => ({ aud: [world.tenure.url, world.tenure.url] }), 'audience'],
    ['8', 'no audience in its array', () => ({ aud: [] }), 'audience'],
    ['9', "another client's id", () => ({ client_id: 'cursor' }), 'client'],
    ['10', 'a time that is over', () => ({ iat: now() - 400, exp: now() - 100 }), 'expired'],
    ['10', 'a time over by more than the skew', () => ({ iat: now() - 361, exp: now() - 61 }), 'expired'],
    ['10', 'a time of issue in the future', () => ({ iat: now() + 120, exp: now() + 300 }), 'issued_in_future'],
    ['10', 'a time before which it is not good', () => ({ nbf: now() + 120 }), 'not_yet_valid'],
    ['10', 'a life of ten minutes', () => ({ exp: now() + 600 }), 'life_too_long'],
    ['10', 'an age of eleven minutes', () => ({ iat: now() - 660, exp: now() + 60 }), 'life_too_long'],
    ['11', 'a resource that is not ours', () => ({ resource: 'https://elsewhere.example/mcp' }), 'resource_unknown'],
    [
      '11',
      'our resource with a slash at the end',
      () => ({ resource: `${resourceOf('linear')}/` }),
      'resource_unknown',
    ],
    [
      '11',
      'one resource of two that is not ours',
      () => ({ resource: [resourceOf('linear'), 'https://e.example'] }),
      'resource_unknown',
    ],
    ['11', 'no resource in its array', () => ({ resource: [] }), 'resource_unknown'],
    ['11', 'a resource that is no text', () => ({ resource: [{ uri: resourceOf('linear') }] }), 'resource_unknown'],
    ['11', 'no resource, where there are several servers', () => ({ resource: undefined }), 'resource_unnamed'],
    [
      '12',
      'authorization_details',
      () => ({ authorization_details: [{ type: 'x' }] }),
      'authorization_details_unsupported',
    ],
    ['12', 'empty authorization_details', () => ({ authorization_details: null }), 'authorization_details_unsupported'],
    ['12', 'a key that it is bound to', () => ({ cnf: { jkt: 'x' } }), 'confirmation_unsupported'],
    ['12', 'an unknown confirmation', () => ({ cnf: {} }), 'confirmation_unsupported'],
    ['13', 'scopes that are no text', () => ({ scope: ['read'] }), 'scope_malformed'],
    ['13', 'scopes in quotes', () => ({ scope: '"read"' }), 'scope_malformed'],
    ['13', 'scopes with two spaces', () => ({ scope: 'read  write' }), 'scope_malformed'],
    ['14', 'a tenant, where the issuer was registered without', () => ({ tenant: 'acme' }), 'issuer_unknown'],
    ['14', 'another aud_tenant', () => ({ aud_tenant: 'umbrella' }), 'tenant'],
  ]
  it.each(claims)('step %s: refuses %s', async (_step, _what, claims, reason) => {
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, claims())), reason)
  })

  const headers: ReadonlyArray<[step: string, what: string, header: Record<string, unknown>, reason: string]> = [
    ['3', 'no typ', { typ: undefined }, 'type'],
    ['3', 'a typ that is no text', { typ: ['oauth-id-jag+jwt'] }, 'malformed'],
    ['3', 'a JWT of another kind', { typ: 'JWT' }, 'type'],
    ['3', 'an access token (RFC 9068)', { typ: 'at+jwt' }, 'type'],
    ['3', 'a typ with its prefix', { typ: 'application/oauth-id-jag+jwt' }, 'type'],
    [
      '3',
      'a critical header that we do not know',
      { crit: ['urn:example:unknown'], 'urn:example:unknown': 1 },
      'critical_header',
    ],
    ['5', 'a kid that is not in the key set', { kid: 'nobody' }, 'key_unknown'],
  ]
  it.each(headers)('step %s: refuses %s', async (_step, _what, header, reason) => {
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, {}, { header })), reason)
  })

  it('step 3: compares typ without case', async () => {
    const assertion = await world.mint(ada, {}, { header: { typ: 'OAuth-ID-JAG+JWT' } })
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })

  it.each([
    ['nothing', ' '],
    ['no JWS', 'not-a-token'],
    ['two parts', 'e30.e30'],
    ['four parts', 'e30.e30.e30.e30'],
    ['parts that are no JSON', 'AAAA.AAAA.AAAA'],
    ['an array for claims', `${encode({ alg: 'ES256', typ: 'oauth-id-jag+jwt' })}.${encode([])}.AAAA`],
  ])('step 3: refuses %s', async (_what, assertion) => {
    expectInvalidGrant(world, await world.redeem(assertion), 'malformed')
  })

  it('step 3: refuses alg none, a shared secret, and an algorithm that the issuer does not use', async () => {
    const payload = (await world.mint(ada)).split('.')[1]!
    const unsigned = `${encode({ alg: 'none', typ: 'oauth-id-jag+jwt' })}.${payload}.`
    expectInvalidGrant(world, await world.redeem(unsigned), 'algorithm')
    const publicKey = JSON.stringify(await exportJWK((await world.idp.makeKey()).publicKey))
    const hmac = await new SignJWT(decodeJwt(await world.mint(ada)))
      .setProtectedHeader({ alg: 'HS256', typ: 'oauth-id-jag+jwt' })
      .sign(new TextEncoder().encode(publicKey))
    expectInvalidGrant(world, await world.redeem(hmac), 'algorithm')
    const key = await world.idp.makeKey('ES384')
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, {}, { key })), 'algorithm')
  })

  it('step 3: does not look for keys where the header says', async () => {
    const key = await world.idp.makeKey()
    const header = {
      jwk: await exportJWK(key.publicKey),
      jku: `${world.idp.issuer}/evil`,
      x5u: `${world.idp.issuer}/evil`,
    }
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, {}, { key, header })), 'key_unknown')
  })

  it('step 6: refuses a signature of another key, and claims that were changed', async () => {
    const assertion = await world.mint(ada)
    const { kid } = JSON.parse(Buffer.from(assertion.split('.')[0]!, 'base64url').toString())
    const forged: Minting = { key: await world.idp.makeKey(), header: { kid } }
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, {}, forged)), 'signature')
    const [header, payload, signature] = assertion.split('.')
    const changed = encode({ ...JSON.parse(Buffer.from(payload!, 'base64url').toString()), scope: 'admin' })
    expectInvalidGrant(world, await world.redeem(`${header}.${changed}.${signature}`), 'signature')
  })

  it('step 8: takes an audience alone in its array; step 10: takes clocks that are off by a little', async () => {
    const claims = [
      { aud: [world.tenure.url] },
      { iat: now() + 30, exp: now() + 330 },
      { iat: now() - 330, exp: now() - 30 },
      { nbf: now() + 30 },
    ]
    for (const each of claims) expect(await world.redeem(await world.mint(ada, each))).toMatchObject({ status: 200 })
  })

  it('step 11: a resource in the request must be ours, and one of those that the ID-JAG names', async () => {
    const unknown = await world.redeem(await world.mint(ada), { resource: 'https://elsewhere.example/mcp' })
    expectRefused(unknown, 400, 'invalid_target')
    expectInvalidGrant(
      world,
      await world.redeem(await world.mint(ada), { resource: resourceOf('figma') }),
      'resource_mismatch',
    )
  })

  it('step 11: takes the list form of resource', async () => {
    expect(await world.redeem(await world.mint(ada, { resource: [resourceOf('linear')] }))).toMatchObject({
      status: 200,
    })
  })

  it.each([
    ['the request widens nothing', 'read', 'read write', 'read'],
    ['the request narrows', 'read write', 'read', 'read'],
    ['what nobody gives is dropped', 'read admin', undefined, 'read'],
  ])('step 13: %s', async (_what, asserted, requested, scope) => {
    const answer = await world.redeem(await world.mint(ada, { scope: asserted }), { scope: requested })
    expect(answer).toMatchObject({ status: 200, body: { scope } })
  })

  it.each([
    ['nothing in common', 'read', 'write'],
    ['none in the ID-JAG, whatever is requested', undefined, 'read'],
    ['none in the ID-JAG', '', undefined],
    ['only what no rule gives', 'admin', undefined],
    ['a request that is no list of scopes', 'read', 'read\\write'],
  ])('step 13: answers %s with invalid_scope', async (_what, scope, requested) => {
    expectRefused(await world.redeem(await world.mint(ada, { scope }), { scope: requested }), 400, 'invalid_scope')
  })

  it('step 13: drops a scope that the server does not have', async () => {
    await world.admin.send('PATCH', '/servers/linear', { scopes: ['read', 'write'] })
    const answer = await world.redeem(await world.mint(ada, { scope: 'write extra' }))
    expect(answer).toMatchObject({ status: 200, body: { scope: 'write' } })
    const widened = await world.redeem(await world.mint(ada, { scope: 'read' }), { scope: 'read write' })
    expect(widened).toMatchObject({ status: 200, body: { scope: 'read' } })
    // Before anybody is looked for: what is no scope there tells nothing of who is.
    const nobody = { ...ada, externalId: 'nobody' }
    expectRefused(await world.redeem(await world.mint(nobody, { scope: 'extra' })), 400, 'invalid_scope')
    await world.admin.send('PATCH', '/servers/linear', { scopes: null })
  })

  it('step 14: takes an aud_tenant that is the directory', async () => {
    expect(await world.redeem(await world.mint(ada, { aud_tenant: 'acme' }))).toMatchObject({ status: 200 })
  })
})

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
