import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import { type Colleague, type OktaWorld, plenty, startOktaWorld } from './okta-world.ts'

const resource = 'https://linear.example/mcp'
const client = 'wlp0000000000000001'

let world: OktaWorld
let names = 0

beforeAll(async () => {
  world = await startOktaWorld()
})
beforeEach(async () => {
  world.okta.api.behave()
  world.okta.api.limit(plenty)
  await world.setUpOkta({ idJag: {} })
  await world.work()
  world.lines.length = 0
})
afterAll(() => world?.close())

const hire = () => world.hire(`someone-${names++}@acme.example`)
const mint = (person: Colleague, over: Partial<Parameters<typeof world.okta.grantIdJag>[1]> = {}) =>
  world.okta.grantIdJag(person, { client, resource, scopes: 'read', ...over })

async function grantsOf({ id }: Colleague): Promise<Json[]> {
  const { items } = await world.admin.get(`/grants?user=${id}`)
  return items.filter(({ jti }: Json) => jti !== null)
}

const refused = () => world.lines.filter(({ msg }) => msg === 'grant.not_recorded')

describe('P31: an ID-JAG that Okta minted, in the System Log alone', () => {
  it('is no event that a hook could be had for', async () => {
    const types = ['app.oauth2.token.grant.id_jag']
    await expect(world.okta.addHook({ uri: world.url('okta'), secret: 'none', events: types })).rejects.toThrow(
      types[0],
    )
    const person = await hire()
    await mint(person)
    expect(await grantsOf(person)).toEqual([])
  })

  it.each([
    ['the user is its target', {}],
    ['the user is its actor', { byUser: true }],
    ['scopes are apart by commas', { scopes: 'read, read' }],
  ])('is a grant at the server of that resource, for an hour, where %s', async (_what, over) => {
    const person = await hire()
    const { uuid, published } = await mint(person, over)
    await world.work()
    const expiresAt = new Date(Date.parse(published) + 3_600_000).toISOString()
    expect(await grantsOf(person)).toMatchObject([
      { server: 'linear', client, scopes: ['read'], jti: uuid, issuedAt: published, expiresAt, state: 'active' },
    ])
    expect(await world.admin.introspect(uuid, { token_type_hint: 'jti', server: 'linear' })).toMatchObject({
      active: true,
      sub: person.id,
      client_id: client,
    })
    expect(await world.taken(uuid)).toMatchObject({ kind: 'noted', effect: 'recorded' })
    expect(refused()).toEqual([])
  })

  it('ends with the role like every other', async () => {
    const person = await hire()
    const { uuid } = await mint(person)
    await world.work()
    await world.okta.suspend(person)
    expect(await world.admin.introspect(uuid, { token_type_hint: 'jti', server: 'linear' })).toEqual({ active: false })
  })

  it('is of the server, the client and the life that the channel says', async () => {
    const person = await hire()
    const servers = { 'https://mcp-auth.linear.example': 'linear' }
    await world.setUpOkta({ idJag: { lifeSeconds: 600, servers, clients: { [client]: 'claude' } } })
    const { published } = await mint(person, { resource: 'https://mcp-auth.linear.example' })
    await world.work()
    const expiresAt = new Date(Date.parse(published) + 600_000).toISOString()
    expect(await grantsOf(person)).toMatchObject([{ server: 'linear', client: 'claude', expiresAt }])
  })

  it('is one grant however often its page is read', async () => {
    const person = await hire()
    await mint(person)
    await world.crash({ channels: { ...world.channels, noteState: () => Promise.reject(new Error('killed')) } })
    await world.work()
    expect(await grantsOf(person)).toHaveLength(1)
  })

  it('is recorded by whoever reads the page again after its events were taken', async () => {
    const person = await hire()
    await mint(person)
    await world.crash({ grants: { record: () => Promise.reject(new Error('killed')) } })
    expect(await grantsOf(person)).toEqual([])
    await world.work()
    expect(await grantsOf(person)).toHaveLength(1)
  })

  it.each([
    ['the gate says no', { scopes: 'admin' }],
    ['no server is known by anything in it', { resource: 'https://unknown.example/mcp' }],
  ])('is noted, no grant, and a warning, where %s', async (_what, over) => {
    const person = await hire()
    const { uuid } = await mint(person, over)
    expect(await world.work()).not.toHaveProperty('error')
    expect(await grantsOf(person)).toEqual([])
    expect(await world.taken(uuid)).toMatchObject({ effect: 'recorded' })
    expect(refused()).toMatchObject([{ level: 40, directoryId: 'acme', jti: uuid, userId: person.id }])
    expect(JSON.stringify(refused())).not.toContain(person.userName)
  })

  it('is no grant of somebody who is not known here', async () => {
    const stranger = await world.okta.hire(`stranger-${names++}@acme.example`, { hasApp: false })
    await world.okta.grantIdJag(stranger, { client, resource, scopes: 'read' })
    await world.work()
    expect(refused()).toMatchObject([{ serverId: 'linear' }])
  })

  it('is no grant of whom a cut in the same page took it from', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await mint(person)
    await world.okta.clearSessions(person)
    await world.work()
    expect(await grantsOf(person)).toEqual([])
    expect(refused()).toHaveLength(1)
    world.hook.behave()
  })

  it('is not recorded when it failed, is over, or is for a token of Tenure’s own', async () => {
    const person = await hire()
    const event = await mint(person)
    const again = (fields: Json) => world.okta.log.append({ ...event, uuid: `again-${names++}`, ...fields })
    await world.work()
    again({ outcome: { result: 'FAILURE', reason: 'policy' } })
    again({ published: new Date(Date.now() - 3_601_000).toISOString() })
    again({ debugContext: { debugData: { resource, audience: world.tenure.url } } })
    await world.work()
    expect(await grantsOf(person)).toHaveLength(1)
    expect(refused()).toEqual([])
  })

  it('is not even read where the channel does not say so', async () => {
    await world.setUpOkta()
    const person = await hire()
    const { uuid } = await mint(person)
    await world.work()
    expect(await world.taken(uuid)).toBeUndefined()
    expect(await grantsOf(person)).toEqual([])
  })

  it('tells of revoked tokens and connections between apps too, which are noted', async () => {
    const person = await hire()
    for (const eventType of ['app.oauth2.token.revoke.implicit.user', 'app.cross_app_access.connection.delete']) {
      const { uuid } = await world.okta.happen({
        ...(await mint(person)),
        uuid: `only-in-the-log-${names++}`,
        eventType,
      })
      expect(await world.taken(uuid)).toBeUndefined()
      await world.work()
      expect(await world.taken(uuid)).toMatchObject({ kind: 'noted' })
      expect(await world.isGood(person)).toBe(true)
    }
  })
})
