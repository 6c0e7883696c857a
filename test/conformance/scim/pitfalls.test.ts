import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, groupSchema, type Json, patchSchema, ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { registerDirectory, registerServer } from '../../support/tenure.ts'
import { waitFor } from '../../support/wait-for.ts'
import {
  enterprise,
  expectError,
  expectList,
  filtered,
  mediaType,
  membersOf,
  newName,
  patchOf,
  sendExactly,
  serviceProvider,
  stranger,
} from './service-provider.ts'

/**
 * What broke elsewhere, by its number in the list of regressions that other service providers met (`P-nn`), from 1 to 101.
 */
const running = serviceProvider()

let okta: ScimClient
let entra: ScimClient
let ping: ScimClient
let generic: ScimClient

beforeAll(async () => {
  okta = running.scim('okta')
  entra = running.scim('entra')
  ping = running.scim('ping')
  generic = running.scim('generic')
  await registerServer(running.tenure.admin, 'linear').then(({ receiver }) => receiver.close())
})

const person = (scim: ScimClient = entra) => scim.createUser(newName('p@acme.example'))
async function people(count: number, scim: ScimClient = entra): Promise<string[]> {
  const made = await Promise.all(Array.from({ length: count }, () => person(scim)))
  return made.map(({ id }) => id)
}
const groupOf = (ids: string[], scim: ScimClient = entra): Promise<Json> => scim.createGroup(newName('Group'), ids)
const patch = (path: string, ...operations: unknown[]): Promise<Answer> =>
  entra.send('PATCH', path, patchOf(...operations))
/** A user of Entra after these operations, as it is read back. */
async function patched(operations: unknown[], fields: Json = {}): Promise<Json> {
  const { id } = await entra.createUser(newName('p@acme.example'), fields)
  const answer = await patch(`/Users/${id}`, ...operations)
  expect(answer.status).toBe(200)
  const read = await entra.call('GET', `/Users/${id}`)
  expect(answer.body).toEqual(read)
  return read
}
const find = async (filter: string, scim: ScimClient = entra, path = '/Users'): Promise<string[]> => {
  const answer = await scim.send('GET', `${path}${filtered(filter)}`)
  return expectList(answer, answer.body.totalResults).map(({ id }: Json) => id)
}
/** A request as it is: no header but those given. */
const raw = (scim: ScimClient, method: string, path: string, headers: Record<string, string>, body?: string) =>
  fetch(`${scim.base}${path}`, {
    method,
    headers: { authorization: `Bearer ${scim.token}`, ...headers },
    ...(body === undefined ? {} : { body }),
  })

describe('membership', () => {
  it('P-01 to P-04: Entra removes whom it names in the value, and nobody else', async () => {
    const [a, b, c] = (await people(3)) as [string, string, string]
    const { id } = await groupOf([a, b, c])
    for (let times = 0; times < 2; times++) {
      const answer = await patch(`/Groups/${id}`, { op: 'Remove', path: 'members', value: [{ $ref: null, value: b }] })
      expect(answer.status).toBe(204)
      expect(await membersOf(entra, id)).toEqual([a, c].toSorted())
    }
    expect((await patch(`/Groups/${id}`, { op: 'Add', path: 'members', value: [{ value: a }] })).status).toBe(204)
    expect(await membersOf(entra, id)).toEqual([a, c].toSorted())
  })

  it.each([
    ['P-05: bare ids', (id: string) => [id]],
    ['P-06: no type', (id: string) => [{ value: id }]],
    ['P-20: one object instead of a list', (id: string) => ({ value: id, type: 'Group' })],
  ])('%s, of a user and of a group', async (_what, value) => {
    const nested = await groupOf([])
    for (const member of [(await person()).id, nested.id]) {
      const { id } = await groupOf([])
      expect((await patch(`/Groups/${id}`, { op: 'Add', path: 'members', value: value(member) })).status).toBe(204)
      const { members } = await entra.call('GET', `/Groups/${id}`)
      expect(members).toMatchObject([{ value: member, type: member === nested.id ? 'Group' : 'User' }])
    }
  })

  it('P-07, P-08: replace of members overwrites them, and an empty list empties the group', async () => {
    const [a, b] = (await people(2)) as [string, string]
    const { id } = await groupOf([a])
    await patch(`/Groups/${id}`, { op: 'replace', path: 'members', value: [{ value: b }] })
    expect(await membersOf(entra, id)).toEqual([b])
    await patch(`/Groups/${id}`, { op: 'replace', path: 'members', value: [] })
    expect(await membersOf(entra, id)).toEqual([])
  })

  it('P-09, P-10: parallel PATCHes of one group lose nobody', async () => {
    const ids = await people(30)
    const { id } = await groupOf(ids.slice(0, 10))
    await Promise.all([
      ...ids.slice(10).map((value) => patch(`/Groups/${id}`, { op: 'Add', path: 'members', value: [{ value }] })),
      ...ids
        .slice(0, 10)
        .map((value) => patch(`/Groups/${id}`, { op: 'remove', path: `members[value eq "${value}"]` })),
    ])
    expect(await membersOf(entra, id)).toEqual(ids.slice(10).toSorted())
  })

  it('P-11, P-13: an Okta PUT writes members, display null or not, and the name', async () => {
    const [a, b] = (await people(2, okta)) as [string, string]
    const { id } = await groupOf([a], okta)
    const displayName = newName('By PUT')
    const members = [{ value: b, display: null }]
    await okta.call('PUT', `/Groups/${id}`, { schemas: [groupSchema], displayName, members })
    expect(await okta.call('GET', `/Groups/${id}`)).toMatchObject({ displayName, members: [{ value: b }] })
  })

  it("P-12: Okta's rename with the id leaves members and everything else", async () => {
    const [a] = (await people(1, okta)) as [string]
    const { id } = await groupOf([a], okta)
    await okta.patchGroup(id, { op: 'add', path: 'externalId', value: 'kept' })
    const displayName = newName('Renamed')
    await okta.patchGroup(id, { op: 'replace', value: { id, displayName } })
    expect(await okta.call('GET', `/Groups/${id}`)).toMatchObject({
      displayName,
      externalId: 'kept',
      members: [{ value: a }],
    })
  })

  it('P-14: a renamed group is found by its new name alone', async () => {
    const { id, displayName } = await groupOf([])
    await patch(`/Groups/${id}`, { op: 'replace', path: 'displayName', value: `${displayName} new` })
    expect(await find(`displayName eq "${displayName}"`, entra, '/Groups')).toEqual([])
    expect(await find(`displayName eq "${displayName} NEW"`, entra, '/Groups')).toEqual([id])
  })

  it('P-15: a member added again changes nothing', async () => {
    const [a] = (await people(1)) as [string]
    const group = await groupOf([a])
    expect(
      (await patch(`/Groups/${group.id}`, { op: 'add', path: 'members', value: [{ value: a }, { value: a }] })).status,
    ).toBe(204)
    expect((await entra.call('GET', `/Groups/${group.id}`)).meta).toEqual(group.meta)
  })

  it.each([stranger, 'no id at all'])('P-16: nobody by the id %s: not added, and no error to remove', async (value) => {
    const { id } = await groupOf([])
    expectError(await patch(`/Groups/${id}`, { op: 'add', path: 'members', value: [{ value }] }), 400, 'invalidValue')
    expect((await patch(`/Groups/${id}`, { op: 'remove', path: `members[value eq "${value}"]` })).status).toBe(204)
    expect((await patch(`/Groups/${id}`, { op: 'Remove', path: 'members', value: [{ value }] })).status).toBe(204)
  })

  it('P-17 to P-19: members without a path, with one, and removed by a filter', async () => {
    const [a, b] = (await people(2)) as [string, string]
    const { id } = await groupOf([])
    await patch(`/Groups/${id}`, { op: 'add', value: { members: [{ value: a }] } })
    await patch(`/Groups/${id}`, { op: 'add', path: 'members', value: [{ value: b }] })
    expect(await membersOf(entra, id)).toEqual([a, b].toSorted())
    await patch(`/Groups/${id}`, { op: 'remove', path: `members[value eq "${a}"]` })
    expect(await membersOf(entra, id)).toEqual([b])
  })

  it('P-21: a group read back and PUT back is as it was', async () => {
    const group = await groupOf(await people(2, okta), okta)
    const read = await okta.call('GET', `/Groups/${group.id}`)
    expect(read.members).toHaveLength(2)
    expect(await okta.call('PUT', `/Groups/${group.id}`, read)).toEqual(read)
  })

  it('P-18: a filter on members that cannot be understood is refused, not taken for nobody', async () => {
    const ids = await people(1)
    const { id } = await groupOf(ids)
    for (const filter of ['id eq "x"', 'value', 'value co "x"', `not (value eq "${ids[0]}")`]) {
      expectError(await patch(`/Groups/${id}`, { op: 'remove', path: `members[${filter}]` }), 400, 'invalidFilter')
    }
    expect(await membersOf(entra, id)).toEqual(ids)
  })

  it('P-22: remove of members without a value empties the group; with one that names nobody it does not', async () => {
    const ids = await people(2)
    const { id } = await groupOf(ids)
    for (const value of [[], '', [null]]) {
      await patch(`/Groups/${id}`, { op: 'Remove', path: 'members', value })
      expect(await membersOf(entra, id)).toEqual(ids.toSorted())
    }
    for (const value of [[{}], [{ value: null }], [{ display: 'a' }], [7]]) {
      expectError(await patch(`/Groups/${id}`, { op: 'Remove', path: 'members', value }), 400, 'invalidValue')
      expect(await membersOf(entra, id)).toEqual(ids.toSorted())
    }
    await patch(`/Groups/${id}`, { op: 'Remove', path: 'members' })
    expect(await membersOf(entra, id)).toEqual([])
  })

  it('P-23: memberships outlive a deactivation', async () => {
    const [a] = (await people(1)) as [string]
    const { id } = await groupOf([a])
    await patch(`/Users/${a}`, { op: 'Replace', path: 'active', value: 'False' })
    expect(await membersOf(entra, id)).toEqual([a])
    await patch(`/Users/${a}`, { op: 'Replace', path: 'active', value: 'True' })
    expect((await entra.call('GET', `/Users/${a}`)).groups).toMatchObject([{ value: id }])
  })

  it('P-24: a group of more than a thousand', async () => {
    const owner = await connect({ url: running.database.ownerUrl })
    const { rows } = await owner.query(`
      with users as (
        insert into scim_user (id, directory_id, user_name_key, active, document, folded)
        select gen_random_uuid(), 'entra', 'many' || n, true, jsonb_build_object('userName', 'many' || n, 'active', true), jsonb_build_object('userName', 'many' || n)
        from generate_series(1, 1500) n returning id), states as (
        insert into user_state (user_id, directory_id) select id, 'entra' from users)
      select id from users`)
    await owner.end()
    const ids: string[] = rows.map(({ id }) => id)
    const { id } = await groupOf(ids.slice(0, 750))
    await patch(`/Groups/${id}`, { op: 'add', path: 'members', value: ids.slice(750).map((value) => ({ value })) })
    expect(await membersOf(entra, id)).toEqual(ids.toSorted())
  })
})

describe('user PATCH', () => {
  it('P-25: active as text', async () => {
    expect((await patched([{ op: 'Replace', path: 'active', value: 'False' }])).active).toBe(false)
    expect((await patched([{ op: 'Replace', path: 'active', value: 'true' }], { active: false })).active).toBe(true)
    expect((await patched([{ op: 'replace', value: { active: 'False' } }])).active).toBe(false)
  })

  it.each(['add', 'Add', 'ADD', 'replace', 'Replace', 'REPLACE'])('P-26: %s', async (op) => {
    expect((await patched([{ op, path: 'active', value: false }])).active).toBe(false)
    expect((await patched([{ op, value: { active: false } }])).active).toBe(false)
  })

  it.each(['add', 'replace'])(
    'P-27, P-30, P-36: %s makes the element that a filter does not find, and the rest gets through',
    async (op) => {
      const user = await patched([
        { op, path: 'phoneNumbers[type eq "mobile"].value', value: '+47' },
        { op, path: 'addresses[type eq "work"].streetAddress', value: '1 Main' },
        { op, path: 'addresses[type eq "work"].locality', value: 'Oslo' },
        { op, value: { 'phoneNumbers[type eq "fax"].value': '+48' } },
        { op, path: 'active', value: 'False' },
      ])
      expect(user).toMatchObject({
        phoneNumbers: [
          { type: 'mobile', value: '+47' },
          { type: 'fax', value: '+48' },
        ],
        addresses: [{ type: 'work', streetAddress: '1 Main', locality: 'Oslo' }],
        active: false,
      })
    },
  )

  it('P-28, P-29: extension attributes below their URN and behind it, as keys', async () => {
    const user = await patched([
      { op: 'add', value: { [enterprise]: { department: 'Ops' }, [`${enterprise}:division`]: 'North' } },
    ])
    expect(user[enterprise]).toEqual({ department: 'Ops', division: 'North' })
    expect(user.schemas).toEqual([userSchema, enterprise])
    expect(Object.keys(user).filter((key) => key.startsWith('urn:'))).toEqual([enterprise])
  })

  it('P-31: a userName without a path is found by filters', async () => {
    const userName = newName('renamed')
    const { id } = await patched([{ op: 'replace', value: { userName } }])
    expect(await find(`userName eq "${userName.toUpperCase()}"`)).toEqual([id])
  })

  it('P-32 to P-34, P-47, P-48: manager, set in any shape and gone without a trace', async () => {
    const shapes = [
      { path: 'manager', value: [{ $ref: '../Users/m', value: 'm' }] },
      { path: `${enterprise}:manager`, value: 'm' },
      { path: `${enterprise}:manager`, value: { value: 'm' } },
      { path: `${enterprise}.manager`, value: 'm' },
      { path: 'manager.value', value: 'm' },
    ]
    const removals = [
      { op: 'Remove', path: 'manager[value eq "m"]' },
      { op: 'remove', path: `${enterprise}:manager` },
      { op: 'Replace', path: `${enterprise}:manager`, value: '' },
    ]
    for (const shape of shapes) {
      const user = await patched([{ op: 'Add', ...shape }])
      expect(user).toMatchObject({ schemas: [userSchema, enterprise], [enterprise]: { manager: { value: 'm' } } })
      for (const removal of removals) {
        const without = await patched([{ op: 'Add', ...shape }, removal])
        expect(without.schemas).toEqual([userSchema])
        expect(Object.keys(without)).not.toContain(enterprise)
      }
    }
    const { attributes } = await entra.call('GET', `/Schemas/${userSchema}`)
    expect(attributes).toContainEqual(expect.objectContaining({ name: 'externalId', caseExact: true }))
  })

  it('P-35: no operations are no error', async () => {
    const { id, meta } = await person()
    expect(await patch(`/Users/${id}`)).toMatchObject({ status: 200, body: { meta } })
  })

  it('P-37: part of a name leaves its other parts, with a path and without', async () => {
    for (const operation of [
      { op: 'replace', path: 'name', value: { givenName: 'New' } },
      { op: 'replace', value: { name: { givenName: 'New' } } },
      { op: 'replace', path: 'name.givenName', value: 'New' },
    ]) {
      expect((await patched([operation])).name).toEqual({ givenName: 'New', familyName: 'Family' })
    }
  })

  it('P-38: the answer is the state after it (every PATCH above compares the two)', async () => {
    const { id } = await person()
    expect((await patch(`/Users/${id}`, { op: 'add', path: 'title', value: 'Dr' })).body.title).toBe('Dr')
  })

  it('P-39, P-60: an externalId by PATCH is kept, shown and found', async () => {
    const externalId = newName('Ext')
    const user = await patched([{ op: 'replace', path: 'externalId', value: externalId }])
    expect(user.externalId).toBe(externalId)
    expect(await find(`externalId eq "${externalId}"`)).toEqual([user.id])
  })

  it('P-40: later operations see what earlier ones did', async () => {
    const { emails } = await patched([
      { op: 'replace', path: 'emails', value: [{ type: 'work', value: 'a' }] },
      { op: 'add', path: 'emails', value: [{ type: 'home', value: 'b' }] },
      { op: 'replace', path: 'emails[type eq "home"].value', value: 'c' },
      { op: 'remove', path: 'emails[value eq "a"]' },
    ])
    expect(emails).toEqual([{ type: 'home', value: 'c' }])
  })

  it('P-41: one operation refused, none done', async () => {
    const user = await person()
    const answer = await patch(
      `/Users/${user.id}`,
      { op: 'add', path: 'title', value: 'Dr' },
      { op: 'add', path: 'active', value: 'perhaps' },
    )
    expectError(answer, 400, 'invalidValue')
    expect(await entra.call('GET', `/Users/${user.id}`)).toEqual(user)
  })

  it('P-42: keys of any case and members that nobody asked for', async () => {
    const { id } = await person()
    const answer = await entra.send('PATCH', `/Users/${id}`, {
      id,
      Schemas: [patchSchema.toUpperCase()],
      operations: [{ Op: 'REPLACE', Path: 'Active', Value: 'FALSE', name: 'active' }],
    })
    expect(answer).toMatchObject({ status: 200, body: { active: false } })
  })

  it('P-43, P-46: roles as JSON in a text, and primary as text in the value and in the filter', async () => {
    const packed = '{"id":"r","value":"Admin","displayName":"The Admin"}'
    const user = await patched([{ op: 'Add', path: 'roles', value: [{ primary: 'True', value: packed }] }])
    expect(user.roles).toEqual([{ primary: true, value: 'Admin', display: 'The Admin' }])
    const named = await patched([
      { op: 'Add', path: 'roles', value: [{ primary: 'True', value: packed }] },
      { op: 'Replace', path: 'roles[primary eq "True"].display', value: 'Chief' },
    ])
    expect(named.roles).toEqual([{ primary: true, value: 'Admin', display: 'Chief' }])
  })

  it('P-44, P-45: of two primaries one stays', async () => {
    const emails = [
      { value: 'h', type: 'home', primary: true },
      { value: 'w', type: 'work', primary: true },
    ]
    const created = await ping.createUser(newName('p'), { emails })
    expect(created.emails).toEqual([
      { value: 'h', type: 'home', primary: false },
      { value: 'w', type: 'work', primary: true },
    ])
    const again = await ping.patchUser(created.id, {
      op: 'replace',
      path: 'emails[type eq "home"].primary',
      value: true,
    })
    expect(again.emails).toMatchObject([{ primary: true }, { primary: false }])
  })
})

describe('matching, filters, uniqueness', () => {
  it('P-49: externalId, by its exact case', async () => {
    const { id, externalId } = await person()
    expect(await find(`externalId eq "${externalId}"`)).toEqual([id])
    expect(await find(`externalId eq "${externalId.toUpperCase()}"`)).toEqual([])
  })

  it('P-50: both conditions of one email', async () => {
    const name = newName('mail')
    const { id } = await entra.createUser(name, {
      emails: [
        { type: 'work', value: `${name}@work` },
        { type: 'home', value: `${name}@home` },
      ],
    })
    expect(await find(`emails[type eq "work"].value eq "${name}@WORK"`)).toEqual([id])
    expect(await find(`emails[type eq "work"].value eq "${name}@home"`)).toEqual([])
    expect(await find(`emails[type eq "work" and value eq "${name}@home"]`)).toEqual([])
    expect(await find(`emails.type eq "work" and emails.value eq "${name}@home"`)).toEqual([id])
  })

  it.each([
    'nobody eq "a"',
    'userName xx "a"',
    'userName',
    'userName eq',
    '(userName eq "a"',
    'emails[]',
    'active gt true',
    'active co "t"',
    'password eq "x"',
    'name eq "Ada"',
    'emails[nobody eq "a"]',
    'urn:acme:hr:2.0:User:badge eq 7',
    'members.display eq "x"',
    "userName eq 'a'",
  ])('P-51: %s is refused, never an empty list', async (filter) => {
    for (const scim of [entra, generic])
      expectError(await scim.send('GET', `/Users${filtered(filter)}`), 400, 'invalidFilter')
  })

  it('P-52, P-56: a group by its name in any case, and no other', async () => {
    const { id, displayName } = await groupOf([])
    expect(await find(`displayName eq "${displayName.toUpperCase()}"`, entra, '/Groups')).toEqual([id])
  })

  it.each([
    'R&D (EU) [x] "q"',
    'a eq b and c',
    'DOM\\user',
    'Ærø 日本 😀',
    'per%cent_score',
    "O'Brien",
    '0123',
    ' padded ',
  ])('P-53, P-62: %s is a name like any other', async (name) => {
    const userName = newName(name)
    const { id } = await entra.createUser(userName)
    expect(await find(`userName eq ${JSON.stringify(userName)}`)).toEqual([id])
    const group = await entra.createGroup(userName)
    expect(await find(`displayName eq ${JSON.stringify(userName)}`, entra, '/Groups')).toEqual([group.id])
  })

  it('P-54, P-55: a userName is found in any case and keeps its spelling', async () => {
    const userName = newName('Grace.HOPPER@Acme.example')
    const { id } = await entra.createUser(userName)
    expect(await find(`userName eq "${userName.toLowerCase()}"`)).toEqual([id])
    expect((await entra.call('GET', `/Users/${id}`)).userName).toBe(userName)
    expectError(
      await entra.send('POST', '/Users', { schemas: [userSchema], userName: userName.toUpperCase() }),
      409,
      'uniqueness',
    )
  })

  it('P-57, P-58: a second group of a name is refused; a PUT with its own name is not', async () => {
    const group = await groupOf([], okta)
    expectError(
      await okta.send('POST', '/Groups', { schemas: [groupSchema], displayName: group.displayName.toUpperCase() }),
      409,
      'uniqueness',
    )
    expect(
      (await okta.send('PUT', `/Groups/${group.id}`, { schemas: [groupSchema], displayName: group.displayName }))
        .status,
    ).toBe(200)
  })

  it('P-59: somebody of another directory is never matched', async () => {
    const userName = newName('same@acme.example')
    const [mine, theirs] = [await okta.createUser(userName), await entra.createUser(userName)]
    for (const filter of [
      `userName eq "${userName}"`,
      `emails.value eq "${userName}"`,
      `externalId eq "${mine.externalId}"`,
    ]) {
      expect(await find(filter, okta)).toEqual([mine.id])
      expect(await find(filter, entra)).toEqual([theirs.id])
    }
  })

  it('P-61: an externalId may be given anew, and the user is the same', async () => {
    const { id } = await person()
    await patch(`/Users/${id}`, { op: 'replace', path: 'externalId', value: newName('another') })
    expect(await running.tenure.admin.get(`/users/${id}`)).toMatchObject({ id, active: true })
  })

  it('P-63: the externalId of a group is kept, shown, found and published', async () => {
    const externalId = newName('Grp')
    const { id } = await entra.call('POST', '/Groups', {
      schemas: [groupSchema],
      displayName: newName('G'),
      externalId,
    })
    expect(await find(`externalId eq "${externalId}"`, entra, '/Groups')).toEqual([id])
    expect(await entra.call('GET', `/Groups/${id}`)).toMatchObject({ externalId })
    const { attributes } = await entra.call('GET', `/Schemas/${groupSchema}`)
    expect(attributes.map(({ name }: Json) => name)).toContain('externalId')
  })

  it('P-64: two cannot have one userName, however fast they are', async () => {
    const body = { schemas: [userSchema], userName: newName('twin') }
    const answers = await Promise.all(Array.from({ length: 5 }, () => entra.send('POST', '/Users', body)))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409, 409])
    expect(await find(`userName eq "${body.userName}"`)).toHaveLength(1)
  })

  it('P-65: not, and, or: in this order', async () => {
    const title = newName('t')
    const make = async (userType: string, active: boolean) =>
      (await entra.createUser(newName('v'), { title, userType, active })).id
    const [x, y, z] = [await make('x', true), await make('y', false), await make('z', true)]
    const mine = `title eq "${title}"`
    const vectors: [string, string[]][] = [
      [`${mine} and userType eq "x" or ${mine} and userType eq "y" and active eq true`, [x]],
      [`${mine} and (userType eq "x" or userType eq "y") and active eq true`, [x]],
      [`${mine} and not (userType eq "x" or userType eq "y")`, [z]],
      [`${mine} and not (userType eq "x" and active eq false)`, [x, y, z]],
      [`${mine} and not(userType eq "x")and(active eq true)`, [z]],
      [`${mine} and not (nickName pr)`, [x, y, z]],
      [`${mine} and nickName ne "n"`, [x, y, z]],
      [`${mine} and nickName eq null`, [x, y, z]],
    ]
    for (const [filter, ids] of vectors)
      expect([filter, (await find(filter)).toSorted()]).toEqual([filter, ids.toSorted()])
  })

  it('P-66 to P-68: integers, a default count, and nobody found is 200', async () => {
    const { userName } = await person()
    const one = await entra.send('GET', `/Users${filtered(`userName eq "${userName}"`, { startIndex: '1' })}`)
    expect(one.body).toMatchObject({ totalResults: 1, startIndex: 1, itemsPerPage: 1 })
    expectList(await entra.send('GET', `/Users${filtered('userName eq "of nobody"')}`), 0)
    expectList(await entra.send('GET', `/Groups${filtered('displayName eq "of nobody"')}`), 0)
  })
})

describe('lifecycle', () => {
  it('P-69, P-73, P-74: a re-POST of somebody inactive is 409, and the lookup finds whom to PATCH', async () => {
    const user = await okta.createUser(newName('back'))
    await okta.setActive(user.id, false)
    expectError(
      await okta.send('POST', '/Users', {
        schemas: [userSchema],
        userName: user.userName,
        externalId: user.externalId,
      }),
      409,
      'uniqueness',
    )
    expect(await find(`userName eq "${user.userName}"`, okta)).toEqual([user.id])
    expect(await okta.call('GET', `/Users/${user.id}`)).toMatchObject({ active: false })
    expect(await okta.setActive(user.id, true)).toMatchObject({ id: user.id, active: true })
  })

  it('P-70: a leaver and a joiner may share an externalId', async () => {
    const user = await okta.createUser(newName('old'))
    await okta.setActive(user.id, false)
    const joiner = await okta.createUser(newName('new'), { externalId: user.externalId })
    expect((await find(`externalId eq "${user.externalId}"`, okta)).toSorted()).toEqual([user.id, joiner.id].toSorted())
  })

  it("P-71: Okta's random password is taken and not kept", async () => {
    const user = await okta.createUser(newName('p'), { password: 'random-of-okta-71' })
    expect(JSON.stringify(await okta.call('GET', `/Users/${user.id}`))).not.toContain('random-of-okta')
  })

  it('P-72: a soft-deleted user of Entra, with 32 digits before the name', async () => {
    const { id, userName } = await person()
    const mangled = `5d48a0a8e9a540088008c7a61552c0ff${userName}`
    const answer = await patch(
      `/Users/${id}`,
      { op: 'Replace', path: 'userName', value: mangled },
      { op: 'Replace', path: 'active', value: 'False' },
    )
    expect(answer).toMatchObject({ status: 200, body: { userName: mangled, active: false } })
  })

  it.each([false, 'False'])('P-75: active %s on create', async (active) => {
    const user = await entra.createUser(newName('suspended'), { active })
    expect(user.active).toBe(false)
    expect(await running.tenure.admin.get(`/users/${user.id}`)).toMatchObject({ active: false })
  })

  it('P-76: the id of a POST is not the client’s to choose', async () => {
    const victim = await person()
    const made = await entra.createUser(newName('p'), { id: victim.id })
    expect(made.id).not.toBe(victim.id)
    expect(await entra.call('GET', `/Users/${victim.id}`)).toEqual(victim)
  })

  it('P-77: a deactivation voids what was granted', async () => {
    const { admin } = running.tenure
    const { id } = await person()
    await admin.put('/rules/everyone', { directory: 'entra', server: 'linear', when: 'userName pr', scopes: ['read'] })
    const grant = { directory: 'entra', user: { id }, server: 'linear', scopes: ['read'] }
    expect((await admin.grant({ ...grant, jti: 'before' })).status).toBe(201)
    await patch(`/Users/${id}`, { op: 'Replace', path: 'active', value: 'False' })
    expect((await admin.grant({ ...grant, jti: 'after' })).status).not.toBe(201)
    expect(await admin.get(`/users/${id}`)).toMatchObject({ active: false, epoch: 1 })
    await admin.delete('/rules/everyone')
  })

  it('P-78, P-79: DELETE is 204 without a body, then 404', async () => {
    for (const path of [`/Users/${(await person()).id}`, `/Groups/${(await groupOf([])).id}`]) {
      expect(await entra.send('DELETE', path)).toMatchObject({ status: 204, body: undefined })
      for (const method of ['DELETE', 'GET']) expectError(await entra.send(method, path), 404)
    }
  })

  it('P-80: a PUT of somebody who is gone is 404', async () => {
    const user = await person(okta)
    await okta.call('DELETE', `/Users/${user.id}`)
    expectError(await okta.send('PUT', `/Users/${user.id}`, user), 404)
  })

  it('P-82: whoever deactivates everybody locks out no operator and not itself', async () => {
    const { admin } = running.tenure
    const scim = await registerDirectory(admin, 'lockout', 'okta')
    const ids = await Promise.all(['admin', 'root', 'owner'].map(async (name) => (await scim.createUser(name)).id))
    const [first, second, third] = ids as [string, string, string]
    await scim.setActive(first, false)
    await scim.call('PUT', `/Users/${second}`, { schemas: [userSchema], userName: 'root', active: false })
    await scim.call('DELETE', `/Users/${third}`)
    for (const id of ids) {
      const { items } = await admin.get(`/events?user=${id}`)
      expect(items.map(({ source, kind }: Json) => [source, kind])).toContainEqual(['scim', 'left'])
    }
    expect(await admin.get('/directories/lockout')).toMatchObject({ id: 'lockout' })
    const { token } = await admin.post('/directories/lockout/tokens', {})
    for (const client of [scim, new ScimClient(scim.base, token)]) {
      expectList(await client.send('GET', '/Users'), 2)
      expect(await client.setActive(first, true)).toMatchObject({ active: true })
    }
    expect(await admin.get(`/users/${first}`)).toMatchObject({ active: true })
  })

  it.each([true, false])('P-81: a PUT that does not say leaves active %s, externalId and members', async (active) => {
    const user = await okta.createUser(newName('p'), { active, title: 'Dr' })
    const group = await groupOf([user.id], okta)
    const put = await okta.call('PUT', `/Users/${user.id}`, { schemas: [userSchema], userName: user.userName })
    expect(put).toMatchObject({ active, externalId: user.externalId })
    expect(Object.keys(put)).not.toContain('title')
    await okta.call('PUT', `/Groups/${group.id}`, { schemas: [groupSchema], displayName: group.displayName })
    expect(await membersOf(okta, group.id)).toEqual([user.id])
  })
})

describe('HTTP, errors, discovery', () => {
  it.each([
    'application/scim+json',
    'application/json',
    'application/json; charset=utf-8',
    'text/json',
    'application/scim+json;charset=UTF-8',
  ])('P-83, P-86: %s is read, and application/scim+json answered', async (type) => {
    const body = JSON.stringify({ schemas: [userSchema], userName: newName('p') })
    const answer = await raw(okta, 'POST', '/Users', { 'content-type': type, accept: 'application/json, */*' }, body)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('content-type')).toBe(mediaType)
  })

  it('P-84, P-85: neither Content-Type nor User-Agent is needed', async () => {
    const answer = await raw(entra, 'GET', '/Users?count=1', { 'user-agent': '' })
    expect(answer.status).toBe(200)
  })

  it('P-87: every refusal is a SCIM error', async () => {
    const nobody = await fetch(`${entra.base}/Users`)
    expect([nobody.status, nobody.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect(await nobody.json()).toMatchObject({ status: '401' })
    expectError(await entra.send('GET', '/Nothing'), 404)
    expectError(await entra.send('PATCH', '/Users', {}), 405)
    expectError(await entra.send('POST', '/Users', '{"broken"'), 400, 'invalidSyntax')
    expectError(await entra.send('POST', '/Users', '[]'), 400, 'invalidSyntax')
  })

  it('P-88, P-90: every listed resource has its schemas, no nulls and no capital keys', async () => {
    await person()
    for (const path of ['/Users?count=5', '/Groups?count=5', '/Schemas', '/ResourceTypes']) {
      const { body } = await entra.send('GET', path)
      expect(body.Resources.every(({ schemas }: Json) => Array.isArray(schemas) && schemas.length > 0)).toBe(true)
      expect(JSON.stringify(body)).not.toContain(':null')
    }
    for (const path of ['/Schemas', '/ResourceTypes']) {
      for (const resource of (await entra.send('GET', path)).body.Resources) {
        expect(Object.keys(resource).every((key) => /^[a-z]/.test(key))).toBe(true)
      }
    }
  })

  it("P-89: Entra's validator is not shown what it would test and cannot mean", async () => {
    const published = async (scim: ScimClient) => {
      const { attributes } = await scim.call('GET', `/Schemas/${userSchema}`)
      const emails = attributes.find(({ name }: Json) => name === 'emails')
      return [...attributes, ...emails.subAttributes].map(({ name }: Json) => name)
    }
    expect(await published(okta)).toEqual(expect.arrayContaining(['password', 'primary', 'display']))
    const shown = await published(entra)
    for (const name of ['password', 'primary', 'display']) expect(shown).not.toContain(name)
    expect(shown).toEqual(expect.arrayContaining(['userName', 'emails', 'value', 'type', 'externalId']))
  })

  it('P-91: excluded members are no key, in a list and by id', async () => {
    const { id, displayName } = await groupOf(await people(1))
    const listed = await entra.send(
      'GET',
      `/Groups${filtered(`displayName eq "${displayName}"`, { excludedAttributes: 'members' })}`,
    )
    for (const group of [
      ...expectList(listed, 1),
      await entra.call('GET', `/Groups/${id}?excludedAttributes=members`),
    ]) {
      expect(Object.keys(group)).not.toContain('members')
      expect(group.displayName).toBe(displayName)
    }
  })

  it('P-92: attributes with a filter in them', async () => {
    const { id, emails } = await person()
    const answer = await entra.call(
      'GET',
      `/Users/${id}?attributes=${encodeURIComponent('emails[type eq "work"],userName')}`,
    )
    expect(answer).toEqual({ schemas: [userSchema], id, userName: emails[0].value, emails })
  })

  it('P-93: what is said to be supported is', async () => {
    const config = await entra.call('GET', '/ServiceProviderConfig')
    expect(config).toMatchObject({
      patch: { supported: true },
      filter: { supported: true },
      changePassword: { supported: false },
    })
  })

  it.each(['/Users', '/Groups'] as const)('P-94: of many who PUT to %s what they read, one writes', async (path) => {
    const made = path === '/Users' ? await person() : await groupOf([])
    const names = Array.from({ length: 25 }, () => newName('raced'))
    const headers = { 'content-type': 'application/scim+json', 'if-match': made.meta.version }
    const answers = await Promise.all(
      names.map((name) => {
        const body = path === '/Users' ? { userName: name } : { schemas: [groupSchema], displayName: name }
        return sendExactly(entra, 'PUT', `${path}/${made.id}`, headers, JSON.stringify(body))
      }),
    )
    const written = answers.filter(({ status }) => status === 200)
    expect(written).toHaveLength(1)
    for (const answer of answers) if (answer !== written[0]) expectError(answer, 412)
    expect(await entra.call('GET', `${path}/${made.id}`)).toEqual(written[0]!.body)
  })

  it('P-95: the rate is of one token: others and the public go on, and Retry-After is in whole seconds', async () => {
    const { admin, url } = running.tenure
    const scim = await registerDirectory(admin, 'hurried', 'entra')
    const second = new ScimClient(scim.base, (await admin.post('/directories/hurried/tokens', {})).token)
    const slow = await registerDirectory(admin, 'slow', 'entra')
    for (const id of ['hurried', 'slow']) await admin.send('PATCH', `/directories/${id}`, { scimRequestsPerSecond: 2 })
    const answers = await Promise.all(Array.from({ length: 20 }, () => scim.send('GET', '/Users?count=0')))
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused.length).toBeGreaterThan(10)
    for (const client of [second, slow]) expect((await client.send('GET', '/Users?count=0')).status).toBe(200)
    const others = await Promise.all([
      ...Array.from({ length: 20 }, () => okta.send('GET', '/Users?count=0')),
      ...['/healthz', '/readyz'].map((path) => fetch(url + path)),
      admin.sendIntrospection('no-token-of-ours'),
      admin.send('GET', '/directories/hurried'),
    ])
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 200))
    for (const answer of refused) {
      expectError(answer, 429)
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    }
    await waitFor(async () => (await scim.send('GET', '/Users')).status === 200, { what: 'the rate to be kept again' })
  })

  it('P-96: a filter too deep, too long or of too many terms is refused', async () => {
    const deep = `${'('.repeat(500)}title pr${')'.repeat(500)}`
    const long = `userName eq "${'x'.repeat(5_000)}"`
    const many = Array.from({ length: 100 }, (_, n) => `title eq "${n}"`).join(' or ')
    for (const filter of [deep, long, many, 'not '.repeat(1_000)]) {
      expectError(await entra.send('GET', `/Users${filtered(filter)}`), 400, 'invalidFilter')
    }
  })

  it.each([
    '__proto__',
    'constructor',
    'prototype',
    'constructor.prototype.x',
    'name.__proto__',
    '__proto__[type eq "a"].x',
    `${enterprise}:__proto__`,
  ])('P-97: %s reaches no prototype, as a path or as a key', async (name) => {
    const user = await person()
    expectError(
      await patch(`/Users/${user.id}`, { op: 'add', path: name, value: { polluted: true } }),
      400,
      'invalidPath',
    )
    const key = JSON.stringify(name)
    const body = `{"schemas":["${patchSchema}"],"Operations":[{"op":"add","value":{${key}:{"polluted":true}}}]}`
    const answer = await entra.send('PATCH', `/Users/${user.id}`, body)
    if (answer.status !== 200) expectError(answer, 400, 'invalidPath')
    expect(({} as Json).polluted).toBeUndefined()
    expect(await entra.call('GET', `/Users/${user.id}`)).toEqual(user)
  })

  it('P-98: what Entra maps by default is known, and what nobody knows blocks nothing', async () => {
    const answer = await patched([
      { op: 'Add', path: 'addresses[type eq "work"].formatted', value: '1 Main' },
      { op: 'Add', path: 'phoneNumbers[type eq "fax"].value', value: '1' },
      { op: 'Add', path: 'shoes[colour eq "red"].size', value: '39' },
      { op: 'Add', path: 'emails[colour eq "red"].value', value: 'x' },
      { op: 'Replace', path: 'active', value: 'False' },
    ])
    expect(answer).toMatchObject({ active: false, addresses: [{}], phoneNumbers: [{}] })
    expect(Object.keys(answer)).not.toContain('shoes')
  })

  it('P-99: an id of another directory is 404 to everything', async () => {
    const { id } = await person()
    const group = await groupOf([id])
    for (const [path, body] of [
      [`/Users/${id}`, { schemas: [userSchema], userName: 'taken over' }],
      [`/Groups/${group.id}`, { schemas: [groupSchema], displayName: 'taken over' }],
    ] as const) {
      expectError(await okta.send('GET', path), 404)
      expectError(await okta.send('PUT', path, body), 404)
      expectError(await okta.send('PATCH', path, patchOf({ op: 'replace', path: 'externalId', value: 'x' })), 404)
      expectError(await okta.send('DELETE', path), 404)
    }
    const { id: mine } = await groupOf([], okta)
    expectError(
      await okta.send('PATCH', `/Groups/${mine}`, patchOf({ op: 'add', path: 'members', value: [{ value: id }] })),
      400,
      'invalidValue',
    )
    expect(await membersOf(entra, group.id)).toEqual([id])
  })

  it('P-100: a body of 2 MB is read', async () => {
    const { id } = await person()
    const operations = [
      { op: 'add', path: 'title', value: 'Dr' },
      { op: 'add', path: 'x', value: 'x'.repeat(2_000_000) },
    ]
    expect((await patch(`/Users/${id}`, ...operations)).body.title).toBe('Dr')
  })

  it("P-101: the enterprise URN as Entra's own sample has it", async () => {
    const misspelt = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0User'
    const user = await entra.createUser(newName('p'), {
      schemas: [userSchema, misspelt],
      [misspelt]: { department: 'Ops' },
    })
    expect(user).toMatchObject({ schemas: [userSchema, enterprise], [enterprise]: { department: 'Ops' } })
  })
})

it('each of the 101 has its test', async () => {
  const source = await readFile(new URL(import.meta.url), 'utf8')
  const titles = [...source.matchAll(/['"`]((?:(?:, )?P-\d+(?: to P-\d+)?)+)/g)].map(([, numbers]) => numbers!)
  const ranges = titles.flatMap((title) => title.split(', ')).map((range) => range.match(/\d+/g)!.map(Number))
  const tested = new Set(
    ranges.flatMap(([from = 0, to = from]) => Array.from({ length: to - from + 1 }, (_, n) => from + n)),
  )
  expect([...tested].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, n) => n + 1))
})
