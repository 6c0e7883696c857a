import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import { forEach } from '../support/people.ts'
import { appId, envelope, type LogEvent, logEvent, ourApp, party, post, userTarget } from './okta-calls.ts'
import { eventTypes } from './okta-event-types.ts'
import { type ChannelWorld, makeSecret, type Person, type Standing, startChannelWorld, type Taken } from './world.ts'

/** Types whose entries are about no user: groups, apps, policies, agents and servers. */
const isAboutNobody =
  /^(group\.(lifecycle|profile|application_assignment|privilege)|application\.lifecycle|policy|workload_principal|resource_servers|app)\./

interface Case {
  readonly person: Person
  readonly event: LogEvent
  readonly before: Standing
}

let world: ChannelWorld
let secret: string
let bystander: Person
const cases = new Map<string, Case>()
const after = new Map<string, Standing>()
const taken = new Map<string, Taken>()

/** An entry as Okta renders one of this type about this person, with whatever else it has to do with. */
function entryOf(type: string, person: Person): LogEvent {
  if (isAboutNobody.test(type)) return logEvent(type, [party('00ggroup0001', 'UserGroup', 'unknown', 'Engineering')])
  // Whoever signs in or out did it; what they were signed in to is the target.
  if (/^user\.session\.(start|end)$/.test(type))
    return logEvent(type, [party('pes0001', 'AuthenticatorEnrollment'), userTarget(bystander)], {
      actor: userTarget(person),
    })
  const others = [
    ...(type.startsWith('group.') ? [party('00ggroup0001', 'UserGroup', 'unknown', 'Engineering')] : []),
    ...(type.startsWith('application.') ? [party('0uaaccount01', 'AppUser', person.userName), ourApp] : []),
  ]
  return logEvent(type, [...others, userTarget(person)], { actor: userTarget(bystander) })
}

beforeAll(async () => {
  world = await startChannelWorld('all')
  secret = makeSecret('event hook')
  await world.setUp('okta', { appId }, [secret])
  bystander = await world.join()
  const people = new Map<string, Person>()
  await forEach(eventTypes, 8, async ({ type }) => void people.set(type, await world.join()))
  await world.admin.waitUntilSettled()
  for (const { type } of eventTypes) {
    const person = people.get(type)!
    cases.set(type, { person, event: entryOf(type, person), before: await world.standing(person) })
  }
  for (const { event } of cases.values()) {
    const answer = await post(world.url('okta'), secret, envelope([event]))
    if (answer.status !== 200 || answer.text !== '') throw new Error(`${event.eventType} was answered ${answer.status}`)
  }
  await world.admin.waitUntilSettled()
  for (const [type, { person, event }] of cases) {
    after.set(type, await world.standing(person))
    taken.set(type, (await world.taken(event.uuid))!)
  }
}, 180_000)
afterAll(() => world?.close())

function told({ id }: Person): Json {
  return world.linear.receiver.users.get(id)
}

describe('Okta events (reference §1.4), over HTTP to what servers are told', () => {
  it('has every type of the sheet once', () => {
    expect(cases.size).toBe(eventTypes.length)
    expect(eventTypes.length).toBeGreaterThan(150)
  })

  it.each(eventTypes.filter(({ kind }) => kind === 'left' || kind === 'suspended'))(
    '$type ($way): cuts and holds, as $kind',
    async ({ type, kind }) => {
      const { person, before } = cases.get(type)!
      expect(taken.get(type)).toMatchObject({ kind, effect: 'cut', userId: person.id })
      expect(after.get(type)).toEqual({
        epoch: before.epoch + 1,
        hold: 'okta',
        active: true,
        openGrants: 0,
        wanted: { generation: expect.any(Number), active: false },
      })
      expect(told(person)).toMatchObject({ active: false, scopes: [], cause: { kind, source: 'okta' } })
      expect(await world.isGood(person)).toBe(false)
    },
  )

  it.each(eventTypes.filter(({ kind }) => kind === 'sessions_revoked'))(
    '$type ($way): cuts, and what follows is good',
    async ({ type, kind }) => {
      const { person, before } = cases.get(type)!
      expect(taken.get(type)).toMatchObject({ kind, effect: 'cut', userId: person.id })
      const { wanted, ...standing } = after.get(type)!
      expect(standing).toEqual({ epoch: before.epoch + 1, hold: null, active: true, openGrants: 0 })
      expect(wanted).toMatchObject({ active: true })
      expect(wanted!.generation).toBeGreaterThan(before.wanted!.generation)
      expect(told(person)).toMatchObject({ active: true, cause: { kind, source: 'okta' } })
      expect(await world.isGood(person)).toBe(false)
    },
  )

  it.each(eventTypes.filter(({ kind }) => ['enabled', 'changed', 'noted'].includes(kind)))(
    '$type ($way): is recorded as $kind, and takes nothing',
    async ({ type, kind }) => {
      const { person, before } = cases.get(type)!
      const userId = isAboutNobody.test(type) ? null : person.id
      expect(taken.get(type)).toMatchObject({ kind, effect: 'recorded', userId })
      expect(after.get(type)).toEqual(before)
      expect(before).toMatchObject({ openGrants: 1, wanted: { active: true } })
      expect(await world.isGood(person)).toBe(true)
    },
  )

  it('does nothing to whoever did it, or is named beside (P27)', async () => {
    expect(await world.standing(bystander)).toMatchObject({ epoch: 0, hold: null, openGrants: 1 })
    expect(await world.isGood(bystander)).toBe(true)
  })
})
