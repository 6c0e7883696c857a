import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { get } from 'node:http'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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
import { waitFor } from '../support/wait-for.ts'

/** What went wrong elsewhere, each under its number in the collection of pitfalls (§7). */
describe('pitfalls of an authorization server (§7)', () => {
  let world: OAuthWorld
  let ada: Person

  beforeAll(async () => {
    world = await startOAuthWorld()
    ada = await world.engineer()
  })
  afterAll(() => world?.close())

  const now = () => Math.floor(Date.now() / 1_000)

  it('§7.1, §7.2: a public client is let in where it was registered as one, and its token is for one server and short', async () => {
    await world.admin.post('/clients', { preset: 'claude-chat' })
    const { items } = await world.admin.get('/clients')
    const { id } = items.find(({ preset }: { preset: string }) => preset === 'claude-chat')
    const answer = await world.redeem(await world.mint(ada, { client_id: id }), {}, { form: { client_id: id } })
    expect(answer).toMatchObject({ status: 200, body: { resource: resourceOf('linear') } })
    expect(await world.admin.introspect(answer.body.access_token, { server: 'figma' })).toEqual({ active: false })
  })

  it('§7.3: a client that is registered for Basic may send its secret in the body', async () => {
    const form = { client_id: 'claude', client_secret: world.claudeSecret }
    expect(await world.redeem(await world.mint(ada), {}, { form })).toMatchObject({ status: 200 })
  })

  it('§7.5: every hop has its line, refused or not, and says whose it is as far as that is known', async () => {
    const at = world.tenure.log.length
    const [metadata, keys] = ['/.well-known/oauth-authorization-server', '/oauth2/jwks']
    for (const path of [metadata, keys]) await fetch(world.tenure.url + path)
    await world.redeem('not-a-jwt', {}, basic('nobody', 'wrong'))
    await world.redeem('not-a-jwt')
    const { body } = await world.redeem(await world.mint(ada))
    await world.asLinear.introspect(body.access_token)
    const lines = () => world.tenure.log.slice(at).filter(({ msg }) => msg === 'request.served')
    // A line is written when the connection has it, which the caller may see a little sooner.
    await waitFor(() => lines().length === 6, { what: 'every hop to be logged' })
    const token = { path: '/oauth2/token' }
    const granted = lines()[4]!.grantId
    expect(granted).toMatch(/^grt_/)
    expect(lines()).toMatchObject([
      { path: metadata, status: 200 },
      { path: keys, status: 200 },
      { ...token, status: 401, error: 'invalid_client', reason: expect.stringMatching(/^client_/) },
      { ...token, status: 400, error: 'invalid_grant', reason: 'malformed', client: 'claude' },
      { ...token, status: 200, client: 'claude', issuer: world.idp.issuer, userId: ada.id, serverId: 'linear' },
      { path: '/oauth2/introspect', status: 200, serverId: 'linear', grantId: granted, active: true },
    ])
    expect(new Set(lines().map(({ requestId }) => requestId)).size).toBe(6)
  })

  it('§7.6, §7.30: resource may be missing from the request, and be a text or a list in the ID-JAG', async () => {
    for (const resource of [resourceOf('linear'), [resourceOf('linear')]])
      for (const form of [{}, { resource: resourceOf('linear') }])
        expect(await world.redeem(await world.mint(ada, { resource }), form)).toMatchObject({ status: 200 })
  })

  it('§7.6: resource may be missing from the ID-JAG too, where there is but one server', async () => {
    await world.admin.delete('/servers/figma')
    for (const form of [{}, { resource: resourceOf('linear') }])
      expect(await world.redeem(await world.mint(ada, { resource: undefined }), form)).toMatchObject({
        status: 200,
        body: { resource: resourceOf('linear') },
      })
    await world.admin.post('/servers', { id: 'figma-2', name: 'Figma', resource: resourceOf('figma'), connectors: [] })
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, { resource: undefined })), 'resource_unnamed')
  })

  it('§7.7, §7.34: several audiences, and any confirmation, are refused', async () => {
    const twoAudiences = { aud: [world.tenure.url, 'https://elsewhere.example'] }
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, twoAudiences)), 'audience')
    for (const cnf of [{ jkt: 'x' }, { 'x5t#S256': 'x' }, { whatever: 1 }, 'x', null])
      expectInvalidGrant(world, await world.redeem(await world.mint(ada, { cnf })), 'confirmation_unsupported')
  })

  it('§7.8, §7.37: one that is about to expire is remembered for as long as it is accepted, and no jti is too long to be kept', async () => {
    const [jti, exp] = [randomUUID(), now() - 30]
    const dying = await world.mint(ada, { jti, iat: now() - 300, exp })
    expect(await world.redeem(dying)).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(dying), 'reused')
    const { rows } = await world.owner.query('select expires_at from assertion_use where jti_hash = sha256($1)', [
      Buffer.from(jti),
    ])
    // Beyond the 60 s for which it is accepted, as many for a process whose clock is behind the database's.
    expect(rows[0].expires_at.getTime()).toBe((exp + 120) * 1_000)
    const long = await world.mint(ada, { jti: 'j'.repeat(256) })
    expect(await world.redeem(long)).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(long), 'reused')
  })

  it('§7.8: what is refused leaves nothing behind, however much of it there is', async () => {
    const count = async () => (await world.owner.query('select count(*)::int as n from assertion_use')).rows[0].n
    const before = await count()
    const key = await world.idp.makeKey()
    for (let n = 0; n < 20; n++) await world.redeem(await world.mint(ada, {}, { key }))
    for (let n = 0; n < 5; n++) await world.redeem(await world.mint({ ...ada, externalId: `nobody-${n}` }))
    expect(await count()).toBe(before)
  })

  it('§7.10: a scope of the same name at another server is not this one', async () => {
    const person = await world.join()
    await world.admin.post('/servers', { id: 'other', name: 'Other', resource: resourceOf('other'), connectors: [] })
    const when = `userName eq "${person.userName}"`
    await world.admin.put('/rules/other-admin', { directory: 'acme', server: 'other', when, scopes: ['admin'] })
    await world.admin.put('/rules/linear-read', { directory: 'acme', server: 'linear', when, scopes: ['read'] })
    const scope = 'read admin'
    expect((await world.redeem(await world.mint(person, { scope }))).body.scope).toBe('read')
    const atOther = await world.redeem(await world.mint(person, { scope, resource: resourceOf('other') }))
    expect(atOther.body.scope).toBe('admin')
    expect(await world.asLinear.introspect(atOther.body.access_token)).toEqual({ active: false })
  })

  it('§7.12: the resource, or the token endpoint, is no audience', async () => {
    for (const aud of [resourceOf('linear'), `${world.tenure.url}/oauth2/token`, world.tenure.url.toUpperCase()])
      expectInvalidGrant(world, await world.redeem(await world.mint(ada, { aud })), 'audience')
  })

  it("§7.15: the client is known by its id here, whatever the identity provider's id for it is", async () => {
    const assertion = await world.mint(ada, {
      client_id: 'claude',
      azp: '0oa-claude-at-okta',
      cid: '0oa-claude-at-okta',
    })
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
    const foreign = await world.mint(ada, { client_id: '0oa-claude-at-okta' })
    expectInvalidGrant(world, await world.redeem(foreign), 'client')
  })

  it('§7.16: a slash at the end makes another issuer, and another resource', async () => {
    const slashed = { iss: `${world.idp.issuer}/` }
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, slashed)), 'issuer_unknown')
    const resource = `${resourceOf('linear')}/`
    expectRefused(await world.redeem(await world.mint(ada), { resource }), 400, 'invalid_target')
  })

  it('§7.17: the issuer is what was configured, whatever a proxy says in its headers', async () => {
    const headers = {
      forwarded: 'host=evil.example;proto=https',
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-prefix': '/evil',
      'x-forwarded-proto': 'https',
    }
    const request = get(`${world.tenure.url}/.well-known/oauth-authorization-server`, { headers })
    const [answer] = await once(request, 'response')
    const metadata = await json(answer)
    expect(metadata).toMatchObject({ issuer: world.tenure.url, token_endpoint: `${world.tenure.url}/oauth2/token` })
    expect(JSON.stringify(metadata)).not.toContain('evil')
  })

  it('§7.20, §7.33: scope may be sent, and is always said back', async () => {
    const person = await world.engineer()
    for (const [scope, granted] of [
      [undefined, 'read write'],
      ['read', 'read'],
      ['write read', 'read write'],
      ['read beyond', 'read'],
    ] as const)
      expect((await world.redeem(await world.mint(person), { scope })).body.scope).toBe(granted)
  })

  it('§7.22: after a cut the second, silent attempt of a client is refused like the first', async () => {
    const person = await world.engineer()
    await world.redeem(await world.mint(person))
    await world.okta.setActive(person.id, false)
    for (const _attempt of [1, 2])
      expectInvalidGrant(world, await world.redeem(await world.mint(person)), 'user_inactive')
    const { items } = await world.admin.get(`/grants?user=${person.id}`)
    expect(items).toHaveLength(1)
  })

  it('§7.24: attempts that come doubled are refused alike, write nothing, and lock nobody out', async () => {
    const person = await world.engineer()
    await world.redeem(await world.mint(person))
    await world.okta.setActive(person.id, false)
    const written = async () => {
      const counts = ['access_grant', 'assertion_use', 'ledger_entry', 'lifecycle_event', 'delivery']
        .map((table) => `(select count(*)::int from ${table}) as ${table}`)
        .join()
      return (await world.owner.query(`select ${counts}`)).rows[0]
    }
    const [before, at] = [await written(), world.tenure.log.length]
    for (let n = 0; n < 5; n++) {
      const assertion = await world.mint(person)
      const [first, second] = await Promise.all([world.redeem(assertion), world.redeem(assertion)])
      expectInvalidGrant(world, first, 'user_inactive')
      expect(second.body).toEqual(first.body)
    }
    expect(await written()).toEqual(before)
    const lines = () => world.tenure.log.slice(at).filter(({ path }) => path === '/oauth2/token')
    await waitFor(() => lines().length === 10, { what: 'every attempt to be logged' })
    for (const line of lines())
      expect(line).toMatchObject({ client: 'claude', userId: person.id, reason: 'user_inactive' })
    await world.okta.setActive(person.id, true)
    const { notBefore } = await world.admin.get(`/users/${person.id}`)
    // Not from the second of the cut, of which nothing is taken.
    const iat = Math.floor(Date.parse(notBefore) / 1_000) + 1
    const back = await world.mint(person, { iat, exp: iat + 300 })
    expect(await world.redeem(back)).toMatchObject({ status: 200 })
  })

  it('§7.25: Basic with an id that is a URL is read raw and encoded', async () => {
    const id = 'https://agent.example/oauth/client'
    const { secret } = await world.admin.post('/clients', { id, auth: 'client_secret_basic' })
    for (const sent of [id, encodeURIComponent(id)])
      expect(await world.redeem(await world.mint(ada, { client_id: id }), {}, basic(sent, secret))).toMatchObject({
        status: 200,
      })
  })

  it('§7.27: a recycled address inherits nothing', async () => {
    const userName = 'recycled@acme.example'
    const issuer = `${world.idp.issuer}/by-email`
    const given = { issuer, jwksUri: world.idp.jwksUri, subject: 'email' }
    await world.admin.put('/directories/acme/issuers/by-email', given)
    const join = async (externalId: string) => {
      const { id } = await world.okta.createUser(userName, { externalId })
      await world.okta.addMembers(world.engineering, id)
      return { id, userName, externalId }
    }
    const first = await join('00u-first')
    const byEmail = () => world.mint(first, { iss: issuer, sub: userName })
    const old = await world.redeem(await byEmail())
    expect(old.status).toBe(200)
    await world.okta.send('DELETE', `/Users/${first.id}`)
    const second = await join('00u-second')
    const young = await world.redeem(await byEmail())
    expect((await world.admin.introspect(young.body.access_token)).sub).toBe(second.id)
    expect(await world.admin.introspect(old.body.access_token)).toEqual({ active: false })
  })

  it('§7.28: a sub is unique only together with its tenant', async () => {
    const given = { issuer: `${world.idp.issuer}/shared`, jwksUri: world.idp.jwksUri, subject: 'externalId' }
    await world.admin.put('/directories/acme/issuers/shared', { ...given, tenant: 'acme-tenant' })
    const claims = { iss: given.issuer }
    expect(await world.redeem(await world.mint(ada, { ...claims, tenant: 'acme-tenant' }))).toMatchObject({
      status: 200,
    })
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, { ...claims, tenant: 'x' })), 'issuer_unknown')
    expectInvalidGrant(world, await world.redeem(await world.mint(ada, claims)), 'issuer_unknown')
  })

  it('§7.29: a joiner who is ahead of SCIM is refused, and the retry is good', async () => {
    const early = { id: '', userName: 'ahead@acme.example', externalId: '00u-ahead' }
    expectInvalidGrant(world, await world.redeem(await world.mint(early)), 'subject_unknown')
    const { id } = await world.okta.createUser(early.userName, { externalId: early.externalId })
    await world.okta.addMembers(world.engineering, id)
    expect(await world.redeem(await world.mint(early))).toMatchObject({ status: 200 })
  })

  it('§7.32: a fresh auth_time opens nothing that a cut has closed', async () => {
    const person = await world.engineer()
    await world.admin.post(`/users/${person.id}/cut`)
    const { notBefore } = await world.admin.get(`/users/${person.id}`)
    const iat = Math.floor(Date.parse(notBefore) / 1_000)
    const assertion = await world.mint(person, { iat, exp: iat + 300, auth_time: iat + 30 })
    expectInvalidGrant(world, await world.redeem(assertion), 'issued_before_cut')
  })

  it('§7.38: an identity provider that goes on after SCIM has spoken helps nobody, nor does a token that is out', async () => {
    const person = await world.engineer()
    const out = (await world.redeem(await world.mint(person))).body.access_token
    await world.okta.setActive(person.id, false)
    const { notBefore } = await world.admin.get(`/users/${person.id}`)
    const iat = Math.floor(Date.parse(notBefore) / 1_000) + 2
    const later = await world.mint(person, { iat, exp: iat + 300 })
    expectInvalidGrant(world, await world.redeem(later), 'user_inactive')
    expect(await world.asLinear.introspect(out)).toEqual({ active: false })
  })

  it('§7.50: another JWT for the same grant type is declined, and nothing is looked at before the client is known', async () => {
    const plain = await world.mint(ada, {}, { header: { typ: 'JWT' } })
    expectInvalidGrant(world, await world.redeem(plain), 'type')
    const form = { grant_type: jwtBearer, assertion: await world.mint(ada, { jti: randomUUID() }) }
    const answer = await postForm(`${world.tenure.url}/oauth2/token`, form)
    expectRefused(answer, 401, 'invalid_client')
    expect(world.lastLine().jtiHash).toBeUndefined()
  })
})
