import { beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
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
} from './service-provider.ts'

const running = serviceProvider()
let scim: ScimClient
let okta: ScimClient

beforeAll(() => {
  scim = running.scim('generic')
  okta = running.scim('okta')
})

const user = (fields: Json = {}) => ({ schemas: [userSchema], userName: newName('u'), ...fields })
const postUser = (fields: Json = {}) => scim.send('POST', '/Users', user(fields))
const madeUser = async (fields: Json = {}): Promise<Json> => scim.call('POST', '/Users', user(fields))
const patch = (path: string, ...operations: unknown[]) => scim.send('PATCH', path, patchOf(...operations))
const published = async (urn: string): Promise<Json[]> => (await scim.call('GET', `/Schemas/${urn}`)).attributes
const named = (attributes: Json[], name: string): Json => attributes.find((each) => each.name === name)
const namesOf = (attributes: Json[]): string[] => attributes.map(({ name }) => name)
const found = async (filter: string, path = '/Users'): Promise<string[]> => {
  const answer = await scim.send('GET', `${path}${filtered(filter)}`)
  return expectList(answer, answer.body.totalResults).map(({ id }) => id)
}
/** Every attribute of every schema, sub-attributes too. */
async function everyAttribute(): Promise<Json[]> {
  const { Resources } = await scim.call('GET', '/Schemas')
  return Resources.flatMap(({ attributes }: Json) => attributes).flatMap((each: Json) => [
    each,
    ...(each.subAttributes ?? []),
  ])
}

describe('§1.3 characteristics of attributes (RFC 7643 §2.2, §7)', () => {
  it.each<[string, Json]>([
    ['a string', { title: 7 }],
    ['a boolean', { active: 'yes' }],
    ['a reference', { profileUrl: {} }],
    ['binary', { x509Certificates: [{ value: 7 }] }],
    ['complex', { name: 'Ada' }],
    ['multi-valued', { emails: 'a@b' }],
    ['a part of complex', { name: { givenName: 7 } }],
    ['a part of an element', { emails: [{ value: 'a@b', primary: 'x' }] }],
    ['an attribute of an extension', { [enterprise]: { employeeNumber: 7 } }],
    ['complex in an extension', { [enterprise]: { manager: 'boss' } }],
  ])('§1.3.1 the type of %s is held to', async (_what, fields) => {
    const body = user(fields)
    expectError(await scim.send('POST', '/Users', body), 400, 'invalidValue')
    expect(await found(`userName eq "${body.userName}"`)).toEqual([])
  })

  it('§1.3.1 complex attributes nest no further', async () => {
    for (const { subAttributes = [] } of await everyAttribute())
      for (const { type, subAttributes: below } of subAttributes)
        expect([type === 'complex', below]).toEqual([false, undefined])
  })

  it.each(collections)('§1.3.2 the required name of a $type cannot be left out or taken away', async (collection) => {
    const { path, schema, nameKey } = collection
    expectError(await scim.send('POST', path, { schemas: [schema] }), 400, 'invalidValue')
    expectError(await scim.send('POST', path, { schemas: [schema], [nameKey]: '' }), 400, 'invalidValue')
    const made = await scim.call('POST', path, { schemas: [schema], [nameKey]: newName('r') })
    expectError(await scim.send('PUT', `${path}/${made.id}`, { schemas: [schema] }), 400, 'invalidValue')
    expectError(await patch(`${path}/${made.id}`, { op: 'remove', path: nameKey }), 400, 'mutability')
    expect(await scim.call('GET', `${path}/${made.id}`)).toEqual(made)
  })

  it('§1.3.3 caseExact decides filter, sort and uniqueness, and the spelling is left alone', async () => {
    const stem = newName('Case')
    const [b, a] = [await madeUser({ title: `${stem} B` }), await madeUser({ title: `${stem.toLowerCase()} a` })]
    expect(await found(`title sw "${stem.toUpperCase()}"`)).toEqual([b.id, a.id])
    const { Resources } = await scim.call('GET', `/Users${filtered(`title sw "${stem}"`, { sortBy: 'title' })}`)
    expect(Resources.map(({ title }: Json) => title)).toEqual([`${stem.toLowerCase()} a`, `${stem} B`])
    expectError(await postUser({ userName: a.userName.toUpperCase() }), 409, 'uniqueness')
    const exact = await madeUser({ externalId: newName('Exact') })
    expect(await found(`externalId eq "${exact.externalId}"`)).toEqual([exact.id])
    expect(await found(`externalId eq "${exact.externalId.toUpperCase()}"`)).toEqual([])
  })

  it('§1.3.4 mutability is one of four, readWrite unless said', async () => {
    const attributes = await published(userSchema)
    for (const [name, mutability] of [
      ['userName', 'readWrite'],
      ['groups', 'readOnly'],
      ['password', 'writeOnly'],
    ])
      expect(named(attributes, name!).mutability).toBe(mutability)
    const { subAttributes } = named(await published(groupSchema), 'members')
    expect(subAttributes.map(({ mutability }: Json) => mutability)).toEqual(subAttributes.map(() => 'immutable'))
  })

  it('§1.3.5 returned: the id in spite of everything, a password in spite of everything not', async () => {
    const { id } = await madeUser({ password: 'never-to-be-seen' })
    expect(await scim.call('GET', `/Users/${id}?excludedAttributes=id,schemas,meta,userName,active`)).toEqual({
      schemas: [userSchema],
      id,
    })
    expect(await scim.call('GET', `/Users/${id}?attributes=password`)).toEqual({ schemas: [userSchema], id })
  })

  it.each(collections)('§1.3.6 a $type of a name that is taken is 409 to POST, PUT and PATCH', async (collection) => {
    const { path, schema, nameKey } = collection
    const [taken, other] = [newName('Taken'), newName('Other')]
    await scim.call('POST', path, { schemas: [schema], [nameKey]: taken })
    const made = await scim.call('POST', path, { schemas: [schema], [nameKey]: other })
    const body = { schemas: [schema], [nameKey]: taken.toUpperCase() }
    expectError(await scim.send('POST', path, body), 409, 'uniqueness')
    expectError(await scim.send('PUT', `${path}/${made.id}`, body), 409, 'uniqueness')
    expectError(
      await patch(`${path}/${made.id}`, { op: 'replace', path: nameKey, value: taken.toUpperCase() }),
      409,
      'uniqueness',
    )
    expect(await scim.call('GET', `${path}/${made.id}`)).toEqual(made)
  })

  it('§1.3.7 canonical values are advice: another type is kept', async () => {
    const emails = [{ value: 'a@b', type: 'lighthouse' }]
    expect((await madeUser({ emails })).emails).toEqual(emails)
    const { subAttributes } = named(await published(userSchema), 'emails')
    expect(named(subAttributes, 'type').canonicalValues).toEqual(['work', 'home', 'other'])
  })

  it('§1.3.8 read-only attributes are passed over in bodies and refused as a target, but for the id in a rename', async () => {
    const fields = { id: stranger, meta: { created: '2001-01-01T00:00:00Z' }, groups: [{ value: stranger }] }
    const made = await madeUser(fields)
    expect(made.id).not.toBe(stranger)
    expect(Object.keys(made)).not.toContain('groups')
    const put = await scim.call('PUT', `/Users/${made.id}`, user({ ...fields, userName: made.userName }))
    expect(put).toEqual(made)
    for (const [path, value] of [
      ['id', stranger],
      ['meta.created', '2001-01-01T00:00:00Z'],
      ['groups', [{ value: stranger }]],
      [`${enterprise}:manager.displayName`, 'Boss'],
    ])
      expectError(await patch(`/Users/${made.id}`, { op: 'replace', path, value }), 400, 'mutability')
    const group = await scim.createGroup(newName('g'))
    const displayName = newName('renamed')
    await patch(`/Groups/${group.id}`, { op: 'replace', value: { id: group.id, displayName } })
    expect(await scim.call('GET', `/Groups/${group.id}`)).toMatchObject({ id: group.id, displayName })
  })

  it('§1.3.9 immutable parts of a member are set when it joins and changed by nothing', async () => {
    const { id: member } = await madeUser()
    const { id } = await scim.createGroup(newName('g'), [member])
    for (const [path, value] of [
      [`members[value eq "${member}"].type`, 'Group'],
      [`members[value eq "${member}"].display`, 'Other'],
      [`members[value eq "${member}"]`, { value: stranger }],
    ])
      expectError(await patch(`/Groups/${id}`, { op: 'replace', path, value }), 400, 'mutability')
    expect((await scim.call('GET', `/Groups/${id}`)).members).toMatchObject([{ value: member, type: 'User' }])
  })

  it('§1.3.10 a password is kept nowhere, and nobody can ask for it', async () => {
    const secret = 'swordfish-of-this-test'
    const { id } = await madeUser({ password: secret })
    await patch(`/Users/${id}`, { op: 'replace', path: 'password', value: secret })
    await scim.call('PUT', `/Users/${id}`, user({ password: secret }))
    const owner = await connect({ url: running.database.ownerUrl })
    const { rows } = await owner.query('select from scim_user where document::text || folded::text like $1', [
      `%${secret}%`,
    ])
    await owner.end()
    expect(rows).toEqual([])
    for (const filter of [`password eq "${secret}"`, 'password pr', `not (password sw "s")`])
      expectError(await scim.send('GET', `/Users${filtered(filter)}`), 400, 'invalidFilter')
    expectError(await scim.send('GET', '/Users?sortBy=password'), 400, 'invalidValue')
  })

  it('§1.3.11 null, [], "" and nothing at all are the same, and are not answered', async () => {
    const empty = { title: null, nickName: '', emails: [], name: { givenName: null }, [enterprise]: {} }
    const bare = await madeUser()
    const made = await madeUser(empty)
    expect(Object.keys(made)).toEqual(Object.keys(bare))
    const full = { title: 'Dr', nickName: 'n', emails: [{ value: 'a@b' }], name: { givenName: 'A' } }
    await scim.call('PUT', `/Users/${made.id}`, user({ ...full, [enterprise]: { department: 'd' } }))
    expect(Object.keys(await scim.call('PUT', `/Users/${made.id}`, user(empty)))).toEqual(Object.keys(bare))
    await scim.createGroup(newName('empty'))
    for (const path of ['/', '/Users', '/Groups', '/Schemas', '/ResourceTypes', '/ServiceProviderConfig']) {
      const { Resources, ...rest } = await scim.call('GET', path)
      for (const each of Resources ?? [rest]) expect(emptyIn(each)).toEqual([])
    }
  })

  it('§1.3.12 common attributes: whose they are and how they compare', async () => {
    const made = await madeUser({ externalId: 'Client-1' })
    expect(made.id).toMatch(/^[\w-]{20,}$/)
    expect(made.id).not.toMatch(/bulkId/i)
    expect(made.meta).toEqual({
      resourceType: 'User',
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      lastModified: made.meta.created,
      location: `${scim.base}/Users/${made.id}`,
      version: expect.stringMatching(/^W\/".+"$/),
    })
    expect(Object.keys(await madeUser())).not.toContain('externalId')
    // Not unique: Okta renames somebody by a leaver and a joiner who share one.
    expect(await madeUser({ externalId: 'Client-1' })).toMatchObject({ externalId: 'Client-1' })
    expect(await okta.createUser(newName('u'), { externalId: 'Client-1' })).toMatchObject({ externalId: 'Client-1' })
    expect(await found('externalId eq "client-1"')).toEqual([])
    expect(await found(`id eq "${made.id}"`)).toEqual([made.id])
    expect(await postUser({ schemas: [userSchema.toUpperCase()] })).toMatchObject({
      status: 201,
      body: { schemas: [userSchema] },
    })
    expect(await found(`schemas eq "${userSchema.toUpperCase()}" and id eq "${made.id}"`)).toEqual([made.id])
  })

  it('§1.3.13 elements have value, display, type and primary; one primary, and no pair of value and type twice', async () => {
    const attributes = await published(userSchema)
    for (const name of ['emails', 'phoneNumbers', 'ims', 'photos', 'entitlements', 'roles', 'x509Certificates'])
      expect(namesOf(named(attributes, name).subAttributes)).toEqual(['value', 'display', 'type', 'primary'])
    for (const [name, list] of [
      ['groups', named(attributes, 'groups').subAttributes],
      ['members', named(await published(groupSchema), 'members').subAttributes],
    ])
      expect([name, namesOf(list).toSorted()]).toEqual([name, ['$ref', 'display', 'type', 'value']])
    const work = { value: 'a@b', type: 'work', display: 'A', primary: true }
    const { emails } = await okta.createUser(newName('u'), {
      emails: [work, { ...work, display: 'B' }, { value: 'a@b', type: 'home' }, { value: 'c@d', primary: true }],
    })
    expect(emails).toEqual([
      { ...work, display: 'B' },
      { value: 'a@b', type: 'home' },
      { value: 'c@d', primary: false },
    ])
  })

  it('§1.3.14 errata 5368, 8471, 8472, 8475, 6004', async () => {
    const users = await published(userSchema)
    expect(named(await published(groupSchema), 'displayName').required).toBe(true)
    expect(named(named(users, 'groups').subAttributes, '$ref').referenceTypes).toEqual(['Group'])
    const { subAttributes: manager } = named(await published(enterprise), 'manager')
    expect(named(manager, 'value').caseExact).toBe(true)
    const { Resources } = await scim.call('GET', '/ResourceTypes')
    for (const key of ['name', 'endpoint'])
      expect(new Set(Resources.map((each: Json) => each[key])).size).toBe(Resources.length)
    for (const { type, uniqueness } of await everyAttribute()) if (type === 'complex') expect(uniqueness).toBe('none')
  })
})

describe('§1.4 schemas (RFC 7643 §4, §8.7)', () => {
  it('§1.4.1 their URNs, and those of messages', async () => {
    const { body } = await scim.send('GET', '/Schemas')
    expect(body.Resources.map(({ id }: Json) => id)).toEqual([userSchema, enterprise, groupSchema])
    const message = (name: string) => `urn:ietf:params:scim:api:messages:2.0:${name}`
    expect(body.schemas).toEqual([message('ListResponse')])
    const bulk = await scim.send('POST', '/Bulk', { schemas: [message('BulkRequest')], Operations: [] })
    expect(bulk.body.schemas).toEqual([message('BulkResponse')])
    expect((await scim.send('POST', '/.search', { schemas: [message('SearchRequest')] })).status).toBe(200)
    const { id } = await madeUser()
    const Operations = [{ op: 'add', path: 'title', value: 'Dr' }]
    expect((await scim.send('PATCH', `/Users/${id}`, { schemas: [message('PatchOp')], Operations })).status).toBe(200)
    expect((await scim.send('GET', '/Nowhere')).body.schemas).toEqual([message('Error')])
  })

  it('§1.4.2 the single attributes of a User are published as they are and kept as sent', async () => {
    const single = {
      userName: newName('u'),
      name: {
        formatted: 'Ms. Ada M King III',
        familyName: 'King',
        givenName: 'Ada',
        middleName: 'M',
        honorificPrefix: 'Ms.',
        honorificSuffix: 'III',
      },
      displayName: 'Ada King',
      nickName: 'Ada',
      profileUrl: 'https://ada.example/',
      title: 'Countess',
      userType: 'Employee',
      preferredLanguage: 'en-GB',
      locale: 'en-GB',
      timezone: 'Europe/London',
      active: false,
    }
    expect(await madeUser(single)).toMatchObject(single)
    const attributes = await published(userSchema)
    const singles = attributes.filter(({ multiValued }) => !multiValued)
    expect(namesOf(singles).toSorted()).toEqual([...Object.keys(single), 'externalId', 'password'].toSorted())
    expect(singles.filter(({ required }) => required).map(({ name }) => name)).toEqual(['userName'])
    expect(named(attributes, 'userName')).toMatchObject({ required: true, caseExact: false, uniqueness: 'server' })
    expect(named(attributes, 'name').subAttributes.every(({ required }: Json) => !required)).toBe(true)
    expect(named(attributes, 'profileUrl')).toMatchObject({ type: 'reference', referenceTypes: ['external'] })
    expect(named(attributes, 'active').type).toBe('boolean')
    expect(named(attributes, 'password')).toMatchObject({ mutability: 'writeOnly', returned: 'never' })
  })

  it('§1.4.3 the multi-valued attributes of a User', async () => {
    const element = (value: string, type: string) => [{ value, type, primary: true, display: 'shown' }]
    const multi = {
      emails: element('a@b', 'work'),
      phoneNumbers: element('tel:+47', 'pager'),
      ims: element('ada', 'skype'),
      photos: element('https://ada.example/a.png', 'thumbnail'),
      addresses: [
        {
          formatted: '1 Main\nOslo',
          streetAddress: '1 Main',
          locality: 'Oslo',
          region: 'Oslo',
          postalCode: '0150',
          country: 'NO',
          type: 'work',
          primary: true,
        },
      ],
      entitlements: element('e', 'x'),
      roles: element('r', 'x'),
      x509Certificates: element('MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UEBhMCVVMx', 'x'),
    }
    expect(await madeUser(multi)).toMatchObject(multi)
    const attributes = await published(userSchema)
    const multis = attributes.filter(({ multiValued }) => multiValued)
    expect(namesOf(multis).toSorted()).toEqual([...Object.keys(multi), 'groups'].toSorted())
    for (const [name, types] of [
      ['emails', ['work', 'home', 'other']],
      ['phoneNumbers', ['work', 'home', 'mobile', 'fax', 'pager', 'other']],
      ['photos', ['photo', 'thumbnail']],
      ['groups', ['direct', 'indirect']],
    ] as const)
      expect(named(named(attributes, name).subAttributes, 'type').canonicalValues).toEqual(types)
    expect(named(named(attributes, 'photos').subAttributes, 'value').type).toBe('reference')
    expect(named(named(attributes, 'x509Certificates').subAttributes, 'value').type).toBe('binary')
    const groups = named(attributes, 'groups')
    expect([groups, ...groups.subAttributes].map(({ mutability }) => mutability)).toEqual(Array(5).fill('readOnly'))
  })

  it('§1.4.4 the Enterprise extension, under its URN and in schemas when there is data', async () => {
    const data = {
      employeeNumber: '701984',
      costCenter: '4130',
      organization: 'Acme',
      division: 'Theme Park',
      department: 'Tours',
      manager: { value: '26', $ref: '../Users/26' },
    }
    const made = await madeUser({ [enterprise]: data })
    expect(made).toMatchObject({ schemas: [userSchema, enterprise], [enterprise]: data })
    const attributes = await published(enterprise)
    expect(namesOf(attributes)).toEqual(Object.keys(data))
    expect(namesOf(named(attributes, 'manager').subAttributes)).toEqual(['value', '$ref', 'displayName'])
    expect(named(named(attributes, 'manager').subAttributes, 'displayName').mutability).toBe('readOnly')
    const without = await okta.createUser(newName('u'), { schemas: [userSchema, enterprise] })
    expect(without.schemas).toEqual([userSchema])
  })

  it('§1.4.5 Group: a required name and members with value, $ref, type and display', async () => {
    const attributes = await published(groupSchema)
    expect(namesOf(attributes)).toEqual(['externalId', 'displayName', 'members'])
    expect(named(attributes, 'displayName')).toMatchObject({ required: true, uniqueness: 'server' })
    const { multiValued, type, subAttributes } = named(attributes, 'members')
    expect({ multiValued, type, names: namesOf(subAttributes) }).toEqual({
      multiValued: true,
      type: 'complex',
      names: ['value', '$ref', 'type', 'display'],
    })
    const ada = await madeUser({ displayName: 'Ada' })
    const sent = { schemas: [groupSchema], displayName: newName('g'), members: [{ value: ada.id, display: 'as sent' }] }
    const { members } = await scim.call('POST', '/Groups', sent)
    expect(members).toEqual([{ value: ada.id, $ref: ada.meta.location, type: 'User', display: expect.any(String) }])
  })

  it('§1.4.6 members are known by their id alone, and a manager need not exist', async () => {
    const member = await madeUser()
    const nested = await scim.createGroup(newName('nested'))
    const group = await scim.createGroup(newName('g'), [member.id, nested.id])
    const { members } = await scim.call('GET', `/Groups/${group.id}`)
    expect(members.map(({ value, type, $ref }: Json) => [value, type, $ref]).toSorted()).toEqual(
      [
        [member.id, 'User', member.meta.location],
        [nested.id, 'Group', nested.meta.location],
      ].toSorted(),
    )
    const report = await madeUser({ [enterprise]: { manager: { value: stranger } } })
    expect(report[enterprise].manager).toEqual({ value: stranger })
    const boss = await madeUser()
    await scim.patchUser(report.id, { op: 'replace', path: `${enterprise}:manager.value`, value: boss.id })
    await scim.call('DELETE', `/Users/${boss.id}`)
    expect((await scim.call('GET', `/Users/${report.id}`))[enterprise].manager).toEqual({ value: boss.id })
    expect(await membersOf(scim, group.id)).toHaveLength(2)
  })
})

describe('§1.15 discovery (RFC 7643 §5 to §7, RFC 7644 §4)', () => {
  const endpoints = ['/ServiceProviderConfig', '/ResourceTypes', '/Schemas']

  it('§1.15.1 all of it is behind the token, and the same for every token', async () => {
    const { token } = await running.tenure.admin.post('/directories/generic/tokens', {})
    for (const path of endpoints) {
      expect((await fetch(`${scim.base}${path}`)).status).toBe(401)
      const other = await fetch(`${scim.base}${path}`, { headers: { authorization: `Bearer ${token}` } })
      expect(await other.json()).toEqual(await scim.call('GET', path))
    }
  })

  it('§1.15.2 it cannot be filtered, is not paged, and knows a URN in any case', async () => {
    for (const path of endpoints) {
      expectError(await scim.send('GET', `${path}${filtered('id pr')}`), 403)
      const plain = await scim.send('GET', path)
      expect(await scim.send('GET', `${path}?startIndex=2&count=1&sortBy=id&attributes=id`)).toMatchObject({
        status: 200,
        body: plain.body,
      })
    }
    expect(await scim.call('GET', `/Schemas/${enterprise.toUpperCase()}`)).toMatchObject({ id: enterprise })
    for (const path of ['/Schemas/urn:nobody', '/ResourceTypes/Robot']) expectError(await scim.send('GET', path), 404)
  })

  it('§1.15.3 messages are no schemas, and an extension is no resource type', async () => {
    const { Resources: schemas } = await scim.call('GET', '/Schemas')
    expect(JSON.stringify(schemas)).not.toContain('api:messages')
    const { Resources: types } = await scim.call('GET', '/ResourceTypes')
    expect(types).toMatchObject([
      { name: 'User', schema: userSchema, schemaExtensions: [{ schema: enterprise, required: false }] },
      { name: 'Group', schema: groupSchema, schemaExtensions: [] },
    ])
  })

  it('§1.15.4 schemas and resource types are spelled out: no nulls, camelCase, every characteristic', async () => {
    for (const { schemas, id, name, attributes, meta } of (await scim.call('GET', '/Schemas')).Resources) {
      expect(schemas).toEqual(['urn:ietf:params:scim:schemas:core:2.0:Schema'])
      expect(name).toEqual(expect.any(String))
      expect(attributes.length).toBeGreaterThan(0)
      expect(meta).toEqual({ resourceType: 'Schema', location: `${scim.base}/Schemas/${id}` })
    }
    const characteristics = [
      'name',
      'type',
      'multiValued',
      'required',
      'caseExact',
      'mutability',
      'returned',
      'uniqueness',
    ]
    for (const attribute of await everyAttribute()) {
      expect(Object.keys(attribute)).toEqual(expect.arrayContaining(characteristics))
      expect(attribute.type === 'complex').toBe(attribute.subAttributes !== undefined)
      expect(attribute.type === 'reference').toBe(attribute.referenceTypes !== undefined)
    }
    for (const { schemas, id, name, endpoint, schema, meta } of (await scim.call('GET', '/ResourceTypes')).Resources) {
      expect(schemas).toEqual(['urn:ietf:params:scim:schemas:core:2.0:ResourceType'])
      expect({ id, endpoint }).toEqual({ id: name, endpoint: `/${name}s` })
      expect(schema).toMatch(/^urn:/)
      expect(meta).toEqual({ resourceType: 'ResourceType', location: `${scim.base}/ResourceTypes/${name}` })
    }
    for (const path of endpoints) {
      const { Resources, ...rest } = await scim.call('GET', path)
      for (const each of Resources ?? [rest]) {
        expect(JSON.stringify(each)).not.toContain(':null')
        expect(keysIn(each).filter((key) => !/^[a-z$]/.test(key))).toEqual([])
      }
    }
  })

  it('§1.15.5 the schema shown to Entra leaves out what its validator would test', async () => {
    const entra = running.scim('entra')
    const { attributes } = await entra.call('GET', `/Schemas/${userSchema}`)
    expect(namesOf(attributes)).not.toContain('password')
    expect(namesOf(named(attributes, 'emails').subAttributes)).toEqual(['value', 'type'])
    expect(namesOf(named(attributes, 'phoneNumbers').subAttributes)).toEqual(['value', 'display', 'type', 'primary'])
  })

  it('§1.15.6 what Okta reads to import a schema leads from types to schemas', async () => {
    for (const { schema, schemaExtensions } of (await okta.call('GET', '/ResourceTypes')).Resources)
      for (const urn of [schema, ...schemaExtensions.map((each: Json) => each.schema)])
        expect(await okta.call('GET', `/Schemas/${urn}`)).toMatchObject({ id: urn })
  })

  it('§1.15.7 ServiceProviderConfig says what is so, whole numbers as numbers', async () => {
    expect(await scim.call('GET', '/ServiceProviderConfig')).toEqual({
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
      patch: { supported: true },
      bulk: { supported: true, maxOperations: 1_000, maxPayloadSize: 10_485_760 },
      filter: { supported: true, maxResults: 200 },
      changePassword: { supported: false },
      sort: { supported: true },
      etag: { supported: true },
      authenticationSchemes: [
        { type: 'oauthbearertoken', name: expect.any(String), description: expect.any(String), primary: true },
      ],
      pagination: {
        cursor: true,
        index: true,
        defaultPaginationMethod: 'index',
        defaultPageSize: 100,
        maxPageSize: 200,
        cursorTimeout: 3_600,
      },
      meta: { resourceType: 'ServiceProviderConfig', location: `${scim.base}/ServiceProviderConfig` },
    })
  })
})

/** Where a null, an empty text, list or object stands. `schemaExtensions` of a type that has none is complete as it is. */
function emptyIn(value: unknown, at = ''): string[] {
  if (at.endsWith('.schemaExtensions')) return []
  if (value === null || value === '') return [at]
  if (typeof value !== 'object') return []
  const entries = Object.entries(value)
  return entries.length === 0 ? [at] : entries.flatMap(([key, each]) => emptyIn(each, `${at}.${key}`))
}

function keysIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap(keysIn)
  return Object.entries(value).flatMap(([key, each]) => [key, ...keysIn(each)])
}
