import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, groupSchema, type Json, patchSchema, type ScimClient, userSchema } from '../../support/clients.ts'
import {
  collections,
  enterprise,
  expectError,
  expectList,
  filtered,
  membersOf,
  newName,
  type Provider,
  patchOf,
  serviceProvider,
  stranger,
  vendors,
} from './service-provider.ts'

const running = serviceProvider()
let scim: ScimClient

beforeAll(() => {
  scim = running.scim('okta')
})

const start = {
  title: 'Dr',
  name: { givenName: 'Ada', familyName: 'King', middleName: 'M' },
  emails: [
    { value: 'w', type: 'work', primary: true },
    { value: 'h', type: 'home' },
  ],
  phoneNumbers: [
    { value: '1', type: 'work' },
    { value: '2', type: 'mobile' },
  ],
  [enterprise]: { department: 'Ops', manager: { value: 'm' } },
}
const made = (fields: Json = start, of = scim): Promise<Json> =>
  of.call('POST', '/Users', { schemas: [userSchema], userName: newName('u'), ...fields })
const patch = (path: string, ...operations: unknown[]): Promise<Answer> =>
  scim.send('PATCH', path, patchOf(...operations))

/** A user who began as `start`, after the operations, as answered and as read again; or the scimType of the refusal, with nothing done. */
async function patched(operations: unknown[], provider: Provider = 'okta'): Promise<Json> {
  const of = running.scim(provider)
  const user = await made(start, of)
  const answer = await of.send('PATCH', `/Users/${user.id}`, patchOf(...operations))
  const read = await of.call('GET', `/Users/${user.id}`)
  if (answer.status !== 200) {
    expectError(answer, 400, answer.body.scimType)
    expect(read).toEqual(user)
    return answer.body.scimType
  }
  expect(answer.body).toEqual(read)
  return read
}
const work = (value: string) => ({ value, type: 'work' })

describe('§1.10 modify: PATCH (RFC 7644 §3.5.2)', () => {
  it('§1.10.1 the message names its schema, and Operations in any case', async () => {
    const { id } = await made()
    const Operations = [{ op: 'replace', path: 'title', value: 'Prof' }]
    for (const schemas of [undefined, [], [userSchema], 'nothing'])
      expectError(await scim.send('PATCH', `/Users/${id}`, { schemas, Operations }), 400, 'invalidSyntax')
    expectError(await scim.send('PATCH', `/Users/${id}`, { schemas: [patchSchema] }), 400, 'invalidSyntax')
    expectError(
      await scim.send('PATCH', `/Users/${id}`, { schemas: [patchSchema], Operations: {} }),
      400,
      'invalidSyntax',
    )
    const spelt = { SCHEMAS: [patchSchema.toUpperCase()], operations: Operations }
    expect(await scim.send('PATCH', `/Users/${id}`, spelt)).toMatchObject({ status: 200, body: { title: 'Prof' } })
  })

  it('§1.10.2 operations follow one another, all or none; without an effect the version stays', async () => {
    const user = await patched([
      { op: 'remove', path: 'title' },
      { op: 'add', path: 'title', value: 'one' },
      { op: 'replace', path: 'title', value: 'two' },
    ])
    expect(user.title).toBe('two')
    expect(
      await patched([
        { op: 'replace', path: 'title', value: 'x' },
        { op: 'replace', path: 'active', value: 'x' },
      ]),
    ).toBe('invalidValue')
    for (const { path, schema, nameKey } of collections) {
      const body = { schemas: [schema], [nameKey]: newName('same'), externalId: 'e' }
      const before = await scim.call('POST', path, body)
      const again = patchOf(
        { op: 'replace', path: 'externalId', value: 'e' },
        { op: 'replace', value: { [nameKey]: body[nameKey] } },
      )
      expect(await scim.call('PATCH', `${path}/${before.id}?attributes=meta`, again)).toMatchObject({
        meta: before.meta,
      })
    }
  })

  it('§1.10.3 op in any case, and no other op', async () => {
    for (const op of ['add', 'Add', 'ADD', 'replace', 'Replace', 'rePLACE'])
      expect((await patched([{ op, path: 'title', value: op }])).title).toBe(op)
    expect((await patched([{ op: 'REMOVE', path: 'title' }])).title).toBeUndefined()
    for (const op of ['move', '', null, 7])
      expect(await patched([{ op, path: 'title', value: 'x' }])).toBe('invalidSyntax')
  })

  it.each<[string, unknown, Json]>([
    ['title', 'x', { title: 'x' }],
    ['TITLE', 'x', { title: 'x' }],
    ['name.givenName', 'x', { name: { ...start.name, givenName: 'x' } }],
    [`${userSchema}:title`, 'x', { title: 'x' }],
    [`${userSchema}:name.givenName`, 'x', { name: { ...start.name, givenName: 'x' } }],
    [`${enterprise}:department`, 'x', { [enterprise]: { department: 'x', manager: { value: 'm' } } }],
    [`${enterprise}:manager.value`, 'x', { [enterprise]: { department: 'Ops', manager: { value: 'x' } } }],
    ['emails[type eq "home"]', { value: 'x' }, { emails: [start.emails[0], { value: 'x', type: 'home' }] }],
    ['emails[type eq "home"].value', 'x', { emails: [start.emails[0], { value: 'x', type: 'home' }] }],
    [enterprise, { division: 'x' }, { [enterprise]: { ...start[enterprise], division: 'x' } }],
  ])('§1.10.4 path %s', async (path, value, expected) => {
    expect(await patched([{ op: 'replace', path, value }])).toMatchObject(expected)
  })

  it.each([
    'title.',
    '.title',
    'a b',
    'emails[type eq "home"',
    'emails[type eq "home"].',
    'emails]',
    '7',
    'shoeSize',
    'name.shoeSize',
    'title[a eq 1]',
    'emails[type eq "home"].value.x',
  ])('§1.10.4 path %s is invalidPath', async (path) => {
    expect(await patched([{ op: 'replace', path, value: 'x' }], 'generic')).toBe('invalidPath')
  })

  it.each(vendors)('§1.10.4 from %s an unknown name does not block what is known', async (provider) => {
    const user = await patched(
      [
        { op: 'add', path: 'shoeSize', value: 39 },
        { op: 'replace', path: 'active', value: false },
      ],
      provider,
    )
    expect(user.active).toBe(false)
    expect(await patched([{ op: 'replace', path: 'emails[type eq', value: 'x' }], provider)).toBe('invalidPath')
  })

  it('§1.10.5 what is left is checked: required, unique, one primary, and schemas by the data', async () => {
    expect(await patched([{ op: 'replace', path: 'userName', value: '' }])).toBe('mutability')
    expect(await patched([{ op: 'remove', path: 'userName' }])).toBe('mutability')
    const { userName } = await made()
    const { id } = await made()
    expectError(await patch(`/Users/${id}`, { op: 'replace', path: 'userName', value: userName }), 409, 'uniqueness')
    const { emails } = await patched([
      { op: 'add', path: 'emails', value: [{ value: 'n', type: 'other', primary: true }] },
    ])
    expect(emails.filter(({ primary }: Json) => primary)).toEqual([{ value: 'n', type: 'other', primary: true }])
    const without = await patched([{ op: 'remove', path: enterprise }])
    expect(without.schemas).toEqual([userSchema])
    const bit = await patched([
      { op: 'remove', path: `${enterprise}:department` },
      { op: 'remove', path: `${enterprise}:manager` },
    ])
    expect([bit.schemas, enterprise in bit]).toEqual([[userSchema], false])
    const back = await patched([
      { op: 'remove', path: enterprise },
      { op: 'add', path: `${enterprise}:division`, value: 'd' },
    ])
    expect([back.schemas, back[enterprise]]).toEqual([[userSchema, enterprise], { division: 'd' }])
  })

  describe('what add, replace and remove do to a target', () => {
    const appended = [...start.emails, { value: 'n', type: 'other' }]
    const other = { value: 'n', type: 'other' }
    const noPath = { title: 'x', name: { givenName: 'x' }, emails: [other] }
    const merged = { ...start.name, givenName: 'x' }

    it.each<[string, Json, Json | string]>([
      ['§1.10.6 no path: add', { op: 'add', value: noPath }, { title: 'x', name: merged, emails: appended }],
      ['§1.10.6 no path: replace', { op: 'replace', value: noPath }, { title: 'x', name: merged, emails: [other] }],
      ['§1.10.6 no path: remove', { op: 'remove', value: noPath }, 'noTarget'],
      ['§1.10.6 no path, no object', { op: 'replace', value: 'x' }, 'invalidValue'],
      ['§1.10.7 single: add', { op: 'add', path: 'title', value: 'x' }, { title: 'x' }],
      ['§1.10.7 single: replace', { op: 'replace', path: 'title', value: 'x' }, { title: 'x' }],
      ['§1.10.7 single: remove', { op: 'remove', path: 'title' }, { title: undefined }],
      ['§1.10.7 single, required: remove', { op: 'remove', path: 'userName' }, 'mutability'],
      ['§1.10.7 single, read-only: remove', { op: 'remove', path: 'id' }, 'mutability'],
      ['§1.10.7 several, read-only: remove', { op: 'remove', path: 'groups' }, 'mutability'],
      ['§1.10.8 complex: add', { op: 'add', path: 'name', value: { givenName: 'x' } }, { name: merged }],
      ['§1.10.8 complex: replace', { op: 'replace', path: 'name', value: { givenName: 'x' } }, { name: merged }],
      ['§1.10.8 complex: remove', { op: 'remove', path: 'name' }, { name: undefined }],
      [
        '§1.10.9 a part: add',
        { op: 'add', path: 'name.honorificPrefix', value: 'x' },
        { name: { ...start.name, honorificPrefix: 'x' } },
      ],
      ['§1.10.9 a part: replace', { op: 'replace', path: 'name.givenName', value: 'x' }, { name: merged }],
      [
        '§1.10.9 a part: remove',
        { op: 'remove', path: 'name.middleName' },
        { name: { givenName: 'Ada', familyName: 'King' } },
      ],
      [
        '§1.10.10 several: add',
        { op: 'add', path: 'emails', value: [other, { value: 'h', type: 'home' }] },
        { emails: appended },
      ],
      ['§1.10.10 several: replace', { op: 'replace', path: 'emails', value: [other] }, { emails: [other] }],
      ['§1.10.10 several: replace by none', { op: 'replace', path: 'emails', value: [] }, { emails: undefined }],
      ['§1.10.10 several: remove', { op: 'remove', path: 'emails' }, { emails: undefined }],
      [
        '§1.10.10 several: remove these',
        { op: 'remove', path: 'emails', value: [{ value: 'h', type: 'home' }] },
        { emails: [start.emails[0]] },
      ],
      [
        '§1.10.11 some: add',
        { op: 'add', path: 'phoneNumbers[type eq "work"]', value: { display: 'x' } },
        { phoneNumbers: [{ ...work('1'), display: 'x' }, start.phoneNumbers[1]] },
      ],
      [
        '§1.10.11 some: replace',
        { op: 'replace', path: 'phoneNumbers[type eq "work"]', value: { value: '9' } },
        { phoneNumbers: [work('9'), start.phoneNumbers[1]] },
      ],
      [
        '§1.10.11 some: replace, none there',
        { op: 'replace', path: 'phoneNumbers[type eq "fax"]', value: { value: '9' } },
        'noTarget',
      ],
      [
        '§1.10.11 some: remove',
        { op: 'remove', path: 'phoneNumbers[type eq "work"]' },
        { phoneNumbers: [start.phoneNumbers[1]] },
      ],
      [
        '§1.10.11 some: remove, none there',
        { op: 'remove', path: 'phoneNumbers[type eq "fax"]' },
        { phoneNumbers: start.phoneNumbers },
      ],
      [
        '§1.10.12 a part of some: add',
        { op: 'add', path: 'phoneNumbers[value pr].display', value: 'x' },
        { phoneNumbers: start.phoneNumbers.map((each) => ({ ...each, display: 'x' })) },
      ],
      [
        '§1.10.12 a part of some: replace',
        { op: 'replace', path: 'phoneNumbers[type eq "work"].value', value: '9' },
        { phoneNumbers: [work('9'), start.phoneNumbers[1]] },
      ],
      [
        '§1.10.12 a part of some: remove',
        { op: 'remove', path: 'phoneNumbers[type eq "work"].type' },
        { phoneNumbers: [{ value: '1' }, start.phoneNumbers[1]] },
      ],
      ['§1.10.13 not there: add', { op: 'add', path: 'nickName', value: 'x' }, { nickName: 'x' }],
      ['§1.10.13 not there: replace', { op: 'replace', path: 'nickName', value: 'x' }, { nickName: 'x' }],
      ['§1.10.13 not there: remove', { op: 'remove', path: 'nickName' }, { title: 'Dr', nickName: undefined }],
      [
        '§1.10.13 several, not there: replace',
        { op: 'replace', path: 'ims', value: [work('x')] },
        { ims: [work('x')] },
      ],
      [
        '§1.10.13 a part, its whole not there: add',
        { op: 'add', path: 'ims.value', value: 'x' },
        { ims: [{ value: 'x' }] },
      ],
    ])('%s', async (_what, operation, expected) => {
      const user = await patched([operation])
      if (typeof expected === 'string') expect(user).toBe(expected)
      else
        for (const [name, value] of Object.entries(expected)) expect({ [name]: user[name] }).toEqual({ [name]: value })
    })

    it.each<[string, Json]>([
      ['§1.10.11 add to some', { op: 'add', path: 'phoneNumbers[type eq "fax"]', value: { value: '9' } }],
      ['§1.10.12 add to a part of some', { op: 'add', path: 'phoneNumbers[type eq "fax"].value', value: '9' }],
      ['§1.10.12 replace a part of some', { op: 'replace', path: 'phoneNumbers[type eq "fax"].value', value: '9' }],
    ])('%s where none is: made for the providers that rely on it, noTarget by the RFC', async (_what, operation) => {
      expect(await patched([operation], 'generic')).toBe('noTarget')
      for (const provider of vendors)
        expect((await patched([operation], provider)).phoneNumbers).toEqual([
          ...start.phoneNumbers,
          { value: '9', type: 'fax' },
        ])
    })

    it('§1.10.12 what a filter does not say of an element cannot be made of it', async () => {
      const operation = { op: 'replace', path: 'phoneNumbers[type eq "fax" or type eq "pager"].value', value: '9' }
      for (const provider of vendors) expect(await patched([operation], provider)).toBe('noTarget')
    })
  })

  it('§1.10.14 one that becomes primary takes it from the others', async () => {
    for (const operation of [
      { op: 'replace', path: 'emails[type eq "home"].primary', value: true },
      { op: 'add', path: 'emails[value eq "h"]', value: { primary: true } },
      { op: 'add', path: 'emails', value: [{ value: 'h', type: 'home', primary: true }] },
    ])
      expect((await patched([operation])).emails).toEqual([
        { value: 'w', type: 'work', primary: false },
        { value: 'h', type: 'home', primary: true },
      ])
  })

  it('§1.10.15 equal for an append: members by value, elements by value and type, others by all but labels', async () => {
    const { emails } = await patched([
      {
        op: 'add',
        path: 'emails',
        value: [
          { value: 'W', type: 'WORK', display: 'again' },
          { value: 'w', type: 'home' },
        ],
      },
    ])
    expect(emails.map(({ value, type }: Json) => `${value} ${type}`.toLowerCase())).toEqual([
      'w work',
      'h home',
      'w home',
    ])
    const address = { streetAddress: '1 Main', type: 'work' }
    const user = await patched([
      { op: 'add', path: 'addresses', value: [address] },
      { op: 'add', path: 'addresses', value: [{ ...address, primary: true }] },
      { op: 'add', path: 'addresses', value: [{ ...address, locality: 'Oslo' }] },
    ])
    expect(user.addresses).toHaveLength(2)
    const { id } = await scim.createGroup(newName('g'), [user.id])
    const member = [{ value: user.id, type: 'User', display: 'other', $ref: 'https://x.example/' }]
    expect((await patch(`/Groups/${id}`, { op: 'add', path: 'members', value: member })).status).toBe(204)
    expect(await membersOf(scim, id)).toEqual([user.id])
  })

  it('§1.10.16 who is no member is no error to remove, who is one none to add, who is nobody is invalidValue', async () => {
    const [a, b] = [await made(), await made()]
    const group = await scim.createGroup(newName('g'), [a.id])
    for (const operation of [
      { op: 'remove', path: `members[value eq "${b.id}"]` },
      { op: 'remove', path: `members[value eq "${stranger}"]` },
      { op: 'add', path: 'members', value: [{ value: a.id }] },
    ]) {
      expect((await patch(`/Groups/${group.id}`, operation)).status).toBe(204)
      expect((await scim.call('GET', `/Groups/${group.id}`)).meta).toEqual(group.meta)
    }
    for (const value of [stranger, 'x', group.id.replaceAll('-', '')])
      expectError(
        await patch(`/Groups/${group.id}`, { op: 'add', path: 'members', value: [{ value: b.id }, { value }] }),
        400,
        'invalidValue',
      )
    expect(await membersOf(scim, group.id)).toEqual([a.id])
  })

  it('§1.10.17 null and "" take a value away; add without a value is refused', async () => {
    for (const value of [null, '']) {
      expect((await patched([{ op: 'replace', path: 'title', value }])).title).toBeUndefined()
      expect((await patched([{ op: 'replace', value: { title: value } }])).title).toBeUndefined()
      expect((await patched([{ op: 'replace', path: 'name.middleName', value }])).name).toEqual({
        givenName: 'Ada',
        familyName: 'King',
      })
      expect((await patched([{ op: 'replace', path: `${enterprise}:manager`, value }]))[enterprise]).toEqual({
        department: 'Ops',
      })
    }
    expect(await patched([{ op: 'add', path: 'title' }])).toBe('invalidValue')
    expect(await patched([{ op: 'replace', path: 'title' }])).toBe('invalidValue')
    expect(await patched([{ op: 'add' }])).toBe('invalidValue')
  })

  it.each<[string, Json, Json]>([
    [
      'names in any case',
      { TITLE: 'x', Name: { GIVENNAME: 'x' } },
      { title: 'x', name: { ...start.name, givenName: 'x' } },
    ],
    ['dotted names', { 'name.givenName': 'x' }, { name: { ...start.name, givenName: 'x' } }],
    [
      'names behind a URN',
      { [`${enterprise}:division`]: 'x', [`${userSchema}:title`]: 'x' },
      { title: 'x', [enterprise]: { ...start[enterprise], division: 'x' } },
    ],
    [
      'an extension and its object',
      { [enterprise]: { division: 'x' } },
      { [enterprise]: { ...start[enterprise], division: 'x' } },
    ],
    [
      'a path with a filter',
      { 'emails[type eq "home"].value': 'x' },
      { emails: [start.emails[0], { value: 'x', type: 'home' }] },
    ],
  ])('§1.10.18 keys without a path: %s', async (_what, value, expected) => {
    for (const provider of vendors) {
      const user = await patched([{ op: 'replace', value }], provider)
      expect(user).toMatchObject(expected)
      expect(Object.keys(user).filter((key) => /[[.]|^urn/.test(key))).toEqual([enterprise])
    }
  })

  it('§1.10.19 a user is answered with 200, a group with 204 or, when attributes are asked for, 200', async () => {
    const { id } = await made()
    expect(await patch(`/Users/${id}`, { op: 'replace', path: 'title', value: 'x' })).toMatchObject({
      status: 200,
      body: { id },
    })
    const group = await scim.createGroup(newName('g'), [id])
    const rename = { op: 'replace', path: 'externalId', value: 'x' }
    const answer = await patch(`/Groups/${group.id}`, rename)
    expect(answer).toMatchObject({ status: 204, body: undefined })
    expect(answer.headers.get('etag')).not.toBe(group.meta.version)
    expect(await patch(`/Groups/${group.id}?attributes=externalId`, rename)).toMatchObject({
      status: 200,
      body: { schemas: [groupSchema], id: group.id, externalId: 'x' },
    })
  })

  it('§1.10.20 the answer is what is read next, by id and by filter', async () => {
    const { id } = await made()
    for (let n = 0; n < 10; n++) {
      const title = newName('read')
      const { body } = await patch(`/Users/${id}`, { op: 'replace', path: 'title', value: title })
      expect(body.title).toBe(title)
      expect(await scim.call('GET', `/Users/${id}`)).toEqual(body)
      expect(expectList(await scim.send('GET', `/Users${filtered(`title eq "${title}"`)}`), 1)).toEqual([body])
    }
  })
})
