import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { logEvent, party } from '../../src/demo/okta-events.ts'
import { type Colleague, type OktaWorld, plenty, startOktaWorld } from './okta-world.ts'

let world: OktaWorld
let names = 0

beforeAll(async () => {
  world = await startOktaWorld()
})
beforeEach(async () => {
  world.hook.behave()
  world.okta.api.behave()
  world.okta.api.limit(plenty)
  await world.setUpOkta()
  await world.work()
})
afterAll(() => world?.close())

const hire = (name = 'someone') => world.hire(`${name}-${names++}@acme.example`)
const asked = (path: RegExp) => world.okta.api.requests.filter((one) => path.test(one)).length

async function suspended(): Promise<Colleague> {
  const person = await hire()
  await world.okta.suspend(person)
  expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
  return person
}

/** Whether a new grant is given. */
async function mayHave({ id }: Colleague): Promise<boolean> {
  const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], jti: `trial-${names++}` }
  return (await world.admin.grant(grant)).status === 201
}

async function isToBeAsked({ id }: Colleague): Promise<boolean> {
  const query = 'select 1 from inbound_event where user_id = $1 and ask_due_at is not null'
  return (await world.owner.query(query, [id])).rows.length > 0
}

describe('a hold, and what Okta says when it is asked (design §1)', () => {
  it('ends when the org says that the user is active; what was cut stays cut', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    expect(await world.standing(person)).toMatchObject({ hold: 'okta' })
    expect(await mayHave(person)).toBe(false)
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: null })
    expect(await mayHave(person)).toBe(true)
    expect(await world.isGood(person)).toBe(false)
    expect(await isToBeAsked(person)).toBe(false)
  })

  it('ends by the log too, in the turn that reads of it', async () => {
    const person = await suspended()
    world.hook.behave({ loses: true })
    await world.okta.unsuspend(person)
    await world.work()
    expect(await world.standing(person)).toMatchObject({ hold: null })
  })

  it('ends for whom the app calls by another name than Okta does, known by the id', async () => {
    const person = await hire()
    const userName = `other-${names++}@app.example`
    const emails = [{ value: userName, type: 'work', primary: true }]
    await world.scim.patchUser(person.id, { op: 'replace', value: { userName, emails } })
    await world.okta.suspend(person)
    await world.okta.unsuspend(person)
    await world.work()
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: null })
  })

  it.each([
    ['ACTIVE', true],
    ['PASSWORD_EXPIRED', true],
    ['RECOVERY', true],
    ['LOCKED_OUT', true],
    ['STAGED', false],
    ['PROVISIONED', false],
    ['SUSPENDED', false],
    ['DEPROVISIONED', false],
  ] as const)('of a user who is %s: ends is %s', async (status, ends) => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    person.status = status
    await world.work()
    expect((await world.standing(person)).hold).toBe(ends ? null : 'okta')
    expect(await isToBeAsked(person)).toBe(false)
  })

  it('stays for whom Okta has, active, and who has lost the app that provisions us', async () => {
    const person = await suspended()
    // SCIM is late: that the app is gone, only the hook has told.
    await world.okta.withoutProvisioning(() => world.okta.unassign(person))
    await world.okta.unsuspend(person)
    await world.work()
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
    expect(await mayHave(person)).toBe(false)
    expect(await isToBeAsked(person)).toBe(false)
    await world.okta.withoutProvisioning(() => world.okta.assign(person))
    await world.work()
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: null })
  })

  it('stays for whom Okta no longer has', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    world.hook.behave({ loses: true })
    world.okta.log.fallBehind()
    await world.okta.remove(person)
    await world.work()
    expect(await world.standing(person)).toMatchObject({ hold: 'okta' })
    world.okta.log.catchUp()
  })

  it('stays when the user was suspended again before the answer came', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    world.okta.api.behave({ path: /users/, times: 1, meanwhile: () => world.okta.suspend(person) })
    await world.work()
    expect(await world.standing(person)).toMatchObject({ hold: 'okta' })
    expect(await mayHave(person)).toBe(false)
    await world.okta.unsuspend(person)
    await world.work()
    expect(await world.standing(person)).toMatchObject({ hold: null })
  })

  it('stays when it began after the question was asked', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    const again = async () => {
      await world.scim.setActive(person.id, true)
      expect(await world.standing(person)).toMatchObject({ hold: null })
      await world.okta.suspend(person)
    }
    world.okta.api.behave({ path: /users/, times: 1, meanwhile: again })
    await world.work()
    expect(await world.standing(person)).toMatchObject({ epoch: 2, hold: 'okta' })
  })

  it('is asked about again when nothing was said, and not before it is due', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    world.okta.api.behave({ path: /users/, status: 503 })
    expect(await world.work()).toMatchObject({ error: 'Okta answered 503' })
    world.okta.api.behave()
    const before = asked(/users/)
    await world.work()
    expect(asked(/users/)).toBe(before)
    expect(await isToBeAsked(person)).toBe(true)
    await world.owner.query('update inbound_event set ask_due_at = now() where ask_due_at is not null')
    await world.work()
    expect(await world.standing(person)).toMatchObject({ hold: null })
  })

  it('is asked about although the log may not be read, and each is said', async () => {
    const person = await suspended()
    await world.okta.unsuspend(person)
    world.okta.api.scope('okta.users.read', 'okta.apps.read')
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('okta.logs.read') })
    expect(await world.standing(person)).toMatchObject({ hold: null })
    world.okta.api.scope('okta.logs.read')
    const other = await suspended()
    await world.okta.unsuspend(other)
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('okta.users.read') })
    world.okta.api.scope('okta.logs.read', 'okta.users.read')
    await world.owner.query('update inbound_event set ask_due_at = now() where ask_due_at is not null')
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('okta.apps.read') })
    expect(await world.standing(other)).toMatchObject({ hold: 'okta' })
    world.okta.api.scope('okta.logs.read', 'okta.users.read', 'okta.apps.read')
  })

  it('is not asked about by an event about somebody who is not held', async () => {
    const person = await hire()
    await world.okta.unsuspend(person)
    const before = asked(/users/)
    await world.work()
    expect(asked(/users/)).toBe(before)
  })
})

describe('an "enabled" that is forged', () => {
  const aboutTwo = (id: string, login: string) => logEvent('user.lifecycle.unsuspend', [party(id, 'User', login)])

  it('has the user asked about whom SCIM knows by that id, whoever else it names', async () => {
    const [held, accomplice] = [await suspended(), await hire()]
    await world.okta.happen(aboutTwo(held.oktaId, accomplice.userName))
    await world.work()
    expect(await world.standing(held)).toMatchObject({ hold: 'okta' })
  })

  it('ends no hold by the word of somebody else, where SCIM has no id of Okta’s', async () => {
    const [held, accomplice] = [await hire(), await hire()]
    await world.scim.patchUser(held.id, { op: 'replace', value: { externalId: `staff-${names++}` } })
    await world.okta.suspend(held)
    await world.scim.call('DELETE', `/Users/${accomplice.id}`)
    await world.owner.query('delete from identity_link where user_id = $1', [held.id])
    expect(await world.standing(held)).toMatchObject({ hold: 'okta' })
    const stranger = await world.okta.hire(`stranger-${names++}@acme.example`, { hasApp: false })
    const { uuid } = await world.okta.happen(aboutTwo(stranger.oktaId, held.userName))
    expect(await world.taken(uuid)).toMatchObject({ userId: held.id })
    const before = asked(new RegExp(`users/${stranger.oktaId}`))
    await world.work()
    expect(asked(new RegExp(`users/${stranger.oktaId}`))).toBe(before + 1)
    expect(await world.standing(held)).toMatchObject({ hold: 'okta' })
  })

  it('does not keep an honest one from ending it there', async () => {
    const held = await hire()
    await world.scim.patchUser(held.id, { op: 'replace', value: { externalId: `staff-${names++}` } })
    await world.okta.suspend(held)
    await world.okta.unsuspend(held)
    await world.work()
    expect(await world.standing(held)).toMatchObject({ hold: null })
  })
})
