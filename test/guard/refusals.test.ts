import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGuard } from '../../src/guard/guard.ts'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { resource, type StandIn, secondsAgo, startStandIn } from './stand-in.ts'

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
  app = await startGuardedApp({ ...tenure.options, scopes: ['read'], scopesSupported: ['read', 'write'] })
})
afterEach(async () => {
  await app.close()
  await tenure.close()
})

const metadata = 'resource_metadata="http://127.0.0.1/.well-known/oauth-protected-resource/mcp"'

describe('who is let in', () => {
  it('is in req.auth, as the MCP SDK hands it on', async () => {
    const expiresAt = secondsAgo(-600)
    const { status, headers, body } = await app.get(tenure.issue({ exp: expiresAt, scope: 'read' }))
    expect(status).toBe(200)
    expect(body).toEqual({
      userId: 'ada',
      clientId: 'claude',
      scopes: ['read'],
      expiresAt,
      resource,
      resourceMetadataUrl: 'http://127.0.0.1/.well-known/oauth-protected-resource/mcp',
    })
    expect(headers.get('cache-control')).toBe('no-store')
  })
})

describe('refusals (RFC 6750 §3, RFC 9728 §5.1)', () => {
  it('answers 401 without an error to a call without a token', async () => {
    const { status, headers, body } = await app.get()
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe(`Bearer scope="read write", ${metadata}`)
    expect(body).toEqual({ error: 'invalid_token', error_description: 'An access token is needed' })
    expect(tenure.asked).toEqual([])
  })

  it.each<[string, () => string | Promise<string>]>([
    ['unknown', () => 'tnr_at_never-issued'],
    ['expired', () => tenure.issue({ exp: secondsAgo(1) })],
    ['revoked', () => revoked()],
    ['for another resource', () => tenure.issue({ aud: `${resource}/` })],
    ['for several resources', () => tenure.issue({ aud: [resource, 'https://other.example/mcp'] })],
    ['of another issuer', () => tenure.issue({ iss: 'https://other.example' })],
    ['bound to a key', () => tenure.issue({ cnf: { jkt: 'thumbprint' } })],
    ['an ID-JAG, even one that introspects', () => tenure.issueJwt({}, { typ: 'oauth-id-jag+jwt' })],
    ['an ID-JAG by its full media type', () => tenure.issueJwt({}, { typ: 'application/OAuth-ID-JAG+jwt' })],
  ])('answers 401 invalid_token to a token that is %s', async (_what, token) => {
    const { status, headers, body } = await app.get(await token())
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toMatch(
      /^Bearer error="invalid_token", error_description="[^"]+", scope="read write", /,
    )
    expect(headers.get('www-authenticate')).toContain(metadata)
    expect(body.error).toBe('invalid_token')
  })

  it('answers 403 insufficient_scope with every scope that is needed', async () => {
    const { status, headers, body } = await app.get(tenure.issue({ scope: 'write' }))
    expect(status).toBe(403)
    expect(headers.get('www-authenticate')).toBe(
      `Bearer error="insufficient_scope", error_description="The access token has too few scopes", scope="read", ${metadata}`,
    )
    expect(body.error).toBe('insufficient_scope')
  })

  it.each<[string, () => string]>([
    ['expired', () => tenure.issue({ scope: 'write', exp: secondsAgo(1) })],
    ['revoked', () => revoked({ scope: 'write' })],
  ])('answers 401, not 403, to a token with too few scopes that is %s too', async (_what, token) => {
    expect((await app.get(token())).status).toBe(401)
  })

  it.each(['Bearer', 'Bearer ', 'Bearer a b', 'Bearer a"b', 'bearer  =='])(
    'answers 400 to %j, and asks nobody',
    async (authorization) => {
      const { status, body } = await app.get(undefined, { authorization })
      expect(status).toBe(400)
      expect(body.error).toBe('invalid_request')
      expect(tenure.asked).toEqual([])
    },
  )

  it('takes a token from the header only', async () => {
    const token = tenure.issue()
    expect((await app.get(undefined, {}, `?access_token=${token}`)).status).toBe(401)
    expect((await app.get(undefined, { authorization: `Basic ${token}` })).status).toBe(401)
    expect((await app.get(undefined, { authorization: `bEARER ${token}` })).status).toBe(200)
  })

  it('tells an operator of tokens for somebody else, and the caller nothing', async () => {
    const { body } = await app.get(tenure.issue({ aud: 'https://other.example/mcp' }))
    expect(JSON.stringify(body)).not.toContain('other')
    expect(app.errors).toEqual([expect.objectContaining({ code: 'ERR_GUARD_MISMATCH' })])
    expect(app.errors[0]!.message).toContain('https://other.example/mcp')
  })

  it('needs other scopes where a route says so', async () => {
    const other = await startGuardedApp({ ...tenure.options, scopes: ['read'] }, { scopes: ['admin'] })
    expect((await other.get(tenure.issue())).status).toBe(403)
    expect((await other.get(tenure.issue({ scope: 'admin' }))).status).toBe(200)
    await other.close()
  })

  function revoked(fields = {}): string {
    const token = tenure.issue(fields)
    tenure.revoke(token)
    return token
  }
})

describe('createGuard', () => {
  const good = { tenure: 'https://tenure.example', resource, clientId: 'srv_1', clientSecret: 'secret' }

  it.each<[string, object]>([
    ['tenure', { tenure: 'tenure.example' }],
    ['tenure', { tenure: 'http://tenure.example' }],
    ['tenure', { tenure: 'https://tenure.example?x=1' }],
    ['resource', { resource: '/mcp' }],
    ['resource', { resource: 'https://mcp.example/mcp#part' }],
    ['resource', { resource: 'https://somebody:word@mcp.example/mcp' }],
    ['clientId', { clientId: undefined }],
    ['clientSecret', { clientSecret: '' }],
    ['webhookSecret', { webhookSecret: '' }],
    ['webhookSecret', { webhookSecret: [] }],
    ['webhookSecret', { webhookSecret: 'whsec_not base64' }],
    ['scopes', { scopes: ['a b'] }],
    ['scopes', { scopes: 'read' }],
    ['scopesSupported', { scopesSupported: ['a"'] }],
    ['check', { check: 'both' }],
    ['whenUnreachable', { whenUnreachable: 'ajar' }],
    ['recheckSeconds', { recheckSeconds: 0 }],
    ['timeoutSeconds', { timeoutSeconds: Number.NaN }],
  ])('refuses a wrong %s: %j', (name, options) => {
    expect(() => createGuard({ ...good, ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_GUARD_OPTIONS', message: expect.stringMatching(`^${name} `) }),
    )
  })

  it('takes no webhook without a secret to verify it with', () => {
    expect(() => createGuard(good).webhook()).toThrow(expect.objectContaining({ code: 'ERR_GUARD_OPTIONS' }))
  })

  it('says nothing of a secret that it cannot use', () => {
    expect(() => createGuard({ ...good, webhookSecret: 'whsec_never-to-be-said!' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('never-to-be-said') }),
    )
  })
})
