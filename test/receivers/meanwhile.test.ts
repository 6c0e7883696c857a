import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appId, envelope, logEvent, post, userTarget } from './okta-calls.ts'
import { type ChannelWorld, makeSecret, type Person, startChannelWorld } from './world.ts'

let world: ChannelWorld
let secret: string

beforeAll(async () => {
  world = await startChannelWorld('api')
  secret = makeSecret('event hook')
  await world.setUp('okta', { appId }, [secret])
})
afterAll(() => world?.close())

async function tell(type: string, person: Person): Promise<void> {
  const { status } = await post(world.url('okta'), secret, envelope([logEvent(type, [userTarget(person)])]))
  expect(status).toBe(200)
}

/** Of a token that a server has issued at that time, and tells of only now. */
async function record({ id }: Person, issuedAt: Date): Promise<number> {
  const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], jti: `late ${id} ${+issuedAt}` }
  return (await world.admin.grant({ ...grant, issuedAt: issuedAt.toISOString() })).status
}

async function databaseTime(): Promise<Date> {
  return (await world.owner.query('select clock_timestamp() as now')).rows[0].now
}

describe('what was issued while somebody was cut (promise 2)', () => {
  it.each([
    ['held', (person: Person) => tell('user.lifecycle.suspend', person)],
    ['inactive', (person: Person) => world.scim.setActive(person.id, false)],
  ])('is void once sessions are revoked, also of somebody %s, who is taken back', async (_how, cut) => {
    const person = await world.join()
    await cut(person)
    const meanwhile = await databaseTime()
    await tell('user.session.clear', person)
    expect(await world.standing(person)).toMatchObject({ epoch: 1 })
    await world.scim.setActive(person.id, true)
    expect(await record(person, meanwhile)).toBe(403)
    expect(await record(person, await databaseTime())).toBe(201)
  })
})
