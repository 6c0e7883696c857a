import { beforeAll, describe, expect, it } from 'vitest'
import { createSealer } from '../../../src/secrets.ts'
import { type Answer, groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { secretKey } from '../../support/tenure.ts'
import {
  bulkOf,
  collections,
  enterprise,
  errorSchema,
  expectError,
  expectList,
  filtered,
  membersOf,
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

const user = (fields: Json = {}) => ({ schemas: [userSchema], userName: newName('u'), ...fields })
const group = (fields: Json = {}) => ({ schemas: [groupSchema], displayName: newName('g'), ...fields })
const post = (bulkId: string, path: string, data: Json) => ({ method: 'POST', bulkId, path, data })
const made = (fields: Json = {}): Promise<Json> => scim.call('POST', '/Users', user(fields))
const bulk = async (operations: unknown[], more: Json = {}): Promise<Json[]> => {
  const { status, body } = await scim.send('POST', '/Bulk', { ...bulkOf(...operations), ...more })
  expect(status, JSON.stringify(body)).toBe(200)
  expect(body).toEqual({
    schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkResponse'],
    Operations: expect.any(Array),
  })
  return body.Operations
}
const statuses = (results: Json[]): string[] => results.map(({ status }) => status)
const idOf = ({ location }: Json): string => location.split('/').at(-1)

describe('§1.12 bulk (RFC 7644 §3.7)', () => {
  it.each<[string, unknown, string]>([
    ['a POST without a bulkId', { method: 'POST', path: '/Users', data: user() }, '400'],
    ['a POST to a resource', post('a', `/Users/${stranger}`, user()), '405'],
    ['a PUT to a collection', { method: 'PUT', path: '/Users', data: user() }, '405'],
    ['a PATCH without data', { method: 'PATCH', path: `/Users/${stranger}` }, '400'],
    ['another method', { method: 'GET', path: `/Users/${stranger}` }, '400'],
    ['no path', { method: 'DELETE' }, '400'],
    ['another address', { method: 'DELETE', path: '/Schemas/x' }, '404'],
  ])('§1.12.1 %s is that operation’s failure', async (_what, operation, status) => {
    const results = await bulk([operation, post('b', '/Users', user())])
    expect(statuses(results)).toEqual([status, '201'])
    expect(results[0]!.response).toMatchObject({ schemas: [errorSchema], status })
  })

  it('§1.12.1 a bulkId is one operation’s alone', async () => {
    const data = user()
    const twice = bulkOf(post('a', '/Users', data), post('a', '/Groups', group()))
    expectError(await scim.send('POST', '/Bulk', twice), 400, 'invalidValue')
    expectList(await scim.send('GET', `/Users${filtered(`userName eq "${data.userName}"`)}`), 0)
  })

  it('§1.12.2 answers each operation: method, bulkId, version, location, status, and the error of a failure', async () => {
    const existing = await made()
    const at = `/Users/${existing.id}`
    const taken = await made()
    const results = await bulk([
      post('a', '/Users', user()),
      {
        method: 'PATCH',
        path: at,
        version: existing.meta.version,
        data: patchOf({ op: 'add', path: 'title', value: 'x' }),
      },
      { method: 'PUT', path: at, version: existing.meta.version, data: user() },
      { method: 'DELETE', path: at },
      post('b', '/Users', { ...user(), userName: taken.userName }),
      { method: 'DELETE', path: `/Groups/${stranger}` },
    ])
    const location = expect.stringMatching(new RegExp(`^${scim.base}/Users/`))
    const version = expect.stringMatching(/^W\/".+"$/)
    const error = (status: string, scimType?: string) => ({
      schemas: [errorSchema],
      status,
      ...(scimType && { scimType }),
      detail: expect.any(String),
    })
    expect(results).toEqual([
      { method: 'POST', bulkId: 'a', location, version, status: '201' },
      { method: 'PATCH', location: existing.meta.location, version, status: '200' },
      { method: 'PUT', location: existing.meta.location, status: '412', response: error('412') },
      { method: 'DELETE', location: existing.meta.location, status: '204' },
      { method: 'POST', bulkId: 'b', status: '409', response: error('409', 'uniqueness') },
      { method: 'DELETE', location: `${scim.base}/Groups/${stranger}`, status: '404', response: error('404') },
    ])
    expect(await scim.call('GET', `/Users/${idOf(results[0]!)}`)).toMatchObject({
      meta: { version: results[0]!.version },
    })
  })

  it('§1.12.3 goes on past failures, or until failOnErrors of them', async () => {
    const failing = () => ({ method: 'DELETE', path: `/Users/${stranger}` })
    const operations = () => [failing(), post('a', '/Users', user()), failing(), post('b', '/Users', user())]
    expect(statuses(await bulk(operations()))).toEqual(['404', '201', '404', '201'])
    expect(statuses(await bulk(operations(), { failOnErrors: 1 }))).toEqual(['404'])
    const last = operations()
    expect(statuses(await bulk(last, { failOnErrors: 2 }))).toEqual(['404', '201', '404'])
    const { userName } = (last[3] as Json).data
    expectList(await scim.send('GET', `/Users${filtered(`userName eq "${userName}"`)}`), 0)
  })

  it('§1.12.4 references become ids, forward and back, in members, manager and path', async () => {
    const [team, ada, boss, renamed] = await bulk([
      post('team', '/Groups', group({ members: [{ value: 'bulkId:ada' }, { value: 'bulkId:inner' }] })),
      post('ada', '/Users', user({ [enterprise]: { manager: { value: 'bulkId:boss' } } })),
      post('boss', '/Users', user()),
      { method: 'PATCH', path: '/Users/bulkId:ada', data: patchOf({ op: 'add', path: 'title', value: 'Dr' }) },
      post('inner', '/Groups', group()),
    ])
    expect(statuses([team!, ada!, boss!, renamed!])).toEqual(['201', '201', '201', '200'])
    expect(await membersOf(scim, idOf(team!))).toContain(idOf(ada!))
    expect(await membersOf(scim, idOf(team!))).toHaveLength(2)
    expect(await scim.call('GET', `/Users/${idOf(ada!)}`)).toMatchObject({
      title: 'Dr',
      [enterprise]: { manager: { value: idOf(boss!) } },
    })
  })

  it('§1.12.4 a circle of managers is made, one of groups is 409; what was not made is 409 to whoever needs it', async () => {
    const managedBy = (bulkId: string) => user({ [enterprise]: { manager: { value: `bulkId:${bulkId}` } } })
    const [a, b] = await bulk([post('a', '/Users', managedBy('b')), post('b', '/Users', managedBy('a'))])
    expect(statuses([a!, b!])).toEqual(['201', '201'])
    for (const [report, manager] of [
      [a!, b!],
      [b!, a!],
    ] as const)
      expect(await scim.call('GET', `/Users/${idOf(report)}`)).toMatchObject({
        [enterprise]: { manager: { value: idOf(manager) } },
      })
    const within = (bulkId: string) => group({ members: [{ value: `bulkId:${bulkId}` }] })
    const circle = [post('a', '/Groups', within('b')), post('b', '/Groups', within('a'))]
    expect(statuses(await bulk(circle))).toEqual(['409', '409'])
    const failed = { ...user(), userName: '' }
    expect(
      statuses(
        await bulk([
          post('a', '/Groups', within('failed')),
          post('failed', '/Users', failed),
          post('b', '/Groups', within('nobody')),
        ]),
      ),
    ).toEqual(['409', '400', '409'])
  })

  it('§1.12.5 over maxOperations or maxPayloadSize: 413 that names the limit, and nothing done; bulk in bulk: 400', async () => {
    const { maxOperations, maxPayloadSize } = (await scim.call('GET', '/ServiceProviderConfig')).bulk
    const first = user()
    const many = [
      post('a', '/Users', first),
      ...Array(maxOperations).fill({ method: 'DELETE', path: `/Users/${stranger}` }),
    ]
    const tooMany = await scim.send('POST', '/Bulk', bulkOf(...many))
    expectError(tooMany, 413)
    expect(tooMany.body.detail).toContain(String(maxOperations))
    const tooLarge = await scim.send('POST', '/Bulk', { ...bulkOf(many[0]), x: 'x'.repeat(maxPayloadSize) })
    expectError(tooLarge, 413)
    expect(tooLarge.body.detail).toContain(String(maxPayloadSize))
    expectList(await scim.send('GET', `/Users${filtered(`userName eq "${first.userName}"`)}`), 0)
    expect(await bulk([post('a', '/Bulk', bulkOf())])).toMatchObject([{ status: '400', response: { status: '400' } }])
  })

  it('§1.12.6 is declared as it is', async () => {
    const config = await scim.call('GET', '/ServiceProviderConfig')
    expect(config.bulk).toEqual({
      supported: true,
      maxOperations: expect.any(Number),
      maxPayloadSize: expect.any(Number),
    })
    expect(statuses(await bulk([post('a', '/Users', user())]))).toEqual(['201'])
  })
})

describe('§1.13 /Me and versions (RFC 7644 §3.11, §3.14)', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    '§1.13.1 %s /Me: a token of a directory is no user',
    async (method) => {
      for (const path of ['/Me', '/me', '/Me/x'])
        expectError(await scim.send(method, path, method === 'GET' ? undefined : {}), 501)
    },
  )

  describe.each(collections)('of a $type', ({ path, schema, nameKey }) => {
    const body = (fields: Json = {}) => ({ schemas: [schema], [nameKey]: newName('v'), ...fields })
    const put = (at: string, version: string | undefined, sent: Json) =>
      sendExactly(
        scim,
        'PUT',
        at,
        { 'content-type': 'application/scim+json', ...(version && { 'if-match': version }) },
        JSON.stringify(sent),
      )

    it('§1.13.2 ETag is meta.version, weak and quoted; If-None-Match is answered 304 by what is known alone', async () => {
      const { headers, body: first } = await scim.send('POST', path, body())
      const at = `${path}/${first.id}`
      expect(headers.get('etag')).toBe(first.meta.version)
      expect(first.meta.version).toMatch(/^W\/"[^"]+"$/)
      const get = (version: string) => sendExactly(scim, 'GET', at, { 'if-none-match': version })
      for (const known of [first.meta.version, '*', `W/"x", ${first.meta.version}`])
        expect(await get(known)).toMatchObject({ status: 304, body: undefined })
      expect((await get('W/"other"')).status).toBe(200)
      await scim.call('PUT', at, body({ externalId: 'e' }))
      expect(await get(first.meta.version)).toMatchObject({ status: 200, body: { externalId: 'e' } })
    })

    it('§1.13.2 If-Match that misses is 412 to PUT, PATCH and DELETE, one that hits and none at all go through', async () => {
      const first = await scim.call('POST', path, body())
      const at = `${path}/${first.id}`
      const headers = { 'content-type': 'application/scim+json', 'if-match': 'W/"other"' }
      const patch = patchOf({ op: 'add', path: 'externalId', value: 'e' })
      for (const [method, sent] of [
        ['PUT', body()],
        ['PATCH', patch],
        ['DELETE', undefined],
      ] as const)
        expectError(await sendExactly(scim, method, at, headers, sent && JSON.stringify(sent)), 412)
      expect(await scim.call('GET', at)).toEqual(first)
      const second = await put(at, first.meta.version, body())
      expect(second.status).toBe(200)
      expectError(await put(at, first.meta.version, body()), 412)
      for (const version of ['*', undefined]) expect((await put(at, version, body())).status).toBe(200)
      expectError(await put(`${path}/${stranger}`, '*', body()), 404)
    })
  })

  it('§1.13.2 a change of members is a new version of the group, and none of the member', async () => {
    const member = await made()
    const before = await scim.createGroup(newName('g'))
    await scim.addMembers(before.id, member.id)
    const after = await scim.call('GET', `/Groups/${before.id}`)
    expect(after.meta.version).not.toBe(before.meta.version)
    expect((await scim.call('GET', `/Users/${member.id}`)).meta).toEqual(member.meta)
  })

  it('§1.13.2 lists and discovery carry no tag of their own, and are never 304', async () => {
    for (const path of ['/Users', '/Schemas', '/ServiceProviderConfig', '/Nowhere']) {
      expect((await scim.send('GET', path)).headers.has('etag')).toBe(false)
      expect((await sendExactly(scim, 'GET', path, { 'if-none-match': 'W/"1"' })).status).not.toBe(304)
    }
  })
})

describe('§1.14 errors (RFC 7644 §3.12)', () => {
  const get = (path: string) => scim.send('GET', path)
  const taken = { schemas: [userSchema], userName: 'Taken' }
  let id: string

  beforeAll(async () => {
    id = (await scim.call('POST', '/Users', taken)).id
  })
  const patch = (operation: Json) => scim.send('PATCH', `/Users/${id}`, patchOf(operation))

  it.each<[string, number, string | undefined, () => Promise<Answer>]>([
    ['§1.14.1 invalidFilter', 400, 'invalidFilter', () => get(`/Users${filtered('userName xx "a"')}`)],
    ['§1.14.2 uniqueness', 409, 'uniqueness', () => scim.send('POST', '/Users', taken)],
    ['§1.14.3 mutability', 400, 'mutability', () => patch({ op: 'remove', path: 'userName' })],
    ['§1.14.4 invalidSyntax: JSON', 400, 'invalidSyntax', () => scim.send('POST', '/Users', '{"userName":')],
    [
      '§1.14.4 invalidSyntax: message',
      400,
      'invalidSyntax',
      () => scim.send('PATCH', `/Users/${id}`, { Operations: [] }),
    ],
    ['§1.14.4 invalidSyntax: op', 400, 'invalidSyntax', () => patch({ op: 'move', path: 'title', value: 'x' })],
    ['§1.14.4 invalidPath', 400, 'invalidPath', () => patch({ op: 'add', path: 'title[', value: 'x' })],
    ['§1.14.5 noTarget: no path', 400, 'noTarget', () => patch({ op: 'remove' })],
    [
      '§1.14.5 noTarget: no match',
      400,
      'noTarget',
      () => patch({ op: 'replace', path: 'emails[type eq "x"]', value: { value: 'x' } }),
    ],
    ['§1.14.5 invalidValue: type', 400, 'invalidValue', () => patch({ op: 'add', path: 'active', value: 'perhaps' })],
    [
      '§1.14.5 invalidValue: missing',
      400,
      'invalidValue',
      () => scim.send('POST', '/Users', { schemas: [userSchema] }),
    ],
    [
      '§1.14.5 invalidValue: nobody',
      400,
      'invalidValue',
      () => scim.send('POST', '/Groups', group({ members: [{ value: stranger }] })),
    ],
    ['§1.14.9 404', 404, undefined, () => get(`/Users/${stranger}`)],
    ['§1.14.9 404 of an address', 404, undefined, () => get('/Nowhere')],
    ['§1.14.9 403', 403, undefined, () => get('/Schemas?filter=x')],
    ['§1.14.9 405', 405, undefined, () => scim.send('PUT', '/Users', {})],
    ['§1.14.9 413', 413, undefined, () => scim.send('POST', '/Users', { x: 'x'.repeat(10_485_760) })],
    ['§1.14.9 501', 501, undefined, () => get('/Me')],
  ])('%s', async (_what, status, scimType, ask) => {
    const answer = await ask()
    expectError(answer, status, scimType)
    expect(answer.body.detail).not.toBe('')
  })

  it('§1.14.6 invalidVers for another version; tooMany for none, since lists are cut', async () => {
    const answer = await fetch(scim.base.replace('/v2', '/v1'))
    expect([answer.status, await answer.json()]).toMatchObject([400, { status: '400', scimType: 'invalidVers' }])
    expect(await get('/Users?count=2147483647')).toMatchObject({ status: 400 })
    expect(await get('/Users?count=999999999')).toMatchObject({ status: 200, body: { startIndex: 1 } })
  })

  it('§1.14.7 sensitive: a password is no matter for a filter, in a URL or in a search, and is not repeated', async () => {
    const filter = 'password eq "swordfish-in-a-filter"'
    for (const answer of [
      await get(`/Users${filtered(filter)}`),
      await get(`/${filtered(filter)}`),
      await scim.send('POST', '/Users/.search', searchOf({ filter })),
    ]) {
      expectError(answer, 400, 'invalidFilter')
      expect(JSON.stringify(answer.body)).not.toContain('swordfish')
    }
    expect(JSON.stringify(running.tenure.log)).not.toContain('swordfish')
  })

  it('§1.14.8 invalidCursor, expiredCursor, invalidCount', async () => {
    await made()
    expectError(await get('/Users?cursor=made-up'), 400, 'invalidCursor')
    expectError(await get('/Users?cursor&count=all'), 400, 'invalidCount')
    const { nextCursor } = (await get('/Users?cursor&count=1')).body
    const sealer = createSealer([secretKey])
    const expired = JSON.stringify({ ...JSON.parse(await sealer.unseal(nextCursor)), expiresAt: 1 })
    expectError(await get(`/Users${query({ cursor: await sealer.seal(expired), count: '1' })}`), 400, 'expiredCursor')
  })

  it('§1.14.9 401, 412, 415, 429 and 500 have the same form, and 500 says nothing of why', async () => {
    expectError(await sendExactly(scim, 'GET', '/Users', { authorization: 'Bearer nobody' }), 401)
    expectError(await sendExactly(scim, 'DELETE', `/Users/${id}`, { 'if-match': 'W/"x"' }), 412)
    expectError(await sendExactly(scim, 'POST', '/Users', { 'content-type': 'text/plain' }, 'x'), 415)
    expectError(
      await sendExactly(scim, 'POST', '/Users', { 'content-type': 'application/scim+json; charset=latin1' }, '{}'),
      415,
    )
    const limited = running.scim('ping')
    await running.tenure.admin.send('PATCH', '/directories/ping', { scimRequestsPerSecond: 1 })
    const answers = await Promise.all(Array.from({ length: 6 }, () => limited.send('GET', '/Users')))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    for (const answer of refused) {
      expectError(answer, 429)
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    }
    const owner = await connect({ url: running.database.ownerUrl })
    await owner.query('alter table scim_group rename column display_name_key to away')
    try {
      const broken = await get('/Groups?filter=displayName+eq+%22x%22')
      expectError(broken, 500)
      expect(broken.body.detail).not.toMatch(/display_name|select|scim_group|\bat /)
    } finally {
      await owner.query('alter table scim_group rename column away to display_name_key')
      await owner.end()
    }
  })
})

describe('§1.17 newer than RFC 9865: nothing of it is there, and nothing says that it is', () => {
  it('§1.17.1 security events (RFC 9967): not declared, and nothing is done asynchronously', async () => {
    expect(await scim.call('GET', '/ServiceProviderConfig')).not.toHaveProperty('securityEvents')
    const headers = { 'content-type': 'application/scim+json', prefer: 'respond-async' }
    const answer = await sendExactly(scim, 'POST', '/Users', headers, JSON.stringify(user()))
    expect(answer.status).toBe(201)
    for (const name of ['set-txn', 'preference-applied']) expect(answer.headers.has(name)).toBe(false)
  })

  it.each([
    ['§1.17.2 devices (RFC 9944)', '/Devices'],
    ['§1.17.3 roles', '/Roles'],
    ['§1.17.3 entitlements', '/Entitlements'],
    ['§1.17.4 members as resources', '/GroupMembers'],
  ])('%s: no such address and no such type', async (_what, path) => {
    for (const method of ['GET', 'POST'])
      expectError(await scim.send(method, path, method === 'GET' ? undefined : {}), 404)
    const { Resources } = await scim.call('GET', '/ResourceTypes')
    expect(Resources.map(({ endpoint }: Json) => endpoint)).not.toContain(path)
  })

  it('§1.17.3 a token of changes is asked for in vain: the list is whole', async () => {
    const whole = (await scim.send('GET', '/Users')).body
    expect((await scim.send('GET', '/Users?changesSince=x&deltaToken=x')).body).toEqual(whole)
  })

  it('§1.17.5 no soft delete: active false deactivates, DELETE deletes', async () => {
    const { id } = await made()
    await scim.setActive(id, false)
    expect(await scim.call('GET', `/Users/${id}`)).toMatchObject({ id, active: false })
    await scim.call('DELETE', `/Users/${id}`)
    expectError(await scim.send('GET', `/Users/${id}`), 404)
    expectError(await scim.send('PATCH', `/Users/${id}`, patchOf({ op: 'replace', path: 'active', value: true })), 404)
  })
})
