import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DescribedOperation, described } from '../support/admin-document.ts'
import { type Answer, type Json, ServerClient } from '../support/clients.ts'
import { checkDescribed } from '../support/described.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { adminKey, type RunningTenure, registerDirectory, registerServer, runTenure } from '../support/tenure.ts'

const json = { 'content-type': 'application/json' }
const withKey = { authorization: `Bearer ${adminKey}`, ...json }
const guarded = described.filter(({ operation }) => operation.security?.length !== 0)
const forServers = ({ operation }: DescribedOperation) =>
  (operation.security ?? []).some((scheme: Json) => 'serverCredentials' in scheme)
const hasParams = ({ path }: DescribedOperation) => path.includes('{')
const writing = described.filter(({ method }) => method !== 'GET')

/** Ids that nothing has, some of which could not even be written down. */
const unknownIds = ['nothing', 'ffffffff-ffff-4fff-bfff-ffffffffffff', "a'b", '%00', '..%2f..', 'x'.repeat(5_000)]

describe('every operation of the admin API', () => {
  let database: TestDatabase
  let tenure: RunningTenure
  let basic: string

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
    const { receiver } = await registerServer(tenure.admin, 'linear')
    await receiver.close()
    const { clientId, clientSecret } = await tenure.admin.post('/servers/linear/credentials')
    basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  async function request(
    { method, path }: DescribedOperation,
    {
      headers = withKey,
      body,
      query = '',
      id = 'nothing',
    }: Partial<Record<'body' | 'query' | 'id', string>> & { headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const called = `/admin/v1${path.replaceAll(/\{\w+\}/g, id)}${query}`
    const response = await fetch(tenure.url + called, { method, headers, ...(body === undefined ? {} : { body }) })
    const text = await response.text()
    const answer = {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
    await checkDescribed(tenure.url, method, called, answer)
    return answer
  }

  describe.each(guarded)('$name', (operation) => {
    it.each([
      ['no key', {}],
      ['a wrong key', { authorization: `Bearer ${adminKey}x` }],
      ['an empty key', { authorization: 'Bearer ' }],
      ['the key in another scheme', { authorization: `Token ${adminKey}` }],
      ['wrong credentials of a server', { authorization: `Basic ${Buffer.from('srv_x:y').toString('base64')}` }],
    ])('refuses %s, before it reads anything', async (_what, headers: Record<string, string>) => {
      const answer = await request(operation, {
        headers: { ...headers, ...json },
        ...(operation.method === 'GET' ? {} : { body: '{' }),
      })
      expectProblem(answer, 401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    })

    if (!forServers(operation)) {
      it("refuses a server's own credentials", async () => {
        expectProblem(await request(operation, { headers: { authorization: basic, ...json } }), 401)
      })
    }

    it('refuses a parameter that it does not know, by name', async () => {
      const answer = await request(operation, { query: '?surprise=1' })
      expectProblem(answer, 422)
      expect(answer.body.errors).toContainEqual({ field: 'surprise', message: 'is not a known field' })
    })
  })

  describe.each(writing)('$name', (operation) => {
    it('refuses a field that it does not know, by name', async () => {
      const answer = await request(operation, { body: '{"surprise": 1}' })
      expectProblem(answer, 422)
      expect(answer.body.errors).toContainEqual({ field: 'surprise', message: 'is not a known field' })
    })

    it.each([
      ['half of it', '{"a":', json, [400]],
      ['text', 'hello', { 'content-type': 'text/plain' }, [415]],
      ['a form', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }, [415]],
      ['no type', new TextDecoder().decode(new Uint8Array([123, 125])), { 'content-type': '' }, [415]],
      ['another charset', '{}', { 'content-type': 'application/json; charset=koi8-r' }, [415]],
      ['a list', '[]', json, [422]],
      ['a number', '1', json, [400]],
      ['too much', `{"a": "${'x'.repeat(1_100_000)}"}`, json, [413]],
    ])('refuses a body that is no JSON object: %s', async (_what, body, type: Record<string, string>, statuses) => {
      const answer = await request(operation, { body, headers: { ...withKey, ...type } })
      expect(statuses).toContain(answer.status)
      expectProblem(answer, answer.status)
    })
  })

  describe.each(described.filter(hasParams))('$name', (operation) => {
    const needsMore =
      operation.operation.requestBody?.required === true ||
      operation.operation.parameters.some((parameter: Json) => parameter.in === 'query' && parameter.required)

    it.each(unknownIds)('finds nothing by the id %j', async (id) => {
      const answer = await request(operation, { id, ...(operation.method === 'GET' ? {} : { body: '{}' }) })
      expect(needsMore || id === '%00' ? [404, 422] : [404]).toContain(answer.status)
      expectProblem(answer, answer.status)
    })

    it('refuses a path that is no UTF-8', async () => {
      expectProblem(await request(operation, { id: '%E0%A4%A' }), 400)
    })
  })

  it.each(['/nothing', '/servers/linear/nothing', '/'])('is none for %s: there is no such thing', async (path) => {
    expectProblem(await request({ method: 'GET', path } as DescribedOperation), 404)
    expectProblem(await request({ method: 'GET', path } as DescribedOperation, { headers: {} }), 401)
  })
})

describe("another's object", () => {
  let database: TestDatabase
  let tenure: RunningTenure

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  it('is not deleted through a directory that a token is not of', async () => {
    const acme = await registerDirectory(tenure.admin, 'acme')
    await registerDirectory(tenure.admin, 'globex')
    const { items } = await tenure.admin.get('/directories/acme/tokens')
    expect(await tenure.admin.send('DELETE', `/directories/globex/tokens/${items[0].id}`)).toMatchObject({
      status: 404,
    })
    expect((await tenure.admin.get('/directories/globex/tokens')).items).not.toContainEqual(items[0])
    expect(await acme.send('GET', '/Users')).toMatchObject({ status: 200 })
    await tenure.admin.delete(`/directories/acme/tokens/${items[0].id}`)
    expect(await acme.send('GET', '/Users')).toMatchObject({ status: 401 })
  })

  it("is not reached through another server's path: its credentials, its connectors", async () => {
    for (const id of ['asana', 'figma']) await (await registerServer(tenure.admin, id)).receiver.close()
    const credential = await tenure.admin.post('/servers/asana/credentials')
    const { connectors } = await tenure.admin.get('/servers/asana')
    for (const [method, path] of [
      ['DELETE', `/servers/figma/credentials/${credential.clientId}`],
      ['POST', `/servers/figma/connectors/${connectors[0].id}/rotate-secret`],
    ] as const) {
      expect(await tenure.admin.send(method, path), path).toMatchObject({ status: 404 })
    }
    expect((await tenure.admin.get('/servers/asana')).connectors).toEqual(connectors)
    const asana = new ServerClient(tenure.url, credential)
    expect(await asana.introspect('some-token')).toEqual({ active: false })
  })

  it('is not recorded: a server records grants for itself alone, for a user of the directory that it names', async () => {
    await (await registerServer(tenure.admin, 'canva')).receiver.close()
    await (await registerServer(tenure.admin, 'granola')).receiver.close()
    const scim = await registerDirectory(tenure.admin, 'initech')
    await registerDirectory(tenure.admin, 'hooli')
    const { id } = await scim.createUser('peter@initech.example')
    const canva = new ServerClient(tenure.url, await tenure.admin.post('/servers/canva/credentials'))
    const grant = {
      directory: 'initech',
      user: { id },
      server: 'granola',
      client: 'claude',
      scopes: [],
      jti: 'one',
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
    }
    expect(await canva.send('POST', '/admin/v1/grants', grant)).toMatchObject({ status: 403 })
    const elsewhere = { ...grant, server: 'canva', directory: 'hooli' }
    expect(await canva.send('POST', '/admin/v1/grants', elsewhere)).toMatchObject({ status: 404 })
  })
})

function expectProblem(answer: Answer, status: number): void {
  expect(answer).toMatchObject({ status, body: { status, title: expect.any(String) } })
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
}
