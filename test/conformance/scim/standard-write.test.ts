import { beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import {
  collections,
  enterprise,
  expectError,
  expectList,
  filtered,
  membersOf,
  newName,
  patchOf,
  serviceProvider,
  stranger,
  vendors,
} from './service-provider.ts'

const running = serviceProvider()
let scim: ScimClient
let okta: ScimClient

beforeAll(() => {
  scim = running.scim('generic')
  okta = running.scim('okta')
})

const user = (fields: Json = {}) => ({ schemas: [userSchema], userName: newName('u'), ...fields })
const madeUser = (fields: Json = {}): Promise<Json> => scim.call('POST', '/Users', user(fields))

describe('§1.5 create (RFC 7644 §3.3)', () => {
  it('§1.5.1 201, Location, and everything but what is never returned', async () => {
    const sent = user({ displayName: 'Ada', [enterprise]: { department: 'Tours' }, password: 'never-shown' })
    const { status, headers, body } = await scim.send('POST', '/Users', sent)
    expect(status).toBe(201)
    const { password: _, ...kept } = sent
    expect(body).toEqual({
      ...kept,
      schemas: [userSchema, enterprise],
      id: expect.any(String),
      active: true,
      meta: expect.objectContaining({ resourceType: 'User', location: `${scim.base}/Users/${body.id}` }),
    })
    expect(headers.get('location')).toBe(body.meta.location)
    expect(headers.get('etag')).toBe(body.meta.version)
  })

  it.each(collections)('§1.5.2 a second $type of a name is 409, in another directory 201', async (collection) => {
    const { path, schema, nameKey } = collection
    const name = newName('Twin')
    const body = { schemas: [schema], [nameKey]: name }
    const made = await scim.call('POST', path, body)
    expectError(await scim.send('POST', path, body), 409, 'uniqueness')
    expectError(await scim.send('POST', path, { ...body, [nameKey]: name.toUpperCase() }), 409, 'uniqueness')
    for (const provider of vendors) expect((await running.scim(provider).send('POST', path, body)).status).toBe(201)
    expect(expectList(await scim.send('GET', `${path}${filtered(`${nameKey} eq "${body[nameKey]}"`)}`), 1)).toEqual([
      made,
    ])
  })

  it.each(collections)('§1.5.3 of many at once who make a $type of one name, one does', async (collection) => {
    const { path, schema, nameKey } = collection
    const name = newName('Race')
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        scim.send('POST', path, { schemas: [schema], [nameKey]: n % 2 ? name : name.toUpperCase() }),
      ),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array(7).fill(409)])
    for (const answer of answers) if (answer.status === 409) expectError(answer, 409, 'uniqueness')
  })

  it.each<[string, unknown, string]>([
    ['missing', undefined, 'invalidSyntax'],
    ['empty', [], 'invalidSyntax'],
    ['no list', userSchema, 'invalidSyntax'],
    ['of nothing known', ['urn:nobody'], 'invalidValue'],
    ['of another type', [groupSchema], 'invalidValue'],
    ['of SCIM 1.0', ['urn:scim:schemas:core:1.0'], 'invalidValue'],
  ])(
    '§1.5.4 schemas %s: refused by the RFC, taken from the providers that send it',
    async (_what, schemas, scimType) => {
      const body = { ...user(), schemas }
      expectError(await scim.send('POST', '/Users', body), 400, scimType)
      for (const provider of vendors)
        expect(await running.scim(provider).send('POST', '/Users', body)).toMatchObject({
          status: 201,
          body: { schemas: [userSchema] },
        })
    },
  )

  it('§1.5.4 older and misspelt URNs are taken, and extensions that nobody declared', async () => {
    const group = {
      schemas: [groupSchema, 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group'],
      displayName: newName('g'),
    }
    for (const provider of vendors)
      expect(await running.scim(provider).send('POST', '/Groups', group)).toMatchObject({
        status: 201,
        body: { schemas: [groupSchema] },
      })
    const misspelt = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0User'
    const custom = 'urn:ietf:params:scim:schemas:extension:acme:2.0:User'
    const made = await running.scim('entra').createUser(newName('u'), {
      schemas: [userSchema, misspelt, 'urn:scim:schemas:core:1.0'],
      [misspelt]: { department: 'Ops' },
      [custom]: { badge: { level: 3 } },
    })
    expect(made).toMatchObject({
      schemas: [userSchema, enterprise, custom],
      [enterprise]: { department: 'Ops' },
      [custom]: { badge: { level: 3 } },
    })
  })

  it('§1.5.5 active: false is honoured, and nothing said means true', async () => {
    const inactive = await madeUser({ active: false })
    expect(await running.tenure.admin.get(`/users/${inactive.id}`)).toMatchObject({ active: false })
    expect((await madeUser()).active).toBe(true)
    expect((await madeUser({ active: null })).active).toBe(true)
  })

  it.each<[string, [string, string][], number]>([
    [
      'the first of type work',
      [
        ['h', 'home'],
        ['w', 'work'],
        ['v', 'work'],
      ],
      1,
    ],
    [
      'the first where none is',
      [
        ['h', 'home'],
        ['o', 'other'],
      ],
      0,
    ],
  ])('§1.5.6 of several that are primary, %s stays', async (_what, values, kept) => {
    const emails = values.map(([value, type]) => ({ value, type, primary: true }))
    expect((await running.scim('ping').createUser(newName('u'), { emails })).emails).toEqual(
      emails.map((each, n) => ({ ...each, primary: n === kept })),
    )
  })

  it.each(collections)(
    '§1.5.7 the name of a deleted $type is free, that of an inactive user is not',
    async (collection) => {
      const { path, schema, nameKey } = collection
      const body = { schemas: [schema], [nameKey]: newName('again'), externalId: newName('again') }
      const { id } = await scim.call('POST', path, body)
      if (path === '/Users') {
        await scim.setActive(id, false)
        expectError(await scim.send('POST', path, body), 409, 'uniqueness')
      }
      await scim.call('DELETE', `${path}/${id}`)
      const again = await scim.send('POST', path, body)
      expect(again).toMatchObject({ status: 201, body })
      expect(again.body.id).not.toBe(id)
    },
  )
})

describe('§1.9 replace: PUT (RFC 7644 §3.5.1)', () => {
  it.each(collections)(
    '§1.9.1 of a $type: 200 and whole, 404, 400, and its own name is no conflict',
    async (collection) => {
      const { path, schema, nameKey } = collection
      const name = newName('Own')
      const body = { schemas: [schema], [nameKey]: name }
      const { id } = await scim.call('POST', path, { ...body, externalId: 'e' })
      const answer = await scim.send('PUT', `${path}/${id}`, { ...body, [nameKey]: name.toUpperCase() })
      expect(answer).toMatchObject({
        status: 200,
        body: { id, [nameKey]: name.toUpperCase(), externalId: 'e' },
      })
      expect(await scim.call('GET', `${path}/${id}`)).toEqual(answer.body)
      expectError(await scim.send('PUT', `${path}/${stranger}`, body), 404)
      expectError(await scim.send('PUT', `${path}/${id}`, { schemas: [schema], externalId: 'f' }), 400, 'invalidValue')
      expect(await scim.call('GET', `${path}/${id}`)).toEqual(answer.body)
    },
  )

  it.each([true, false])(
    '§1.9.2 what a PUT does not name: the profile goes; active %s, externalId and password stay',
    async (active) => {
      const profile = {
        title: 'Dr',
        emails: [{ value: 'a@b' }],
        name: { givenName: 'A' },
        [enterprise]: { department: 'd' },
      }
      const made = await madeUser({ ...profile, active, externalId: 'kept', 'urn:acme:x:User': { badge: 7 } })
      const put = await scim.call('PUT', `/Users/${made.id}`, { schemas: [userSchema], userName: made.userName })
      expect(put).toEqual({
        schemas: [userSchema],
        id: made.id,
        userName: made.userName,
        externalId: 'kept',
        active,
        meta: expect.objectContaining({ created: made.meta.created }),
      })
      expect(await running.tenure.admin.get(`/users/${made.id}`)).toMatchObject({ active })
    },
  )

  it('§1.9.2 members that a PUT does not name stay, those that it names are all there are', async () => {
    const [a, b] = [(await madeUser()).id, (await madeUser()).id]
    const { id, displayName } = await scim.createGroup(newName('g'), [a])
    const put = (fields: Json) => scim.call('PUT', `/Groups/${id}`, { schemas: [groupSchema], displayName, ...fields })
    await put({})
    expect(await membersOf(scim, id)).toEqual([a])
    await put({ members: [{ value: b }] })
    expect(await membersOf(scim, id)).toEqual([b])
    await put({ members: [] })
    expect(await membersOf(scim, id)).toEqual([])
  })

  it('§1.9.3 a whole resource that is sent back changes nothing, and empty texts clear', async () => {
    const made = await okta.createUser(newName('back'), { nickName: 'n', title: 't' })
    await okta.createGroup(newName('g'), [made.id])
    const read = await okta.call('GET', `/Users/${made.id}`)
    expect(read.groups).toHaveLength(1)
    expect(await okta.call('PUT', `/Users/${made.id}`, { ...read, groups: [], id: stranger })).toEqual(read)
    const cleared = await okta.call('PUT', `/Users/${made.id}`, {
      ...read,
      nickName: '',
      name: { ...read.name, middleName: '' },
    })
    expect(Object.keys(cleared)).not.toContain('nickName')
    expect(cleared).toMatchObject({ title: 't', name: { givenName: 'Given', familyName: 'Family' } })
  })

  it('§1.9.3 what only the server derives of a member cannot be put', async () => {
    const member = await madeUser()
    const { id, displayName } = await scim.createGroup(newName('g'), [member.id])
    const members = [{ value: member.id, type: 'Group', $ref: 'https://evil.example/', display: 'Other' }]
    const put = await scim.call('PUT', `/Groups/${id}`, { schemas: [groupSchema], displayName, members })
    expect(put.members).toMatchObject([{ value: member.id, type: 'User', $ref: member.meta.location }])
  })
})

describe('§1.11 DELETE (RFC 7644 §3.6)', () => {
  it.each(collections)(
    '§1.11.1 a deleted $type is 404 to everything, in no list, and in no group',
    async (collection) => {
      const { path, schema, nameKey } = collection
      const body = { schemas: [schema], [nameKey]: newName('gone') }
      const { id } = await scim.call('POST', path, body)
      const group = await scim.createGroup(newName('g'), [id])
      expect(await scim.send('DELETE', `${path}/${id}`)).toMatchObject({ status: 204, body: undefined })
      for (const [method, sent] of [
        ['GET', undefined],
        ['PUT', body],
        ['PATCH', patchOf({ op: 'add', path: 'externalId', value: 'x' })],
        ['DELETE', undefined],
      ] as const)
        expectError(await scim.send(method, `${path}/${id}`, sent), 404)
      for (const filter of [`id eq "${id}"`, `${nameKey} eq "${body[nameKey]}"`])
        for (const list of [path, '/']) expectList(await scim.send('GET', `${list}${filtered(filter)}`), 0)
      expect(await membersOf(scim, group.id)).toEqual([])
      expectError(
        await scim.send(
          'PATCH',
          `/Groups/${group.id}`,
          patchOf({ op: 'add', path: 'members', value: [{ value: id }] }),
        ),
        400,
        'invalidValue',
      )
      expect((await scim.send('POST', path, body)).status).toBe(201)
    },
  )
})
