import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../../src/schemas/group.ts'
import { userResourceType } from '../../../src/schemas/user.ts'
import { applyPatch, type PatchOptions } from '../../../src/scim/patch/apply.ts'
import { parsePatch, patchOpSchema } from '../../../src/scim/patch/parse.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const custom = 'urn:ietf:params:scim:schemas:extension:Acme:2.0:User'

type Op = { op: string; path?: string; value?: unknown }

const ada = Object.freeze({
  userName: 'ada@x.io',
  active: true,
  title: 'Dr',
  name: { givenName: 'Ada', familyName: 'L' },
  emails: [
    { type: 'work', value: 'ada@work.x', primary: true },
    { type: 'home', value: 'ada@home.x' },
  ],
  [enterprise]: { department: 'Ops', manager: { value: 'm1', $ref: '/Users/m1' } },
})

const strictUser = { ...userResourceType, strict: true }

function patch(document: Record<string, unknown>, operations: Op[], options?: PatchOptions, type = userResourceType) {
  const parsed = parsePatch({ schemas: [patchOpSchema], Operations: operations }, type)
  return applyPatch(type, document, parsed, options)
}

describe('PATCH of single values (RFC 7644 §3.5.2)', () => {
  it.each<[string, Op, Record<string, unknown>]>([
    ['replaces a simple value', { op: 'replace', path: 'title', value: 'Prof' }, { title: 'Prof' }],
    ['takes op and path in any case', { op: 'ADD', path: 'TITLE', value: 'Prof' }, { title: 'Prof' }],
    ['removes a simple value', { op: 'remove', path: 'title' }, { title: undefined }],
    ['unassigns by null', { op: 'replace', path: 'title', value: null }, { title: undefined }],
    ['unassigns by an empty text', { op: 'replace', path: 'title', value: '' }, { title: undefined }],
    [
      'sets one part',
      { op: 'replace', path: 'name.givenName', value: 'A' },
      { name: { givenName: 'A', familyName: 'L' } },
    ],
    [
      'merges a partial complex value',
      { op: 'replace', path: 'name', value: { GIVENNAME: 'A' } },
      { name: { givenName: 'A', familyName: 'L' } },
    ],
    [
      'unassigns one part of a merge',
      { op: 'add', path: 'name', value: { givenName: '' } },
      { name: { familyName: 'L' } },
    ],
    ['removes one part', { op: 'remove', path: 'name.familyName' }, { name: { givenName: 'Ada' } }],
    ['removes a complex value', { op: 'remove', path: 'name' }, { name: undefined }],
    [
      'creates the parent of a part',
      { op: 'add', path: `${enterprise}:manager.value`, value: 'm2' },
      { [enterprise]: { department: 'Ops', manager: { value: 'm2' } } },
    ],
    [
      'reads a path with the core URN',
      { op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User:title', value: 'X' },
      { title: 'X' },
    ],
    [
      'drops a stale $ref with a new manager',
      { op: 'replace', path: 'manager', value: { value: 'm2' } },
      { [enterprise]: { department: 'Ops', manager: { value: 'm2' } } },
    ],
    [
      'clears a manager by an empty value',
      { op: 'replace', path: `${enterprise}:manager`, value: { value: '' } },
      { [enterprise]: { department: 'Ops' } },
    ],
    [
      'clears a manager by an empty text',
      { op: 'replace', path: `${enterprise}:manager`, value: '' },
      { [enterprise]: { department: 'Ops' } },
    ],
    [
      'removes a manager chosen by a filter',
      { op: 'remove', path: 'manager[value eq "m1"]' },
      { [enterprise]: { department: 'Ops' } },
    ],
    ['leaves a manager that the filter misses', { op: 'remove', path: 'manager[value eq "m9"]' }, {}],
    ['removes a whole extension', { op: 'remove', path: enterprise }, { [enterprise]: undefined }],
    [
      'merges a whole extension',
      { op: 'replace', path: enterprise, value: { department: 'R&D' } },
      { [enterprise]: { department: 'R&D', manager: { value: 'm1', $ref: '/Users/m1' } } },
    ],
  ])('%s', (_behaviour, operation, expected) => {
    const { document } = patch(ada, [operation])
    expect(document).toEqual({ ...ada, ...expected })
  })

  it('drops an extension of which nothing is left', () => {
    const { document } = patch({ userName: 'a', [enterprise]: { department: 'Ops' } }, [
      { op: 'remove', path: `${enterprise}:department` },
    ])
    expect(document).toStrictEqual({ userName: 'a' })
  })
})

describe('PATCH without a path', () => {
  it('routes every form of key', () => {
    const { document, unknown } = patch(
      ada,
      [
        {
          op: 'replace',
          value: {
            id: 'whatever',
            displayName: 'A L',
            'name.givenName': 'A',
            [`${enterprise}:department`]: 'Sales',
            [enterprise]: { costCenter: '7' },
            'emails[type eq "work"].value': 'new@work.x',
            'favourite colour': 'blue',
            shoeSize: 42,
            meta: { version: 'x' },
            groups: [],
          },
        },
      ],
      { id: 'whatever' },
    )
    expect(document).toMatchObject({
      displayName: 'A L',
      name: { givenName: 'A', familyName: 'L' },
      emails: [{ type: 'work', value: 'new@work.x' }, { type: 'home' }],
      [enterprise]: { department: 'Sales', costCenter: '7', manager: { value: 'm1' } },
    })
    expect(document).not.toHaveProperty('id')
    expect(unknown).toEqual(['favourite colour', 'shoeSize'])
  })

  it('appends with add and replaces the set with replace', () => {
    const value = { emails: [{ type: 'other', value: 'o@x' }] }
    expect(patch(ada, [{ op: 'add', value }]).document.emails).toHaveLength(3)
    expect(patch(ada, [{ op: 'replace', value }]).document.emails).toEqual(value.emails)
  })
})

describe('PATCH of several values', () => {
  const work = ada.emails[0]!
  const home = ada.emails[1]!
  const other = { type: 'other', value: 'o@x' }

  it.each<[string, Op, unknown]>([
    ['appends', { op: 'add', path: 'emails', value: [other] }, [work, home, other]],
    ['appends one that is no list', { op: 'add', path: 'emails', value: other }, [work, home, other]],
    [
      'does not append what is there',
      { op: 'add', path: 'emails', value: [{ type: 'WORK', value: 'ada@work.x' }] },
      [{ ...work, type: 'WORK' }, home],
    ],
    ['replaces the set', { op: 'replace', path: 'emails', value: [other] }, [other]],
    ['clears by replacing with none', { op: 'replace', path: 'emails', value: [] }, undefined],
    ['removes all', { op: 'remove', path: 'emails' }, undefined],
    ['removes only the listed ones', { op: 'Remove', path: 'emails', value: [{ value: 'ADA@home.x' }] }, [work]],
    ['removes the matches', { op: 'remove', path: 'emails[type eq "home"]' }, [work]],
    ['removes nothing where nothing matches', { op: 'remove', path: 'emails[type eq "zzz"]' }, [work, home]],
    [
      'unsets a part of the matches',
      { op: 'remove', path: 'emails[type eq "work"].primary' },
      [{ type: 'work', value: 'ada@work.x' }, home],
    ],
    ['drops an element of which labels are left', { op: 'remove', path: 'emails[type eq "work"].value' }, [home]],
    ['unsets nothing where nothing matches', { op: 'remove', path: 'emails[type eq "zzz"].value' }, [work, home]],
    [
      'sets a part of the matches',
      { op: 'replace', path: 'EMAILS[TYPE EQ "home"].Value', value: 'n@x' },
      [work, { ...home, value: 'n@x' }],
    ],
    [
      'creates what the filter misses',
      { op: 'Replace', path: 'emails[type eq "other"].value', value: 'o@x' },
      [work, home, other],
    ],
    [
      'creates by add of an element',
      { op: 'add', path: 'emails[type eq "other"]', value: { value: 'o@x' } },
      [work, home, other],
    ],
    [
      'merges into the matches',
      { op: 'add', path: 'emails[type eq "home"]', value: { display: 'H' } },
      [work, { ...home, display: 'H' }],
    ],
    [
      'replaces the matches',
      { op: 'replace', path: 'emails[type eq "work"]', value: { value: 'w@x' } },
      [{ type: 'work', value: 'w@x' }, home],
    ],
    [
      'demotes the former primary',
      { op: 'add', path: 'emails[type eq "home"].primary', value: true },
      [
        { ...work, primary: false },
        { ...home, primary: true },
      ],
    ],
    [
      'demotes by appending a primary',
      { op: 'add', path: 'emails', value: [{ ...other, primary: true }] },
      [{ ...work, primary: false }, home, { ...other, primary: true }],
    ],
    [
      'reads brackets inside a filter value',
      { op: 'replace', path: 'emails[value eq "a]b:c\\"].d"].type', value: 'x' },
      [work, home, { value: 'a]b:c"].d', type: 'x' }],
    ],
  ])('%s', (_behaviour, operation, expected) => {
    expect(patch(ada, [operation]).document.emails).toEqual(expected)
  })

  it('lands the parts of one absent element on one element', () => {
    const { document } = patch(ada, [
      { op: 'Add', path: 'addresses[type eq "work"].streetAddress', value: '1 Main' },
      { op: 'Add', path: 'addresses[type eq "work"].locality', value: 'Oslo' },
    ])
    expect(document.addresses).toEqual([{ type: 'work', streetAddress: '1 Main', locality: 'Oslo' }])
  })

  it('coerces the literal of a filter by the type of the attribute', () => {
    const { document } = patch(ada, [{ op: 'Add', path: 'roles[primary eq "True"].value', value: 'Admin' }])
    expect(document.roles).toEqual([{ primary: true, value: 'Admin' }])
  })

  it('creates nothing for a filter that does not say what to create', () => {
    expect(() =>
      patch(ada, [{ op: 'add', path: 'emails[type ne "home" and type ne "work"].value', value: 'x' }]),
    ).toThrow(expect.objectContaining({ scimType: 'noTarget' }))
  })

  it('follows the RFC where asked to be strict', () => {
    const miss = { op: 'replace', path: 'emails[type eq "other"].value', value: 'o@x' }
    expect(() => patch(ada, [miss], {}, strictUser)).toThrow(expect.objectContaining({ scimType: 'noTarget' }))
    const stranger = { op: 'replace', path: 'shoeSize', value: 42 }
    expect(() => patch(ada, [stranger], {}, strictUser)).toThrow(expect.objectContaining({ scimType: 'invalidPath' }))
  })
})

describe('extensions that no schema describes', () => {
  it.each<[string, Op, unknown]>([
    ['keeps a flat attribute', { op: 'add', path: `${custom}:badge`, value: 'b1' }, { badge: 'b1' }],
    ['keeps an object', { op: 'add', value: { [custom]: { badge: 'b1', floor: 2 } } }, { badge: 'b1', floor: 2 }],
    ['keeps the object of a path', { op: 'replace', path: custom, value: { badge: 'b1' } }, { badge: 'b1' }],
    [
      'knows a stored one again',
      { op: 'replace', path: `${custom.toUpperCase()}:BADGE`, value: 'b2' },
      { badge: 'b2', floor: 1 },
    ],
    ['removes one attribute', { op: 'remove', path: `${custom}:badge` }, { floor: 1 }],
    ['removes all of it', { op: 'remove', path: custom }, undefined],
  ])('%s', (behaviour, operation, expected) => {
    const stored = /stored|removes/.test(behaviour) ? { ...ada, [custom]: { badge: 'b1', floor: 1 } } : ada
    expect(patch(stored, [operation]).document[custom]).toEqual(expected)
  })
})

describe('PATCH as a whole', () => {
  it('does nothing for no operations', () => {
    expect(patch(ada, [])).toEqual({ document: ada, changed: false, unknown: [] })
  })

  it('sees earlier operations in later ones', () => {
    const { document } = patch(ada, [
      { op: 'replace', path: 'title', value: 'A' },
      { op: 'remove', path: 'title' },
      { op: 'add', path: 'title', value: 'B' },
    ])
    expect(document.title).toBe('B')
  })

  it('leaves the given document alone, also when a later operation fails', () => {
    const before = structuredClone(ada)
    expect(() =>
      patch(ada, [
        { op: 'replace', path: 'emails[type eq "work"].value', value: 'x@x' },
        { op: 'remove', path: 'userName' },
      ]),
    ).toThrow(expect.objectContaining({ scimType: 'mutability' }))
    patch(ada, [{ op: 'replace', path: 'emails[type eq "work"].value', value: 'x@x' }])
    expect(ada).toEqual(before)
  })

  it('says whether anything changed, and what it states of active', () => {
    expect(patch(ada, [{ op: 'replace', value: { active: true } }])).toMatchObject({
      changed: false,
      statesActive: true,
    })
    expect(patch(ada, [{ op: 'replace', path: 'active', value: false }])).toMatchObject({
      changed: true,
      statesActive: false,
    })
    expect(patch(ada, [{ op: 'replace', path: 'title', value: 'Dr' }])).not.toHaveProperty('statesActive')
  })

  it('takes a password and keeps none', () => {
    const { document, changed } = patch(ada, [
      { op: 'replace', value: { password: 'x' } },
      { op: 'add', path: 'password', value: 'y' },
    ])
    expect(document).not.toHaveProperty('password')
    expect(changed).toBe(false)
  })

  it('lets a path of id name the own id only', () => {
    expect(patch(ada, [{ op: 'replace', path: 'id', value: 'u1' }], { id: 'u1' }).changed).toBe(false)
    expect(() => patch(ada, [{ op: 'replace', path: 'id', value: 'u2' }], { id: 'u1' })).toThrow(
      expect.objectContaining({ status: 400, scimType: 'mutability' }),
    )
  })

  it('passes over what is read-only beside something else, never alone, and never another id', () => {
    const sentBack = { groups: [{ value: 'g' }], meta: { version: 'x' }, [`${enterprise}:manager.displayName`]: 'Boss' }
    const deactivated = { ...sentBack, id: 'u1', active: false }
    expect(patch(ada, [{ op: 'replace', value: deactivated }], { id: 'u1' }).document).toEqual({
      ...ada,
      active: false,
    })
    expect(patch(ada, [{ op: 'replace', value: { id: null, active: false } }], { id: 'u1' }).document.active).toBe(
      false,
    )
    const separate = [
      { op: 'replace', value: sentBack },
      { op: 'replace', path: 'active', value: false },
    ]
    expect(patch(ada, separate).document.active).toBe(false)
    expect(patch(ada, [{ op: 'replace', value: { id: 'u1' } }], { id: 'u1' }).changed).toBe(false)
    for (const value of [sentBack, { id: 'u2', active: false }, { groups: [], colour: 'red' }])
      expect(() => patch(ada, [{ op: 'replace', value }], { id: 'u1' })).toThrow(
        expect.objectContaining({ status: 400, scimType: 'mutability' }),
      )
  })

  it.each([
    { op: 'replace', path: 'active.value', value: false },
    { op: 'replace', path: `${userResourceType.schema.id}:active.value`, value: false },
    { op: 'replace', value: { 'Active.value': false } },
    { op: 'replace', value: { 'active[value eq "x"]': false } },
  ])('does not pass over a deactivation that leads nowhere: %j', (operation) => {
    expect(() => patch(ada, [operation])).toThrow(expect.objectContaining({ status: 400, scimType: 'invalidPath' }))
  })

  it.each<[Op, string]>([
    [{ op: 'remove', path: 'userName' }, 'mutability'],
    [{ op: 'replace', path: 'userName', value: '' }, 'mutability'],
    [{ op: 'remove', path: 'active' }, 'mutability'],
    [{ op: 'add', path: 'groups', value: [{ value: 'g' }] }, 'mutability'],
    [{ op: 'replace', path: 'meta.version', value: 'x' }, 'mutability'],
    [{ op: 'replace', path: 'active', value: 'maybe' }, 'invalidValue'],
    [{ op: 'replace', path: 'title', value: ['a', 'b'] }, 'invalidValue'],
    [{ op: 'replace', path: 'name', value: 'Ada' }, 'invalidValue'],
    [{ op: 'replace', path: 'emails', value: ['a@x'] }, 'invalidValue'],
    [{ op: 'replace', path: 'title', value: 'nul\0' }, 'invalidValue'],
    [{ op: 'add', path: 'title' }, 'invalidValue'],
    [{ op: 'add', value: 'x' }, 'invalidValue'],
    [{ op: 'remove' }, 'noTarget'],
    [{ op: 'replace', path: 'emails[type eq "zzz"]', value: { value: 'x' } }, 'noTarget'],
    [{ op: 'move', path: 'title', value: 'x' }, 'invalidSyntax'],
    [{ op: 'add', path: 'emails[type eq', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: 'emails[type eq "x"]value', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: 'title[value eq "x"]', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: 'a b', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: '__proto__.polluted', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: 'constructor.prototype', value: 'x' }, 'invalidPath'],
    [{ op: 'add', path: `${custom}:__proto__`, value: 'x' }, 'invalidPath'],
    [{ op: 'add', value: JSON.parse('{"__proto__": {"polluted": true}}') }, 'invalidPath'],
    [{ op: 'add', path: custom, value: JSON.parse('{"a": {"constructor": 1}}') }, 'invalidPath'],
    [{ op: 'add', path: 'emails[type xx "x"].value', value: 'x' }, 'invalidFilter'],
  ])('refuses %j with %s', (operation, scimType) => {
    expect(() => patch(ada, [operation])).toThrow(expect.objectContaining({ status: 400, scimType }))
  })

  it.each([
    [{ Operations: [] }, 'invalidSyntax'],
    [{ schemas: ['urn:other'], Operations: [] }, 'invalidSyntax'],
    [{ schemas: [patchOpSchema] }, 'invalidSyntax'],
    [{ schemas: [patchOpSchema], Operations: ['add'] }, 'invalidSyntax'],
    [[], 'invalidSyntax'],
  ])('refuses the message %j', (body, scimType) => {
    expect(() => parsePatch(body, userResourceType)).toThrow(expect.objectContaining({ status: 400, scimType }))
  })

  it('takes the keys of the message in any case, and keys it does not know', () => {
    const body = {
      Schemas: patchOpSchema,
      id: 'u1',
      operations: [{ OP: 'Replace', Path: 'title', Value: 'X', name: 'addMember' }],
    }
    expect(applyPatch(userResourceType, ada, parsePatch(body, userResourceType)).document.title).toBe('X')
  })
})

it('skips an operation whose filter names what no schema has, except for members, and refuses it when strict', () => {
  const operation = { op: 'add', path: 'emails[nope eq "x"].value', value: 'x' }
  const operations = parsePatch({ schemas: [patchOpSchema], Operations: [operation] }, userResourceType)
  const { changed, unknown } = applyPatch(userResourceType, { userName: 'a' }, operations)
  expect({ changed, unknown }).toEqual({ changed: false, unknown: ['emails.nope'] })
  expect(() => applyPatch(strictUser, { userName: 'a' }, operations)).toThrow(
    expect.objectContaining({ scimType: 'invalidPath' }),
  )
  const leaves = { op: 'remove', path: 'members[nope eq "x"]' }
  expect(() => parsePatch({ schemas: [patchOpSchema], Operations: [leaves] }, groupResourceType)).toThrow(
    expect.objectContaining({ scimType: 'invalidFilter' }),
  )
})

it('skips what a schema lacks under its own URN, and refuses it when strict', () => {
  for (const path of [`${enterprise}:shoe`, `${enterprise}.shoe`, `${userResourceType.schema.id}:shoe`]) {
    const { changed, unknown } = patch(ada, [{ op: 'add', path, value: 'x' }])
    expect({ changed, unknown }).toEqual({ changed: false, unknown: [path] })
    expect(() => patch(ada, [{ op: 'add', path, value: 'x' }], {}, strictUser)).toThrow(
      expect.objectContaining({ scimType: 'invalidPath' }),
    )
  }
})
