import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../../support/backends.ts'
import { type Answer, groupSchema, type Json, patchSchema, type ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { type RunningTenure, registerDirectory, registerServer, runTenure } from '../../support/tenure.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const listSchema = 'urn:ietf:params:scim:api:messages:2.0:ListResponse'
const errorSchema = 'urn:ietf:params:scim:api:messages:2.0:Error'
const mediaType = 'application/scim+json; charset=utf-8'

let backend: RunningBackend
let tenure: RunningTenure
let names = 0

beforeAll(async () => {
  backend = await backends()[0]!.start()
  tenure = await runTenure('api', backend.database)
  await registerServer(tenure.admin, 'linear').then(({ receiver }) => receiver.close())
})
afterAll(async () => {
  await tenure?.close()
  await backend?.stop()
})

const patchOf = (...operations: unknown[]) => ({ schemas: [patchSchema], Operations: operations })
const query = (parameters: Record<string, string>) => `?${new URLSearchParams(parameters)}`

function expectList({ status, headers, body }: Answer, total: number): Json[] {
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe(mediaType)
  expect(body).toEqual({
    schemas: [listSchema],
    totalResults: total,
    startIndex: expect.any(Number),
    itemsPerPage: body.Resources.length,
    Resources: expect.any(Array),
  })
  return body.Resources
}

function expectError({ status, headers, body }: Answer, wanted: number, scimType?: string): void {
  expect(status).toBe(wanted)
  expect(headers.get('content-type')).toBe(mediaType)
  const type = scimType === undefined ? {} : { scimType }
  expect(body).toEqual({ schemas: [errorSchema], status: String(wanted), ...type, detail: expect.any(String) })
}

/** Whether the gate lets the user hold what the rule for that group gives, by trying. */
async function mayHave(directory: string, id: string): Promise<boolean> {
  const jti = `trial-${names++}`
  const { status } = await tenure.admin.grant({ directory, user: { id }, server: 'linear', scopes: [directory], jti })
  return status === 201
}

async function ruleFor(directory: string, group: string): Promise<void> {
  const rule = { directory, server: 'linear', when: `groups.display eq "${group}"`, scopes: [directory] }
  await tenure.admin.put(`/rules/${directory}`, rule)
}

async function idsOf(scim: ScimClient, group: string): Promise<string[]> {
  const { members = [] } = await scim.call('GET', `/Groups/${group}`)
  return members.map(({ value }: Json) => value).toSorted()
}

// The two kinds of Okta app: one sends PUT for everything, the other PATCH for activation, groups and passwords.
describe.each(['PUT', 'PATCH'] as const)('Okta, an app that sends %s (OKTA-REF, OKTA-SPEC, OIN test plan)', (verb) => {
  const directory = `okta-${verb.toLowerCase()}`
  const userName = `Ada.Lovelace@${directory}.example`
  const created = {
    schemas: [userSchema],
    userName,
    name: { givenName: 'Ada', familyName: 'Lovelace' },
    emails: [{ primary: true, value: userName, type: 'work' }],
    displayName: 'Ada Lovelace',
    locale: 'en-US',
    externalId: '00uabc',
    groups: [],
    password: 'random1-of-okta',
    active: true,
  }
  let okta: ScimClient
  let id: string
  let others: string[]

  const lookUp = (name: string) =>
    okta.send('GET', `/Users${query({ filter: `userName eq "${name}"`, startIndex: '1', count: '100' })}`)

  /** GET, overlay, PUT the whole object back; or the one operation. */
  async function setActive(active: boolean): Promise<Answer> {
    if (verb === 'PATCH') return okta.send('PATCH', `/Users/${id}`, patchOf({ op: 'replace', value: { active } }))
    return okta.send('PUT', `/Users/${id}`, { ...(await okta.call('GET', `/Users/${id}`)), active })
  }

  beforeAll(async () => {
    okta = await registerDirectory(tenure.admin, directory)
    await ruleFor(directory, 'Engineering')
  })

  it('1. is tested: users and groups are listed, none there', async () => {
    expect(expectList(await okta.send('GET', '/Users?startIndex=1&count=2'), 0)).toEqual([])
    expect(expectList(await okta.send('GET', '/Groups?startIndex=1&count=100'), 0)).toEqual([])
    expectError(await okta.send('GET', '/Users/00000000-0000-4000-8000-000000000000'), 404)
  })

  it('2. looks up a user that is not there: an empty list, not a 404', async () => {
    expect(expectList(await lookUp(userName), 0)).toEqual([])
  })

  it('3. creates: 201, Location, what was sent without the password and the empty groups', async () => {
    const answer = await okta.send('POST', '/Users', created)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('content-type')).toBe(mediaType)
    id = answer.body.id
    const { password: _, groups: __, ...echoed } = created
    expect(answer.body).toEqual({
      ...echoed,
      id: expect.any(String),
      meta: {
        resourceType: 'User',
        created: expect.any(String),
        lastModified: answer.body.meta.created,
        location: `${okta.base}/Users/${id}`,
        version: expect.any(String),
      },
    })
    expect(answer.headers.get('location')).toBe(answer.body.meta.location)
    expect((await okta.send('GET', `/Users/${id}`)).body).toEqual(answer.body)
  })

  it('3. creates it again: 409 uniqueness, in any case, and one user still', async () => {
    expectError(await okta.send('POST', '/Users', created), 409, 'uniqueness')
    expectError(await okta.send('POST', '/Users', { ...created, userName: userName.toUpperCase() }), 409, 'uniqueness')
    expectList(await okta.send('GET', '/Users'), 1)
  })

  it.each([
    ['as written', (name: string) => name, 1],
    ['upper-cased', (name: string) => name.toUpperCase(), 1],
    ['of nobody', (name: string) => `x${name}`, 0],
  ])('looks up a userName %s', async (_what, spell, hits) => {
    const found = expectList(await lookUp(spell(userName)), hits)
    expect(found.map((user) => user.userName)).toEqual(hits === 1 ? [userName] : [])
  })

  it('4. updates: the whole object comes back with id, meta and groups', async () => {
    const current = await okta.call('GET', `/Users/${id}`)
    const overlaid = {
      ...current,
      name: { ...current.name, givenName: 'Augusta' },
      title: 'Countess',
      nickName: '',
      groups: [],
    }
    const answer = await okta.send('PUT', `/Users/${id}`, overlaid)
    expect(answer.status).toBe(200)
    const { nickName: _, groups: __, ...kept } = overlaid
    expect(answer.body).toEqual({
      ...kept,
      meta: { ...current.meta, lastModified: expect.any(String), version: expect.any(String) },
    })
    expect(answer.body.meta.version).not.toBe(current.meta.version)
    expect((await okta.send('GET', `/Users/${id}`)).body).toEqual(answer.body)
    // Sent again it changes nothing.
    expect((await okta.send('PUT', `/Users/${id}`, overlaid)).body).toEqual(answer.body)
  })

  it('4. pushes empty values (C9337): what held something no longer does', async () => {
    const current = await okta.call('GET', `/Users/${id}`)
    const answer = await okta.send('PUT', `/Users/${id}`, { ...current, title: '', locale: '' })
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.body)).not.toContain('title')
    expect(Object.keys(answer.body)).not.toContain('locale')
    expect(answer.body).toMatchObject({ userName, active: true, externalId: '00uabc' })
  })

  it('groups: looks up, creates without members, looks up in any case', async () => {
    const byName = (name: string) =>
      okta.send('GET', `/Groups${query({ filter: `displayName eq "${name}"`, startIndex: '1', count: '100' })}`)
    expectList(await byName('Engineering'), 0)
    const answer = await okta.send('POST', '/Groups', {
      schemas: [groupSchema],
      displayName: 'Engineering',
      members: [],
    })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`${okta.base}/Groups/${answer.body.id}`)
    expect(answer.body).toMatchObject({ schemas: [groupSchema], displayName: 'Engineering' })
    expect(Object.keys(answer.body)).not.toContain('members')
    expect(expectList(await byName('ENGINEERING'), 1)).toMatchObject([
      { id: answer.body.id, displayName: 'Engineering' },
    ])
    expectError(
      await okta.send('POST', '/Groups', { schemas: [groupSchema], displayName: 'engineering' }),
      409,
      'uniqueness',
    )
  })

  it('groups: pushes members, and a member has what the group earns from then on', async () => {
    const group = await groupId()
    others = [
      (await okta.createUser(`b@${directory}.example`)).id,
      (await okta.createUser(`c@${directory}.example`)).id,
    ]
    expect(await mayHave(directory, id)).toBe(false)
    const members = [id, others[0]].map((value) => ({ value, display: null }))
    if (verb === 'PUT') {
      const answer = await okta.send('PUT', `/Groups/${group}`, {
        schemas: [groupSchema],
        displayName: 'Engineering',
        members,
      })
      expect(answer.status).toBe(200)
    } else {
      const answer = await okta.send(
        'PATCH',
        `/Groups/${group}`,
        patchOf({ op: 'add', path: 'members', value: members }),
      )
      expect([200, 204]).toContain(answer.status)
    }
    expect(await idsOf(okta, group)).toEqual([id, others[0]].toSorted())
    expect(await mayHave(directory, id)).toBe(true)
    const { groups } = await okta.call('GET', `/Users/${id}`)
    expect(groups).toEqual([
      { value: group, display: 'Engineering', type: 'direct', $ref: `${okta.base}/Groups/${group}` },
    ])
  })

  it('groups: renames with the id in the value, and the members stay', async () => {
    const group = await groupId()
    const rename = (displayName: string) =>
      okta.send('PATCH', `/Groups/${group}`, patchOf({ op: 'replace', value: { id: group, displayName } }))
    expect([200, 204]).toContain((await rename('Engineering (EU)')).status)
    expect(await okta.call('GET', `/Groups/${group}`)).toMatchObject({ displayName: 'Engineering (EU)' })
    expect(await idsOf(okta, group)).toEqual([id, others[0]].toSorted())
    expect(await mayHave(directory, id)).toBe(false)
    expect([200, 204]).toContain((await rename('Engineering')).status)
    expect(await mayHave(directory, id)).toBe(true)
  })

  it('groups: takes one out and puts one in with one request', async () => {
    const group = await groupId()
    const delta = patchOf(
      { op: 'replace', value: { id: group, displayName: 'Engineering' } },
      { op: 'remove', path: `members[value eq "${others[0]}"]` },
      { op: 'add', path: 'members', value: [{ value: others[1], display: 'c' }] },
    )
    for (let times = 0; times < 2; times++) {
      expect([200, 204]).toContain((await okta.send('PATCH', `/Groups/${group}`, delta)).status)
      expect(await idsOf(okta, group)).toEqual([id, others[1]].toSorted())
    }
    expect(await mayHave(directory, others[0]!)).toBe(false)
    expect(await mayHave(directory, others[1]!)).toBe(true)
  })

  it('groups: pushes now (C9316, C9317): whoever is not named leaves, nobody named empties it', async () => {
    const group = await groupId()
    const push = (members: string[]) =>
      verb === 'PUT'
        ? okta.send('PUT', `/Groups/${group}`, {
            schemas: [groupSchema],
            displayName: 'Engineering',
            members: members.map((value) => ({ value })),
          })
        : okta.send(
            'PATCH',
            `/Groups/${group}`,
            patchOf({ op: 'replace', path: 'members', value: members.map((value) => ({ value })) }),
          )
    for (const members of [[others[0]!], [], [id, ...others]]) {
      expect([200, 204]).toContain((await push(members)).status)
      expect(await idsOf(okta, group)).toEqual(members.toSorted())
      expect(await mayHave(directory, id)).toBe(members.includes(id))
    }
  })

  it('groups: refuses a member that is nobody, and nothing changes', async () => {
    const group = await groupId()
    const stranger = '3f0e2c1a-0000-4000-8000-000000000000'
    const answer = await okta.send(
      'PATCH',
      `/Groups/${group}`,
      patchOf({ op: 'add', path: 'members', value: [{ value: stranger }] }),
    )
    expectError(answer, 400, 'invalidValue')
    expect(await idsOf(okta, group)).toEqual([id, ...others].toSorted())
  })

  it('5. deactivates: everything is cut, the user stays to be found and keeps its groups', async () => {
    expect(await mayHave(directory, id)).toBe(true)
    const answer = await setActive(false)
    expect(answer).toMatchObject({ status: 200, body: { id, userName, active: false } })
    expect(expectList(await lookUp(userName), 1)).toMatchObject([{ id, active: false }])
    expect((await okta.call('GET', `/Users/${id}`)).groups).toHaveLength(1)
    expect(await mayHave(directory, id)).toBe(false)
    expect(await tenure.admin.get(`/users/${id}`)).toMatchObject({ active: false, epoch: 1 })
    // Sent again, as after a lost answer, it cuts nothing more.
    expect((await setActive(false)).status).toBe(200)
    expect(await tenure.admin.get(`/users/${id}`)).toMatchObject({ epoch: 1 })
  })

  it('7. re-POSTs while inactive: 409, so that the lookup links it', async () => {
    expectError(await okta.send('POST', '/Users', created), 409, 'uniqueness')
    expect(await okta.call('GET', `/Users/${id}`)).toMatchObject({ active: false })
  })

  it('7. reactivates: with the groups it had', async () => {
    expect(await setActive(true)).toMatchObject({ status: 200, body: { id, active: true } })
    expect(await mayHave(directory, id)).toBe(true)
  })

  it('5. syncs a password, which is never kept: 200, and the user as before', async () => {
    const before = await okta.call('GET', `/Users/${id}`)
    const answer = await okta.send(
      'PATCH',
      `/Users/${id}`,
      patchOf({ op: 'replace', value: { password: 'random2-of-okta' } }),
    )
    expect(answer).toMatchObject({ status: 200, body: before })
    const { rows } = await find('random2-of-okta')
    expect(rows).toEqual([])
  })

  it('8. changes a userName by a leaver and a joiner with one externalId', async () => {
    await setActive(false)
    const renamed = `augusta@${directory}.example`
    const answer = await okta.send('POST', '/Users', { ...created, userName: renamed })
    expect(answer).toMatchObject({ status: 201, body: { userName: renamed, externalId: '00uabc', active: true } })
    expect(answer.body.id).not.toBe(id)
    const byExternalId = query({ filter: 'externalId eq "00uabc"' })
    expectList(await okta.send('GET', `/Users${byExternalId}`), 2)
  })

  it('9. imports page by page: integers, a stable order, everybody once', async () => {
    const seen: string[] = []
    for (let startIndex = 1; ; startIndex += 2) {
      const { body } = await okta.send('GET', `/Users?startIndex=${startIndex}&count=2`)
      expect(body).toMatchObject({ totalResults: 4, startIndex })
      seen.push(...body.Resources.map((user: Json) => user.id))
      if (seen.length >= body.totalResults) break
    }
    expect(new Set(seen).size).toBe(4)
    expect(expectList(await okta.send('GET', '/Users?startIndex=1&count=100'), 4).map((user) => user.id)).toEqual(seen)
    expect(expectList(await okta.send('GET', '/Users?startIndex=5&count=2'), 4)).toEqual([])
  })

  it('deletes the group in the target: 204, then 404, and its members lose what it gave', async () => {
    const group = await groupId()
    expect(await mayHave(directory, others[0]!)).toBe(true)
    expect(await okta.send('DELETE', `/Groups/${group}`)).toMatchObject({ status: 204, body: undefined })
    expectError(await okta.send('DELETE', `/Groups/${group}`), 404)
    expectError(await okta.send('GET', `/Groups/${group}`), 404)
    expect(await mayHave(directory, others[0]!)).toBe(false)
    expect((await okta.call('GET', `/Users/${others[0]}`)).groups).toBeUndefined()
  })

  async function groupId(): Promise<string> {
    const { Resources } = await okta.call('GET', '/Groups')
    return Resources[0].id
  }

  async function find(text: string) {
    const client = await connect({ url: backend.database.ownerUrl })
    try {
      return await client.query('select 1 from scim_user where document::text like $1', [`%${text}%`])
    } finally {
      await client.end()
    }
  }
})

// Without the flag Entra sends capitals, paths and texts; with it lower case, real booleans and one operation without a path.
describe.each([
  {
    shapes: 'as it is by default',
    flag: '',
    op: (name: string) => name,
    bool: (value: boolean): unknown => (value ? 'True' : 'False'),
  },
  {
    shapes: 'with aadOptscim062020',
    flag: '?aadOptscim062020',
    op: (name: string) => name.toLowerCase(),
    bool: (value: boolean): unknown => value,
  },
])('Microsoft Entra ID $shapes (ENTRA-DEV, VAL-GAP)', ({ flag, op, bool }) => {
  const directory = flag === '' ? 'entra' : 'entra-flag'
  const userName = `Grace.Hopper@${directory}.example`
  const objectId = '5d48a0a8-e9a5-4008-8008-c7a61552c0ff'
  const created = {
    schemas: [userSchema, enterprise],
    externalId: objectId,
    userName,
    active: bool(true),
    displayName: 'Grace Hopper',
    emails: [{ primary: true, type: 'work', value: userName }],
    meta: { resourceType: 'User' },
    name: { formatted: 'Grace Hopper', familyName: 'Hopper', givenName: 'Grace' },
    roles: [],
  }
  let entra: ScimClient
  let id: string
  let group: string

  /** The flag stands on the tenant's URL and may so reach every call. */
  const at = (path: string) => (path.includes('?') || flag === '' ? path : `${path}${flag}`)
  const filtered = (path: string, filter: string, more: Record<string, string> = {}) =>
    entra.send('GET', `${path}${query({ ...more, filter })}${flag.replace('?', '&')}`)
  const patch = (path: string, ...operations: unknown[]) => entra.send('PATCH', at(path), patchOf(...operations))
  const read = () => entra.call('GET', at(`/Users/${id}`))

  beforeAll(async () => {
    entra = await registerDirectory(tenure.admin, directory, 'entra')
    await ruleFor(directory, 'Engineering')
  })

  it('1. tests the connection with a filter on a random guid: 200 and an empty list', async () => {
    expect(expectList(await filtered('/Users', 'userName eq "0e5e2a33-2d31-44b5-8ff1-bd2bdb7a6a7d"'), 0)).toEqual([])
    expectList(await filtered('/Users', 'externalId eq "0e5e2a33-2d31-44b5-8ff1-bd2bdb7a6a7d"'), 0)
  })

  it('3. creates: 201; nulls, empty lists and meta are ignored, texts become booleans', async () => {
    const answer = await entra.send('POST', at('/Users'), { ...created, department: null, manager: null, title: null })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('content-type')).toBe(mediaType)
    id = answer.body.id
    const { meta: _, roles: __, schemas: ___, ...echoed } = created
    expect(answer.body).toMatchObject({
      ...echoed,
      active: true,
      meta: { resourceType: 'User', location: `${entra.base}/Users/${id}` },
    })
    for (const name of ['department', 'manager', 'title', 'roles', 'groups'])
      expect(Object.keys(answer.body)).not.toContain(name)
    expect(JSON.stringify(answer.body)).not.toContain('null')
    expectError(await entra.send('POST', at('/Users'), created), 409, 'uniqueness')
  })

  it.each([
    ['userName eq "{userName}"', 1],
    ['userName eq "{USERNAME}"', 1],
    ['USERNAME Eq "{userName}"', 1],
    ['externalId eq "{objectId}"', 1],
    ['externalId eq "{OBJECTID}"', 0],
    ['emails[type eq "work"].value eq "{userName}"', 1],
    ['emails[type eq "work"].value eq "{USERNAME}"', 1],
    ['emails[type eq "home"].value eq "{userName}"', 0],
    ['userName eq "{userName}" and active eq true', 1],
    ['userName eq "{userName}" and active eq True', 1],
    ['userName eq "{userName}" and active eq false', 0],
    ['userName eq "nobody"', 0],
    ['externalId eq jyoung', 0],
  ])('2. matches by %s: %d', async (filter, hits) => {
    const known: Record<string, string> = {
      userName,
      objectId,
      USERNAME: userName.toUpperCase(),
      OBJECTID: objectId.toUpperCase(),
    }
    const found = expectList(
      await filtered(
        '/Users',
        filter.replaceAll(/\{(\w+)\}/g, (_, name) => known[name]!),
      ),
      hits,
    )
    expect(found.map((user) => user.id)).toEqual(hits === 1 ? [id] : [])
  })

  it('2. is told that a filter cannot be read, never that nobody fits', async () => {
    expectError(await filtered('/Users', 'userName xx "a"'), 400, 'invalidFilter')
    expectError(await filtered('/Users', 'nobody eq "a"'), 400, 'invalidFilter')
  })

  it('5. updates: attributes one by one, several parts of one absent element into the same new one', async () => {
    const email = `hopper@${directory}.example`
    const operations =
      flag === ''
        ? [
            { op: 'Replace', path: 'emails[type eq "work"].value', value: email },
            { op: 'Add', path: 'phoneNumbers[type eq "mobile"].value', value: '+47' },
            { op: 'Add', path: 'addresses[type eq "work"].streetAddress', value: '1 Main' },
            { op: 'Add', path: 'addresses[type eq "work"].locality', value: 'Oslo' },
            { op: 'Replace', path: 'name.familyName', value: 'Murray' },
            { op: 'Replace', path: 'displayName', value: ['Grace Murray'] },
            { op: 'Add', path: `${enterprise}:employeeNumber`, value: '7' },
            { op: 'Add', path: `${enterprise}:department`, value: 'Ops', name: 'department' },
          ]
        : [
            {
              op: 'replace',
              value: {
                'emails[type eq "work"].value': email,
                'phoneNumbers[type eq "mobile"].value': '+47',
                'addresses[type eq "work"].streetAddress': '1 Main',
                'addresses[type eq "work"].locality': 'Oslo',
                'name.familyName': 'Murray',
                displayName: 'Grace Murray',
                [`${enterprise}:employeeNumber`]: '7',
                [`${enterprise}:department`]: 'Ops',
              },
            },
          ]
    const answer = await entra.send('PATCH', at(`/Users/${id}`), { id, ...patchOf(...operations) })
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({
      userName,
      displayName: 'Grace Murray',
      name: { familyName: 'Murray', givenName: 'Grace' },
      emails: [{ primary: true, type: 'work', value: email }],
      phoneNumbers: [{ type: 'mobile', value: '+47' }],
      addresses: [{ type: 'work', streetAddress: '1 Main', locality: 'Oslo' }],
      [enterprise]: { employeeNumber: '7', department: 'Ops' },
    })
    expect(answer.body.schemas.toSorted()).toEqual([userSchema, enterprise].toSorted())
    expect(await read()).toEqual(answer.body)
    expectList(await filtered('/Users', `emails[type eq "work"].value eq "${email}"`), 1)
  })

  it('does nothing, and says so with 200, when told to do nothing', async () => {
    const before = await read()
    expect(await patch(`/Users/${id}`)).toMatchObject({ status: 200, body: before })
    expect(
      await patch(`/Users/${id}`, { op: op('Replace'), path: 'displayName', value: 'Grace Murray' }),
    ).toMatchObject({ status: 200, body: before })
  })

  it('skips an attribute that no schema has, and keeps the rest of the request', async () => {
    const answer = await patch(`/Users/${id}`, { op: op('Add'), value: { shoeSize: '39', title: 'Rear Admiral' } })
    expect(answer).toMatchObject({ status: 200, body: { title: 'Rear Admiral' } })
    expect(Object.keys(answer.body)).not.toContain('shoeSize')
  })

  it('changes nothing at all when one operation is refused', async () => {
    const before = await read()
    const answer = await patch(
      `/Users/${id}`,
      { op: op('Replace'), path: 'displayName', value: 'Half Done' },
      { op: op('Replace'), path: 'active', value: 'perhaps' },
    )
    expectError(answer, 400, 'invalidValue')
    expect(await read()).toEqual(before)
  })

  describe('manager shapes', () => {
    const manager = '26118915-6090-4610-87e4-49d8ca9f808d'
    const set = [
      { path: 'manager', value: [{ $ref: `https://x.example/Users/${manager}`, value: manager }] },
      { path: `${enterprise}:manager`, value: manager },
      { path: `${enterprise}:manager`, value: { value: manager } },
      { path: `${enterprise}.manager`, value: manager },
      { path: 'manager.value', value: manager },
      { path: `${enterprise}:manager.value`, value: manager },
    ]
    const clear = [
      { op: 'Replace', path: `${enterprise}:manager`, value: '' },
      { op: 'Remove', path: `manager[value eq "${manager}"]` },
      { op: 'Remove', path: `${enterprise}:manager` },
    ]
    const withoutManager = async () => {
      const user = await read()
      expect(user[enterprise]).toEqual({ employeeNumber: '7', department: 'Ops' })
    }

    it.each(['Add', 'Replace'].flatMap((name) => set.map((operation) => ({ op: name, ...operation }))))(
      'sets it with $op $path $value',
      async (operation) => {
        await patch(`/Users/${id}`, clear[2])
        await withoutManager()
        const answer = await patch(`/Users/${id}`, { ...operation, op: op(operation.op) })
        expect(answer.status).toBe(200)
        expect(answer.body[enterprise]).toMatchObject({ employeeNumber: '7', manager: { value: manager } })
        expect((await read())[enterprise].manager.value).toBe(manager)
        const reference = await filtered('/Users', `id eq "${id}" and manager eq "${manager}"`, { attributes: 'id' })
        expect(expectList(reference, 1)).toEqual([{ schemas: expect.any(Array), id }])
        expectList(await filtered('/Users', `id eq "${id}" and manager eq "somebody else"`, { attributes: 'id' }), 0)
      },
    )

    it.each(clear)('clears it with $op $path', async (operation) => {
      await patch(`/Users/${id}`, { op: op('Add'), ...set[1] })
      expect((await read())[enterprise].manager.value).toBe(manager)
      expect((await patch(`/Users/${id}`, { ...operation, op: op(operation.op) })).status).toBe(200)
      await withoutManager()
    })
  })

  describe('roles', () => {
    it('takes one by name under a filter on the text True', async () => {
      const answer = await patch(`/Users/${id}`, {
        op: op('Add'),
        path: 'roles[primary eq "True"].value',
        value: 'Admin',
      })
      expect(answer).toMatchObject({ status: 200, body: { roles: [{ primary: true, value: 'Admin' }] } })
      const again = await patch(`/Users/${id}`, {
        op: op('Replace'),
        path: 'roles[primary eq "True"].value',
        value: 'User',
      })
      expect(again.body.roles).toEqual([{ primary: true, value: 'User' }])
    })

    it('takes several as JSON in a text', async () => {
      const packed = ['Admin', 'Editor'].map((value) => ({
        value: JSON.stringify({ id: `r-${value}`, value, displayName: `The ${value}` }),
      }))
      await patch(`/Users/${id}`, { op: op('Remove'), path: 'roles' })
      const answer = await patch(`/Users/${id}`, { op: op('Add'), path: 'roles', value: packed })
      expect(answer.status).toBe(200)
      expect(answer.body.roles).toMatchObject([
        { value: 'Admin', display: 'The Admin' },
        { value: 'Editor', display: 'The Editor' },
      ])
    })
  })

  describe('groups', () => {
    let others: string[]

    beforeAll(async () => {
      others = [
        (await entra.createUser(`d@${directory}.example`)).id,
        (await entra.createUser(`e@${directory}.example`)).id,
      ]
    })

    it('9. matches: none, and members are not asked for', async () => {
      expectList(await filtered('/Groups', 'displayName eq "Engineering"', { excludedAttributes: 'members' }), 0)
      expectList(await filtered('/Groups', 'externalId eq "g-1"', { excludedAttributes: 'members' }), 0)
    })

    it('10. creates with the Microsoft URN and without members: 201; a second of the name 409', async () => {
      const given = {
        schemas: [groupSchema, 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group'],
        externalId: 'g-1',
        displayName: 'Engineering',
        meta: { resourceType: 'Group' },
      }
      const answer = await entra.send('POST', at('/Groups'), given)
      expect(answer.status).toBe(201)
      expect(answer.body).toMatchObject({ displayName: 'Engineering', externalId: 'g-1' })
      group = answer.body.id
      expectError(await entra.send('POST', at('/Groups'), { ...given, displayName: 'ENGINEERING' }), 409, 'uniqueness')
    })

    it('9. matches: found by name in any case and by externalId, without the key "members"', async () => {
      for (const filter of ['displayName eq "Engineering"', 'displayName eq "engineering"', 'externalId eq "g-1"']) {
        const [found] = expectList(await filtered('/Groups', filter, { excludedAttributes: 'members' }), 1)
        expect(found).toMatchObject({ id: group, displayName: 'Engineering' })
        expect(Object.keys(found)).not.toContain('members')
      }
      const one = await entra.send('GET', `/Groups/${group}?excludedAttributes=members`)
      expect(Object.keys(one.body)).not.toContain('members')
    })

    it.each<[string, (ids: string[]) => unknown, (ids: string[]) => string[]]>([
      [
        'Add one, $ref null',
        ([a]) => ({ op: op('Add'), path: 'members', value: [{ $ref: null, value: a }] }),
        ([a]) => [a!],
      ],
      [
        'Add several',
        (ids) => ({ op: op('Add'), path: 'members', value: ids.map((value) => ({ value })) }),
        (ids) => ids,
      ],
      ['Add one that is there', ([a]) => ({ op: op('Add'), path: 'members', value: [{ value: a }] }), (ids) => ids],
      [
        'Remove one by value',
        ([a]) => ({ op: op('Remove'), path: 'members', value: [{ $ref: null, value: a }] }),
        ([, b, c]) => [b!, c!],
      ],
      [
        'Remove one that is not there',
        ([a]) => ({ op: op('Remove'), path: 'members', value: [{ value: a }] }),
        ([, b, c]) => [b!, c!],
      ],
      ['remove one by filter', ([, b]) => ({ op: 'remove', path: `members[value eq "${b}"]` }), ([, , c]) => [c!]],
      ['Add a bare text', ([a]) => ({ op: op('Add'), path: 'members', value: [a] }), ([a, , c]) => [a!, c!]],
      ['Remove nobody', () => ({ op: op('Remove'), path: 'members', value: [] }), ([a, , c]) => [a!, c!]],
      ['Remove all', () => ({ op: op('Remove'), path: 'members' }), () => []],
      [
        'Add all by a path with the schema',
        (ids) => ({ op: op('Add'), path: `${groupSchema}:members`, value: ids.map((value) => ({ value })) }),
        (ids) => ids,
      ],
    ])('member shapes: %s', async (_what, operation, left) => {
      const ids = [id, ...others]
      const answer = await patch(`/Groups/${group}`, operation(ids))
      expect(answer).toMatchObject({ status: 204, body: undefined })
      expect(await idsOf(entra, group)).toEqual(left(ids).toSorted())
      for (const each of ids) expect(await mayHave(directory, each)).toBe(left(ids).includes(each))
    })

    it('renames, gives a new externalId, and the members stay', async () => {
      const before = await idsOf(entra, group)
      expect(before).toHaveLength(3)
      const operations =
        flag === ''
          ? [
              { op: 'Replace', path: 'displayName', value: 'Engineers' },
              { op: 'Replace', path: 'externalId', value: 'g-2' },
            ]
          : [{ op: 'replace', value: { displayName: 'Engineers', externalId: 'g-2' } }]
      expect((await patch(`/Groups/${group}`, ...operations)).status).toBe(204)
      expect(await entra.call('GET', `/Groups/${group}`)).toMatchObject({ displayName: 'Engineers', externalId: 'g-2' })
      expect(await idsOf(entra, group)).toEqual(before)
      expect(await mayHave(directory, id)).toBe(false)
      expect(
        (await patch(`/Groups/${group}`, { op: op('Replace'), path: 'displayName', value: 'Engineering' })).status,
      ).toBe(204)
      expect(await mayHave(directory, id)).toBe(true)
    })

    it('takes parallel PATCHes of one group without losing any', async () => {
      const people = await Promise.all(
        Array.from({ length: 12 }, (_, n) => entra.createUser(`p${n}@${directory}.example`)),
      )
      const answers = await Promise.all(
        people.map((person) =>
          patch(`/Groups/${group}`, { op: op('Add'), path: 'members', value: [{ value: person.id }] }),
        ),
      )
      expect(answers.map(({ status }) => status)).toEqual(people.map(() => 204))
      expect(await idsOf(entra, group)).toEqual([id, ...others, ...people.map((person) => person.id)].toSorted())
    })
  })

  it('6. deactivates: cut at once, and still found by id and by filter', async () => {
    expect(await mayHave(directory, id)).toBe(true)
    const answer = await patch(
      `/Users/${id}`,
      flag === '' ? { op: 'Replace', path: 'active', value: bool(false) } : { op: 'replace', value: { active: false } },
    )
    expect(answer).toMatchObject({ status: 200, body: { active: false } })
    expect(await read()).toMatchObject({ active: false })
    expect(expectList(await filtered('/Users', `userName eq "${userName}"`), 1)).toMatchObject([{ id, active: false }])
    expect(await mayHave(directory, id)).toBe(false)
    expect(await tenure.admin.get(`/users/${id}`)).toMatchObject({ active: false, epoch: 1 })
  })

  it('7. reactivates: the groups were not resent, and are there', async () => {
    expect(await patch(`/Users/${id}`, { op: op('Replace'), path: 'active', value: bool(true) })).toMatchObject({
      status: 200,
      body: { active: true },
    })
    expect((await read()).groups).toMatchObject([{ value: group, display: 'Engineering' }])
    expect(await mayHave(directory, id)).toBe(true)
  })

  it('6. deletes softly: the name is mangled in the request that deactivates', async () => {
    const mangled = `${objectId.replaceAll('-', '')}${userName}`
    const answer = await patch(
      `/Users/${id}`,
      { op: op('Replace'), path: 'userName', value: mangled },
      { op: op('Replace'), path: 'active', value: bool(false) },
    )
    expect(answer).toMatchObject({ status: 200, body: { userName: mangled, active: false } })
    expectList(await filtered('/Users', `userName eq "${userName}"`), 0)
    expect(expectList(await filtered('/Users', `externalId eq "${objectId}"`), 1)).toMatchObject([
      { id, userName: mangled },
    ])
  })

  it('8. deletes for good: 204, then 404 to everything, and the name can be given again', async () => {
    expect(await entra.send('DELETE', at(`/Users/${id}`))).toMatchObject({ status: 204, body: undefined })
    expectError(await entra.send('DELETE', at(`/Users/${id}`)), 404)
    expectError(await entra.send('GET', at(`/Users/${id}`)), 404)
    expectError(await patch(`/Users/${id}`, { op: op('Replace'), path: 'active', value: bool(true) }), 404)
    expectError(await entra.send('PUT', at(`/Users/${id}`), created), 404)
    expectList(await filtered('/Users', `externalId eq "${objectId}"`), 0)
    expect(await idsOf(entra, group)).not.toContain(id)
    const again = await entra.send('POST', at('/Users'), created)
    expect(again.status).toBe(201)
    expect(again.body.id).not.toBe(id)
    expect(await mayHave(directory, again.body.id)).toBe(false)
  })
})
