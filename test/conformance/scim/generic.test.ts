import { beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import {
  enterprise,
  expectError,
  expectList,
  filtered,
  membersOf,
  newName,
  patchOf,
  serviceProvider,
} from './service-provider.ts'

/** What the letter of the RFCs says of a generic directory, beside what tolerances.test.ts shows that it does not tolerate. */
const running = serviceProvider()
let generic: ScimClient
let user: Json

beforeAll(async () => {
  generic = running.scim('generic')
  user = await generic.createUser(newName('ada'), { [enterprise]: { department: 'Ops' } })
})

const patch = (operation: Json, path = `/Users/${user.id}`) => generic.send('PATCH', path, patchOf(operation))

describe('filters (RFC 7644 §3.4.2.2)', () => {
  it.each([
    'active eq True',
    'active eq "true"',
    'externalId eq 5',
    'externalId eq true',
    'externalId eq Null',
    'meta.created gt 2026-01-01T00:00:00Z',
    'not not (title pr)',
    'title eq "a\tb"',
    'department eq "Ops"',
    `${enterprise}.department eq "Ops"`,
    'manager eq "m"',
    'emails[type eq work]',
  ])('%s is invalidFilter', async (filter) => {
    expectError(await generic.send('GET', `/Users${filtered(filter)}`), 400, 'invalidFilter')
    expectError(await generic.send('GET', `/${filtered(filter)}`), 400, 'invalidFilter')
  })

  it.each([
    'not (active eq false)',
    'ACTIVE EQ true',
    'userName eq"ada-0"or active eq true',
    `${enterprise.toUpperCase()}:department eq "ops"`,
    `${userSchema}:active eq true`,
    'emails co "ada"',
    'emails[type eq "work" and not(value co "bob")]',
    'externalId ne null',
    'title eq null and displayName sw "\\u0061da"',
  ])('%s is read', async (filter) => {
    const found = expectList(await generic.send('GET', `/Users${filtered(filter)}`), 1)
    expect(found[0]).toMatchObject({ id: user.id })
  })

  it('in the path of a PATCH as well', async () => {
    expectError(await patch({ op: 'remove', path: 'emails[primary eq "True"]' }), 400, 'invalidFilter')
    expectError(await patch({ op: 'remove', path: 'emails[not type eq "work"]' }), 400, 'invalidFilter')
  })

  it('sorts by the full name of an extension attribute only', async () => {
    expectError(await generic.send('GET', '/Users?sortBy=department'), 400, 'invalidValue')
    expect((await generic.send('GET', `/Users?sortBy=${enterprise}:department`)).status).toBe(200)
  })
})

describe('PATCH (RFC 7644 §3.5.2)', () => {
  it.each<[string, Json, string]>([
    ['a value to remove', { op: 'remove', path: 'emails', value: [{ value: 'x' }] }, 'invalidValue'],
    ['an empty list to remove', { op: 'remove', path: 'emails', value: [] }, 'invalidValue'],
    ['one value in place of all', { op: 'replace', path: 'emails', value: { value: 'x' } }, 'invalidValue'],
    ['one value as a part of the user', { op: 'add', value: { emails: { value: 'x' } } }, 'invalidValue'],
    ['two primary values', { op: 'add', path: 'emails', value: twoPrimaries() }, 'invalidValue'],
    ['a read-only attribute', { op: 'replace', value: { meta: { resourceType: 'Robot' } } }, 'mutability'],
    ['another id', { op: 'replace', value: { id: 'mine' } }, 'mutability'],
    ['a path as a key', { op: 'replace', value: { 'name.givenName': 'Ada' } }, 'invalidPath'],
    ['a flat URN as a key', { op: 'replace', value: { [`${enterprise}:department`]: 'x' } }, 'invalidPath'],
    ['a path within an extension', { op: 'add', value: { [enterprise]: { 'manager.value': 'm' } } }, 'invalidPath'],
    ['a filter on a single value', { op: 'remove', path: `${enterprise}:manager[value eq "m"]` }, 'invalidPath'],
    ['an unknown attribute of the extension', { op: 'add', path: `${enterprise}:shoe`, value: 'x' }, 'invalidPath'],
    ['an unknown attribute of the core', { op: 'add', path: `${userSchema}:shoe`, value: 'x' }, 'invalidPath'],
  ])('refuses %s, and changes nothing', async (_what, operation, scimType) => {
    expectError(await patch(operation), 400, scimType)
    expect(await generic.call('GET', `/Users/${user.id}`)).toEqual(user)
  })

  it('adds one value with a path, and takes one that is primary over from another', async () => {
    const { id } = await generic.createUser(newName('bob'))
    const one = { value: 'new', type: 'home', primary: true }
    const { status, body } = await patch({ op: 'add', path: 'emails', value: one }, `/Users/${id}`)
    expect(status).toBe(200)
    expect(body.emails).toMatchObject([{ type: 'work', primary: false }, one])
    const both = { op: 'replace', path: 'emails.primary', value: true }
    expectError(await patch(both, `/Users/${id}`), 400, 'invalidValue')
    const { id: group } = await generic.createGroup(newName('Group'))
    const member = { op: 'add', path: 'members', value: { value: id } }
    expect((await patch(member, `/Groups/${group}`)).status).toBe(204)
  })

  it('takes one member out by a filter, and everybody by a remove that names nobody', async () => {
    const { id } = await generic.createGroup(newName('Group'), [user.id, (await generic.createUser(newName('eve'))).id])
    const named = { op: 'remove', path: 'members', value: [{ value: user.id }] }
    expectError(await patch(named, `/Groups/${id}`), 400, 'invalidValue')
    expect(await membersOf(generic, id)).toHaveLength(2)
    await generic.removeMember(id, user.id)
    expect(await membersOf(generic, id)).toHaveLength(1)
    expect((await patch({ op: 'remove', path: 'members' }, `/Groups/${id}`)).status).toBe(204)
    expect(await membersOf(generic, id)).toEqual([])
  })
})

function twoPrimaries(): Json[] {
  return ['a', 'b'].map((value) => ({ value, primary: true }))
}

describe('POST and PUT', () => {
  it('skip a path as a key, as they do an attribute that no schema has', async () => {
    const made = await generic.createUser(newName('eve'), {
      'name.middleName': 'x',
      [`${enterprise}:division`]: 'x',
      department: 'x',
      [enterprise]: { 'manager.value': 'x', costCenter: '1' },
    })
    expect(made.name).toEqual({ givenName: 'Given', familyName: 'Family' })
    expect(made[enterprise]).toEqual({ costCenter: '1' })
  })

  it.each([['u1'], { value: 'u1' }, 'u1'])('refuse members as %j', async (members) => {
    const body = { schemas: [groupSchema], displayName: newName('Group'), members }
    expectError(await generic.send('POST', '/Groups', body), 400, 'invalidValue')
  })
})
