import { beforeAll, describe, expect, it } from 'vitest'
import { createSealer } from '../../../src/secrets.ts'
import { type Answer, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import { secretKey } from '../../support/tenure.ts'
import {
  enterprise,
  expectError,
  expectList,
  listSchema,
  newName,
  patchOf,
  query,
  searchOf,
  serviceProvider,
} from './service-provider.ts'

const running = serviceProvider()
/** Five users and a group, and nobody else in the directory. */
let scim: ScimClient
let ids: string[]
let group: Json

const people = [
  { userName: 'Edda', title: 'b', emails: [{ value: 'z@x' }, { value: 'A@x', primary: true }] },
  { userName: 'ann', title: 'A', emails: [{ value: 'c@x', type: 'work' }, { value: 'a@x' }] },
  { userName: 'Bob', title: 'c', emails: [{ value: 'B@x' }], [enterprise]: { department: 'Ops', costCenter: '1' } },
  { userName: 'cleo', active: false },
  { userName: 'Dan', name: { givenName: 'D', familyName: 'E' }, [enterprise]: { manager: { value: 'm' } } },
]

beforeAll(async () => {
  scim = running.scim('generic')
  ids = []
  for (const each of people) ids.push((await scim.call('POST', '/Users', { schemas: [userSchema], ...each })).id)
  group = await scim.createGroup('Everybody', ids)
})

const list = (parameters: Record<string, string> = {}, path = '/Users') =>
  scim.send('GET', `${path}${query(parameters)}`)
const search = (parameters: Json, path = '/Users') => scim.send('POST', `${path}/.search`, searchOf(parameters))
function namesIn({ status, body }: Answer): string[] {
  expect(status, JSON.stringify(body)).toBe(200)
  return body.Resources.map(({ userName, displayName }: Json) => userName ?? displayName)
}

describe('§1.6 read, list, project (RFC 7644 §3.4, §3.9)', () => {
  it('§1.6.1 a list has all five of its members, numbers as numbers', async () => {
    expect((await list({ startIndex: '2', count: '2', attributes: 'userName' })).body).toEqual({
      schemas: [listSchema],
      totalResults: 5,
      startIndex: 2,
      itemsPerPage: 2,
      Resources: ids
        .slice(1, 3)
        .map((id, n) => ({ schemas: expect.any(Array), id, userName: people[n + 1]!.userName })),
    })
    expect((await list({ filter: 'userName eq "nobody"' })).body).toEqual({
      schemas: [listSchema],
      totalResults: 0,
      startIndex: 1,
      itemsPerPage: 0,
      Resources: [],
    })
  })

  it.each<[Record<string, string>, { startIndex: number; itemsPerPage: number }]>([
    [{}, { startIndex: 1, itemsPerPage: 5 }],
    [{ startIndex: '0' }, { startIndex: 1, itemsPerPage: 5 }],
    [{ startIndex: '-7' }, { startIndex: 1, itemsPerPage: 5 }],
    [{ startIndex: '5' }, { startIndex: 5, itemsPerPage: 1 }],
    [{ startIndex: '6' }, { startIndex: 6, itemsPerPage: 0 }],
    [{ startIndex: '999999' }, { startIndex: 999_999, itemsPerPage: 0 }],
    [{ count: '0' }, { startIndex: 1, itemsPerPage: 0 }],
    [{ count: '-1' }, { startIndex: 1, itemsPerPage: 0 }],
    [{ count: '3' }, { startIndex: 1, itemsPerPage: 3 }],
    [
      { startIndex: '4', count: '3' },
      { startIndex: 4, itemsPerPage: 2 },
    ],
  ])('§1.6.2 %j: startIndex below 1 is 1, count below 0 is 0', async (parameters, expected) => {
    expect(await list(parameters)).toMatchObject({ status: 200, body: { totalResults: 5, ...expected } })
    const body = Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, Number(value)]))
    expect(await search(body)).toMatchObject({ status: 200, body: { totalResults: 5, ...expected } })
  })

  it('§1.6.2 pages are 100 unless said, 200 at most, and whole and in one order however they are cut', async () => {
    const many = running.scim('okta')
    const made = await Promise.all(Array.from({ length: 203 }, (_, n) => many.createUser(`many-${n}@acme.example`)))
    for (const [count, size] of [
      [undefined, 100],
      ['150', 150],
      ['200', 200],
      ['5000', 200],
    ] as const) {
      const { body } = await many.send('GET', `/Users${query(count === undefined ? {} : { count })}`)
      expect(body).toMatchObject({ totalResults: 203, itemsPerPage: size })
    }
    const seen: string[] = []
    for (let startIndex = 1; startIndex <= 203; startIndex += 37) {
      const { body } = await many.send('GET', `/Users?startIndex=${startIndex}&count=37`)
      seen.push(...body.Resources.map(({ id }: Json) => id))
    }
    expect(seen.toSorted()).toEqual(made.map(({ id }) => id).toSorted())
  })

  it.each([{ startIndex: 'one' }, { count: 'all' }, { count: '1.5' }, { startIndex: '' }, { count: '1e3' }])(
    '§1.6.2 %j is no number: invalidValue',
    async (parameters) => {
      expectError(await list(parameters as unknown as Record<string, string>), 400, 'invalidValue')
    },
  )

  it('§1.6.3 no list is too large, for it is cut; and one can be asked of the whole directory', async () => {
    expect((await list({ count: '999999999' })).body.itemsPerPage).toBe(5)
    const root = await list({ count: '999999999' }, '/')
    expect(expectList(root, 6).map(({ meta }) => meta.resourceType)).toEqual([...Array(5).fill('User'), 'Group'])
    expect(namesIn(await list({ filter: 'meta.resourceType eq "Group"' }, '/'))).toEqual(['Everybody'])
  })

  it('§1.6.4 .search answers what the same query in a URL does, errors too', async () => {
    const inUrl = { filter: 'title pr', sortBy: 'title', sortOrder: 'descending', startIndex: '2', count: '1' }
    const inBody = { ...inUrl, startIndex: 2, count: 1 }
    expect((await search({ ...inBody, attributes: ['userName', 'title'] })).body).toEqual(
      (await list({ ...inUrl, attributes: 'userName,title' })).body,
    )
    expect((await search({ ...inBody, excludedAttributes: ['emails', 'meta'] })).body).toEqual(
      (await list({ ...inUrl, excludedAttributes: 'emails,meta' })).body,
    )
    expectError(await search({ filter: 'nobody eq 1' }), 400, 'invalidFilter')
    expectError(await search({ startIndex: 'one' }), 400, 'invalidValue')
    expectError(await search({ attributes: [7] }), 400, 'invalidValue')
    expectError(await scim.send('POST', '/Users/.search', { filter: 'userName pr' }), 400, 'invalidSyntax')
  })

  it('§1.6.5 attributes and excludedAttributes, wherever a resource is answered, and never both', async () => {
    const at = `/Users/${ids[0]}`
    const only = { schemas: [userSchema], id: ids[0], title: 'b' }
    expect(await scim.call('GET', `${at}?attributes=title`)).toEqual(only)
    const whole = await scim.call('GET', at)
    const { title: _, meta: __, ...rest } = whole
    expect(await scim.call('GET', `${at}?excludedAttributes=title,meta,id,schemas`)).toEqual(rest)
    const put = { schemas: [userSchema], ...people[0] }
    expect(await scim.call('PUT', `${at}?attributes=title`, put)).toEqual(only)
    const operations = patchOf({ op: 'replace', path: 'title', value: 'b' })
    expect(await scim.call('PATCH', `${at}?attributes=title`, operations)).toEqual(only)
    const posted = { schemas: [userSchema], userName: newName('projected'), title: 'x' }
    const made = await scim.call('POST', '/Users?attributes=title', posted)
    expect(made).toEqual({ schemas: [userSchema], id: expect.any(String), title: 'x' })
    await scim.call('DELETE', `/Users/${made.id}`)
    for (const [method, path, body] of [
      ['GET', at, undefined],
      ['GET', '/Users', undefined],
      ['PUT', at, put],
      ['PATCH', at, operations],
      ['POST', '/Users', { ...posted, userName: 'unmade' }],
    ] as const)
      expectError(
        await scim.send(method, `${path}?attributes=title&excludedAttributes=meta`, body),
        400,
        'invalidValue',
      )
    expectError(await search({ attributes: ['title'], excludedAttributes: ['meta'] }), 400, 'invalidValue')
    expectList(await list({ filter: 'userName eq "unmade"' }), 0)
  })

  it.each<[string, number, Json]>([
    ['emails', 1, { emails: people[1]!.emails }],
    ['EMAILS.Value', 1, { emails: [{ value: 'c@x' }, { value: 'a@x' }] }],
    ['name.givenName', 4, { name: { givenName: 'D' } }],
    [`${userSchema}:userName`, 4, { userName: 'Dan' }],
    [`${userSchema.toUpperCase()}:NAME.FAMILYNAME`, 4, { name: { familyName: 'E' } }],
    [enterprise, 2, { [enterprise]: { department: 'Ops', costCenter: '1' } }],
    [`${enterprise}:department`, 2, { [enterprise]: { department: 'Ops' } }],
    [`${enterprise}:manager.value`, 4, { [enterprise]: { manager: { value: 'm' } } }],
    ['shoeSize,title,x.y.z', 1, { title: 'A' }],
    ['emails[type eq "work"]', 1, { emails: people[1]!.emails }],
    ['nobody', 1, {}],
  ])('§1.6.6 attributes=%s', async (attributes, at, expected) => {
    const { schemas, id, ...shown } = await scim.call('GET', `/Users/${ids[at]}${query({ attributes })}`)
    expect({ schemas: schemas.includes(userSchema), id, shown }).toEqual({
      schemas: true,
      id: ids[at],
      shown: expected,
    })
  })

  it('§1.6.7 excluded members are no key, by id, in lists and in searches', async () => {
    const excludedAttributes = 'members'
    const { members: _, ...rest } = await scim.call('GET', `/Groups/${group.id}`)
    expect(await scim.call('GET', `/Groups/${group.id}?excludedAttributes=members`)).toEqual(rest)
    expect(expectList(await list({ excludedAttributes }, '/Groups'), 1)).toEqual([rest])
    expect(expectList(await search({ excludedAttributes: [excludedAttributes] }, '/Groups'), 1)).toEqual([rest])
    expect(expectList(await list({ excludedAttributes, filter: 'displayName pr' }, '/'), 1)).toEqual([rest])
  })

  it('§1.6.8 no attribute waits to be asked for: each is returned always, by default or never', async () => {
    const { Resources } = await scim.call('GET', '/Schemas')
    const returned = Resources.flatMap(({ attributes }: Json) => attributes).flatMap((each: Json) =>
      [each, ...(each.subAttributes ?? [])].map((one) => one.returned),
    )
    expect([...new Set(returned)].toSorted()).toEqual(['default', 'never'])
  })
})

describe('§1.8 sort (RFC 7644 §3.4.2.3)', () => {
  it.each<[string, string[]]>([
    ['userName', ['ann', 'Bob', 'cleo', 'Dan', 'Edda']],
    ['title', ['ann', 'Edda', 'Bob']],
    ['emails', ['Edda', 'Bob', 'ann']],
    ['emails.value', ['Edda', 'Bob', 'ann']],
    ['name.familyName', ['Dan']],
    [`${enterprise}:department`, ['Bob']],
    ['meta.created', ['Edda', 'ann', 'Bob', 'cleo', 'Dan']],
  ])('§1.8.1 by %s: ascending unless said; who has no value is last, or first', async (sortBy, sorted) => {
    const have = (names: string[]) => names.filter((name) => sorted.includes(name))
    const rest = people.map(({ userName }) => userName).filter((name) => !sorted.includes(name))
    for (const sortOrder of [undefined, 'ascending']) {
      const names = namesIn(await list({ sortBy, ...(sortOrder && { sortOrder }) }))
      expect([names.slice(0, sorted.length), names.slice(sorted.length).toSorted()]).toEqual([sorted, rest.toSorted()])
    }
    const names = namesIn(await list({ sortBy, sortOrder: 'descending' }))
    expect(have(names)).toEqual(sorted.toReversed())
    expect(names.slice(0, rest.length).toSorted()).toEqual(rest.toSorted())
  })

  it('§1.8.1 ties are broken by id, either way, whatever page they fall on', async () => {
    const sortBy = 'nickName'
    const pages = await Promise.all([1, 3, 5].map((n) => list({ sortBy, startIndex: String(n), count: '2' })))
    expect(pages.flatMap(({ body }) => body.Resources.map(({ id }: Json) => id))).toEqual(ids.toSorted())
  })

  it.each(['name', 'nobody', 'password'])('§1.8.1 %s has no order: refused, not passed over', async (sortBy) => {
    expectError(await list({ sortBy }), 400, 'invalidValue')
  })
})

describe('§1.16 pages by cursor (RFC 9865)', () => {
  it.each(['cursor=', 'cursor'])('§1.16.1 %s begins; nextCursor leads on and is absent at the end', async (start) => {
    const seen: string[] = []
    let parameters = `${start}&count=2`
    for (let page = 1; page <= 3; page++) {
      const { status, body } = await scim.send('GET', `/Users?${parameters}`)
      expect(status).toBe(200)
      seen.push(...body.Resources.map(({ id }: Json) => id))
      expect('nextCursor' in body).toBe(page < 3)
      if (page < 3) expect(body.nextCursor).toMatch(/^[\w.~-]+$/)
      parameters = `cursor=${body.nextCursor}&count=2`
    }
    expect(seen).toEqual(ids)
  })

  it('§1.16.2 a cursor is for the query it was given out for', async () => {
    const asked = { filter: 'userName pr', sortBy: 'userName', count: '2' }
    const { nextCursor: cursor } = (await list({ ...asked, cursor: '' })).body
    expect(namesIn(await list({ ...asked, cursor }))).toEqual(['cleo', 'Dan'])
    for (const [other, path] of [
      [{ filter: 'title pr' }, '/Users'],
      [{ sortBy: 'title' }, '/Users'],
      [{ sortOrder: 'descending' }, '/Users'],
      [{}, '/Groups'],
      [{}, '/'],
    ] as const)
      expectError(
        await list(
          { filter: 'displayName pr', ...(path === '/Users' ? asked : { count: '2' }), ...other, cursor },
          path,
        ),
        400,
        'invalidCursor',
      )
    for (const forged of ['x', `${cursor}x`, cursor.slice(0, -2), ids[0]!])
      expectError(await list({ ...asked, cursor: forged }), 400, 'invalidCursor')
    const elsewhere = running.scim('ping')
    expectError(await elsewhere.send('GET', `/Users${query({ ...asked, cursor })}`), 400, 'invalidCursor')
  })

  it('§1.16.3 no startIndex; a count beyond the limit is cut; what is stale says so in the same words', async () => {
    const first = (await list({ cursor: '', count: '5000' })).body
    expect(Object.keys(first).toSorted()).toEqual(['Resources', 'itemsPerPage', 'schemas', 'totalResults'])
    expectError(await list({ cursor: '', count: 'all' }), 400, 'invalidCount')
    const { nextCursor } = (await list({ cursor: '', count: '2' })).body
    const sealer = createSealer([secretKey])
    const inside = JSON.parse(await sealer.unseal(nextCursor))
    expect(inside.expiresAt - Date.now()).toBeLessThanOrEqual(3_600_000)
    const stale = await list({ cursor: await sealer.seal(JSON.stringify({ ...inside, expiresAt: 1 })), count: '2' })
    expectError(stale, 400, 'expiredCursor')
    expect(stale.body.detail).toBe((await list({ cursor: 'forged' })).body.detail)
  })

  it('§1.16.4 goes through .search as well; paging by index stays the default', async () => {
    const { body } = await search({ cursor: '', count: 3, sortBy: 'userName' })
    expect(body.Resources.map(({ userName }: Json) => userName)).toEqual(['ann', 'Bob', 'cleo'])
    expect(namesIn(await search({ cursor: body.nextCursor, count: 3, sortBy: 'userName' }))).toEqual(['Dan', 'Edda'])
    expect((await list()).body).toMatchObject({ startIndex: 1 })
    expect(Object.keys((await list({ count: '2' })).body)).not.toContain('nextCursor')
  })

  it('§1.16.5 who comes and goes between pages makes nobody else be missed or repeated', async () => {
    const walked = running.scim('google')
    const made: string[] = []
    for (let n = 0; n < 12; n++) made.push((await walked.createUser(`walked-${n}`)).id)
    const seen: string[] = []
    let cursor = ''
    for (let page = 0; ; page++) {
      const { body } = await walked.send('GET', `/Users${query({ cursor, count: '3' })}`)
      seen.push(...body.Resources.map(({ id }: Json) => id))
      if (body.nextCursor === undefined) break
      cursor = body.nextCursor
      // The last of the page, on which the cursor stands, and one of an earlier page go; one comes.
      await walked.call('DELETE', `/Users/${seen.at(-1)}`)
      if (page < 2) await walked.createUser(`come-${page}`)
    }
    expect(seen.filter((id) => made.includes(id))).toEqual(made)
    expect(new Set(seen).size).toBe(seen.length)
    const { Resources } = await walked.call('GET', '/Users?count=200')
    const { body: byCursor } = await walked.send('GET', '/Users?cursor&count=200')
    expect(byCursor.Resources).toEqual(Resources)
  })
})
