import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import { enterprise, filtered, membersOf, newName, patchOf, providers, serviceProvider } from './service-provider.ts'

/**
 * One departure from RFC 7643 and 7644. `send` does what some identity provider does and returns what was stored, or the
 * `scimType` of a refusal. `generic`: what a generic directory makes of the same, where that differs.
 */
interface Tolerance {
  readonly name: string
  readonly send: (scim: ScimClient, subject: Subject) => Promise<unknown>
  readonly stored: (subject: Subject) => unknown
  readonly generic?: (subject: Subject) => unknown
}

/** A user and a group of which it is the one member. */
interface Subject {
  readonly user: Json
  readonly other: Json
  readonly group: Json
}

const running = serviceProvider()

const patchUser =
  (operation: Json, read: (user: Json) => unknown) =>
  async (scim: ScimClient, { user }: Subject) =>
    told(await scim.send('PATCH', `/Users/${user.id}`, patchOf(operation)), read)
const postUser = (fields: Json, read: (user: Json) => unknown) => async (scim: ScimClient) =>
  told(await scim.send('POST', '/Users', { schemas: [userSchema], userName: newName('posted'), ...fields }), read)
const found = (filter: (subject: Subject) => string) => async (scim: ScimClient, subject: Subject) =>
  told(await scim.send('GET', `/Users${filtered(filter(subject))}`), ({ Resources }) =>
    Resources.map(({ id }: Json) => id),
  )
const patchMembers = (operation: (subject: Subject) => Json) => async (scim: ScimClient, subject: Subject) => {
  const { status, body } = await scim.send('PATCH', `/Groups/${subject.group.id}`, patchOf(operation(subject)))
  return status < 300 ? membersOf(scim, subject.group.id) : body.scimType
}

function told({ status, body }: { status: number; body: Json }, read: (body: Json) => unknown): unknown {
  return status < 300 ? read(body) : (body.scimType ?? status)
}

const refused = (scimType: string) => () => scimType
const both = ({ user, other }: Subject) => [user.id, other.id].toSorted()

const tolerances: Tolerance[] = [
  {
    name: 'operation names in any case',
    send: patchUser({ op: 'Replace', path: 'title', value: 'Dr' }, ({ title }) => title),
    stored: () => 'Dr',
  },
  {
    name: 'booleans as text',
    send: patchUser({ op: 'replace', path: 'active', value: 'False' }, ({ active }) => active),
    stored: () => false,
    generic: refused('invalidValue'),
  },
  {
    name: 'booleans as text in filters',
    send: found(({ user }) => `userName eq "${user.userName}" and active eq "True"`),
    stored: ({ user }) => [user.id],
    generic: refused('invalidFilter'),
  },
  {
    name: 'unquoted words in filters',
    send: found(({ user }) => `externalId eq ${user.externalId}`),
    stored: ({ user }) => [user.id],
    generic: refused('invalidFilter'),
  },
  {
    name: 'lone backslashes in filters',
    send: async (scim) => {
      const userName = newName('DOM\\user')
      const { id } = await scim.createUser(userName)
      const answer = await scim.send('GET', `/Users${filtered(`userName eq "${userName}"`)}`)
      return told(answer, ({ Resources }) => Resources.map((each: Json) => each.id === id))
    },
    stored: () => [true],
    generic: refused('invalidFilter'),
  },
  {
    name: 'not without parentheses in filters',
    send: found(({ user }) => `userName eq "${user.userName}" and not active eq false`),
    stored: ({ user }) => [user.id],
    generic: refused('invalidFilter'),
  },
  {
    name: 'part of a filtered element in filters',
    send: found(({ user }) => `emails[type eq "work"].value eq "${user.userName}"`),
    stored: ({ user }) => [user.id],
    generic: refused('invalidFilter'),
  },
  {
    name: 'lists round a single value',
    send: patchUser({ op: 'replace', path: 'displayName', value: ['Ada'] }, ({ displayName }) => displayName),
    stored: () => 'Ada',
    generic: refused('invalidValue'),
  },
  {
    name: 'a single value without a list',
    send: postUser({ phoneNumbers: { value: '1' } }, ({ phoneNumbers }) => phoneNumbers),
    stored: () => [{ value: '1' }],
    generic: refused('invalidValue'),
  },
  {
    name: 'bare texts as values',
    send: patchUser({ op: 'add', path: 'roles', value: ['Admin'] }, ({ roles }) => roles),
    stored: () => [{ value: 'Admin' }],
    generic: refused('invalidValue'),
  },
  {
    name: 'roles as JSON in a text',
    send: patchUser(
      { op: 'add', path: 'roles', value: [{ value: '{"id":"r","value":"Admin","displayName":"The Admin"}' }] },
      ({ roles }) => roles,
    ),
    stored: () => [{ value: 'Admin', display: 'The Admin' }],
    generic: () => [{ value: '{"id":"r","value":"Admin","displayName":"The Admin"}' }],
  },
  {
    name: 'manager as text',
    send: patchUser({ op: 'Add', path: `${enterprise}:manager`, value: 'boss' }, (user) => user[enterprise]),
    stored: () => ({ manager: { value: 'boss' } }),
    generic: refused('invalidValue'),
  },
  {
    name: 'manager as list',
    send: patchUser(
      { op: 'Add', path: `${enterprise}:manager`, value: [{ value: 'boss' }] },
      (user) => user[enterprise],
    ),
    stored: () => ({ manager: { value: 'boss' } }),
    generic: refused('invalidValue'),
  },
  {
    name: 'manager under a filter',
    send: async (scim, subject) => {
      await scim.patchUser(subject.user.id, { op: 'add', path: `${enterprise}:manager.value`, value: 'boss' })
      return patchUser({ op: 'Remove', path: 'manager[value eq "boss"]' }, (user) => user[enterprise])(scim, subject)
    },
    stored: () => undefined,
    generic: refused('invalidPath'),
  },
  {
    name: 'extension attributes without their URN',
    send: patchUser({ op: 'add', path: 'department', value: 'Ops' }, (user) => user[enterprise]),
    stored: () => ({ department: 'Ops' }),
    generic: refused('invalidPath'),
  },
  {
    name: 'extension attributes after a dot',
    send: patchUser({ op: 'add', path: `${enterprise}.department`, value: 'Ops' }, (user) => user[enterprise]),
    stored: () => ({ department: 'Ops' }),
    generic: refused('invalidPath'),
  },
  {
    name: 'misspelt and older URNs',
    send: postUser(
      { 'urn:ietf:params:scim:schemas:extension:enterprise:2.0User': { department: 'Ops' } },
      (user) => user[enterprise],
    ),
    stored: () => ({ department: 'Ops' }),
    generic: () => undefined,
  },
  {
    name: 'paths as keys',
    send: patchUser(
      {
        op: 'replace',
        value: {
          'name.givenName': 'Ada',
          'phoneNumbers[type eq "work"].value': '1',
          [`${enterprise}:department`]: 'Ops',
        },
      },
      (user) => [user.name.givenName, user.phoneNumbers, user[enterprise]],
    ),
    stored: () => ['Ada', [{ type: 'work', value: '1' }], { department: 'Ops' }],
    generic: refused('invalidPath'),
  },
  {
    name: 'elements made where a filter matches none',
    send: patchUser(
      { op: 'Replace', path: 'phoneNumbers[type eq "work"].value', value: '1' },
      (user) => user.phoneNumbers,
    ),
    stored: () => [{ type: 'work', value: '1' }],
    generic: refused('noTarget'),
  },
  {
    name: 'any or no schemas in a resource',
    send: postUser({ schemas: ['urn:scim:schemas:core:1.0'] }, ({ schemas }) => schemas),
    stored: () => [userSchema],
    generic: refused('invalidValue'),
  },
  {
    name: 'several primary values',
    send: postUser(
      {
        emails: [
          { value: 'h', type: 'home', primary: true },
          { value: 'w', type: 'work', primary: true },
        ],
      },
      ({ emails }) => emails.filter(({ primary }: Json) => primary).map(({ value }: Json) => value),
    ),
    stored: () => ['w'],
    generic: refused('invalidValue'),
  },
  {
    name: 'empty values',
    send: postUser({ title: '', nickName: null, roles: [], name: { givenName: '' } }, (user) => [
      user.title,
      user.nickName,
      user.roles,
      user.name,
    ]),
    stored: () => [undefined, undefined, undefined, undefined],
  },
  {
    name: 'read-only attributes sent back',
    send: postUser(
      { id: 'mine', meta: { resourceType: 'Robot' }, groups: [{ value: 'x' }] },
      ({ id, meta, groups }) => [id === 'mine', meta.resourceType, groups],
    ),
    stored: () => [false, 'User', undefined],
  },
  {
    name: 'read-only attributes beside a change',
    send: patchUser(
      { op: 'replace', value: { groups: [{ value: 'x' }], meta: { version: 'x' }, active: false } },
      ({ active, groups }) => [active, groups?.length],
    ),
    stored: () => [false, 1],
    generic: refused('mutability'),
  },
  {
    name: 'a password, never kept',
    send: postUser({ password: 'random-of-okta' }, ({ password }) => password),
    stored: () => undefined,
  },
  {
    name: 'the id in a rename',
    send: async (scim, { group }) => {
      const displayName = newName('Renamed')
      await scim.patchGroup(group.id, { op: 'replace', value: { id: group.id, displayName } })
      const read = await scim.call('GET', `/Groups/${group.id}`)
      return [read.id === group.id, read.displayName === displayName, read.members.length]
    },
    stored: () => [true, true, 1],
  },
  {
    name: 'unknown attributes',
    send: patchUser({ op: 'replace', value: { shoeSize: 39, active: false } }, ({ active, shoeSize }) => [
      active,
      shoeSize,
    ]),
    stored: () => [false, undefined],
    generic: refused('invalidPath'),
  },
  {
    name: 'unknown extensions',
    send: patchUser(
      { op: 'add', path: 'urn:acme:hr:2.0:User:badge', value: 7 },
      (user) => user['urn:acme:hr:2.0:User'],
    ),
    stored: () => ({ badge: 7 }),
  },
  {
    name: 'no operations',
    send: async (scim, { user }) => told(await scim.send('PATCH', `/Users/${user.id}`, patchOf()), ({ id }) => id),
    stored: ({ user }) => user.id,
    generic: refused('invalidSyntax'),
  },
  {
    name: 'further members beside the operations',
    send: async (scim, { user }) =>
      told(
        await scim.send('PATCH', `/Users/${user.id}`, {
          id: user.id,
          ...patchOf({ op: 'add', name: 'title', path: 'title', value: 'Dr' }),
        }),
        ({ title }) => title,
      ),
    stored: () => 'Dr',
  },
  {
    name: 'members to remove as a value',
    send: patchMembers(({ user }) => ({ op: 'Remove', path: 'members', value: [{ $ref: null, value: user.id }] })),
    stored: () => [],
    generic: refused('invalidValue'),
  },
  {
    name: 'members as bare ids',
    send: patchMembers(({ other }) => ({ op: 'Add', path: 'members', value: [other.id] })),
    stored: both,
    generic: refused('invalidValue'),
  },
  {
    name: 'members without type, with empty display and $ref',
    send: patchMembers(({ other }) => ({
      op: 'add',
      path: 'members',
      value: [{ value: other.id, display: null, $ref: null }],
    })),
    stored: both,
  },
  {
    name: 'a single member without a list',
    send: patchMembers(({ other }) => ({ op: 'replace', path: 'members', value: { value: other.id } })),
    stored: ({ other }) => [other.id],
    generic: refused('invalidValue'),
  },
  {
    name: 'removing a member that is none',
    send: patchMembers(({ other }) => ({ op: 'remove', path: `members[value eq "${other.id}"]` })),
    stored: ({ user }) => [user.id],
  },
]

describe.each(tolerances)('$name', ({ send, stored, generic }) => {
  it.each(providers)('of %s', async (provider) => {
    const scim = running.scim(provider)
    const subject = await makeSubject(scim)
    const expected = provider === 'generic' && generic ? generic : stored
    expect(await send(scim, subject)).toEqual(expected(subject))
  })
})

async function makeSubject(scim: ScimClient): Promise<Subject> {
  const [user, other] = [await scim.createUser(newName('ada')), await scim.createUser(newName('bob'))]
  const group = await scim.call('POST', '/Groups', {
    schemas: [groupSchema],
    displayName: newName('Group'),
    members: [{ value: user.id }],
  })
  return { user, other, group }
}

it('each has a row in docs/scim.md, which says whether generic has it too', async () => {
  const page = await readFile(new URL('../../../docs/scim.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| \*\*(.+?)\*\* \|.*\| (.+?) \|$/gm)].map(([, name, who]) => [name, who])
  expect(rows).toEqual(tolerances.map(({ name, generic }) => [name, generic ? 'vendors' : 'all']))
})
