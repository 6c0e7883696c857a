import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../src/schemas/group.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { includesAttribute, parseProjection, project } from '../../src/scim/projection.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const custom = 'urn:example:acme:2.0:User'
const always = { schemas: ['s'], id: 'u1' }
const user = {
  ...always,
  userName: 'ada',
  password: 'secret',
  name: { givenName: 'Ada', familyName: 'L' },
  emails: [{ value: 'a@x', type: 'work' }, { type: 'home' }],
  [enterprise]: { department: 'Ops', manager: { value: 'm1' } },
  [custom]: { badge: 'b', floor: 1 },
  meta: { version: 'v' },
}
const { password: _password, ...visible } = user

describe('projection (RFC 7644 §3.9)', () => {
  it.each<[string, Record<string, unknown>]>([
    ['userName', { userName: 'ada' }],
    ['USERNAME, nope', { userName: 'ada' }],
    ['name.givenName', { name: { givenName: 'Ada' } }],
    ['emails.value', { emails: [{ value: 'a@x' }] }],
    ['emails[type eq "a,b"].value', { emails: [{ value: 'a@x' }] }],
    ['emails[type eq "work"]', { emails: user.emails }],
    ['urn:ietf:params:scim:schemas:core:2.0:User:userName', { userName: 'ada' }],
    [enterprise, { [enterprise]: user[enterprise] }],
    [`${enterprise}:manager.value`, { [enterprise]: { manager: { value: 'm1' } } }],
    ['manager', { [enterprise]: { manager: { value: 'm1' } } }],
    [`${custom}:badge`, { [custom]: { badge: 'b' } }],
    ['password', {}],
  ])('attributes=%s', (attributes, expected) => {
    expect(project(userResourceType, user, parseProjection({ attributes }))).toEqual({ ...always, ...expected })
  })

  it.each<[string, Record<string, unknown>]>([
    ['id,schemas', {}],
    ['emails', { emails: undefined }],
    ['emails.type', { emails: [{ value: 'a@x' }] }],
    [enterprise, { [enterprise]: undefined }],
    [`${enterprise}:department`, { [enterprise]: { manager: { value: 'm1' } } }],
    [`${custom}:floor`, { [custom]: { badge: 'b' } }],
    ['meta,nope', { meta: undefined }],
  ])('excludedAttributes=%s', (excludedAttributes, expected) => {
    expect(project(userResourceType, user, parseProjection({ excludedAttributes }))).toEqual({
      ...visible,
      ...expected,
    })
  })

  it('never answers what is never returned', () => {
    expect(project(userResourceType, user, parseProjection({}))).toEqual(visible)
  })

  it('reads the arrays of a search request', () => {
    expect(parseProjection({ attributes: ['userName', 'emails'] })).toEqual({
      mode: 'only',
      names: ['userName', 'emails'],
    })
  })

  it('refuses both at once', () => {
    expect(() => parseProjection({ attributes: 'a', excludedAttributes: 'b' })).toThrow(
      expect.objectContaining({ status: 400, scimType: 'invalidValue' }),
    )
  })

  it.each([
    [{}, true],
    [{ excludedAttributes: 'Members' }, false],
    [{ excludedAttributes: 'members.display' }, true],
    [{ attributes: 'displayName' }, false],
    [{ attributes: 'members.value' }, true],
  ])('says of %j whether members need to be read', (query, expected) => {
    expect(includesAttribute(groupResourceType, parseProjection(query), 'members')).toBe(expected)
  })
})
