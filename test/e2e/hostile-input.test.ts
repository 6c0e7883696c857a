import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ScimClient } from '../support/clients.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { adminKey, type RunningTenure, registerDirectory, registerServer, runTenure } from '../support/tenure.ts'

/** What a careless script or a prober sends: every answer is a 4xx in the surface's own form, and nothing is done. */
describe('hostile input', () => {
  let database: TestDatabase
  let tenure: RunningTenure
  let okta: ScimClient

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
    okta = await registerDirectory(tenure.admin, 'acme')
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  const call = (path: string, options: RequestInit = {}) =>
    fetch(`${tenure.url}${path}`, { ...options, headers: { authorization: `Bearer ${adminKey}`, ...options.headers } })
  const json = (body: unknown): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

  it.each(['/jobs/replay', '/directories/acme/tokens', '/directories'])(
    'does not take a body in another form for an empty one: POST %s',
    async (path) => {
      const tokens = await tenure.admin.get('/directories/acme/tokens')
      const answer = await call(`/admin/v1${path}`, { method: 'POST', body: new URLSearchParams({ server: 'x' }) })
      expect(answer.status).toBe(415)
      expect(answer.headers.get('content-type')).toContain('application/problem+json')
      expect(await tenure.admin.get('/directories/acme/tokens')).toEqual(tokens)
    },
  )

  it.each(['/grants?sate=active', '/deliveries?state=lost', '/events?user=ada', '/users?directory=acme&filtr=x'])(
    'does not pass over a query it does not know: GET %s',
    async (path) => {
      expect((await call(`/admin/v1${path}`)).status).toBe(422)
    },
  )

  it.each([
    ['/admin/v1/directories/%00', {}],
    ['/admin/v1/servers/%00', {}],
    ['/admin/v1/rules/%00', {}],
    ['/admin/v1/deliveries/%00', {}],
    ['/admin/v1/users/%00', {}],
    ['/admin/v1/rules?server=%00', {}],
    ['/admin/v1/directories?cursor=AA', {}],
    ['/admin/v1/jobs/%00/replay', { method: 'POST' }],
    ['/admin/v1/directories/acme/tokens', json({ label: 'a\0b' })],
    [
      '/admin/v1/grants',
      json({
        directory: 'acme\0',
        user: { userName: 'x' },
        server: 's',
        client: 'c',
        scopes: [],
        jti: 'j',
        expiresAt: '2030-01-01T00:00:00Z',
      }),
    ],
    ['/oauth2/introspect', { method: 'POST', body: new URLSearchParams({ token: '\0', token_type_hint: 'jti' }) }],
    ['/oauth2/introspect', { method: 'POST', body: new URLSearchParams({ token: 'x', server: '\0' }) }],
    ['/oauth2/revoke', { method: 'POST', body: new URLSearchParams({ token: '\0', token_type_hint: 'jti' }) }],
    ['/oauth2/revoke', { method: 'POST', body: new URLSearchParams({ sub: '\0' }) }],
    ['/oauth2/token', { method: 'POST', body: new URLSearchParams({ client_id: '\0' }) }],
    ['/oauth2/token', { method: 'POST', body: new URLSearchParams({ client_id: 'x', client_secret: '\0' }) }],
  ] as Array<[string, RequestInit]>)('answers a NUL with a refusal: %s', async (path, options) => {
    const { status } = await call(path, options)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
  })

  it('answers a NUL in credentials as it answers wrong ones', async () => {
    const authorization = `Basic ${Buffer.from('\0:x').toString('base64')}`
    const options = { method: 'POST', headers: { authorization }, body: new URLSearchParams({ token: 'x' }) }
    expect((await call('/oauth2/introspect', options)).status).toBe(401)
    expect((await call('/admin/v1/users', { headers: { authorization } })).status).toBe(401)
  })

  it('answers a path that cannot be decoded, and a body that cannot be inflated, with 400', async () => {
    expect((await call('/admin/v1/users/%ff')).status).toBe(400)
    const options = {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: 'no gzip',
    }
    expect((await call('/admin/v1/directories', options)).status).toBe(400)
    const scim = await fetch(`${okta.base}/Users/%ff`, { headers: { authorization: `Bearer ${okta.token}` } })
    expect(scim.status).toBe(400)
    expect(await scim.json()).toMatchObject({ status: '400' })
  })

  it.each(['jobs', 'events', 'users?directory=acme', 'entitlements', 'deliveries', 'grants'])(
    'refuses a cursor that the list has not given out: %s',
    async (list) => {
      const cursor = Buffer.from('rubbish\0 1e300').toString('base64url')
      const answer = await call(`/admin/v1/${list}${list.includes('?') ? '&' : '?'}cursor=${cursor}`)
      expect(answer.status).toBe(422)
      expect(await answer.json()).toMatchObject({ errors: [{ field: 'cursor' }] })
    },
  )

  it.each([
    ['users?directory=acme', '-'.repeat(36)],
    ['users?directory=acme', '0'.repeat(36)],
    ['entitlements', `${'-'.repeat(36)} linear`],
    ['jobs', '2026-99-99T99:99Z dlv_x'],
    ['jobs', '2026-02-03T04:05:06Z'],
  ])('refuses a cursor of the right shape that makes no sense: %s at %s', async (list, key) => {
    const cursor = Buffer.from(key).toString('base64url')
    const answer = await call(`/admin/v1/${list}${list.includes('?') ? '&' : '?'}cursor=${cursor}`)
    expect(answer.status).toBe(422)
    expect(await answer.json()).toMatchObject({ errors: [{ field: 'cursor' }] })
  })

  it('gives out nothing that has expired already', async () => {
    const { receiver } = await registerServer(tenure.admin, 'asana')
    const expiresAt = new Date(Date.now() - 1_000).toISOString()
    for (const [path, body] of [
      ['/keys', { name: 'past' }],
      ['/directories/acme/tokens', {}],
      ['/servers/asana/credentials', {}],
    ] as const) {
      const before = await tenure.admin.get(path)
      const answer = await tenure.admin.send('POST', path, { ...body, expiresAt })
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'expiresAt' }] } })
      expect(await tenure.admin.get(path)).toEqual(before)
    }
    await receiver.close()
  })

  it.each([
    ['a list', () => call('/admin/v1/keys')],
    ['a secret', () => call('/admin/v1/directories/acme/tokens', json({}))],
    ['a refusal', () => call('/admin/v1/rules/none')],
    ['a key that opens nothing', () => fetch(`${tenure.url}/admin/v1/keys`)],
  ])('lets no cache keep %s', async (_what, ask) => {
    expect((await ask()).headers.get('cache-control')).toBe('no-store')
  })

  it('makes rules without a directory in parallel without running out of connections', async () => {
    const { receiver } = await registerServer(tenure.admin, 'linear')
    const rules = Array.from({ length: 60 }, (_, index) =>
      tenure.admin.put(`/rules/r${index}`, { server: 'linear', when: 'active eq true', scopes: ['read'] }),
    )
    expect(await Promise.all(rules)).toHaveLength(60)
    await receiver.close()
  })
})
