import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../src/schemas/group.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { readResource, replaceDocument, schemasOf } from '../../src/scim/resource.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const custom = 'urn:example:acme:2.0:User'

function readUser(body: Record<string, unknown>) {
  return readResource(userResourceType, { userName: 'ada@x.io', ...body })
}

describe('a User that is created (RFC 7644 §3.3)', () => {
  it('keeps what a client may set, in the client’s spelling under the schema’s names', () => {
    const { document, unknown } = readResource(userResourceType, {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User', enterprise],
      id: 'chosen-by-the-client',
      USERNAME: 'Ada@X.io',
      externalId: '00uAbC',
      name: { GivenName: 'Ada', nick: 'A' },
      meta: { resourceType: 'User' },
      groups: [{ value: 'g1' }],
      password: 'random1',
      roles: [],
      title: '',
      nickName: null,
      [enterprise.toLowerCase()]: { Department: 'Ops', manager: { value: 'm1', displayName: 'Boss' } },
      [custom]: { badge: { colour: 'red' } },
      shoeSize: 42,
    })
    expect(document).toEqual({
      userName: 'Ada@X.io',
      externalId: '00uAbC',
      name: { givenName: 'Ada' },
      active: true,
      [enterprise]: { department: 'Ops', manager: { value: 'm1' } },
      [custom]: { badge: { colour: 'red' } },
    })
    expect(unknown).toEqual(['name.nick', 'shoeSize'])
  })

  it('is active unless it says otherwise, and says whether it said', () => {
    expect(readUser({})).toMatchObject({ document: { active: true } })
    expect(readUser({})).not.toHaveProperty('statesActive')
    expect(readUser({ active: false })).toMatchObject({ document: { active: false }, statesActive: false })
    expect(readUser({ active: true })).toMatchObject({ statesActive: true })
  })

  it.each([
    [
      'the first work one',
      [
        { value: 'a', primary: true },
        { value: 'b', type: 'work', primary: true },
      ],
      [false, true],
    ],
    [
      'the first',
      [
        { value: 'a', primary: true },
        { value: 'b', primary: true },
      ],
      [true, false],
    ],
  ])('keeps one primary: %s', (_which, emails, primaries) => {
    const { document } = readUser({ emails })
    expect((document.emails as { primary: boolean }[]).map((each) => each.primary)).toEqual(primaries)
  })

  it('reads dotted and flat keys', () => {
    const { document } = readUser({
      'name.givenName': 'Ada',
      [`${enterprise}:department`]: 'Ops',
      [`${custom}:badge`]: 'b',
      manager: null,
    })
    expect(document).toMatchObject({
      name: { givenName: 'Ada' },
      [enterprise]: { department: 'Ops' },
      [custom]: { badge: 'b' },
    })
  })

  it.each([
    [{ userName: '' }, 'userName'],
    [{ userName: null }, 'userName'],
    [{ userName: 7 }, 'userName'],
    [{ userName: 'x'.repeat(2001) }, 'userName'],
    [{ active: 'true' }, 'active'],
    [{ name: 'Ada' }, 'name'],
    [{ emails: { value: 'a' } }, 'emails'],
    [{ emails: [{ value: 7 }] }, 'emails.value'],
    [{ title: 'half \ud800' }, 'surrogate'],
    [{ [enterprise]: 'x' }, enterprise],
    [JSON.parse('{"__proto__": {}}'), '__proto__'],
    [{ emails: Array.from({ length: 1001 }, (_each, at) => ({ value: String(at) })) }, '1000'],
  ])('refuses %j', (body, wanted) => {
    const refusal = { status: 400, scimType: 'invalidValue', message: expect.stringContaining(wanted) }
    expect(() => readUser(body)).toThrow(expect.objectContaining(refusal))
  })

  it('refuses a body that is no object or nests without end', () => {
    const deep = JSON.parse(`${'{"urn:a:b":'.repeat(70)}1${'}'.repeat(70)}`)
    for (const body of [null, [], 'x', deep]) {
      expect(() => readResource(userResourceType, body)).toThrow(expect.objectContaining({ scimType: 'invalidSyntax' }))
    }
  })
})

describe('a User that is replaced (RFC 7644 §3.5.1)', () => {
  const current = { userName: 'ada', externalId: 'x1', active: false, title: 'Dr', [custom]: { badge: 'b' } }

  it('clears what is absent, but neither active nor externalId', () => {
    const { document, changed } = replaceDocument(userResourceType, current, { userName: 'ada' })
    expect(document).toEqual({ userName: 'ada', externalId: 'x1', active: false })
    expect(changed).toBe(true)
  })

  it('takes active and externalId when they are there', () => {
    const read = replaceDocument(userResourceType, current, { userName: 'ada', externalId: 'x2', active: true })
    expect(read).toMatchObject({ document: { externalId: 'x2', active: true }, statesActive: true })
  })

  it('sees that a resource that comes back as it was is unchanged', () => {
    const body = { schemas: schemasOf(userResourceType, current), id: 'u1', meta: {}, groups: [], ...current }
    expect(replaceDocument(userResourceType, current, body).changed).toBe(false)
  })
})

describe('a Group', () => {
  it('has its members beside it, each once', () => {
    const members = [{ value: 'u1', display: null }, { value: 'u2', $ref: null }, { Value: 'u1' }, 'u3']
    const read = readResource(groupResourceType, { displayName: 'Staff', members })
    expect(read).toEqual({
      document: { displayName: 'Staff' },
      members: [{ value: 'u1' }, { value: 'u2' }, { value: 'u3' }],
      unknown: [],
    })
  })

  it('tells absent members from none', () => {
    expect(readResource(groupResourceType, { displayName: 'Staff' }).members).toBeUndefined()
    expect(readResource(groupResourceType, { displayName: 'Staff', members: [] }).members).toEqual([])
    expect(replaceDocument(groupResourceType, { displayName: 'A' }, { displayName: 'B' }).members).toBeUndefined()
  })

  it('needs a name', () => {
    expect(() => readResource(groupResourceType, {})).toThrow(expect.objectContaining({ scimType: 'invalidValue' }))
  })
})

it('lists the schemas of which a resource has data', () => {
  const core = 'urn:ietf:params:scim:schemas:core:2.0:User'
  expect(schemasOf(userResourceType, { userName: 'a' })).toEqual([core])
  expect(schemasOf(userResourceType, { userName: 'a', [enterprise]: { department: 'x' } })).toEqual([core, enterprise])
})

it.each(['core:2.0:User', 'extension:enterprise:2.0:User'])(
  'takes no name under %s that it lacks for one of an extension',
  (urn) => {
    const schema = `urn:ietf:params:scim:schemas:${urn}`
    for (const body of [{ [schema]: { shoe: 1 } }, { [`${schema}:shoe`]: 1 }, { [`${schema}.shoe`]: 1 }]) {
      const { document, unknown } = readResource(userResourceType, { userName: 'a', ...body })
      expect(document).toEqual({ userName: 'a', active: true })
      expect(unknown).toEqual([expect.stringMatching(/:2\.0:User[:.]shoe$/)])
    }
  },
)
