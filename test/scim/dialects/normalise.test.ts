import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../../src/schemas/group.ts'
import { userResourceType } from '../../../src/schemas/user.ts'
import { type Dialect, normalisePatch, normaliseResource } from '../../../src/scim/dialects/normalise.ts'
import { applyPatch } from '../../../src/scim/patch/apply.ts'
import { parsePatch, patchOpSchema } from '../../../src/scim/patch/parse.ts'
import { readResource } from '../../../src/scim/resource.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

type Op = { op: string; path?: string; value?: unknown }

function patch(dialect: Dialect, document: Record<string, unknown>, operations: Op[]) {
  const body = normalisePatch(dialect, userResourceType, { schemas: [patchOpSchema], Operations: operations })
  return applyPatch(userResourceType, document, parsePatch(body, userResourceType)).document
}

function post(dialect: Dialect, body: Record<string, unknown>) {
  return readResource(userResourceType, normaliseResource(dialect, userResourceType, { userName: 'a', ...body }))
}

const vendors: Dialect[] = ['okta', 'entra', 'google', 'ping']

describe.each(vendors)('PATCH bodies of %s', (dialect) => {
  const before = { userName: 'a', active: true, [enterprise]: { manager: { value: 'old' } } }

  it.each<[string, Op, string]>([
    ['list', { op: 'Replace', path: 'manager', value: [{ $ref: '../Users/m', value: 'm' }] }, 'm'],
    ['text', { op: 'Add', path: `${enterprise}:manager`, value: 'm' }, 'm'],
    ['object', { op: 'replace', path: `${enterprise}:manager`, value: { value: 'm' } }, 'm'],
    ['dotted URN', { op: 'Add', path: `${enterprise}.manager`, value: 'm' }, 'm'],
    ['part', { op: 'Add', path: 'manager.value', value: 'm' }, 'm'],
    ['no path', { op: 'replace', value: { [enterprise]: { manager: 'm' } } }, 'm'],
    ['flat key', { op: 'replace', value: { [`${enterprise}:manager`]: ['m'] } }, 'm'],
  ])('set a manager given as %s', (_shape, operation, id) => {
    expect(patch(dialect, before, [operation])).toMatchObject({ [enterprise]: { manager: { value: id } } })
  })

  it.each<[string, Op]>([
    ['an empty text', { op: 'Replace', path: `${enterprise}:manager`, value: '' }],
    ['a filter', { op: 'Remove', path: 'manager[value eq "old"]' }],
    ['remove', { op: 'remove', path: `${enterprise}:manager` }],
  ])('clear a manager by %s', (_shape, operation) => {
    expect(patch(dialect, before, [operation])).toEqual({ userName: 'a', active: true })
  })

  it.each<[unknown, Op, Record<string, unknown>]>([
    ['booleans', { op: 'Replace', path: 'active', value: 'False' }, { active: false }],
    ['booleans without a path', { op: 'replace', value: { Active: 'False' } }, { active: false }],
    [
      'booleans in elements',
      { op: 'add', path: 'emails', value: [{ value: 'x', Primary: 'True' }] },
      { emails: [{ value: 'x', primary: true }] },
    ],
    ['lists round one value', { op: 'replace', path: 'displayName', value: ['X'] }, { displayName: 'X' }],
    ['one value without a list', { op: 'add', path: 'emails', value: { value: 'x' } }, { emails: [{ value: 'x' }] }],
    ['bare texts', { op: 'add', path: 'roles', value: ['Admin'] }, { roles: [{ value: 'Admin' }] }],
    [
      'elements',
      { op: 'add', path: 'emails[type eq "work"]', value: [{ value: 'x' }] },
      { emails: [{ type: 'work', value: 'x' }] },
    ],
    [
      'parts',
      { op: 'add', path: 'roles[primary eq "True"].value', value: ['Admin'] },
      { roles: [{ primary: true, value: 'Admin' }] },
    ],
  ])('bring %s into shape', (_what, operation, expected) => {
    expect(patch(dialect, { userName: 'a', active: true }, [operation])).toMatchObject(expected)
  })
})

describe('POST and PUT bodies', () => {
  it('unpacks a role that is JSON in a text, and leaves one that is not', () => {
    const packed = '{"id":"r","value":"Admin","displayName":"Administrator"}'
    const { document } = post('entra', {
      roles: [
        { value: packed, primary: 'True' },
        { value: '{broken', type: 'x' },
      ],
    })
    expect(document.roles).toEqual([
      { value: 'Admin', display: 'Administrator', primary: true },
      { value: '{broken', type: 'x' },
    ])
  })

  it('takes whatever URNs a vendor lists, and none', () => {
    expect(post('google', { schemas: ['urn:scim:schemas:core:1.0'] }).document).toEqual({ userName: 'a', active: true })
    expect(post('okta', {}).document).toEqual({ userName: 'a', active: true })
  })

  it('takes members in any shape', () => {
    const body = normaliseResource('okta', groupResourceType, {
      displayName: 'G',
      members: { value: 'u1', display: null },
    })
    expect(readResource(groupResourceType, body).members).toEqual([{ value: 'u1' }])
  })
})

describe('a generic client', () => {
  it.each([
    [undefined, 'invalidSyntax'],
    [[], 'invalidSyntax'],
    [['urn:scim:schemas:core:1.0'], 'invalidValue'],
  ])('must list the schema of the resource, not %j', (schemas, scimType) => {
    expect(() => post('generic', { schemas })).toThrow(expect.objectContaining({ status: 400, scimType }))
  })

  it('is held to the types of the schema', () => {
    const schemas = ['urn:ietf:params:scim:schemas:core:2.0:User']
    expect(() => post('generic', { schemas, active: 'True' })).toThrow(
      expect.objectContaining({ scimType: 'invalidValue' }),
    )
    const operation = { op: 'replace', path: 'active', value: 'False' }
    expect(() => patch('generic', { userName: 'a' }, [operation])).toThrow(
      expect.objectContaining({ scimType: 'invalidValue' }),
    )
  })
})

it.each([...vendors, 'generic'] as Dialect[])('refuses names that reach a prototype, from %s', (dialect) => {
  const body = JSON.parse('{"userName": "a", "name": {"__proto__": {"polluted": true}}}')
  expect(() => normaliseResource(dialect, userResourceType, body)).toThrow(expect.objectContaining({ status: 400 }))
})
