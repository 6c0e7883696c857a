import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../src/schemas/group.ts'
import { resolvePath } from '../../src/schemas/resolve.ts'
import { userResourceType } from '../../src/schemas/user.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

function resolve(text: string): unknown[] | undefined {
  const resolved = resolvePath(userResourceType, text)
  if (resolved?.kind === 'schema') return [resolved.schema.id, resolved.extension]
  return resolved && [resolved.path.urn, resolved.path.attribute.name, resolved.path.sub?.name]
}

describe('attribute paths (RFC 7643 §2.1, RFC 7644 §3.10)', () => {
  it.each([
    ['userName', [undefined, 'userName', undefined]],
    ['USERNAME', [undefined, 'userName', undefined]],
    ['name.GIVENNAME', [undefined, 'name', 'givenName']],
    ['urn:ietf:params:scim:schemas:core:2.0:User:name.givenName', [undefined, 'name', 'givenName']],
    ['meta.lastModified', [undefined, 'meta', 'lastModified']],
    ['externalId', [undefined, 'externalId', undefined]],
    [`${enterprise}:manager.value`, [enterprise, 'manager', 'value']],
    [`${enterprise.toUpperCase()}:Department`, [enterprise, 'department', undefined]],
    [`${enterprise}.manager`, [enterprise, 'manager', undefined]],
    ['urn:ietf:params:scim:schemas:extension:enterprise:2.0User:costCenter', [enterprise, 'costCenter', undefined]],
    ['manager', [enterprise, 'manager', undefined]],
    [enterprise, [enterprise, true]],
    ['urn:ietf:params:scim:schemas:core:2.0:User', ['urn:ietf:params:scim:schemas:core:2.0:User', false]],
    ['emails.$ref', undefined],
    ['nope', undefined],
    ['name.givenName.first', undefined],
    ['urn:example:2.0:User:userName', undefined],
    [`${enterprise}x:department`, undefined],
    [`${enterprise}:userName`, undefined],
  ])('%s', (text, expected) => {
    expect(resolve(text)).toEqual(expected)
  })

  it('has the case and uniqueness rules that matching relies on', () => {
    const user = (name: string) => userResourceType.schema.attributes.find((each) => each.name === name)
    expect(user('externalId')).toMatchObject({ caseExact: true })
    expect(user('userName')).toMatchObject({ caseExact: false, required: true, uniqueness: 'server' })
    expect(user('password')).toMatchObject({ mutability: 'writeOnly', returned: 'never' })
    expect(user('groups')).toMatchObject({ mutability: 'readOnly', multiValued: true })
    const [, displayName] = groupResourceType.schema.attributes
    expect(displayName).toMatchObject({ name: 'displayName', required: true, uniqueness: 'server' })
  })
})
