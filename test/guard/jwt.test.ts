import { generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { resource, type StandIn, secondsAgo, startStandIn } from './stand-in.ts'

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
  app = await startGuardedApp({ ...tenure.options, check: 'jwt', scopes: ['read'] })
})
afterEach(async () => {
  await app.close()
  await tenure.close()
})

describe('JWT access tokens (RFC 9068 §4)', () => {
  it('lets in without asking, and reads the keys once', async () => {
    for (let call = 0; call < 3; call++) {
      const { status, body } = await app.get(await tenure.issueJwt())
      expect(status).toBe(200)
      expect(body).toMatchObject({ userId: 'ada', clientId: 'claude', scopes: ['read', 'write'] })
    }
    expect(tenure.asked).toEqual([])
    expect(tenure.keysRead).toBe(1)
  })

  it('takes the type by its full name, and an audience in a list of one', async () => {
    const token = await tenure.issueJwt({ aud: [resource] }, { typ: 'application/AT+jwt' })
    expect((await app.get(token)).status).toBe(200)
  })

  it.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['an ID-JAG', {}, { typ: 'oauth-id-jag+jwt' }],
    ['an ID token', {}, { typ: 'JWT' }],
    ['of no type', {}, { typ: undefined }],
    ['of another issuer', { iss: 'https://other.example' }],
    ['of an issuer that only looks the same', { iss: 'SLASH' }],
    ['for another resource', { aud: 'https://other.example/mcp' }],
    ['for a resource with a slash more', { aud: `${resource}/` }],
    ['for several', { aud: [resource, 'https://other.example/mcp'] }],
    ['for nobody', { aud: undefined }],
    ['expired', { exp: secondsAgo(1) }],
    ['without an end', { exp: undefined }],
    ['not yet valid', { nbf: secondsAgo(-60) }],
    ['issued in the future', { iat: secondsAgo(-600) }],
    ['without iat', { iat: undefined }],
    ['without sub', { sub: undefined }],
    ['without client_id', { client_id: undefined }],
    ['without jti', { jti: undefined }],
    ['with scopes in a list', { scope: ['read'] }],
    ['bound to a key', { cnf: { jkt: 'thumbprint' } }],
    ['signed by a key that is unknown', {}, { kid: 'key-2' }],
    ['with a critical header that is unknown', {}, { crit: ['b'], b: 1 }],
  ])('refuses one that is %s', async (_what, claims, header = {}) => {
    if (claims.iss === 'SLASH') claims.iss = `${tenure.url}/`
    const { status, headers } = await app.get(await tenure.issueJwt(claims, header))
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(tenure.asked).toEqual([])
  })

  it.each<[string, () => Promise<string>]>([
    ['by somebody else', () => forged('ES256')],
    ['with an HMAC of the public key', () => hmac()],
    ['by nobody', async () => unsigned()],
    ['and changed since', () => changed()],
    ['and opaque', async () => tenure.issue()],
  ])('refuses one that is signed %s', async (_what, token) => {
    expect((await app.get(await token())).status).toBe(401)
  })

  it('refuses too few scopes with 403, and an expired token with too few scopes with 401', async () => {
    expect((await app.get(await tenure.issueJwt({ scope: 'write' }))).status).toBe(403)
    expect((await app.get(await tenure.issueJwt({ scope: 'write', exp: secondsAgo(1) }))).status).toBe(401)
    expect((await app.get(await tenure.issueJwt({ scope: undefined }))).status).toBe(403)
  })

  it('reads the keys at most once in 30 s for keys that are unknown', async () => {
    for (let call = 0; call < 5; call++) await app.get(await tenure.issueJwt({}, { kid: `key-${call + 2}` }))
    expect(tenure.keysRead).toBe(1)
  })

  const payload = () => ({ iss: tenure.url, aud: resource, sub: 'ada', client_id: 'claude', jti: 'a', scope: 'read' })

  async function forged(alg: string): Promise<string> {
    const { privateKey } = await generateKeyPair(alg)
    return sign(privateKey, { alg, typ: 'at+jwt', kid: 'key-1' })
  }

  async function hmac(): Promise<string> {
    const keys = await (await fetch(`${tenure.url}/oauth2/jwks`)).text()
    return sign(new TextEncoder().encode(keys), { alg: 'HS256', typ: 'at+jwt', kid: 'key-1' })
  }

  function sign(key: Parameters<SignJWT['sign']>[0], header: { alg: string; [name: string]: string }): Promise<string> {
    return new SignJWT(payload()).setProtectedHeader(header).setIssuedAt().setExpirationTime('1h').sign(key)
  }

  function unsigned(): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const times = { iat: secondsAgo(0), exp: secondsAgo(-60) }
    return `${part({ alg: 'none', typ: 'at+jwt' })}.${part({ ...payload(), ...times })}.`
  }

  async function changed(): Promise<string> {
    const [header, , signature] = (await tenure.issueJwt()).split('.')
    const [, other] = (await tenure.issueJwt({ sub: 'eve' })).split('.')
    return `${header}.${other}.${signature}`
  }
})

describe('JWT access tokens with a webhook', () => {
  beforeEach(async () => {
    await app.close()
    app = await startGuardedApp({ ...tenure.options, check: 'jwt', webhookSecret: tenure.webhookSecret })
  })

  it('are looked up once when they were issued before the guard began to listen', async () => {
    const token = await tenure.issueJwt({ iat: secondsAgo(60) })
    for (let call = 0; call < 3; call++) expect((await app.get(token)).status).toBe(200)
    expect(tenure.asked).toEqual([token])
  })

  it('are looked up once more whenever a webhook has spoken of their user, and not for what it says of others', async () => {
    const iat = secondsAgo(-20)
    const at = new Date((iat + 1) * 1_000)
    const [ada, bob] = [await tenure.issueJwt({ iat }), await tenure.issueJwt({ iat, sub: 'bob' })]
    for (const token of [ada, bob]) expect((await app.get(token)).status).toBe(200)
    expect(tenure.asked).toEqual([])
    for (const round of [1, 2]) {
      await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'], at })
      for (const token of [ada, bob, ada]) expect((await app.get(token)).status).toBe(200)
      expect(tenure.asked).toEqual(Array(round).fill(ada))
    }
    tenure.revoke(ada)
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'], at })
    expect((await app.get(ada)).status).toBe(401)
    expect((await app.get(bob)).status).toBe(200)
  })

  it('of a leaver are refused without asking', async () => {
    const token = await tenure.issueJwt()
    await tenure.tell(app.webhookUrl)
    expect((await app.get(token)).status).toBe(401)
    expect(tenure.asked).toEqual([])
  })
})
