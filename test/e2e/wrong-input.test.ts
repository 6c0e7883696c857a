import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { AdminClient, type Answer, type Json, ScimClient, ServerClient } from '../support/clients.ts'
import { connect, createDatabase, createEmptyDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts'
import { startTenure } from '../support/processes.ts'
import {
  adminKey,
  environment,
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
  secretKey,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const scimError = 'urn:ietf:params:scim:api:messages:2.0:Error'

describe('wrong input', () => {
  let backend: RunningBackend
  let tenure: RunningTenure
  let okta: ScimClient
  let linear: RegisteredServer
  const secrets: Record<string, string> = { adminKey, secretKey }
  const answers: string[] = []

  /** The answer as it came, kept for the search for secrets at the end. */
  async function request(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<Answer> {
    const response = await fetch(`${tenure.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) })
    const text = await response.text()
    answers.push([...response.headers].flat().join('\n'), text)
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
  }

  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const basic = (id: string, secret: string) => ({
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
  })
  const json = { 'content-type': 'application/json' }
  const asAdmin = (method: string, path: string, body?: unknown) =>
    request(
      method,
      `/admin/v1${path}`,
      { ...bearer(adminKey), ...json },
      body === undefined ? undefined : JSON.stringify(body),
    )

  beforeAll(async () => {
    backend = await backends()[0]!.start()
    tenure = await runTenure('all', backend.database, { LOG_LEVEL: 'trace' })
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    const { connectors } = await tenure.admin.post('/servers', {
      id: 'told',
      name: 'told',
      resource: 'https://told.example/mcp',
      connectors: [{ type: 'webhook', url: linear.receiver.url }],
    })
    const { clientId, clientSecret } = await tenure.admin.post('/servers/linear/credentials')
    Object.assign(secrets, {
      scimToken: okta.token,
      signingSecret: connectors[0].signingSecret,
      clientId,
      clientSecret,
    })
    await tenure.admin.put('/rules/everyone', { server: 'linear', when: 'active eq true', scopes: ['read'] })
  })
  afterAll(async () => {
    await tenure?.close()
    await linear?.receiver.close()
    await backend?.stop()
  })

  describe('credentials', () => {
    it.each([
      ['no token', {}],
      ['an empty one', { authorization: 'Bearer ' }],
      ['a made-up one', bearer('scim_of-nobody')],
      ['an admin key', bearer(adminKey)],
      ['basic credentials', basic('okta', 'secret')],
    ])('answers SCIM with %s: 401, a SCIM error, WWW-Authenticate', async (_what, headers) => {
      for (const path of ['/Users', '/Users/x', '/Groups', '/Schemas', '/nothing']) {
        for (const directory of ['acme', 'nobody']) {
          const answer = await request('GET', `/directories/${directory}/scim/v2${path}`, headers)
          expect(answer.status).toBe(401)
          expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
          expect(answer.headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
          expect(answer.body).toEqual({ schemas: [scimError], status: '401', detail: expect.any(String) })
        }
      }
    })

    it.each([
      ['no key', {}],
      ['a made-up key', bearer('not-the-admin-key-of-this-run')],
      ['credentials of nobody', basic('srv_nobody', 'cred_nobody')],
    ])('answers the admin API with %s: 401, a problem', async (_what, headers) => {
      for (const path of ['/servers', '/grants', '/nothing']) {
        const answer = await request('GET', `/admin/v1${path}`, headers)
        expect(answer.status).toBe(401)
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
        expect(answer.headers.get('content-type')).toMatch('application/problem+json')
        expect(answer.body).toMatchObject({ status: 401, title: 'Unauthorized' })
      }
    })

    it("refuses a server's wrong secret, and a directory's token where an admin key belongs", async () => {
      const wrong = [
        basic(secrets.clientId!, 'cred_wrong'),
        basic('srv_nobody', secrets.clientSecret!),
        bearer(okta.token),
      ]
      for (const headers of wrong) {
        expect((await request('POST', '/admin/v1/grants', { ...headers, ...json }, '{}')).status).toBe(401)
      }
    })

    it.each([
      ['nothing', {}],
      ['a made-up key', bearer('not-the-admin-key-of-this-run')],
      ['credentials of nobody', basic('srv_nobody', 'cred_nobody')],
      ['malformed credentials', { authorization: 'Basic %%%' }],
    ])('answers introspection with %s: 401 invalid_client', async (_what, headers) => {
      const form = { 'content-type': 'application/x-www-form-urlencoded' }
      const answer = await request('POST', '/oauth2/introspect', { ...headers, ...form }, 'token=at-somebody')
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic/)
      expect(answer.body).toMatchObject({ error: 'invalid_client' })
    })

    it('does not answer with a token that was revoked, or has expired', async () => {
      const expiresAt = new Date(Date.now() + 300).toISOString()
      const short = await tenure.admin.post('/directories/acme/tokens', { expiresAt })
      await waitFor(async () => (await new ScimClient(okta.base, short.token).send('GET', '/Users')).status === 401, {
        what: 'the token to expire',
      })
      const revoked = await tenure.admin.post('/directories/acme/tokens', {})
      const withRevoked = new ScimClient(okta.base, revoked.token)
      expect((await withRevoked.send('GET', '/Users')).status).toBe(200)
      await tenure.admin.delete(`/directories/acme/tokens/${revoked.id}`)
      expect((await withRevoked.send('GET', '/Users')).status).toBe(401)
      secrets.revokedToken = revoked.token
      secrets.expiredToken = short.token
    })
  })

  describe('addresses', () => {
    it('knows no directory that is not there: to SCIM 404 with any valid token, to the admin API 404 or 422', async () => {
      const scim = await request('GET', '/directories/nobody/scim/v2/Users', bearer(okta.token))
      expect(scim).toMatchObject({ status: 404, body: { schemas: [scimError], status: '404' } })
      expect(await asAdmin('GET', '/directories/nobody')).toMatchObject({ status: 404, body: { status: 404 } })
      expect(await asAdmin('POST', '/directories/nobody/tokens', {})).toMatchObject({ status: 404 })
      const rule = { directory: 'nobody', server: 'linear', when: 'active eq true', scopes: ['read'] }
      expect(await asAdmin('PUT', '/rules/r', rule)).toMatchObject({
        status: 422,
        body: { errors: [{ field: 'directory' }] },
      })
    })

    it.each(['/nothing', '/admin/v1/nothing', '/oauth2/nothing', '/directories/acme'])(
      'answers 404 at %s',
      async (path) => {
        expect((await request('GET', path, bearer(adminKey))).status).toBe(404)
      },
    )

    it.each([
      ['/directories/acme/scim/v2/nothing', 404],
      ['/directories/acme/scim/v2/Users/not-an-id', 404],
      ['/directories/acme/scim/v2/Users/3f0e2c1a-0000-4000-8000-000000000000', 404],
    ])('answers SCIM at %s with %d and a SCIM error', async (path, status) => {
      const answer = await request('GET', path, bearer(okta.token))
      expect(answer).toMatchObject({ status, body: { schemas: [scimError], status: String(status) } })
    })

    it('answers a method that is not possible with 405 and what is', async () => {
      const answer = await request('DELETE', '/directories/acme/scim/v2/Users', bearer(okta.token))
      expect(answer).toMatchObject({ status: 405, body: { schemas: [scimError], status: '405' } })
      expect(answer.headers.get('allow')).toBe('GET, POST')
      const introspection = await request('GET', '/oauth2/introspect', bearer(adminKey))
      expect(introspection.status).toBe(405)
      expect(introspection.headers.get('allow')).toBe('POST')
    })
  })

  describe('bodies', () => {
    const malformed = ['{"userName": ', 'nonsense', '{"a":1}}', '\u0000']

    it.each(malformed)('refuses %j on every surface, once it knows who asks', async (body) => {
      const scimPath = '/directories/acme/scim/v2/Users'
      const scimJson = { 'content-type': 'application/scim+json' }
      expect((await request('POST', scimPath, scimJson, body)).status).toBe(401)
      expect(await request('POST', scimPath, { ...bearer(okta.token), ...scimJson }, body)).toMatchObject({
        status: 400,
        body: { schemas: [scimError], status: '400', scimType: 'invalidSyntax' },
      })
      expect((await request('POST', '/admin/v1/servers', json, body)).status).toBe(401)
      expect(await request('POST', '/admin/v1/servers', { ...bearer(adminKey), ...json }, body)).toMatchObject({
        status: 400,
        body: { status: 400, title: 'Bad Request' },
      })
      expect((await request('POST', '/oauth2/introspect', json, body)).status).toBe(401)
      expect(await request('POST', '/oauth2/introspect', { ...bearer(adminKey), ...json }, body)).toMatchObject({
        status: 400,
        body: { error: 'invalid_request' },
      })
    })

    it.each(['[]', '"text"', 'null', '7'])('refuses %s where an object belongs', async (body) => {
      const scim = await request('POST', '/directories/acme/scim/v2/Users', { ...bearer(okta.token), ...json }, body)
      expect(scim).toMatchObject({ status: 400, body: { status: '400' } })
      const admin = await request('POST', '/admin/v1/directories', { ...bearer(adminKey), ...json }, body)
      expect([400, 422]).toContain(admin.status)
    })

    it('refuses a body that is too large with 413, in the words of each surface', async () => {
      const large = JSON.stringify({ userName: 'x'.repeat(11 * 1024 * 1024) })
      const scim = await request('POST', '/directories/acme/scim/v2/Users', { ...bearer(okta.token), ...json }, large)
      expect(scim).toMatchObject({ status: 413, body: { schemas: [scimError], status: '413' } })
      const admin = await request('POST', '/admin/v1/servers', { ...bearer(adminKey), ...json }, large)
      expect(admin).toMatchObject({ status: 413, body: { status: 413 } })
    })

    it.each([
      ['no operator', 'userName', 'when'],
      ['an unknown attribute', 'nobody eq "x"', 'when'],
      ['an unclosed parenthesis', '(active eq true', 'when'],
      ['a wrong type', 'active gt 7', 'when'],
    ])('refuses a rule whose filter has %s, with the position', async (_what, when, field) => {
      const answer = await asAdmin('PUT', '/rules/r', { server: 'linear', when, scopes: ['read'] })
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field, message: expect.any(String) }] } })
      const { position } = answer.body.errors[0]
      expect(position).toBeGreaterThanOrEqual(0)
      expect(position).toBeLessThanOrEqual(when.length)
      expect((await asAdmin('GET', '/rules/r')).status).toBe(404)
    })

    it.each([
      ['POST', '/directories', { id: 'other', provider: 'okta', colour: 'red' }, 'colour'],
      ['POST', '/directories', { id: 'Other', provider: 'okta' }, 'id'],
      ['POST', '/directories', { id: 'other', provider: 'onelogin' }, 'provider'],
      ['POST', '/directories/acme/tokens', { lable: 'x' }, 'lable'],
      ['PUT', '/rules/r', { server: 'linear', when: 'active eq true', scopes: ['read'], scope: 'x' }, 'scope'],
      ['PUT', '/rules/r', { server: 'linear', when: 'active eq true', scopes: [] }, 'scopes'],
      ['PUT', '/rules/r', { server: 'linear', when: 'active eq true', scopes: ['a b'] }, 'scopes.0'],
      ['PUT', '/rules/r', { server: 'nobody', when: 'active eq true', scopes: ['read'] }, 'server'],
      ['POST', '/servers', { id: 's', name: 's', resource: 'https://s.example/', connectors: [], colour: 1 }, 'colour'],
      [
        'POST',
        '/servers',
        { id: 's', name: 's', resource: 'https://s.example/', connectors: [{ type: 'pigeon' }] },
        'connectors.0.type',
      ],
      [
        'POST',
        '/servers',
        {
          id: 's',
          name: 's',
          resource: 'https://s.example/',
          connectors: [{ type: 'webhook', url: 'https://s.example/', secret: 'x' }],
        },
        'connectors.0.secret',
      ],
      ['POST', '/servers', { id: 's', name: 's', resource: 'nonsense', connectors: [] }, 'resource'],
      ['POST', '/servers', { id: 's', name: 's', resource: 'https://S.example/mcp', connectors: [] }, 'resource'],
      ['POST', '/servers', { id: 's', name: 's', resource: 'https://s.example:443/mcp', connectors: [] }, 'resource'],
      ['POST', '/servers', { id: 's', name: 's', resource: 'https://s.example/a/../mcp', connectors: [] }, 'resource'],
      ['PATCH', '/servers/linear', { resource: 'HTTPS://linear.example/mcp' }, 'resource'],
      [
        'POST',
        '/grants',
        {
          directory: 'acme',
          user: { id: 'x' },
          server: 'linear',
          client: 'c',
          scopes: [],
          jti: 'j',
          expiresAt: 'tomorrow',
        },
        'expiresAt',
      ],
      [
        'POST',
        '/grants',
        {
          directory: 'acme',
          user: { id: 'x' },
          server: 'linear',
          client: 'c',
          scopes: [],
          expiresAt: '2999-01-01T00:00:00Z',
        },
        'jti',
      ],
      [
        'POST',
        '/grants',
        {
          directory: 'acme',
          user: { name: 'x' },
          server: 'linear',
          client: 'c',
          scopes: [],
          jti: 'j',
          expiresAt: '2999-01-01T00:00:00Z',
        },
        'user',
      ],
      [
        'POST',
        '/grants',
        {
          directory: 'acme',
          user: { id: 'x' },
          server: 'linear',
          client: 'c',
          scopes: [],
          jti: 'j',
          expiresAt: '2000-01-01T00:00:00Z',
        },
        'expiresAt',
      ],
    ])('refuses %s %s with %j: 422 naming %s', async (method, path, body, field) => {
      const answer = await asAdmin(method, path, body)
      expect(answer.status).toBe(422)
      expect(answer.headers.get('content-type')).toMatch('application/problem+json')
      expect(answer.body.errors.map((problem: Json) => problem.field)).toEqual([field])
    })

    describe('of a server that would be told where it must not be', () => {
      let unlisted: RunningTenure

      beforeAll(async () => {
        unlisted = await runTenure('api', backend.database, { TENURE_ALLOW_PRIVATE_TARGETS: '' })
      })
      afterAll(() => unlisted?.close())

      it.each([
        'http://10.0.0.1/hook',
        'https://10.0.0.1/hook',
        'http://169.254.169.254/',
        'https://169.254.169.254/',
        'http://[fd00:ec2::254]/latest',
        'https://127.0.0.1/',
        'https://localhost/',
        'https://[::1]/',
        'https://0x7f000001/',
        'http://hooks.example/',
        'ftp://hooks.example/',
        'https://user:pass@hooks.example/',
      ])('refuses %s: 422 naming connectors.0.url, and there is no such server', async (url) => {
        const connectors = [{ type: 'webhook', url }]
        const given = { id: 'hidden', name: 'hidden', resource: 'https://hidden.example/', connectors }
        const answer = await unlisted.admin.send('POST', '/servers', given)
        expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'connectors.0.url' }] } })
        expect((await unlisted.admin.send('GET', '/servers/hidden')).status).toBe(404)
      })
    })
  })

  // Last, over all the answers and lines of the tests above.
  it('says no secret in any answer that did not make it, nor in any line of the log', async () => {
    const { id } = await okta.createUser('ada@acme.example', { password: 'a-password-of-okta' })
    const jti = 'jti-of-ada'
    const token = 'at-ada-a-bearer'
    const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], jti, token }
    const recorded = await tenure.admin.grant(grant)
    expect(recorded.status).toBe(201)
    Object.assign(secrets, { token, password: 'a-password-of-okta' })
    const asLinear = new ServerClient(tenure.url, { clientId: secrets.clientId!, clientSecret: secrets.clientSecret! })
    answers.push(JSON.stringify([recorded.body, await asLinear.introspect(token)]))
    await asLinear.introspect(okta.token)
    await okta.setActive(id, false)
    await tenure.admin.waitUntilSettled()
    const lists = [
      '/servers',
      '/servers/told',
      '/directories',
      '/directories/acme/tokens',
      '/rules',
      '/grants',
      '/deliveries',
      '/events',
      '/stats',
    ]
    for (const path of [...lists, `/users/${id}`, `/users/${id}/timeline`, '/jobs']) {
      expect((await asAdmin('GET', path)).status, path).toBe(200)
    }
    for (const path of ['/Users', `/Users/${id}`, '/Groups', '/ServiceProviderConfig', '/Schemas']) {
      await request('GET', `/directories/acme/scim/v2${path}`, bearer(okta.token))
    }
    await request('GET', '/readyz')
    answers.push(await (await fetch(`${tenure.url}/metrics`)).text())

    const { clientId: _, ...unspoken } = secrets
    expect(Object.keys(unspoken)).toHaveLength(9)
    const log = tenure.log.map((line) => JSON.stringify(line)).join('\n')
    expect(tenure.log.length).toBeGreaterThan(100)
    for (const [name, secret] of Object.entries(unspoken)) {
      expect(
        answers.filter((text) => text.includes(secret)),
        `${name} in an answer`,
      ).toEqual([])
      expect(log.includes(secret), `${name} in the log`).toBe(false)
    }
    for (const request of linear.receiver.requests) {
      expect(JSON.stringify([request.headers, request.body])).not.toMatch(/whsec_|at-ada|scim_/)
    }
  })
})

describe('a start that cannot be', () => {
  let database: TestDatabase
  let empty: TestDatabase
  let home: string

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'tenure-wrong-'))
    database = await createDatabase()
    empty = await createEmptyDatabase()
    const first = await runTenure('api', database)
    await first.close()
  })
  afterAll(async () => {
    await rm(home, { recursive: true, force: true })
    await database?.drop()
    await empty?.drop()
  })

  const anotherKey = 'another-secret-key-with-32-characters-or-more'

  it.each<[string, string[], Record<string, string | undefined>, RegExp]>([
    [
      'TENURE_SECRET_KEY is not that of the database',
      ['api', 'worker', 'start'],
      { TENURE_SECRET_KEY: anotherKey },
      /TENURE_SECRET_KEY is not the key/,
    ],
    [
      'TENURE_SECRET_KEY is too short',
      ['api'],
      { TENURE_SECRET_KEY: 'short' },
      /TENURE_SECRET_KEY needs at least 32 characters/,
    ],
    [
      'TENURE_SECRET_KEY is missing beside DATABASE_URL',
      ['api', 'start'],
      { TENURE_SECRET_KEY: undefined },
      /TENURE_SECRET_KEY is required/,
    ],
    [
      'TENURE_ADMIN_KEY is missing beside DATABASE_URL',
      ['api', 'worker', 'start'],
      { TENURE_ADMIN_KEY: undefined },
      /TENURE_ADMIN_KEY is required/,
    ],
    [
      'TENURE_ADMIN_KEY is too short',
      ['api'],
      { TENURE_ADMIN_KEY: 'short' },
      /TENURE_ADMIN_KEY needs at least 16 characters in each key/,
    ],
    [
      'DATABASE_URL is missing',
      ['api', 'worker', 'migrate'],
      { DATABASE_URL: undefined, DATABASE_MIGRATION_URL: undefined },
      /DATABASE_URL is required/,
    ],
    [
      'DATABASE_URL is not a Postgres URL',
      ['api'],
      { DATABASE_URL: 'mysql://localhost/x' },
      /DATABASE_URL must be a postgres:\/\/ URL/,
    ],
    ['PORT is no number', ['api'], { PORT: 'http' }, /PORT must be a port number/],
    ['PORT is out of range', ['api'], { PORT: '70000' }, /PORT /],
    [
      'REDIS_URL is no Redis URL',
      ['api'],
      { REDIS_URL: 'localhost:6379' },
      /REDIS_URL must be a redis:\/\/ or rediss:\/\/ URL/,
    ],
    [
      'TENURE_ALLOW_PRIVATE_TARGETS cannot be meant',
      ['api'],
      { TENURE_ALLOW_PRIVATE_TARGETS: '10.0.0.0/99' },
      /10\.0\.0\.0\/99/,
    ],
    ['LOG_LEVEL is unknown', ['api'], { LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of/],
  ])('is refused with exit code 1 and one line when %s', async (_what, commands, overrides, message) => {
    for (const command of commands) {
      const given: Record<string, string | undefined> = { ...environment(database), TENURE_HOME: home, ...overrides }
      const env = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<
        string,
        string
      >
      const child = startTenure({ args: [command], env })
      expect(await child.ended, command).toEqual({ code: 1, signal: null })
      expectOneLine(child.output(), message)
      for (const secret of [adminKey, secretKey, anotherKey]) expect(child.output()).not.toContain(secret)
    }
  })

  it.each(['api', 'worker'])('is refused for tenure %s when the database is not migrated', async (role) => {
    const child = startTenure({ args: [role], env: environment(empty) })
    expect(await child.ended).toEqual({ code: 1, signal: null })
    expectOneLine(child.output(), /not migrated to this version; run: tenure migrate/)
  })

  it('is refused when the database was migrated by an older version, and not when by a newer one', async () => {
    const other = await createDatabase()
    const owner = await connect({ url: other.ownerUrl })
    const rename = (from: string, to: string) =>
      owner.query('update kysely_migration set name = $2 where name = $1', [from, to])
    try {
      const { rows } = await owner.query('select max(name) as newest from kysely_migration')
      await rename(rows[0].newest, '0000_older')
      const child = startTenure({ args: ['api'], env: environment(other) })
      expect(await child.ended).toEqual({ code: 1, signal: null })
      expectOneLine(child.output(), /not migrated to this version; run: tenure migrate/)
      await rename('0000_older', rows[0].newest)
      await owner.query("insert into kysely_migration (name, timestamp) values ('9999_later', '')")
      await (await runTenure('api', other)).close()
    } finally {
      await owner.end()
      await other.drop()
    }
  })

  it.each(['api', 'migrate'])('is refused for tenure %s with a password that Postgres does not know', async (role) => {
    const wrong = Object.assign(new URL(database.url), { password: 'not-the-password' }).href
    const child = startTenure({
      args: [role],
      env: { ...environment(database), DATABASE_URL: wrong, DATABASE_MIGRATION_URL: wrong },
    })
    expect(await child.ended).toEqual({ code: 1, signal: null })
    expectOneLine(child.output(), /The database refuses us: password authentication failed/)
    expect(child.output()).not.toContain('not-the-password')
  })

  it('is refused on a port that is taken', async () => {
    const first = await runTenure('api', database)
    try {
      const child = startTenure({ args: ['api'], env: { ...environment(database), PORT: new URL(first.url).port } })
      expect(await child.ended).toEqual({ code: 1, signal: null })
      expectOneLine(child.output(), /the port is in use/)
    } finally {
      await first.close()
    }
  })
})

/** Beside the log's JSON, exactly one line, and that one says why. */
function expectOneLine(output: string, message: RegExp): void {
  const lines = output.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  expect(lines).toEqual([expect.stringMatching(message)])
  expect(lines[0]).toMatch(/^tenure: /)
}

describe('a database that does not answer', () => {
  it('makes SCIM, the admin API and introspection say so, at start and later, until it is back', async () => {
    const postgres = await startPostgres()
    // Directory, token and server exist; Tenure then starts while the database is away.
    const before = await runTenure('api', postgres)
    const okta = await registerDirectory(before.admin, 'acme')
    await before.close()
    await postgres.stop()

    const child = startTenure({ args: ['api'], env: environment(postgres) })
    const { url } = await child.waitForLine(({ msg }) => msg === 'tenure.started')
    const admin = new AdminClient(String(url), adminKey)
    const scim = okta.at(admin.url)
    await expectUnavailable(admin, scim)

    await postgres.start()
    await expectWorking(admin, scim, 'ada@acme.example')
    await postgres.stop()
    await expectUnavailable(admin, scim)
    await postgres.start()
    await expectWorking(admin, scim, 'bob@acme.example')
    expect((await scim.call('GET', '/Users')).totalResults).toBe(2)
    expect(await child.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    await postgres.destroy()
  }, 120_000)

  async function expectUnavailable(admin: AdminClient, scim: ScimClient): Promise<void> {
    const ready = await fetch(`${admin.url}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ status: 'not ready', database: 'does not answer' })
    expect((await fetch(`${admin.url}/healthz`)).status).toBe(200)
    const patch = { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [] }
    for (const [method, path, body] of [
      ['GET', '/Users'],
      ['PATCH', '/Users/3f0e2c1a-0000-4000-8000-000000000000', patch],
    ] as const) {
      const refused = await scim.send(method, path, body)
      expect(refused).toMatchObject({ status: 503, body: { schemas: [scimError], status: '503' } })
      expect(refused.headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    const operators = await admin.send('GET', '/servers')
    expect(operators).toMatchObject({ status: 503, body: { status: 503 } })
    expect(operators.headers.get('content-type')).toMatch('application/problem+json')
    for (const [endpoint, headers] of [
      ['introspect', { authorization: `Bearer ${adminKey}` }],
      ['revoke', { authorization: `Bearer ${adminKey}` }],
      ['token', {}],
    ] as const) {
      const body = new URLSearchParams({ token: 'x', client_id: 'claude' })
      const asked = await fetch(`${admin.url}/oauth2/${endpoint}`, { method: 'POST', headers, body })
      expect(asked.status).toBe(503)
      expect(asked.headers.get('retry-after')).toBe('1')
      expect(await asked.json()).toMatchObject({ error: 'temporarily_unavailable' })
    }
  }

  async function expectWorking(admin: AdminClient, scim: ScimClient, userName: string): Promise<void> {
    await admin.waitUntilReady()
    await scim.createUser(userName)
    expect(await admin.introspect('at-nobody')).toEqual({ active: false })
  }
})
