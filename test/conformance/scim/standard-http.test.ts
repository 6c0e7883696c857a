import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, type Json, ScimClient, userSchema } from '../../support/clients.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../../support/tenure.ts'
import {
  bulkOf,
  collections,
  enterprise,
  expectError,
  expectList,
  filtered,
  mediaType,
  newName,
  patchOf,
  query,
  searchOf,
  sendExactly,
  serviceProvider,
  stranger,
} from './service-provider.ts'

const running = serviceProvider()
let scim: ScimClient

beforeAll(() => {
  scim = running.scim('generic')
})

const readable = 'application/scim+json'
const make = ({ path, schema, nameKey }: (typeof collections)[number], name = newName('made')): Promise<Json> =>
  scim.call('POST', path, { schemas: [schema], [nameKey]: name })

describe('§1.1 endpoints (RFC 7644 §3.2, §4)', () => {
  describe.each(collections)('$path', (collection) => {
    const { path, schema, nameKey } = collection

    it('§1.1.1 GET answers a list, filtered, sorted, paged and projected', async () => {
      const stem = newName('listed')
      for (const each of ['a', 'b', 'c']) await make(collection, `${stem}-${each}`)
      const parameters = { sortBy: nameKey, sortOrder: 'descending', startIndex: '2', count: '2', attributes: nameKey }
      const answer = await scim.send('GET', `${path}${filtered(`${nameKey} sw "${stem}-"`, parameters)}`)
      expect(expectList(answer, 3)).toEqual(
        ['b', 'a'].map((each) => ({ schemas: [schema], id: expect.any(String), [nameKey]: `${stem}-${each}` })),
      )
    })

    it('§1.1.2 POST answers 201 with Location and the whole resource', async () => {
      const sent = { schemas: [schema], [nameKey]: newName('posted'), externalId: 'kept' }
      const { status, headers, body } = await scim.send('POST', path, sent)
      expect({ status, body }).toMatchObject({ status: 201, body: sent })
      expect(headers.get('location')).toBe(`${scim.base}${path}/${body.id}`)
      expect(await scim.call('GET', `${path}/${body.id}`)).toEqual(body)
    })

    it('§1.1.3 GET of one answers 200, or 304 to whoever has it; DELETE 204 without a body', async () => {
      const { id, meta } = await make(collection)
      expect(await scim.send('GET', `${path}/${id}`)).toMatchObject({ status: 200, body: { id } })
      const known = await sendExactly(scim, 'GET', `${path}/${id}`, { 'if-none-match': meta.version })
      expect(known).toMatchObject({ status: 304, body: undefined })
      expect(await scim.send('DELETE', `${path}/${id}`)).toMatchObject({ status: 204, body: undefined })
    })

    it('§1.1.4 PUT answers 200 and never creates; PATCH 200 with a body, or 204', async () => {
      const { id } = await make(collection)
      const replaced = { schemas: [schema], [nameKey]: newName('put') }
      expect(await scim.send('PUT', `${path}/${id}`, replaced)).toMatchObject({ status: 200, body: replaced })
      const unborn = { schemas: [schema], [nameKey]: newName('unborn') }
      expectError(await scim.send('PUT', `${path}/${stranger}`, unborn), 404)
      expectList(await scim.send('GET', `${path}${filtered(`${nameKey} eq "${unborn[nameKey]}"`)}`), 0)
      const operations = patchOf({ op: 'add', path: 'externalId', value: 'patched' })
      const patched = await scim.send('PATCH', `${path}/${id}`, operations)
      if (path === '/Users') expect(patched).toMatchObject({ status: 200, body: { externalId: 'patched' } })
      else expect(patched).toMatchObject({ status: 204, body: undefined })
      expect(await scim.send('PATCH', `${path}/${id}?attributes=externalId`, operations)).toMatchObject({
        status: 200,
        body: { schemas: [schema], id, externalId: 'patched' },
      })
    })
  })

  it.each(['', '/Users', '/Groups'])('§1.1.5 POST %s/.search answers 200 with a list', async (path) => {
    const { body } = await scim.send('GET', path || '/')
    expectList(await scim.send('POST', `${path}/.search`, searchOf({})), body.totalResults)
  })

  it('§1.1.6 /Bulk answers 200 with a BulkResponse, /Me 501 to every method', async () => {
    expect(await scim.send('POST', '/Bulk', bulkOf())).toMatchObject({
      status: 200,
      body: { schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkResponse'], Operations: [] },
    })
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])
      expectError(await scim.send(method, '/Me', method === 'GET' ? undefined : {}), 501)
  })

  it('§1.1.7 /ServiceProviderConfig is one object', async () => {
    const { status, body } = await scim.send('GET', '/ServiceProviderConfig')
    expect({ status, schemas: body.schemas, listed: 'Resources' in body }).toEqual({
      status: 200,
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
      listed: false,
    })
  })

  it.each([
    ['/ResourceTypes', ['User', 'Group']],
    ['/Schemas', [userSchema, enterprise, 'urn:ietf:params:scim:schemas:core:2.0:Group']],
  ])('§1.1.8 %s is a list, and each of it one object by its name', async (path, names) => {
    const listed = expectList(await scim.send('GET', path), names.length)
    expect(listed.map(({ id }) => id)).toEqual(names)
    for (const each of listed) expect(await scim.call('GET', `${path}/${each.id}`)).toEqual(each)
  })

  it('§1.1.9 a version that is not served is invalidVers; the served one takes a slash at the end and any parameter', async () => {
    for (const version of ['v1', 'v3', 'v20', 'V1'])
      for (const path of ['', '/Users', '/Users/.search'])
        expectError(
          await sendExactly(new ScimClient(scim.base.replace('/v2', `/${version}`), scim.token), 'GET', path),
          400,
          'invalidVers',
        )
    const { id } = await make(collections[0])
    for (const path of ['/Users', `/Users/${id}`, '/Groups', '/Schemas', '/ServiceProviderConfig', '']) {
      const answer = await scim.send('GET', `${path}/`)
      expect(answer).toMatchObject({ status: 200, body: (await scim.send('GET', path)).body })
      expect(await scim.send('GET', `${path}/?aadOptscim062020&foo=bar&foo=baz`)).toMatchObject({
        status: 200,
        body: answer.body,
      })
    }
  })

  it.each([
    ['PATCH', '/Users', 'GET, POST'],
    ['PUT', '/Groups', 'GET, POST'],
    ['POST', `/Users/${stranger}`, 'GET, PUT, PATCH, DELETE'],
    ['DELETE', '/.search', 'POST'],
    ['GET', '/Groups/.search', 'POST'],
    ['GET', '/Bulk', 'POST'],
    ['POST', '/Schemas', 'GET'],
    ['PUT', '/', 'GET'],
  ])('§1.1.10 %s %s is 405 with Allow, as a SCIM error', async (method, path, allow) => {
    const answer = await scim.send(method, path)
    expectError(answer, 405)
    expect(answer.headers.get('allow')).toBe(allow)
  })

  describe('behind TLS', () => {
    const publicUrl = 'https://tenure.acme.example'
    let published: RunningTenure

    beforeAll(async () => {
      published = await runTenure('api', running.database, { PUBLIC_URL: publicUrl })
    })
    afterAll(() => published?.close())

    it('§1.1.11 hands out https URLs, short and without an underscore in the host', async () => {
      const { base, token } = await registerDirectory(published.admin, 'd'.repeat(40))
      expect(base).toBe(`${publicUrl}/directories/${'d'.repeat(40)}/scim/v2`)
      expect(new URL(base).host).not.toContain('_')
      expect(base.length).toBeLessThan(1_024)
      const { meta } = await new ScimClient(published.url + new URL(base).pathname, token).createUser('ada')
      expect(meta.location).toMatch(new RegExp(`^${base}/Users/`))
    })
  })
})

describe('§1.2 media types, headers, authentication (RFC 7644 §2, §3.1, §8.1)', () => {
  it('§1.2.1 answers application/scim+json in UTF-8, unless the client takes nothing but application/json', async () => {
    const user = await make(collections[0])
    for (const path of [`/Users/${user.id}`, '/Users', '/Schemas', '/ServiceProviderConfig', '/Nowhere']) {
      const typeFor = async (accept: string) =>
        (await sendExactly(scim, 'GET', path, { accept })).headers.get('content-type')
      for (const accept of [
        readable,
        '*/*',
        'application/*',
        'application/json, */*',
        'text/html',
        `${readable}, application/json`,
      ])
        expect([accept, await typeFor(accept)]).toEqual([accept, mediaType])
      for (const accept of ['application/json', 'Application/JSON; q=0.9', 'application/json;charset=utf-8'])
        expect([accept, await typeFor(accept)]).toEqual([accept, 'application/json; charset=utf-8'])
    }
  })

  it.each([
    readable,
    'application/json',
    `${readable}; charset=utf-8`,
    'application/json;charset="UTF-8"',
    'text/json',
  ])('§1.2.2 reads %s, however large a push of members makes it', async (type) => {
    const padding = 'x'.repeat(300_000)
    const body = JSON.stringify({ schemas: [userSchema], userName: newName('typed'), 'urn:acme:x:User': { padding } })
    const answer = await sendExactly(scim, 'POST', '/Users', { 'content-type': type }, body)
    expect(answer).toMatchObject({ status: 201, body: { 'urn:acme:x:User': { padding } } })
  })

  it('§1.2.3 wants neither Content-Type on GET and DELETE nor a User-Agent', async () => {
    const { id } = await make(collections[0])
    expect((await sendExactly(scim, 'GET', `/Users/${id}`)).status).toBe(200)
    expect((await sendExactly(scim, 'GET', '/Users', { 'content-type': 'text/plain' })).status).toBe(200)
    expect((await sendExactly(scim, 'DELETE', `/Users/${id}`)).status).toBe(204)
  })

  it.each(['', 'Bearer', 'Bearer nobody', 'Basic bm9ib2R5Og=='])(
    '§1.2.4 %s: 401, saying how to authenticate',
    async (authorization) => {
      const answer = await sendExactly(scim, 'GET', '/Users', { authorization })
      expectError(answer, 401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    },
  )

  it('§1.2.5 is 404 for a resource and a base of somebody else, 403 for what no token may, and never 406', async () => {
    const other = running.scim('okta')
    const { id } = await other.createUser(newName('theirs'))
    expectError(await scim.send('GET', `/Users/${id}`), 404)
    expectError(await new ScimClient(other.base, scim.token).send('GET', `/Users/${id}`), 404)
    expectError(await scim.send('GET', '/Schemas?filter=id+pr'), 403)
    for (const headers of [{}, { accept: '*/*' }, { accept: 'image/png' }]) {
      const answer = await sendExactly(scim, 'GET', '/Users?count=0', headers as Record<string, string>)
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, mediaType])
    }
  })

  it.each(collections)('§1.2.6 Location of a $type is its meta.location, whatever answers it', async (collection) => {
    const { path, schema, nameKey } = collection
    const body = { schemas: [schema], [nameKey]: newName('located') }
    const made = await scim.send('POST', path, body)
    const at = `${path}/${made.body.id}`
    const answers: Answer[] = [
      made,
      await scim.send('GET', at),
      await scim.send('PUT', at, body),
      await scim.send('PATCH', `${at}?attributes=meta`, patchOf({ op: 'add', path: 'externalId', value: 'e' })),
    ]
    for (const { headers, body: shown } of answers) {
      expect(headers.get('location')).toBe(`${scim.base}${at}`)
      expect(shown.meta.location).toBe(`${scim.base}${at}`)
    }
  })

  it('§1.2.7 its base URL is configured, not what the Host header says', async () => {
    const user = await make(collections[0])
    const group = await scim.createGroup(newName('hosted'), [user.id])
    for (const path of ['/Groups', '/Users', '/Schemas', '/ResourceTypes', `/Groups/${group.id}`]) {
      const answer = await sendExactly(scim, 'GET', path, { host: 'evil.example', 'x-forwarded-host': 'evil.example' })
      expect(answer.status).toBe(200)
      expect(JSON.stringify([answer.body, ...answer.headers])).not.toContain('evil.example')
      expect(JSON.stringify(answer.body)).toContain(scim.base)
    }
    expect(await scim.send('GET', `/Users${query({ count: '0' })}`)).toMatchObject({ status: 200 })
  })
})
