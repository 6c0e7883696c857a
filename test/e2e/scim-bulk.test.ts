import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, groupSchema, type Json, patchSchema, type ScimClient, userSchema } from '../support/clients.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, registerServer, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const requestSchema = 'urn:ietf:params:scim:api:messages:2.0:BulkRequest'
const responseSchema = 'urn:ietf:params:scim:api:messages:2.0:BulkResponse'
const errorSchema = 'urn:ietf:params:scim:api:messages:2.0:Error'
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
const person = (userName: string, fields: Json = {}) => ({ schemas: [userSchema], userName, ...fields })
const team = (displayName: string, ...members: string[]) => ({
  schemas: [groupSchema],
  displayName,
  members: members.map((value) => ({ value })),
})
const managedBy = (value: string) => ({ [enterprise]: { manager: { value } } })
const patchOf = (...operations: unknown[]) => ({ schemas: [patchSchema], Operations: operations })
const post = (bulkId: string, path: string, data: Json) => ({ method: 'POST', bulkId, path, data })

function send(operations: unknown, fields: Json = {}): Promise<Answer> {
  return okta.send('POST', '/Bulk', { schemas: [requestSchema], Operations: operations, ...fields })
}

/** @returns the results, after what all of them have in common is checked */
async function bulk(operations: unknown[], fields: Json = {}): Promise<Json[]> {
  const { status, headers, body } = await send(operations, fields)
  expect(status, JSON.stringify(body)).toBe(200)
  expect(headers.get('content-type')).toBe('application/scim+json; charset=utf-8')
  expect(body).toEqual({ schemas: [responseSchema], Operations: expect.any(Array) })
  for (const result of body.Operations) {
    expect(result.status).toBeTypeOf('string')
    if (result.status.startsWith('2')) expect(result.response).toBeUndefined()
    else expect(result.response).toMatchObject({ schemas: [errorSchema], status: result.status })
  }
  return body.Operations
}

const statuses = (results: Json[]) => results.map(({ status }) => status)
const idOf = ({ location }: Json): string => location.split('/').at(-1)
const membersOf = async (result: Json): Promise<string[]> => {
  const { members = [] } = await okta.call('GET', `/Groups/${idOf(result)}`)
  return members.map(({ value }: Json) => value).toSorted()
}
const managerOf = async (result: Json): Promise<Json> =>
  (await okta.call('GET', `/Users/${idOf(result)}`))[enterprise]?.manager

describe('operations (RFC 7644 §3.7)', () => {
  it('creates, replaces, changes and deletes users and groups, answering each like a request of its own', async () => {
    const ada = await okta.createUser(fresh('ada'))
    const bob = await okta.createUser(fresh('bob'))
    const old = await okta.createGroup(fresh('old'))
    const renamed = fresh('ada')
    const results = await bulk([
      post('u', '/Users', person(fresh('cyd'))),
      { method: 'PUT', path: `/Users/${ada.id}`, data: person(renamed) },
      { method: 'PATCH', path: `/Users/${ada.id}`, data: patchOf({ op: 'replace', value: { active: false } }) },
      {
        method: 'PATCH',
        path: `/Groups/${old.id}`,
        data: patchOf({ op: 'add', path: 'members', value: [{ value: ada.id }] }),
      },
      { method: 'DELETE', path: `/Users/${bob.id}` },
    ])

    expect(results).toEqual([
      { method: 'POST', bulkId: 'u', status: '201', location: expect.stringContaining('/Users/'), version: 'W/"1"' },
      { method: 'PUT', status: '200', location: ada.meta.location, version: 'W/"2"' },
      { method: 'PATCH', status: '200', location: ada.meta.location, version: 'W/"3"' },
      { method: 'PATCH', status: '200', location: old.meta.location, version: 'W/"2"' },
      { method: 'DELETE', status: '204', location: bob.meta.location },
    ])
    expect(await okta.call('GET', `/Users/${ada.id}`)).toMatchObject({ userName: renamed, active: false })
    expect((await okta.call('GET', `/Users/${idOf(results[0])}`)).meta.location).toBe(results[0].location)
    expect(await membersOf(results[3])).toEqual([ada.id])
    expect((await okta.send('GET', `/Users/${bob.id}`)).status).toBe(404)
  })

  it('commits each operation with its own lifecycle event, under the one request', async () => {
    const [made] = await bulk([
      post('u', '/Users', person(fresh('eve'))),
      { method: 'PATCH', path: '/Users/bulkId:u', data: patchOf({ op: 'replace', value: { active: false } }) },
      { method: 'PATCH', path: '/Users/bulkId:u', data: patchOf({ op: 'replace', value: { active: true } }) },
      { method: 'DELETE', path: '/Users/bulkId:u' },
    ])
    const { items } = await tenure.admin.get(`/events?user=${idOf(made)}`)
    expect(items.map(({ kind, detail }: Json) => [kind, detail.operation]).toReversed()).toEqual([
      ['joined', 'POST'],
      ['left', 'PATCH'],
      ['resumed', 'PATCH'],
      ['left', 'DELETE'],
    ])
    expect(new Set(items.map(({ detail }: Json) => detail.request)).size).toBe(1)
    const client = await connect(database)
    const { rows } = await client.query(
      'select count(distinct xmin::text)::int as transactions from lifecycle_event where user_id = $1',
      [idOf(made)],
    )
    await client.end()
    expect(rows).toEqual([{ transactions: 4 }])
  })

  it('cuts a leaver: the grant is void once the bulk request is answered', async () => {
    const { receiver } = await registerServer(tenure.admin, 'linear')
    await receiver.close()
    await tenure.admin.put('/rules/everyone', {
      directory: 'acme',
      server: 'linear',
      when: 'active eq true',
      scopes: ['read'],
    })
    const { id } = await okta.createUser(fresh('leaver'))
    const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], token: fresh('token') }
    expect((await tenure.admin.grant(grant)).status).toBe(201)
    expect(await tenure.admin.introspect(grant.token)).toMatchObject({ active: true })
    await bulk([
      { method: 'PATCH', path: `/Users/${id}`, data: patchOf({ op: 'Replace', path: 'active', value: 'False' }) },
    ])
    expect(await tenure.admin.introspect(grant.token)).toEqual({ active: false })
  })

  it('takes method and keys in any case, and an empty list', async () => {
    const [made] = await bulk([{ Method: 'post', BulkId: 'x', Path: '/users', Data: person(fresh('fay')) }])
    expect(made).toMatchObject({ method: 'POST', bulkId: 'x', status: '201' })
    expect(await bulk([])).toEqual([])
  })

  it('makes nothing of the operations another directory has', async () => {
    const other = await registerDirectory(tenure.admin, fresh('other'))
    const stranger = await other.createUser(fresh('stranger'))
    const results = await bulk([
      { method: 'DELETE', path: `/Users/${stranger.id}` },
      post('g', '/Groups', team(fresh('mixed'), stranger.id)),
    ])
    expect(statuses(results)).toEqual(['404', '400'])
    expect((await other.send('GET', `/Users/${stranger.id}`)).status).toBe(200)
  })
})

describe('bulkId (RFC 7644 §3.7.2)', () => {
  it('resolves references backward and forward, between groups and users, in members and manager', async () => {
    const results = await bulk([
      post('outer', '/Groups', team(fresh('outer'), 'bulkId:inner', 'bulkId:boss')),
      post('ada', '/Users', person(fresh('ada'), managedBy('bulkId:boss'))),
      post('inner', '/Groups', team(fresh('inner'), 'bulkId:ada')),
      post('boss', '/Users', person(fresh('boss'))),
    ])
    expect(results.map(({ bulkId, status }) => [bulkId, status])).toEqual([
      ['outer', '201'],
      ['ada', '201'],
      ['inner', '201'],
      ['boss', '201'],
    ])
    const [outer, ada, inner, boss] = results
    expect(await membersOf(outer)).toEqual([idOf(inner), idOf(boss)].toSorted())
    expect(await membersOf(inner)).toEqual([idOf(ada)])
    expect(await managerOf(ada)).toEqual({ value: idOf(boss) })
  })

  it('resolves them in paths, in values of a PATCH, in its value paths, and in $ref', async () => {
    const results = await bulk([
      {
        method: 'PATCH',
        path: '/Groups/bulkId:g',
        data: patchOf({ op: 'add', path: 'members', value: [{ value: 'bulkId:b' }] }),
      },
      post('g', '/Groups', team(fresh('team'), 'bulkId:a', 'bulkId:c')),
      post('a', '/Users', person(fresh('a'))),
      post('b', '/Users', person(fresh('b'))),
      post(
        'c',
        '/Users',
        person(fresh('c'), { [enterprise]: { manager: { value: 'bulkId:a', $ref: '../Users/bulkId:a' } } }),
      ),
      {
        method: 'PATCH',
        path: '/Groups/bulkId:g',
        data: patchOf({ op: 'remove', path: 'members[value eq "bulkId:c"]' }),
      },
      { method: 'PUT', path: '/Users/bulkId:b', data: person(fresh('b'), managedBy('bulkId:c')) },
      { method: 'DELETE', path: '/Users/bulkId:a' },
    ])
    expect(statuses(results)).toEqual(['200', '201', '201', '201', '201', '200', '200', '204'])
    const [, group, a, b, c] = results
    expect(await membersOf(group)).toEqual([idOf(b)])
    expect(await managerOf(b)).toEqual({ value: idOf(c) })
    expect(await managerOf(c)).toEqual({ value: idOf(a), $ref: `../Users/${idOf(a)}` })
    expect(results[7].location).toBe(a.location)
  })

  it('leaves a text alone that only begins like a reference elsewhere in it', async () => {
    const displayName = 'see bulkId:nothing'
    const [made] = await bulk([post('u', '/Users', person(fresh('u'), { displayName }))])
    expect(await okta.call('GET', `/Users/${idOf(made)}`)).toMatchObject({ displayName })
  })

  it.each([
    ['never declared', []],
    [
      'of an operation that failed',
      [{ method: 'POST', bulkId: 'gone', path: '/Users', data: { schemas: [userSchema] } }],
    ],
    ['of an operation that is no POST', [{ method: 'DELETE', bulkId: 'gone', path: `/Users/${absent}` }]],
  ])('answers 409 to a reference %s, and makes nothing', async (_what, before) => {
    const displayName = fresh('dependent')
    const results = await bulk([
      ...before,
      post('g', '/Groups', team(displayName, 'bulkId:gone')),
      { method: 'DELETE', path: '/Users/bulkId:gone' },
    ])
    expect(statuses(results).slice(-2)).toEqual(['409', '409'])
    expect(results.at(-2).location).toBeUndefined()
    expect(results.at(-2).response.detail).toContain('bulkId:gone')
    expect(
      await okta.call('GET', `/Groups?filter=${encodeURIComponent(`displayName eq "${displayName}"`)}`),
    ).toMatchObject({
      totalResults: 0,
    })
  })

  it('refuses a request that uses one twice, before it does anything', async () => {
    const [first, second] = [fresh('twice'), fresh('twice')]
    const { status, body } = await send([post('x', '/Users', person(first)), post('x', '/Users', person(second))])
    expect([status, body.scimType]).toEqual([400, 'invalidValue'])
    expect((await okta.createUser(first)).userName).toBe(first)
  })
})

describe('circular references (RFC 7644 §3.7.1)', () => {
  it('makes a circle of managers, of any length, and a user who is their own', async () => {
    const results = await bulk([
      post('a', '/Users', person(fresh('a'), managedBy('bulkId:b'))),
      post('b', '/Users', person(fresh('b'), managedBy('bulkId:c'))),
      post('c', '/Users', person(fresh('c'), { [`${enterprise}:manager`]: { value: 'bulkId:a' } })),
      post('d', '/Users', person(fresh('d'), managedBy('bulkId:d'))),
    ])
    expect(statuses(results)).toEqual(['201', '201', '201', '201'])
    const [a, b, c, d] = results
    expect(await managerOf(a)).toEqual({ value: idOf(b) })
    expect(await managerOf(b)).toEqual({ value: idOf(c) })
    expect(await managerOf(c)).toEqual({ value: idOf(a) })
    expect(await managerOf(d)).toEqual({ value: idOf(d) })
    for (const result of results) {
      const { meta } = await okta.call('GET', `/Users/${idOf(result)}`)
      expect(meta.version).toBe(result.version)
    }
  })

  it('answers 409 for a circle of managers when one of them cannot be made, and says where the other is', async () => {
    const taken = fresh('taken')
    await okta.createUser(taken)
    const results = await bulk([
      post('a', '/Users', person(taken, managedBy('bulkId:b'))),
      post('b', '/Users', person(fresh('b'), managedBy('bulkId:a'))),
    ])
    expect(statuses(results)).toEqual(['409', '409'])
    expect(results[0].location).toBeUndefined()
    expect(results[0].response.scimType).toBe('uniqueness')
    expect(results[1].response.detail).toContain('bulkId:a')
    expect(await managerOf(results[1])).toBeUndefined()
  })

  it.each([
    [
      'two groups',
      [
        ['a', 'bulkId:b'],
        ['b', 'bulkId:a'],
      ],
    ],
    [
      'three groups',
      [
        ['a', 'bulkId:b'],
        ['b', 'bulkId:c'],
        ['c', 'bulkId:a'],
      ],
    ],
    ['a group in itself', [['a', 'bulkId:a']]],
  ])('answers 409 for a circle of %s, which no order could make, and makes none', async (_what, circle) => {
    const made = circle.map(([id, member]) => post(id!, '/Groups', team(fresh('circle'), member!)))
    const results = await bulk([...made, post('u', '/Users', person(fresh('beside')))])
    expect(statuses(results)).toEqual([...circle.map(() => '409'), '201'])
    for (const { data } of made) expect((await okta.createGroup(data.displayName)).displayName).toBe(data.displayName)
  })

  it('answers 400 when a later operation closes a circle of groups', async () => {
    const results = await bulk([
      post('a', '/Groups', team(fresh('a'))),
      post('b', '/Groups', team(fresh('b'), 'bulkId:a')),
      {
        method: 'PATCH',
        path: '/Groups/bulkId:a',
        data: patchOf({ op: 'add', path: 'members', value: [{ value: 'bulkId:b' }] }),
      },
    ])
    expect(statuses(results)).toEqual(['201', '201', '400'])
    expect(results[2].response.scimType).toBe('invalidValue')
  })

  it('says so of a circle that was begun when it had to stop', async () => {
    const results = await bulk(
      [
        post('a', '/Users', person(fresh('a'), { ...managedBy('bulkId:b'), nickName: 'bulkId:c' })),
        post('b', '/Users', person(fresh('b'), managedBy('bulkId:a'))),
        post('c', '/Users', { schemas: [userSchema] }),
      ],
      { failOnErrors: 1 },
    )
    expect(results.map(({ bulkId, status }) => [bulkId, status])).toEqual([
      ['b', '409'],
      ['c', '400'],
    ])
    expect(results[0].location).toContain('/Users/')
  })

  it("takes a user's groups, which are read-only, for no part of a circle", async () => {
    const results = await bulk([
      post('u', '/Users', person(fresh('u'), { groups: [{ value: 'bulkId:g' }] })),
      post('g', '/Groups', team(fresh('g'), 'bulkId:u')),
    ])
    expect(statuses(results)).toEqual(['201', '201'])
    expect(await membersOf(results[1])).toEqual([idOf(results[0])])
  })
})

describe('errors (RFC 7644 §3.7.3)', () => {
  const wrong: Array<[string, Json, string, string | undefined]> = [
    ['no object', 'POST /Users', '400', 'invalidSyntax'],
    ['no method', { path: '/Users', data: {} }, '400', 'invalidSyntax'],
    ['GET', { method: 'GET', path: '/Users' }, '400', 'invalidSyntax'],
    ['POST without bulkId', { method: 'POST', path: '/Users', data: {} }, '400', 'invalidSyntax'],
    ['POST without data', { method: 'POST', bulkId: 'x', path: '/Users' }, '400', 'invalidSyntax'],
    ['no path', { method: 'DELETE' }, '400', 'invalidSyntax'],
    ['nested bulk', { method: 'POST', bulkId: 'x', path: '/Bulk', data: {} }, '400', 'invalidSyntax'],
    ['unknown type', { method: 'DELETE', path: '/Devices/1' }, '404', undefined],
    ['absent resource', { method: 'DELETE', path: `/Groups/${absent}` }, '404', undefined],
    ['what cannot be an id', { method: 'DELETE', path: "/Users/1'--" }, '404', undefined],
    ['collection for PATCH', { method: 'PATCH', path: '/Users', data: {} }, '405', undefined],
    ['resource for POST', { method: 'POST', bulkId: 'x', path: `/Users/${absent}`, data: {} }, '405', undefined],
    ['wrong type', post('x', '/Users', { schemas: [userSchema], userName: 7 }), '400', 'invalidValue'],
    [
      'prototype',
      JSON.parse('{"method":"POST","bulkId":"x","path":"/Users","data":{"__proto__":{"a":1}}}'),
      '400',
      'invalidValue',
    ],
    ['NUL', post('x', '/Users', person('a\0b')), '400', 'invalidValue'],
  ]

  it.each(wrong)('refuses %s for that operation alone', async (_what, operation, status, scimType) => {
    const results = await bulk([operation, post('good', '/Users', person(fresh('good')))])
    expect(statuses(results)).toEqual([status, '201'])
    expect(results[0].response.scimType).toBe(scimType)
  })

  it('gives a location with every failure but that of a POST', async () => {
    const [gone, taken] = await bulk([
      { method: 'PUT', path: `/Users/${absent}`, data: person(fresh('x')) },
      post('x', '/Users', person((await okta.createUser(fresh('taken'))).userName)),
    ])
    expect(gone.location).toBe(`${okta.base}/Users/${absent}`)
    expect(taken).toMatchObject({ bulkId: 'x', method: 'POST', status: '409', response: { scimType: 'uniqueness' } })
    expect(taken.location).toBeUndefined()
  })

  it.each([
    [1, ['404']],
    [2, ['404', '201', '404']],
    [3, ['404', '201', '404', '201']],
    [undefined, ['404', '201', '404', '201']],
  ])('stops after failOnErrors %s failures, and answers what was processed', async (failOnErrors, wanted) => {
    const last = fresh('last')
    const results = await bulk(
      [
        { method: 'DELETE', path: `/Users/${absent}` },
        post('a', '/Users', person(fresh('a'))),
        { method: 'DELETE', path: `/Groups/${absent}` },
        post('b', '/Users', person(last)),
      ],
      { failOnErrors },
    )
    expect(statuses(results)).toEqual(wanted)
    const { totalResults } = await okta.call('GET', `/Users?filter=${encodeURIComponent(`userName eq "${last}"`)}`)
    expect(totalResults).toBe(wanted.length === 4 ? 1 : 0)
  })

  it('leaves undone what needs an operation that was one failure too many', async () => {
    const results = await bulk(
      [post('g', '/Groups', team(fresh('g'), 'bulkId:u')), post('u', '/Users', { schemas: [userSchema] })],
      { failOnErrors: 1 },
    )
    expect(results.map(({ bulkId, status }) => [bulkId, status])).toEqual([['u', '400']])
  })

  it.each([
    ['another schema', { schemas: [userSchema] }, 'invalidSyntax'],
    ['no list', { Operations: {} }, 'invalidSyntax'],
    ['failOnErrors 0', { failOnErrors: 0 }, 'invalidValue'],
    ['failOnErrors "1"', { failOnErrors: '1' }, 'invalidValue'],
  ])('refuses a whole request with %s', async (_what, fields, scimType) => {
    const { status, body } = await send([], fields)
    expect([status, body.scimType]).toEqual([400, scimType])
  })
})

describe('versions (RFC 7644 §3.7, §3.14)', () => {
  it('asks for the version of an operation as for If-Match', async () => {
    const { id } = await okta.createUser(fresh('v'))
    const rename = (displayName: string, version: string) => ({
      method: 'PATCH',
      path: `/Users/${id}`,
      version,
      data: patchOf({ op: 'replace', path: 'displayName', value: displayName }),
    })
    const results = await bulk([rename('one', 'W/"1"'), rename('two', 'W/"1"'), rename('three', 'W/"2"')])
    expect(statuses(results)).toEqual(['200', '412', '200'])
    expect(results[2].version).toBe('W/"3"')
    expect((await okta.call('GET', `/Users/${id}`)).displayName).toBe('three')
    const wrong = await bulk([{ method: 'DELETE', path: `/Users/${id}`, version: 'W/"1"' }])
    expect(statuses(wrong)).toEqual(['412'])
  })
})

describe('limits (RFC 7644 §3.7.4, RFC 7643 §5)', () => {
  it('are those that ServiceProviderConfig declares', async () => {
    const { bulk } = await okta.call('GET', '/ServiceProviderConfig')
    expect(bulk).toEqual({ supported: true, maxOperations: 1_000, maxPayloadSize: 10_485_760 })
  })

  it('takes a thousand operations and answers 413 to one more, naming the limit and doing nothing', async () => {
    const gone = Array.from({ length: 1_000 }, () => ({ method: 'DELETE', path: `/Users/${absent}` }))
    expect(new Set(statuses(await bulk(gone)))).toEqual(new Set(['404']))
    const userName = fresh('one-too-many')
    const { status, body } = await send([post('u', '/Users', person(userName)), ...gone])
    expect([status, body.status]).toEqual([413, '413'])
    expect(body.detail).toContain('1000')
    expect((await okta.createUser(userName)).userName).toBe(userName)
  })

  it('ends with the connection: what nobody waits for any more is left undone', async () => {
    const { id } = await okta.createUser(fresh('held'))
    const last = fresh('last')
    const client = await connect(database)
    await client.query('begin')
    await client.query('select from user_state where user_id = $1 for update', [id])
    const abandon = new AbortController()
    const operations = [
      { method: 'PATCH', path: `/Users/${id}`, data: patchOf({ op: 'replace', path: 'title', value: 'under way' }) },
      post('u', '/Users', person(last)),
    ]
    const asked = fetch(`${okta.base}/Bulk`, {
      method: 'POST',
      headers: { authorization: `Bearer ${okta.token}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify({ schemas: [requestSchema], Operations: operations }),
      signal: abandon.signal,
    })
    asked.catch(() => {})
    const waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    await waitFor(async () => (await client.query(waiting)).rowCount === 1, { what: 'the first to wait' })
    abandon.abort()
    await expect(asked).rejects.toThrow()
    const ended = ({ path, aborted }: Json) => aborted && path.endsWith('/Bulk')
    await waitFor(() => tenure.log.some(ended), { what: 'the connection to end' })
    await client.query('rollback')
    await client.end()

    const titleOf = async () => (await okta.call('GET', `/Users/${id}`)).title
    await waitFor(async () => (await titleOf()) === 'under way', { what: 'the first, which was under way, to be done' })
    for (let at = 0; at < 20; at++) await okta.createUser(fresh('later'))
    const { totalResults } = await okta.call('GET', `/Users?filter=${encodeURIComponent(`userName eq "${last}"`)}`)
    expect(totalResults).toBe(0)
  })

  it('follows a chain of a thousand references, each to the next', async () => {
    const chain = Array.from({ length: 1_000 }, (_, at) =>
      post(`u${at}`, '/Users', person(fresh('chain'), at < 999 ? managedBy(`bulkId:u${at + 1}`) : {})),
    )
    const results = await bulk(chain)
    expect(new Set(statuses(results))).toEqual(new Set(['201']))
    expect(await managerOf(results[0])).toEqual({ value: idOf(results[1]) })
  })
})
