import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, patchSchema, ScimClient, userSchema } from '../support/clients.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const bulkSchema = 'urn:ietf:params:scim:api:messages:2.0:BulkRequest'
const largest = 10 * 1024 * 1024
const absent = '00000000-0000-4000-8000-000000000000'

let database: TestDatabase
let tenure: RunningTenure
let okta: ScimClient
let names = 0

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  okta = await registerDirectory(tenure.admin, 'acme')
})
afterAll(async () => {
  await tenure?.close()
  await database?.drop()
})

const fresh = (name: string) => `${name}-${names++}`

interface Raw {
  method?: string
  path?: string
  base?: string
  token?: string
  type?: string | null
  headers?: Record<string, string>
  body?: string | Uint8Array<ArrayBuffer>
}

function call({
  method = 'POST',
  path = '/Users',
  base = okta.base,
  token = okta.token,
  ...more
}: Raw): Promise<Response> {
  const headers = new Headers({ authorization: `Bearer ${token}`, ...more.headers })
  if (more.type !== null) headers.set('content-type', more.type ?? 'application/scim+json')
  return fetch(`${base}${path}`, { method, headers, ...(more.body === undefined ? {} : { body: more.body }) })
}

/** Every error is one of SCIM's (RFC 7644 §3.12). @returns it */
async function expectError(answer: Response, status: number, scimType?: string): Promise<Json> {
  const text = await answer.text()
  expect(answer.status, text).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
  expect(JSON.parse(text)).toEqual({
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: String(status),
    ...(scimType && { scimType }),
    detail: expect.stringMatching(/./),
  })
  return JSON.parse(text)
}

describe('errors under the SCIM base (RFC 7644 §3.12)', () => {
  const { stringify } = JSON
  it.each([
    ['no token', 401, { token: '' }, undefined],
    ['a wrong token', 401, { token: 'nobody' }, undefined],
    ['a missing route', 404, { method: 'GET', path: '/Devices' }, undefined],
    ['a missing route, posted to', 404, { path: '/Devices', body: '{}' }, undefined],
    ['a path that goes too deep', 404, { method: 'GET', path: `/Users/${absent}/groups` }, undefined],
    ['an absent resource', 404, { method: 'GET', path: `/Users/${absent}` }, undefined],
    ['a path that cannot be decoded', 400, { method: 'GET', path: '/Users/%ff' }, 'invalidSyntax'],
    ['no JSON', 400, { body: '{"userName":' }, 'invalidSyntax'],
    ['JSON that is no object', 400, { body: '[]' }, 'invalidSyntax'],
    ['no body', 400, {}, 'invalidValue'],
    [
      'a body that is not what its encoding says',
      400,
      { body: 'x', headers: { 'content-encoding': 'gzip' } },
      'invalidSyntax',
    ],
    ['a form', 415, { body: 'a=b', type: 'application/x-www-form-urlencoded' }, undefined],
    ['an image', 415, { method: 'PUT', path: `/Users/${absent}`, body: 'x', type: 'image/png' }, undefined],
    ['another charset', 415, { body: '{}', type: 'application/scim+json; charset=utf-16' }, undefined],
    ['an unknown charset', 415, { body: '{}', type: 'application/scim+json; charset=klingon' }, undefined],
    ['an unknown encoding', 415, { body: '{}', headers: { 'content-encoding': 'klingon' } }, undefined],
    [
      'a taken name',
      409,
      { path: '/Groups', body: stringify({ schemas: [groupSchema], displayName: 'Taken' }) },
      'uniqueness',
    ],
  ] as Array<[string, number, Raw, string | undefined]>)('%s: %i', async (what, status, raw, scimType) => {
    if (what === 'a taken name') await okta.createGroup('taken')
    const answer = await call(raw)
    if (status === 401) expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    await expectError(answer, status, scimType)
  })

  it.each([
    ['DELETE', '/Users', 'GET, POST'],
    ['PUT', '/Groups', 'GET, POST'],
    ['OPTIONS', '/Groups', 'GET, POST'],
    ['POST', `/Users/${absent}`, 'GET, PUT, PATCH, DELETE'],
    ['OPTIONS', `/Users/${absent}`, 'GET, PUT, PATCH, DELETE'],
    ['GET', '/Bulk', 'POST'],
    ['DELETE', '/Bulk/', 'POST'],
    ['POST', '/ServiceProviderConfig', 'GET'],
    ['PUT', '/Schemas', 'GET'],
    ['DELETE', '/ResourceTypes/User', 'GET'],
  ])('%s %s: 405 with Allow', async (method, path, allow) => {
    const answer = await call({ method, path })
    expect(answer.headers.get('allow')).toBe(allow)
    await expectError(answer, 405)
  })

  it('another directory, an unknown one and one that cannot be decoded', async () => {
    const root = okta.base.replace('/acme/', '/*/')
    for (const [name, status] of [
      ['globex', 404],
      ['', 404],
      ['%00', 404],
      ['%ff', 400],
    ] as const) {
      const answer = await call({ method: 'GET', base: root.replace('*', name) })
      if (name !== '') await expectError(answer, status, status === 400 ? 'invalidSyntax' : undefined)
    }
  })

  it('500, which says nothing of why', async () => {
    const client = await connect({ url: database.ownerUrl })
    await client.query('alter table scim_group rename to scim_group_away')
    try {
      const { detail } = await expectError(await call({ method: 'GET', path: '/Groups' }), 500)
      expect(detail).toBe('Internal error')
      const body = { schemas: [bulkSchema], Operations: [{ method: 'DELETE', path: `/Groups/${absent}` }] }
      const answer = await okta.call('POST', '/Bulk', body)
      expect(answer.Operations).toMatchObject([
        { status: '500', response: { status: '500', detail: 'Internal error' } },
      ])
    } finally {
      await client.query('alter table scim_group_away rename to scim_group')
      await client.end()
    }
  })

  it('503 with Retry-After when the database goes away under a request', async () => {
    const [holder, killer] = await Promise.all([connect({ url: database.ownerUrl }), connect(database)])
    await holder.query('begin')
    await holder.query('lock table scim_group in access exclusive mode')
    try {
      const asked = call({ method: 'GET', path: '/Groups' })
      const kill = `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%scim_group%'`
      await waitFor(async () => (await killer.query(kill)).rows.length > 0, { what: 'the request to wait' })
      const answer = await asked
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
      await expectError(answer, 503)
    } finally {
      await Promise.all([holder.end(), killer.end()])
    }
  })
})

describe('bodies (RFC 7644 §3.7.4)', () => {
  const user = (length: number) => {
    const body = JSON.stringify({ schemas: [userSchema], userName: fresh('big'), 'urn:x:y': { blob: '' } })
    return body.replace('"blob":""', `"blob":"${'x'.repeat(length - Buffer.byteLength(body))}"`)
  }

  it('are taken up to 10 MiB, and refused with the limit in the detail beyond', async () => {
    expect((await call({ body: user(largest) })).status).toBe(201)
    const { detail } = await expectError(await call({ body: user(largest + 1) }), 413)
    expect(detail).toContain(String(largest))
  })

  it.each(['/Bulk', '/Groups', `/Users/${absent}`])('are refused for %s too', async (path) => {
    const method = path.startsWith('/Users') ? 'PATCH' : 'POST'
    await expectError(await call({ method, path, body: user(largest + 1) }), 413)
  })

  it('are counted as they come when no length is announced, and as they unfold when they are compressed', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { authorization: `Bearer ${okta.token}`, 'content-type': 'application/scim+json' }
      const req = request(`${okta.base}/Users`, { method: 'POST', headers }, (res) => {
        res.resume()
        resolve(res.statusCode)
      })
      req.once('error', reject)
      const body = Buffer.from(user(largest + 1))
      for (let at = 0; at < body.length; at += 1 << 20) req.write(body.subarray(at, at + (1 << 20)))
      req.end()
    })
    expect(status).toBe(413)
    const bomb = new Uint8Array(gzipSync(user(8 * largest)))
    expect(bomb.length).toBeLessThan(largest / 10)
    await expectError(await call({ body: bomb, headers: { 'content-encoding': 'gzip' } }), 413)
  })

  it('carry as many members as a large group has', async () => {
    const people = await Promise.all(Array.from({ length: 3 }, () => okta.createUser(fresh('member'))))
    const members = Array.from({ length: 60_000 }, (_, at) => ({
      value: people[at % 3].id,
      display: 'Somebody Or Other',
    }))
    const group = { schemas: [groupSchema], displayName: fresh('large'), members }
    expect((await okta.call('POST', '/Groups', group)).members).toHaveLength(3)
  })

  it('name at most 100,000 members', async () => {
    const members = Array.from({ length: 100_001 }, () => ({ value: absent }))
    const post = JSON.stringify({ schemas: [groupSchema], displayName: fresh('huge'), members })
    const { detail } = await expectError(await call({ path: '/Groups', body: post }), 413)
    expect(detail).toContain('100000')
    const { id } = await okta.createGroup(fresh('target'))
    const ids = Array.from({ length: 100_002 }, (_, at) => `id-${at}`)
    const operation = (some: string[]) => ({ op: 'add', path: 'members', value: some.map((value) => ({ value })) })
    const Operations = [operation(ids.slice(0, 50_001)), operation(ids.slice(50_001))]
    const patch = JSON.stringify({ schemas: [patchSchema], Operations })
    await expectError(await call({ method: 'PATCH', path: `/Groups/${id}`, body: patch }), 413)
  })
})

describe('values of a PATCH', () => {
  const patchOf = (...Operations: unknown[]) => JSON.stringify({ schemas: [patchSchema], Operations })

  it('are at most a thousand in all operations', async () => {
    const { id } = await okta.createUser(fresh('patched'))
    const patch = { method: 'PATCH', path: `/Users/${id}` }
    const rename = (count: number) =>
      Array.from({ length: count }, (_, at) => ({ op: 'replace', path: 'title', value: `${at}` }))
    expect((await call({ ...patch, body: patchOf(...rename(1_000)) })).status).toBe(200)
    const { detail } = await expectError(await call({ ...patch, body: patchOf(...rename(1_001)) }), 413)
    expect(detail).toContain('1000')
    expect(await okta.call('GET', patch.path)).toMatchObject({ title: '999' })
    const emails = Array.from({ length: 501 }, (_, at) => ({ value: `${at}@acme.example`, type: 'other' }))
    const add = { op: 'add', path: 'emails', value: emails }
    await expectError(await call({ ...patch, body: patchOf(add, add) }), 413)
    expect((await call({ ...patch, body: patchOf(add) })).status).toBe(200)
  })

  it('are not counted where they are members', async () => {
    const user = await okta.createUser(fresh('joined'))
    const { id } = await okta.createGroup(fresh('joined'))
    const join = { op: 'add', path: 'members', value: [{ value: user.id }] }
    await okta.patchGroup(id, ...Array.from({ length: 3_000 }, () => join))
    expect((await okta.call('GET', `/Groups/${id}`)).members).toHaveLength(1)
  })
})

describe('nesting', () => {
  const nested = (levels: number, inner = '1') => `${'{"a":'.repeat(levels)}${inner}${'}'.repeat(levels)}`
  const around = (value: string) =>
    `{"schemas":["${userSchema}"],"userName":"${fresh('deep')}","urn:x:y":{"v":${value}}}`

  it('goes 64 deep and no deeper', async () => {
    expect((await call({ body: around(nested(62)) })).status).toBe(201)
    await expectError(await call({ body: around(nested(63)) }), 400, 'invalidSyntax')
    await expectError(await call({ body: around(`${'['.repeat(63)}${']'.repeat(63)}`) }), 400, 'invalidSyntax')
  })

  it('is not counted in strings, whatever quotes are in them', async () => {
    for (const text of [
      '{['.repeat(100),
      '\\"'.repeat(7) + '['.repeat(100),
      '\\\\\\"{'.repeat(100),
      `ü"${'['.repeat(70)}`,
    ]) {
      expect((await call({ body: around(JSON.stringify(text)) })).status).toBe(201)
    }
  })

  it('is counted after strings that try to hide it', async () => {
    const list = `${'['.repeat(65)}${']'.repeat(65)}`
    for (const before of ['"\\\\"', '"\\\\\\""', '"]]]]]]"', '"\\u0022"', '"∢"'])
      await expectError(await call({ body: `{"b":${before},"a":${list}}` }), 400, 'invalidSyntax')
  })

  it('is refused before it is parsed, in bulk as well', async () => {
    const deep = '['.repeat(5_000_000)
    const started = performance.now()
    await expectError(await call({ body: `{"a":${deep}` }), 400, 'invalidSyntax')
    await expectError(await call({ path: '/Bulk', body: `{"Operations":${deep}` }), 400, 'invalidSyntax')
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})

describe('what a body holds', () => {
  const around = (member: string) => `{"schemas":["${userSchema}"],"userName":"${fresh('held')}",${member}}`
  const names = (count: number) => Array.from({ length: count }, (_, at) => `"n${at}":1`).join(',')

  it('is at most 1,000 names in one object, lists and strings aside', async () => {
    const lists = `"l":[${'1,'.repeat(5_000)}1],"s":"${',{'.repeat(5_000)}"`
    expect((await call({ body: around(`"urn:x:y":{${names(998)},${lists}}`) })).status).toBe(201)
    const { detail } = await expectError(await call({ body: around(`"urn:x:y":{${names(1_001)}}`) }), 413)
    expect(detail).toContain('1000')
    await expectError(await call({ body: `{"a":{"b":1},${names(1_000)}}` }), 413)
  })

  it('is at most 600,000 values', async () => {
    expect((await call({ body: around(`"urn:x:y":{"l":[${'1,'.repeat(599_000)}1]}`) })).status).toBe(201)
    const { detail } = await expectError(
      await call({ body: around(`"urn:x:y":{"l":[${'[],'.repeat(300_000)}1]}`) }),
      413,
    )
    expect(detail).toContain('600000')
  })

  it('is at most 50 extensions of a resource, by POST as by PATCH', async () => {
    const extensions = (count: number) => Array.from({ length: count }, (_, at) => `"urn:x:${at}":{"a":1}`).join(',')
    await expectError(await call({ body: around(extensions(51)) }), 400, 'invalidValue')
    const { id } = (await (await call({ body: around(extensions(50)) })).json()) as Json
    const patch = (urn: string) =>
      call({
        method: 'PATCH',
        path: `/Users/${id}`,
        body: JSON.stringify({ schemas: [patchSchema], Operations: [{ op: 'add', value: { [urn]: { b: 2 } } }] }),
      })
    expect((await patch('urn:x:7')).status).toBe(200)
    await expectError(await patch('urn:x:50'), 400, 'invalidValue')
  })

  it('is at most 1,000 names of attributes in a query', async () => {
    const ask = (count: number) => {
      const attributes = Array.from({ length: count }, (_, at) => `a${at}`)
      return call({
        path: '/Users/.search',
        body: JSON.stringify({ schemas: ['urn:ietf:params:scim:api:messages:2.0:SearchRequest'], attributes }),
      })
    }
    expect((await ask(1_000)).status).toBe(200)
    await expectError(await ask(1_001), 400, 'invalidValue')
  })
})

describe('rate (429)', () => {
  const setRate = (directory: string, scimRequestsPerSecond: number | null) =>
    tenure.admin.send('PATCH', `/directories/${directory}`, { scimRequestsPerSecond })

  it('is 5,000 a second unless an admin says otherwise, and again when the admin takes that back', async () => {
    const shown = await tenure.admin.post('/directories', { id: 'rated', provider: 'okta', scimRequestsPerSecond: 7 })
    expect(shown.scimRequestsPerSecond).toBe(7)
    expect((await setRate('rated', null)).body.scimRequestsPerSecond).toBe(5_000)
    expect((await setRate('rated', 200)).body.scimRequestsPerSecond).toBe(200)
    const { body } = await tenure.admin.send('PATCH', '/directories/rated', { name: 'Rated' })
    expect(body).toMatchObject({ name: 'Rated', scimRequestsPerSecond: 200 })
    for (const wrong of [0, -1, 1.5, 100_001, '5']) expect((await setRate('rated', wrong as number)).status).toBe(422)
  })

  it('is refused beyond, per token, until the whole seconds of Retry-After have passed', async () => {
    const scim = await registerDirectory(tenure.admin, 'slow')
    const { token } = await tenure.admin.post('/directories/slow/tokens')
    const other = new ScimClient(scim.base, token)
    await setRate('slow', 2)
    const answers = await Promise.all(Array.from({ length: 12 }, () => scim.send('GET', '/Users?count=0')))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThanOrEqual(6)
    expect(refused[0]!.headers.get('retry-after')).toBe('1')
    expect(refused[0]!.body).toMatchObject({ status: '429', detail: expect.stringContaining('1 s') })
    await expectError(await call({ method: 'GET', base: scim.base, token: scim.token }), 429)
    expect((await other.send('GET', '/Users')).status).toBe(200)
    expect((await okta.send('GET', '/Users')).status).toBe(200)
    await waitFor(async () => (await scim.send('GET', '/Users')).status === 200, { what: 'the next token' })
  })

  it('counts each operation of a bulk request', async () => {
    const scim = await registerDirectory(tenure.admin, 'bulky')
    await setRate('bulky', 10)
    const Operations = Array.from({ length: 300 }, () => ({ method: 'DELETE', path: `/Users/${absent}` }))
    expect((await scim.send('POST', '/Bulk', { schemas: [bulkSchema], Operations })).status).toBe(200)
    const { status, headers } = await scim.send('GET', '/Users')
    expect(status).toBe(429)
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(20)
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(30)
  })
})
