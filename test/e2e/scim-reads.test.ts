import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type Answer, groupSchema, type Json, patchSchema, type ScimClient, userSchema } from '../support/clients.ts'
import { insertPeople } from '../support/people.ts'
import { connect } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const searchSchema = 'urn:ietf:params:scim:api:messages:2.0:SearchRequest'
const listSchema = 'urn:ietf:params:scim:api:messages:2.0:ListResponse'
const errorSchema = 'urn:ietf:params:scim:api:messages:2.0:Error'
const mediaType = 'application/scim+json; charset=utf-8'

let backend: RunningBackend
let tenure: RunningTenure
let database: pg.Client
let scim: ScimClient
let ids: Record<string, string>

beforeAll(async () => {
  backend = await backends()[0]!.start()
  tenure = await runTenure('api', backend.database)
  database = await connect({ url: backend.database.ownerUrl })
  scim = await registerDirectory(tenure.admin, 'reads')
  const people: [string, Json][] = [
    ['bert', { title: 'Zookeeper', emails: [{ value: 'z@x' }, { value: 'B@x', primary: true }] }],
    [
      'Ada',
      {
        title: 'countess',
        emails: [{ value: 'c@x', type: 'work' }, { value: 'd@x' }],
        [enterprise]: { department: 'Ops' },
      },
    ],
    ['cleo', { title: undefined, emails: undefined, [enterprise]: { department: 'art', manager: { value: 'm1' } } }],
    ['dora', { title: 'Astronaut', emails: [{ value: 'A@x', type: 'work' }], active: false }],
  ]
  ids = {}
  for (const [userName, fields] of people) ids[userName] = (await scim.createUser(userName, fields)).id
  ids.Engineers = (await scim.createGroup('Engineers', [ids.bert!, ids.Ada!])).id
  ids.artists = (await scim.createGroup('artists')).id
})
afterAll(async () => {
  await database?.end()
  await tenure?.close()
  await backend?.stop()
})

/** With headers of its own, and none that it does not name. */
async function request(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Json,
  client = scim,
): Promise<Answer> {
  const response = await fetch(`${client.base}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${client.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/scim+json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

const get = (path: string, parameters: Record<string, string> = {}) =>
  request('GET', `${path}?${new URLSearchParams(parameters)}`)
const search = (path: string, parameters: Json) =>
  request('POST', `${path}/.search`, {}, { schemas: [searchSchema], ...parameters })

function namesIn({ status, body }: Answer): string[] {
  expect(status, JSON.stringify(body)).toBe(200)
  expect(body.schemas).toEqual([listSchema])
  return body.Resources.map(({ userName, displayName }: Json) => userName ?? displayName)
}

function expectError({ status, headers, body }: Answer, wanted: number, scimType?: string): void {
  expect(headers.get('content-type')).toBe(mediaType)
  const type = scimType === undefined ? {} : { scimType }
  expect(body).toEqual({ schemas: [errorSchema], status: String(wanted), ...type, detail: expect.any(String) })
  expect(status).toBe(wanted)
}

describe('sorting (RFC 7644 §3.4.2.3)', () => {
  it.each<[string, string[]]>([
    ['userName', ['Ada', 'bert', 'cleo', 'dora']],
    ['USERNAME', ['Ada', 'bert', 'cleo', 'dora']],
    ['urn:ietf:params:scim:schemas:core:2.0:User:userName', ['Ada', 'bert', 'cleo', 'dora']],
    ['title', ['dora', 'Ada', 'bert', 'cleo']],
    ['emails', ['dora', 'bert', 'Ada', 'cleo']],
    ['emails.value', ['dora', 'bert', 'Ada', 'cleo']],
    ['meta.created', ['bert', 'Ada', 'cleo', 'dora']],
  ])('by %s, either way', async (sortBy, expected) => {
    expect(namesIn(await get('/Users', { sortBy }))).toEqual(expected)
    expect(namesIn(await get('/Users', { sortBy, sortOrder: 'Ascending' }))).toEqual(expected)
    expect(namesIn(await get('/Users', { sortBy, sortOrder: 'descending' }))).toEqual(expected.toReversed())
  })

  it('by an attribute of an extension: those without come last, and first when descending', async () => {
    const sortBy = `${enterprise}:department`
    expect(namesIn(await get('/Users', { sortBy })).slice(0, 2)).toEqual(['cleo', 'Ada'])
    expect(namesIn(await get('/Users', { sortBy, sortOrder: 'descending' })).slice(2)).toEqual(['Ada', 'cleo'])
  })

  it('breaks ties by id', async () => {
    const everyone = await get('/Users', { sortBy: 'name.givenName' })
    expect(everyone.body.Resources.map(({ id }: Json) => id)).toEqual(
      ['bert', 'Ada', 'cleo', 'dora'].map((name) => ids[name]).toSorted(),
    )
  })

  it('sorts what a filter selects, page by page', async () => {
    const filter = 'title pr'
    const first = await get('/Users', { filter, sortBy: 'title', startIndex: '1', count: '2' })
    expect(first.body).toMatchObject({ totalResults: 3, startIndex: 1, itemsPerPage: 2 })
    const second = await get('/Users', { filter, sortBy: 'title', startIndex: '3', count: '2' })
    expect([...namesIn(first), ...namesIn(second)]).toEqual(['dora', 'Ada', 'bert'])
  })

  it.each(['nope', 'name', 'password', 'userName.nope', "title' desc; --"])('refuses to sort by %s', async (sortBy) => {
    expectError(await get('/Users', { sortBy }), 400, 'invalidValue')
  })

  it('refuses an order that there is not', async () => {
    expectError(await get('/Users', { sortBy: 'title', sortOrder: 'random' }), 400, 'invalidValue')
  })
})

describe('pages by cursor (RFC 9865)', () => {
  const first = (parameters: Json = {}) => get('/Users', { cursor: '', count: '2', ...parameters })

  it('begins with an empty cursor or a bare one, and ends without another', async () => {
    const page = await first()
    expect(page.body).toEqual({
      schemas: [listSchema],
      totalResults: 4,
      itemsPerPage: 2,
      Resources: expect.any(Array),
      nextCursor: expect.stringMatching(/^[\w.~-]+$/),
    })
    expect(namesIn(page)).toEqual(['bert', 'Ada'])
    expect(namesIn(await request('GET', '/Users?cursor&count=2'))).toEqual(['bert', 'Ada'])
    const last = await first({ cursor: page.body.nextCursor })
    expect(namesIn(last)).toEqual(['cleo', 'dora'])
    expect(Object.keys(last.body)).not.toContain('nextCursor')
  })

  it('goes through a sorted list, missing values too, in a .search as in a URL', async () => {
    const parameters = { sortBy: 'title', sortOrder: 'descending', count: '1' }
    const walked: string[] = []
    for (let cursor: string | undefined = '', page = 0; cursor !== undefined; page += 1) {
      const answer: Answer =
        page % 2 ? await search('/Users', { ...parameters, cursor }) : await get('/Users', { ...parameters, cursor })
      walked.push(...namesIn(answer))
      cursor = answer.body.nextCursor
    }
    expect(walked).toEqual(['cleo', 'bert', 'Ada', 'dora'])
  })

  it('says nothing of what it holds', async () => {
    const { nextCursor } = (await first({ sortBy: 'userName' })).body
    const parts = nextCursor.split('.').map((part: string) => Buffer.from(part, 'base64url').toString('latin1'))
    expect(parts.join('').toLowerCase()).not.toContain('bert')
  })

  it('has a cursor for one list of one directory only', async () => {
    const cursor = (await first({ filter: 'title pr' })).body.nextCursor
    const used = (parameters: Json, path = '/Users') => get(path, { cursor, count: '2', ...parameters })
    expect(namesIn(await used({ filter: 'title pr' }))).toEqual(['dora'])
    expectError(await used({}), 400, 'invalidCursor')
    expectError(await used({ filter: 'title sw "a"' }), 400, 'invalidCursor')
    expectError(await used({ filter: 'title pr', sortBy: 'title' }), 400, 'invalidCursor')
    expectError(await used({ filter: 'title pr', sortOrder: 'descending' }), 400, 'invalidCursor')
    expectError(await used({ filter: 'title pr' }, '/'), 400, 'invalidCursor')
    const { nextCursor } = (await get('/Groups', { cursor: '', count: '1' })).body
    expectError(await first({ cursor: nextCursor }), 400, 'invalidCursor')
    const other = await registerDirectory(tenure.admin, 'reads-other')
    const elsewhere = await other.send('GET', `/Users?${new URLSearchParams({ cursor, filter: 'title pr' })}`)
    expectError(elsewhere, 400, 'invalidCursor')
  })

  it('refuses a cursor that it did not give out, changed in any place', async () => {
    const { nextCursor } = (await first()).body
    const changed = [12, nextCursor.length - 30, nextCursor.length - 10].map(
      (at) => nextCursor.slice(0, at) + (nextCursor[at] === 'A' ? 'B' : 'A') + nextCursor.slice(at + 1),
    )
    for (const cursor of [...changed, 'x', '0', nextCursor.slice(0, -8), 'a.b.c.d.e'])
      expectError(await first({ cursor }), 400, 'invalidCursor')
  })

  it('refuses a count that is no number in its own words, and cuts one that is too large', async () => {
    expectError(await first({ count: 'many' }), 400, 'invalidCount')
    expect(namesIn(await first({ count: '100000' }))).toHaveLength(4)
    const none = await first({ count: '0' })
    expect(none.body).toEqual({ schemas: [listSchema], totalResults: 4, itemsPerPage: 0, Resources: [] })
  })

  it('misses and repeats nobody of 2,000 while others come and go', async () => {
    const busy = await registerDirectory(tenure.admin, 'busy')
    const people = await insertPeople(database, { directory: 'busy', prefix: 'p', count: 2_000 })
    const leaving = people.filter((_person, n) => n % 10 === 3)
    const staying = people.filter((_person, n) => n % 10 !== 3).map(({ id }) => id)
    const orders: Record<string, string>[] = [{}, { sortBy: 'userName', sortOrder: 'descending' }]
    for (const order of orders) {
      const seen: string[] = []
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const query = new URLSearchParams({ cursor, count: '97', attributes: 'userName', ...order })
        const page: Json = await busy.call('GET', `/Users?${query}`)
        seen.push(...page.Resources.map(({ id }: Json) => id))
        cursor = page.nextCursor
        // The very place that the cursor stands for, one before it, others anywhere; and newcomers at either end.
        const gone = [...leaving.splice(0, 3), ...leaving.splice(-2)]
        await Promise.all([
          ...gone.map(({ id }) => busy.call('DELETE', `/Users/${id}`)),
          ...['a', 'z'].map((letter) => busy.createUser(`${letter}-${seen.length}-${order.sortBy ?? ''}@x.example`)),
        ])
      }
      expect(new Set(seen).size, 'nobody twice').toBe(seen.length)
      expect(
        staying.filter((id) => !seen.includes(id)),
        'nobody missed',
      ).toEqual([])
    }
  })

  it('goes on where the last of a page stood when it is gone', async () => {
    const last = await scim.createUser('a-last')
    const filter = `userName sw "a"`
    const page = await get('/Users', { filter, sortBy: 'userName', cursor: '', count: '1' })
    expect(namesIn(page)).toEqual(['a-last'])
    await scim.call('DELETE', `/Users/${last.id}`)
    const { nextCursor: cursor } = page.body
    expect(namesIn(await get('/Users', { filter, sortBy: 'userName', cursor, count: '1' }))).toEqual(['Ada'])
  })
})

describe('versions (RFC 7644 §3.14)', () => {
  let versioned: ScimClient
  beforeAll(async () => {
    versioned = await registerDirectory(tenure.admin, 'versions')
  })

  const ask = (method: string, path: string, headers?: Record<string, string>, body?: Json) =>
    request(method, path, headers, body, versioned)
  const patch = (...operations: unknown[]) => ({ schemas: [patchSchema], Operations: operations })

  describe.each(['User', 'Group'] as const)('of a %s', (type) => {
    const path = (id: string) => `/${type}s/${id}`
    const named = (name: string) =>
      type === 'User' ? { schemas: [userSchema], userName: name } : { schemas: [groupSchema], displayName: name }
    let made = 0
    const make = async (): Promise<{ id: string; tag: string }> => {
      const answer = await ask('POST', `/${type}s`, {}, named(`${type}-${made++}`))
      expect(answer.headers.get('etag')).toBe(answer.body.meta.version)
      return { id: answer.body.id, tag: answer.body.meta.version }
    }

    it('stand in ETag as in meta.version, beside Location', async () => {
      const { id, tag } = await make()
      expect(tag).toMatch(/^W\/"\d+"$/)
      const read = await ask('GET', path(id))
      expect(read.headers.get('etag')).toBe(tag)
      expect(read.headers.get('location')).toBe(read.body.meta.location)
      const written = await ask('PUT', path(id), {}, named(`${type}-${made++}`))
      expect(written.headers.get('etag')).toBe(written.body.meta.version)
      expect(written.headers.get('etag')).not.toBe(tag)
    })

    it('spare a GET what the client has', async () => {
      const { id, tag } = await make()
      for (const known of [tag, '*', tag.slice(2), `"x", ${tag}`]) {
        const answer = await ask('GET', path(id), { 'if-none-match': known })
        expect({ status: answer.status, body: answer.body, tag: answer.headers.get('etag') }).toEqual({
          status: 304,
          body: undefined,
          tag,
        })
      }
      for (const other of ['W/"99"', '"x"', 'x'])
        expect((await ask('GET', path(id), { 'if-none-match': other })).status).toBe(200)
    })

    it.each(['PUT', 'PATCH', 'DELETE'])('guard %s: 412 for another, and nothing is done', async (method) => {
      const { id, tag } = await make()
      const body =
        method === 'PUT'
          ? named(`${type}-${made++}`)
          : method === 'PATCH'
            ? patch({ op: 'add', value: { externalId: 'x' } })
            : undefined
      for (const other of ['W/"99"', '"x"', 'x'])
        expectError(await ask(method, path(id), { 'if-match': other }, body), 412)
      const before = await ask('GET', path(id))
      expect(before.body.meta.version).toBe(tag)
      expect((await ask(method, path(id), { 'if-match': tag }, body)).status).toBeLessThan(300)
      const again = await ask(method, path(id), { 'if-match': tag }, body)
      expectError(again, method === 'DELETE' ? 404 : 412)
    })

    it('match anything that is there with *, and nothing that is not', async () => {
      const { id } = await make()
      expect((await ask('DELETE', path(id), { 'if-match': '*' })).status).toBe(204)
      expectError(await ask('DELETE', path(id), { 'if-match': '*' }), 404)
    })

    it('are asked under the lock: of ten who mean one version, one writes', async () => {
      const { id, tag } = await make()
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_each, n) =>
          ask('PATCH', path(id), { 'if-match': tag }, patch({ op: 'add', path: 'externalId', value: `x${n}` })),
        ),
      )
      const statuses = answers.map(({ status }) => status)
      expect(statuses.filter((status) => status < 300)).toHaveLength(1)
      expect(statuses.filter((status) => status === 412)).toHaveLength(9)
    })
  })

  it('of a group grow with its members', async () => {
    const { id, meta } = await scim.createGroup('Growing')
    const answer = await request(
      'PATCH',
      `/Groups/${id}`,
      {},
      patch({ op: 'add', path: 'members', value: [{ value: ids.Ada }] }),
    )
    expect(answer.status).toBe(204)
    expect(answer.headers.get('etag')).not.toBe(meta.version)
    await scim.call('DELETE', `/Groups/${id}`)
  })
})

describe('attributes and excludedAttributes (RFC 7644 §3.9)', () => {
  const query = '?attributes=userName,emails.value&'
  const shown = ['emails', 'id', 'schemas', 'userName']

  it('hold for whatever answers a user', async () => {
    const created = await request(
      'POST',
      `/Users${query}`,
      {},
      {
        schemas: [userSchema],
        userName: 'eve',
        displayName: 'Eve',
        emails: [{ value: 'e@x', type: 'work' }],
      },
    )
    expect(created.status).toBe(201)
    const path = `/Users/${created.body.id}${query}`
    const answers = [
      created,
      await request('GET', path),
      await request(
        'PUT',
        path,
        {},
        { schemas: [userSchema], userName: 'eve', emails: [{ value: 'e@x', type: 'home' }] },
      ),
      await request(
        'PATCH',
        path,
        {},
        { schemas: [patchSchema], Operations: [{ op: 'add', path: 'title', value: 'x' }] },
      ),
    ]
    for (const { body, headers } of answers) {
      expect(Object.keys(body).toSorted()).toEqual(shown)
      expect(body.emails).toEqual([{ value: 'e@x' }])
      expect(headers.get('location')).toContain(created.body.id)
      expect(headers.get('etag')).toMatch(/^W\//)
    }
    const [listed] = (await get('/Users', { filter: 'userName eq "eve"', attributes: 'userName,emails.value' })).body
      .Resources
    expect(Object.keys(listed).toSorted()).toEqual(shown)
    await scim.call('DELETE', `/Users/${created.body.id}`)
  })

  it('name parts of extensions, with and without their URN', async () => {
    const read = async (parameters: Json) => (await get(`/Users/${ids.cleo}`, parameters)).body
    const always = { schemas: expect.any(Array), id: ids.cleo }
    expect(await read({ attributes: `${enterprise}:manager.value` })).toEqual({
      ...always,
      [enterprise]: { manager: { value: 'm1' } },
    })
    expect(await read({ attributes: enterprise.toUpperCase() })).toEqual({
      ...always,
      [enterprise]: { department: 'art', manager: { value: 'm1' } },
    })
    expect(await read({ attributes: 'emails[type eq "work"],nope' })).toEqual(always)
    const without = await read({ excludedAttributes: `${enterprise}:department,id,name.familyName` })
    expect(without).toMatchObject({
      ...always,
      [enterprise]: { manager: { value: 'm1' } },
      name: { givenName: 'Given' },
    })
  })

  it('leave out members as a key', async () => {
    const group = await get(`/Groups/${ids.Engineers}`, { excludedAttributes: 'members' })
    expect(Object.keys(group.body)).not.toContain('members')
    const [listed] = (await get('/Groups', { excludedAttributes: 'members' })).body.Resources
    expect(Object.keys(listed)).not.toContain('members')
  })

  it('make a PATCH of a group answer with the group, which it does not otherwise', async () => {
    const path = `/Groups/${ids.Engineers}`
    const nothing = { schemas: [patchSchema], Operations: [] }
    const { id, displayName, schemas, meta, members } = await scim.call('GET', path)
    expect(members.length).toBeGreaterThan(0)
    const answers = await Promise.all(
      ['', '?attributes=displayName', '?excludedAttributes=members', '?excludedAttributes=displayName'].map((asked) =>
        scim.send('PATCH', path + asked, nothing),
      ),
    )
    expect(answers.map(({ status, body }) => [status, body])).toEqual([
      [204, undefined],
      [200, { schemas, id, displayName }],
      [200, { schemas, id, displayName, meta }],
      [200, { schemas, id, members, meta }],
    ])
    for (const { headers } of answers) expect(headers.get('etag')).toBe(meta.version)
  })

  it.each(['POST', 'PUT', 'PATCH'])('are not both possible: %s then writes nothing', async (method) => {
    const path = method === 'POST' ? '/Users' : `/Users/${ids.bert}`
    const body =
      method === 'PATCH'
        ? { schemas: [patchSchema], Operations: [{ op: 'add', path: 'title', value: 'x' }] }
        : { schemas: [userSchema], userName: method === 'PUT' ? 'bert' : 'fred' }
    const before = await scim.call('GET', '/Users')
    expectError(await request(method, `${path}?attributes=id&excludedAttributes=title`, {}, body), 400, 'invalidValue')
    expect(await scim.call('GET', '/Users')).toEqual(before)
  })
})

describe('.search (RFC 7644 §3.4.3)', () => {
  it.each(['/Users', '/Groups', ''])('%s/.search answers as the same query in a URL', async (path) => {
    const name = path === '/Users' ? 'userName' : 'displayName'
    const parameters = {
      filter: `${name} pr`,
      sortBy: name,
      sortOrder: 'descending',
      startIndex: 2,
      count: 1,
      attributes: [name],
    }
    const url = { ...parameters, startIndex: '2', count: '1', attributes: name }
    const answer = await search(path, parameters)
    expect(answer.headers.get('content-type')).toBe(mediaType)
    expect(answer.body).toEqual((await get(path || '/', url)).body)
    expect(answer.body.itemsPerPage).toBe(1)
    const [found] = answer.body.Resources
    expect(Object.keys(found).toSorted()).toEqual([name, 'id', 'schemas'].toSorted())
  })

  it('takes excludedAttributes, and the same limits of a page', async () => {
    const { body } = await search('/Groups', { excludedAttributes: ['members'], startIndex: -3, count: 100000 })
    expect(body).toMatchObject({ totalResults: 2, startIndex: 1, itemsPerPage: 2 })
    expect(body.Resources.filter((group: Json) => 'members' in group)).toEqual([])
    expect((await search('/Users', { count: 0 })).body).toMatchObject({
      totalResults: 4,
      itemsPerPage: 0,
      Resources: [],
    })
  })

  it.each<[string, Json, string]>([
    ['a filter that cannot be read', { filter: 'userName eq' }, 'invalidFilter'],
    ['a filter on what is in no schema', { filter: 'nope eq "x"' }, 'invalidFilter'],
    ['a filter that is no text', { filter: ['title pr'] }, 'invalidFilter'],
    ['a count that is no number', { count: 'x' }, 'invalidValue'],
    ['a fraction of a page', { startIndex: 1.5 }, 'invalidValue'],
    ['both kinds of attributes', { attributes: ['id'], excludedAttributes: ['title'] }, 'invalidValue'],
    ['attributes that are no names', { attributes: [1] }, 'invalidValue'],
    ['no schema', { schemas: [] }, 'invalidSyntax'],
    ['the schema of a PATCH', { schemas: [patchSchema] }, 'invalidSyntax'],
  ])('refuses %s, everywhere', async (_what, parameters, scimType) => {
    for (const path of ['/Users', '/Groups', '']) expectError(await search(path, parameters), 400, scimType)
  })

  it('refuses a filter that is given twice in a URL: to pass over it would answer everybody', async () => {
    expectError(await request('GET', '/Users?filter=title%20pr&filter=id%20pr'), 400, 'invalidFilter')
  })
})

describe('the whole directory (RFC 7644 §3.4.2.1)', () => {
  const everything = ['bert', 'Ada', 'cleo', 'dora', 'Engineers', 'artists']

  it('lists users and groups in order of creation', async () => {
    const answer = await get('/')
    expect(answer.body).toMatchObject({ totalResults: 6, startIndex: 1, itemsPerPage: 6 })
    expect(namesIn(answer)).toEqual(everything)
    expect(answer.body.Resources.at(-2)).toEqual(await scim.call('GET', `/Groups/${ids.Engineers}`))
    expect(answer.body.Resources[0]).toEqual(await scim.call('GET', `/Users/${ids.bert}`))
  })

  it.each<[string, string[]]>([
    ['displayName sw "a"', ['Ada', 'artists']],
    ['userName eq "ada" or displayName eq "engineers"', ['Ada', 'Engineers']],
    ['userName ne "ada"', ['bert', 'cleo', 'dora', 'Engineers', 'artists']],
    ['userName eq null', ['Engineers', 'artists']],
    ['not (userName pr)', ['Engineers', 'artists']],
    ['emails[type eq "work"]', ['Ada', 'dora']],
    ['department eq "ops"', ['Ada']],
    ['meta.resourceType eq "Group"', ['Engineers', 'artists']],
    [`schemas eq "${groupSchema}"`, ['Engineers', 'artists']],
    [`schemas eq "${userSchema}" and title pr`, ['bert', 'Ada', 'dora']],
    [`${groupSchema}:displayName pr`, ['Engineers', 'artists']],
    [`${userSchema}:displayName sw "a"`, ['Ada']],
  ])('finds %s among both', async (filter, expected) => {
    const answer = await search('', { filter })
    expect(namesIn(answer)).toEqual(expected)
    expect(answer.body.totalResults).toBe(expected.length)
  })

  it('finds a group by its member', async () => {
    expect(namesIn(await search('', { filter: `members.value eq "${ids.Ada}"` }))).toEqual(['Engineers'])
  })

  it('sorts both by what both have, and those last that have it not', async () => {
    expect(namesIn(await search('', { sortBy: 'displayName' }))).toEqual([
      'Ada',
      'artists',
      'bert',
      'cleo',
      'dora',
      'Engineers',
    ])
    expect(namesIn(await search('', { sortBy: 'userName' })).slice(0, 4)).toEqual(['Ada', 'bert', 'cleo', 'dora'])
    expect(
      namesIn(await search('', { sortBy: 'active', sortOrder: 'descending' }))
        .slice(0, 2)
        .toSorted(),
    ).toEqual(['Engineers', 'artists'])
    expectError(await search('', { sortBy: 'name' }), 400, 'invalidValue')
  })

  it.each<[string, Json]>([
    ['in order of creation', {}],
    ['sorted', { sortBy: 'userName', sortOrder: 'descending' }],
  ])('is gone through by cursor, %s', async (_how, parameters) => {
    const walked: string[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const answer = await search('', { ...parameters, cursor, count: 2 })
      walked.push(...namesIn(answer))
      cursor = answer.body.nextCursor
    }
    expect(walked).toEqual(namesIn(await search('', parameters)))
    expect(walked.toSorted()).toEqual(everything.toSorted())
  })
})

describe('what is not there (RFC 7644 §3.11, §3.12)', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])('%s /Me: a token is no user', async (method) => {
    expectError(await request(method, '/Me', {}, method === 'GET' ? undefined : {}), 501)
  })

  it.each([
    ['DELETE', '/Users', 'GET, POST'],
    ['PUT', '/Groups/', 'GET, POST'],
    ['POST', '/Users/x', 'GET, PUT, PATCH, DELETE'],
    ['GET', '/.search', 'POST'],
    ['GET', '/Users/.search', 'POST'],
    ['DELETE', '/Groups/.search', 'POST'],
    ['POST', '/', 'GET'],
    ['POST', '/ServiceProviderConfig', 'GET'],
    ['DELETE', '/Schemas/x', 'GET'],
    ['PUT', '/ResourceTypes', 'GET'],
  ])('%s %s is not possible: 405, and what is', async (method, path, allowed) => {
    const answer = await request(method, path, {}, method === 'GET' ? undefined : {})
    expectError(answer, 405)
    expect(answer.headers.get('allow')).toBe(allowed)
  })

  it('cannot be filtered out of what is supported (RFC 7644 §4)', async () => {
    for (const path of ['/ServiceProviderConfig', '/ResourceTypes', '/Schemas'])
      expectError(await get(path, { filter: 'id pr' }), 403)
  })
})

describe('ServiceProviderConfig (RFC 7643 §5, RFC 9865 §4)', () => {
  it('declares what is there', async () => {
    const { body } = await get('/ServiceProviderConfig')
    expect(body).toMatchObject({
      sort: { supported: true },
      etag: { supported: true },
      filter: { supported: true, maxResults: 200 },
      pagination: {
        cursor: true,
        index: true,
        defaultPaginationMethod: 'index',
        defaultPageSize: 100,
        maxPageSize: 200,
        cursorTimeout: 3600,
      },
    })
  })
})
