import type { Router } from 'express'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serviceProvider as routes } from '../../../src/scim/service-provider.ts'
import { type Answer, groupSchema, type Json, ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { registerServer } from '../../support/tenure.ts'
import {
  bulkOf,
  enterprise,
  filtered,
  membersOf,
  patchOf,
  query,
  searchOf,
  sendExactly,
  serviceProvider,
  stranger,
} from './service-provider.ts'

const running = serviceProvider()
/** Held by the victim's resources and sent by nobody else. */
const mark = 'only-the-victim-has-this'

/** Somebody else's things, or nobody's: whoever asks must not be able to tell which. */
interface Target {
  readonly user: string
  readonly group: string
  readonly userName: string
  readonly displayName: string
  readonly externalId: string
  readonly version: string
  readonly cursor: string
}

interface Attack {
  readonly path: string
  readonly body?: Json
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
}

const nobody: Target = {
  user: stranger,
  group: '7f0e2c1a-0000-4000-8000-000000000001',
  userName: 'nobody@acme.example',
  displayName: 'Nothing',
  externalId: 'ext-of-nobody',
  version: 'W/"1"',
  cursor: 'made-up',
}

let victim: ScimClient
let attacker: ScimClient
let theirs: Target
let own: { user: string; group: string }
let database: pg.Client

beforeAll(async () => {
  victim = running.scim('entra')
  attacker = running.scim('okta')
  await registerServer(running.tenure.admin, 'linear').then(({ receiver }) => receiver.close())
  const rule = { directory: 'entra', server: 'linear', when: 'userName pr', scopes: ['read'] }
  await running.tenure.admin.put('/rules/everyone', rule)
  const userName = 'grace@victim.example'
  const boss = await victim.createUser('boss@victim.example', { title: mark })
  const manager = { manager: { value: boss.id } }
  const user = await victim.createUser(userName, { title: mark, displayName: mark, [enterprise]: manager })
  const group = await victim.createGroup('Engineering', [user.id])
  await victim.createGroup(`${mark} of groups`, [group.id])
  await victim.patchGroup(group.id, { op: 'add', path: 'externalId', value: mark })
  const grant = { directory: 'entra', user: { id: user.id }, server: 'linear', scopes: ['read'], jti: 'of-the-victim' }
  expect((await running.tenure.admin.grant(grant)).status).toBe(201)
  const { nextCursor } = (await victim.send('GET', '/Users?cursor&count=1')).body
  theirs = {
    user: user.id,
    group: group.id,
    userName,
    displayName: 'Engineering',
    externalId: user.externalId,
    version: (await victim.call('GET', `/Users/${user.id}`)).meta.version,
    cursor: nextCursor,
  }
  const mine = await attacker.createUser('mallory@attacker.example')
  own = { user: mine.id, group: (await attacker.createGroup('Mine', [mine.id])).id }
  database = await connect({ url: running.database.ownerUrl })
})
afterAll(() => database?.end())

const userFilters = ({ user, group, userName, externalId }: Target) => [
  `userName eq "${userName}"`,
  `userName sw "${userName.slice(0, 3)}" and title pr`,
  `id eq "${user}"`,
  `externalId eq "${externalId}"`,
  `emails eq "${userName}"`,
  `emails[type eq "work"].value eq "${userName}"`,
  `id eq "${user}" or groups.value eq "${group}"`,
  `id eq "${user}" and manager pr`,
  'title pr',
]
const groupFilters = ({ user, group, displayName }: Target) => [
  `displayName eq "${displayName}"`,
  `id eq "${group}"`,
  `members.value eq "${user}"`,
  `members eq "${group}"`,
  `members[value eq "${user}"]`,
  'externalId pr',
]
const lists = (path: string, filters: string[], { cursor }: Target): Attack[] => [
  ...filters.map((filter) => ({ path: `${path}${filtered(filter)}` })),
  { path: `${path}${query({ cursor, count: '1' })}` },
]
const searches = (path: string, filters: string[], { cursor }: Target): Attack[] => [
  ...filters.map((filter) => ({ path: `${path}/.search`, body: searchOf({ filter, sortBy: 'id' }) })),
  { path: `${path}/.search`, body: searchOf({ cursor, count: 1 }) },
]
/** With the right version, a wrong one and none: 404 whatever it is, never 412 or 304. */
const conditionally = (path: string, { version }: Target, body?: Json): Attack[] =>
  [{}, { ifMatch: version }, { ifMatch: 'W/"99"' }, { ifMatch: '*' }].map((condition) => ({ path, body, ...condition }))
const reads = (path: string, { version }: Target): Attack[] => [
  { path },
  { path: `${path}?attributes=title` },
  { path, ifNoneMatch: version },
  { path, ifNoneMatch: '*' },
]

const taken = 'taken over'
const add = (value: unknown) => patchOf({ op: 'add', path: 'members', value })
const userBody = (fields: Json = {}) => ({ schemas: [userSchema], userName: taken, ...fields })
const groupBody = (fields: Json = {}) => ({ schemas: [groupSchema], displayName: taken, ...fields })

/** What can be tried at each route of the service provider, with ids, names, versions and cursors of `target`. */
const attacks: Record<string, (target: Target) => Attack[]> = {
  'GET /ServiceProviderConfig': () => [{ path: '/ServiceProviderConfig' }],
  'GET /ResourceTypes': () => [{ path: '/ResourceTypes' }],
  'GET /ResourceTypes/:id': ({ user }) => [{ path: '/ResourceTypes/User' }, { path: `/ResourceTypes/${user}` }],
  'GET /Schemas': () => [{ path: '/Schemas' }],
  'GET /Schemas/:id': ({ user }) => [{ path: `/Schemas/${userSchema}` }, { path: `/Schemas/${user}` }],

  'GET /': (target) => lists('/', [...userFilters(target), ...groupFilters(target)], target),
  'POST /.search': (target) => searches('', [...userFilters(target), ...groupFilters(target)], target),
  'GET /Users': (target) => lists('/Users', userFilters(target), target),
  'POST /Users/.search': (target) => searches('/Users', userFilters(target), target),
  'GET /Groups': (target) => lists('/Groups', groupFilters(target), target),
  'POST /Groups/.search': (target) => searches('/Groups', groupFilters(target), target),

  'POST /Users': ({ user, group, userName, externalId }) => [
    { path: '/Users', body: userBody({ id: user, userName, externalId, groups: [{ value: group }] }) },
    { path: '/Users', body: userBody({ userName: `report of ${user}`, [enterprise]: { manager: { value: user } } }) },
  ],
  'GET /Users/:id': (target) => reads(`/Users/${target.user}`, target),
  'PUT /Users/:id': (target) => [
    ...conditionally(`/Users/${target.user}`, target, userBody()),
    { path: `/Users/${own.user}`, body: userBody({ id: target.user, userName: target.userName }) },
  ],
  'PATCH /Users/:id': (target) => [
    ...conditionally(`/Users/${target.user}`, target, patchOf({ op: 'replace', value: { active: false } })),
    { path: `/Users/${target.group}`, body: patchOf({ op: 'replace', path: 'active', value: false }) },
    { path: `/Users/${own.user}`, body: patchOf({ op: 'add', path: 'groups', value: [{ value: target.group }] }) },
    { path: `/Users/${own.user}`, body: patchOf({ op: 'replace', value: { id: target.user, title: 'mine' } }) },
  ],
  'DELETE /Users/:id': (target) => [
    ...conditionally(`/Users/${target.user}`, target),
    { path: `/Users/${target.group}` },
  ],

  'POST /Groups': ({ user, group, displayName }) => [
    { path: '/Groups', body: groupBody({ members: [{ value: user }] }) },
    { path: '/Groups', body: groupBody({ members: [{ value: own.user }, { value: group }] }) },
    { path: '/Groups', body: groupBody({ id: group, displayName, members: [{ value: own.user }] }) },
  ],
  'GET /Groups/:id': (target) => reads(`/Groups/${target.group}`, target),
  'PUT /Groups/:id': (target) => [
    ...conditionally(`/Groups/${target.group}`, target, groupBody({ members: [] })),
    { path: `/Groups/${own.group}`, body: groupBody({ members: [{ value: target.user, type: 'User' }] }) },
    { path: `/Groups/${own.group}`, body: groupBody({ members: [{ value: target.group, type: 'Group' }] }) },
  ],
  'PATCH /Groups/:id': (target) => [
    ...conditionally(`/Groups/${target.group}`, target, add([{ value: own.user }])),
    { path: `/Groups/${target.group}`, body: patchOf({ op: 'remove', path: `members[value eq "${target.user}"]` }) },
    { path: `/Groups/${target.group}`, body: patchOf({ op: 'replace', path: 'members', value: [] }) },
    ...[target.user, target.group].flatMap((value) => [
      { path: `/Groups/${own.group}`, body: add([{ value }]) },
      { path: `/Groups/${own.group}`, body: add([{ value: own.user }, { value }]) },
      { path: `/Groups/${own.group}`, body: patchOf({ op: 'replace', path: 'members', value: [{ value }] }) },
      { path: `/Groups/${own.group}`, body: patchOf({ op: 'remove', path: `members[value eq "${value}"]` }) },
      { path: `/Groups/${own.group}`, body: patchOf({ op: 'remove', path: 'members', value: [{ value }] }) },
    ]),
  ],
  'DELETE /Groups/:id': (target) => [
    ...conditionally(`/Groups/${target.group}`, target),
    { path: `/Groups/${target.user}` },
  ],

  'POST /Bulk': ({ user, group, version }) => [
    {
      path: '/Bulk',
      body: bulkOf(
        ...[undefined, version, 'W/"99"'].flatMap((condition) => [
          { method: 'PUT', path: `/Users/${user}`, version: condition, data: userBody() },
          {
            method: 'PATCH',
            path: `/Users/${user}`,
            version: condition,
            data: patchOf({ op: 'remove', path: 'title' }),
          },
          { method: 'DELETE', path: `/Users/${user}`, version: condition },
          { method: 'PUT', path: `/Groups/${group}`, version: condition, data: groupBody() },
          { method: 'PATCH', path: `/Groups/${group}`, version: condition, data: add([{ value: own.user }]) },
          { method: 'DELETE', path: `/Groups/${group}`, version: condition },
        ]),
      ),
    },
    {
      path: '/Bulk',
      body: bulkOf(
        { method: 'POST', bulkId: 'a', path: '/Groups', data: groupBody({ members: [{ value: user }] }) },
        { method: 'POST', bulkId: user, path: '/Groups', data: groupBody({ displayName: `named after ${group}` }) },
        { method: 'PATCH', path: `/Groups/${group}`, data: add([{ value: `bulkId:${user}` }]) },
        { method: 'PATCH', path: `/Groups/bulkId:${user}`, data: add([{ value: user }, { value: group }]) },
        { method: 'PATCH', path: `/Groups/bulkId:${user}`, data: add([{ value: `bulkId:${group}` }]) },
        { method: 'DELETE', path: `/Users/bulkId:${group}` },
        { method: 'DELETE', path: `/Groups/bulkId:${user}` },
      ),
    },
  ],
  'ALL /Me': ({ user }) => [{ path: '/Me' }, { path: `/Me/${user}` }],
}

describe('a directory and the token of another (promise 9)', () => {
  it('is tried at every route that there is', () => {
    expect(Object.keys(attacks).toSorted()).toEqual(routesOf(routes({ requireReady: () => {} } as never)).toSorted())
  })

  describe.each(Object.keys(attacks))('%s', (route) => {
    const method = route.startsWith('ALL') ? 'POST' : route.split(' ', 1)[0]!
    const attempt = (client: ScimClient, { path, body, ifMatch, ifNoneMatch }: Attack): Promise<Answer> =>
      sendExactly(
        client,
        method,
        path,
        {
          'content-type': 'application/scim+json',
          ...(ifMatch && { 'if-match': ifMatch }),
          ...(ifNoneMatch && { 'if-none-match': ifNoneMatch }),
        },
        body && JSON.stringify(body),
      )

    it('at the base URL of the other: as if nothing were there', async () => {
      const intruder = new ScimClient(victim.base, attacker.token)
      const lost = new ScimClient(victim.base.replace('/entra/', '/no-such-directory/'), attacker.token)
      await leavingTheVictim(async () => {
        for (const attack of attacks[route]!(theirs)) {
          const answer = await attempt(intruder, attack)
          expect(answer.status).toBe(404)
          expect(told(answer, theirs)).toEqual(told(await attempt(lost, attack), theirs))
        }
      })
    })

    it('with ids of the other at the own base URL: as with ids of nobody', async () => {
      await leavingTheVictim(async () => {
        const [atThem, atNobody] = [attacks[route]!(theirs), attacks[route]!(nobody)]
        expect(atThem.length).toBe(atNobody.length)
        for (const [n, attack] of atThem.entries()) {
          const answer = await attempt(attacker, attack)
          expect(JSON.stringify(answer.body) ?? '').not.toContain(mark)
          const { path } = attack
          const expected = told(await attempt(attacker, atNobody[n]!), nobody)
          expect({ path, ...told(answer, theirs) }).toEqual({ path, ...expected })
        }
      })
    })
  })

  it('leaves everything of the attacker among themselves', async () => {
    const ids = new Set<string>((await victim.call('GET', '/')).Resources.map(({ id }: Json) => id))
    const { Resources } = await attacker.call('GET', '/?count=200')
    expect(Resources.length).toBeGreaterThan(4)
    for (const { id } of Resources) expect(ids.has(id)).toBe(false)
    for (const { id, meta } of Resources)
      if (meta.resourceType === 'Group')
        for (const member of await membersOf(attacker, id)) expect(ids.has(member)).toBe(false)
  })
})

/** What an answer tells, without what makes any two differ: the names and ids asked for, new ids, times and versions. */
function told({ status, headers, body }: Answer, target: Target): Json {
  const names = Object.entries(target).toSorted(([, a], [, b]) => b.length - a.length)
  const masked = (text: string) =>
    names
      .reduce((masks, [name, value]) => masks.replaceAll(JSON.stringify(value).slice(1, -1), `<${name}>`), text)
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replaceAll(/W\/\\?"\d+\\?"/g, '<version>')
  const shown = ['etag', 'location', 'allow', 'content-type'].map((name) => masked(headers.get(name) ?? ''))
  return { status, shown, body: body && JSON.parse(masked(JSON.stringify(body))) }
}

async function leavingTheVictim(act: () => Promise<void>): Promise<void> {
  const before = await rowsOfTheVictim()
  expect(before.flat().length).toBeGreaterThan(10)
  await act()
  expect(await rowsOfTheVictim()).toEqual(before)
}

/** Every row of the victim that is about people: also who is in their groups, and in which groups they are. */
async function rowsOfTheVictim(): Promise<Json[][]> {
  const tables = ['scim_user', 'scim_group', 'user_state', 'lifecycle_event', 'access_grant', 'ledger_entry', 'rule']
  const own = tables.map((table) => `select * from ${table} where directory_id = 'entra' order by ${table}::text`)
  const users = `select id from scim_user where directory_id = 'entra'`
  const groups = `select id from scim_group where directory_id = 'entra'`
  const memberships = [
    `select * from group_user where group_id in (${groups}) or user_id in (${users}) order by 1, 2`,
    `select * from group_nesting where parent_id in (${groups}) or child_id in (${groups}) order by 1, 2`,
    `select * from entitlement where user_id in (${users}) order by 1, 2`,
    `select * from unknown_attribute where directory_id = 'entra'`,
  ]
  const all: Json[][] = []
  for (const statement of [...own, ...memberships]) all.push((await database.query(statement)).rows)
  return all
}

/** The routes of a router and of those in it, such as `GET /Users/:id`. */
function routesOf(router: Router): string[] {
  return router.stack.flatMap(({ route, handle }) => {
    if (!route) return 'stack' in handle ? routesOf(handle as Router) : []
    const { methods } = route as unknown as { methods: Record<string, boolean> }
    const [path] = [route.path].flat()
    return Object.keys(methods).map((method) => `${method === '_all' ? 'ALL' : method.toUpperCase()} ${path}`)
  })
}
