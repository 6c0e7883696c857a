import { createHash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { transaction } from '../../src/db/transaction.ts'
import { learn, resolveUser } from '../../src/directory/identity.ts'
import type { Identifier } from '../../src/lifecycle/signals.ts'
import { connect } from '../support/postgres.ts'
import { type IntakeWorld, minutesAgo, okta, scim, signal, startIntakeWorld } from './intake-world.ts'

const issuer = 'https://idp.example'
let world: IntakeWorld

beforeAll(async () => {
  world = await startIntakeWorld()
})
beforeEach(async () => {
  await world.owner.query(`
    delete from inbound_event; delete from identity_link;
    update scim_user set deleted_at = coalesce(deleted_at, now()), active = false, external_id = null`)
})
afterAll(async () => {
  await world?.close()
})

const pair = (value: string, from = issuer): Identifier & { by: 'subject' } => ({
  by: 'subject',
  issuer: from,
  value,
  attribute: 'externalId',
})
const named = (value: string): Identifier => ({ by: 'userName', value })
const mail = (value: string): Identifier => ({ by: 'email', value })
const external = (value: string): Identifier => ({ by: 'externalId', value })

/** Whom these name, learning what is to be learned. */
async function who(subject: readonly Identifier[], directoryId = 'acme'): Promise<string> {
  return transaction(world.db, async (trx) => {
    const found = await resolveUser(trx, directoryId, subject)
    if (typeof found === 'string') return found
    await learn(
      trx,
      directoryId,
      found.learns.map(({ issuer, value }) => ({ issuer, value, userId: found.userId })),
    )
    return found.userId
  })
}

function inOrderOfHash(keys: readonly string[]): string[] {
  const hash = (key: string) => createHash('sha256').update(key).digest('hex')
  return keys.toSorted((a, b) => (hash(a) < hash(b) ? -1 : 1))
}

async function links(): Promise<unknown[]> {
  return (await world.owner.query('select issuer, subject, user_id from identity_link order by 1, 2')).rows
}

describe('whom an event names', () => {
  it('by any name that SCIM states, names without their case and ids with it', async () => {
    const id = await world.hire({
      userName: 'Ada@Acme.example',
      externalId: '00uAda',
      emails: [{ value: 'ada.l@acme.example', primary: true }, { value: 'private@home.example' }],
    })
    for (const one of [
      { by: 'id', value: id } as const,
      external('00uAda'),
      named('ADA@acme.example'),
      mail('ADA@acme.example'),
      mail('Ada.L@acme.example'),
      pair('00uAda'),
      { ...pair('ada@ACME.example'), attribute: 'userName' as const },
      { ...pair('ada.l@acme.example'), attribute: 'email' as const },
    ])
      expect(await who([one]), JSON.stringify(one)).toBe(id)
    for (const one of [
      { by: 'id', value: 'no uuid' } as const,
      { by: 'id', value: id.toUpperCase() } as const,
      external('00uada'),
      named('ada'),
      mail('private@home.example'),
      pair('00uADA'),
    ])
      expect(await who([one]), JSON.stringify(one)).toBe('nobody')
    expect(await who([])).toBe('nobody')
  })

  it('by the first identifier that names anybody', async () => {
    const [ada, grace] = [await world.hire({ userName: 'ada' }), await world.hire({ userName: 'grace' })]
    expect(await who([named('unknown'), named('grace'), named('ada')])).toBe(grace)
    expect(await who([named('ada'), named('grace')])).toBe(ada)
  })

  it('nobody of another directory, by no name whatever (P24)', async () => {
    const id = await world.hire(
      { userName: 'eve', externalId: '00uEve', emails: [{ value: 'eve@acme.example', primary: true }] },
      'umbrella',
    )
    await who([pair('sub-eve'), named('eve')], 'umbrella')
    for (const one of [
      { by: 'id', value: id } as const,
      external('00uEve'),
      named('eve'),
      mail('eve@acme.example'),
      pair('sub-eve'),
      pair('00uEve'),
    ])
      expect(await who([one]), JSON.stringify(one)).toBe('nobody')
    const namesake = await world.hire({ userName: 'eve', externalId: '00uEve' })
    expect(await who([external('00uEve')])).toBe(namesake)
    expect(await who([external('00uEve')], 'umbrella')).toBe(id)
  })
})

describe('an address or an id of several', () => {
  const address = { emails: [{ value: 'team@acme.example', primary: true }] }

  it('is nobody guessed at, and recorded as ambiguous', async () => {
    const people = [await world.hire(address), await world.hire(address)]
    expect(await who([mail('team@acme.example')])).toBe('several')
    const [received] = await world.intake.receive(okta, [signal('left', [mail('team@acme.example')])])
    expect(received!.effect).toBe('ambiguous')
    for (const id of people) expect(await world.stateOf(id)).toMatchObject({ epoch: 0, held: false })
  })

  it('is the one who is active, when the others are not', async () => {
    await world.hire({ ...address, active: false })
    const id = await world.hire(address)
    await world.hire({ ...address, active: false })
    expect(await who([mail('team@acme.example')])).toBe(id)
  })

  it('is decided by a surer name that comes first', async () => {
    const id = await world.hire({ ...address, externalId: '00u1' })
    await world.hire(address)
    expect(await who([external('00u1'), mail('team@acme.example')])).toBe(id)
    expect(await who([external('unknown'), mail('team@acme.example')])).toBe('several')
  })

  it('becomes ambiguous while it waits', async () => {
    await world.intake.receive(okta, [signal('left', [mail('team@acme.example')])])
    const people = [await world.hire(address), await world.hire(address)]
    await world.intake.joinWaiting()
    expect(await world.events()).toMatchObject([{ effect: 'ambiguous', subject: null, waits_until: null }])
    for (const id of people) expect(await world.stateOf(id)).toMatchObject({ epoch: 0 })
  })

  it('an externalId that two share', async () => {
    await world.hire({ externalId: 'shared' })
    await world.hire({ externalId: 'shared' })
    expect(await who([external('shared')])).toBe('several')
  })
})

describe("a sender's own id", () => {
  it('is learned from an event that names its user otherwise, and then enough', async () => {
    const id = await world.hire({ userName: 'ada', externalId: 'employee 7' })
    expect(await who([pair('sub-1')])).toBe('nobody')
    expect(await who([pair('sub-1'), named('ada')])).toBe(id)
    expect(await who([pair('sub-1')])).toBe(id)
    expect(await links()).toEqual([{ issuer, subject: 'sub-1', user_id: id }])
  })

  it('is one of its issuer and of no other (P25)', async () => {
    const id = await world.hire({ userName: 'ada' })
    expect(await who([pair('sub-1'), named('ada')])).toBe(id)
    expect(await who([pair('sub-1', 'https://another.example')])).toBe('nobody')
    expect(await who([pair('sub-1', `${issuer}/`)])).toBe('nobody')
  })

  it('is not learned where it is a name that may pass to another', async () => {
    const id = await world.hire({ userName: 'ada@acme.example' })
    expect(await who([{ ...pair('ada@acme.example'), attribute: 'email' }])).toBe(id)
    expect(await links()).toEqual([])
  })

  it('is whom SCIM says it is, once SCIM says so', async () => {
    await world.hire({ userName: 'ada' })
    await who([pair('00uNew'), named('ada')])
    const id = await world.hire({ userName: 'another', externalId: '00uNew' })
    expect(await who([pair('00uNew')])).toBe(id)
    expect(await links()).toEqual([{ issuer, subject: '00uNew', user_id: id }])
  })

  it('is taught by two calls at once, in whichever order, without a deadlock', async () => {
    const names = ['a', 'b', 'c'] as const
    const people = await Promise.all(names.map((name) => world.hire({ userName: name })))
    const call = (of: readonly string[]) => {
      const keys = inOrderOfHash(of.map((name) => `${name} ${randomUUID()}`))
      return of.map((name, index) => signal('noted', [pair(`sub-${name}`), named(name)], { dedupeKey: keys[index]! }))
    }
    const byHand = await connect({ url: world.url })
    await byHand.query('begin')
    await byHand.query('insert into identity_link (directory_id, issuer, subject, user_id) values ($1, $2, $3, $4)', [
      'acme',
      issuer,
      'sub-b',
      people[1],
    ])
    await world.locks.expectNoDeadlock(async () => {
      const calls = [world.intake.receive(okta, call(names)), world.another().receive(okta, call(names.toReversed()))]
      await world.locks.waitUntilWaiting(2)
      await byHand.query('rollback')
      await Promise.all(calls)
    })
    await byHand.end()
    expect(await links()).toEqual(names.map((name, n) => ({ issuer, subject: `sub-${name}`, user_id: people[n] })))
  })
})

describe('a name that has passed to somebody else (P19)', () => {
  it('is not enough when its sender is known to call that user otherwise', async () => {
    const id = await world.hire({ userName: 'ada' })
    await who([pair('sub-old'), named('ada')])
    expect(await who([pair('sub-new'), named('ada')])).toBe('nobody')
    expect(await who([named('ada')])).toBe(id)
    const [received] = await world.intake.receive(okta, [signal('left', [pair('sub-new'), named('ada')])])
    expect(received!.effect).toBe('waiting')
    expect(await world.intake.joinWaiting()).toBe(0)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0, held: false })
  })

  it('is not enough when the event carries an externalId that is not the one of that user', async () => {
    const id = await world.hire({ userName: 'ada', externalId: '00uOld' })
    expect(await who([external('00uNew'), named('ada')])).toBe('nobody')
    expect(await who([external('00uNew'), mail('ada')])).toBe('nobody')
    expect(await who([{ by: 'id', value: randomUUID() }, named('ada')])).toBe('nobody')
    const young = await world.hire({ userName: 'grace' })
    expect(await who([external('00uNew'), named('grace')])).toBe(young)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0 })
  })

  it('by a rename: the old name is the one who has it now', async () => {
    const old = await world.hire({ userName: 'ada', externalId: '00u1' })
    await world.users.change(
      'acme',
      old,
      ({ document }) => ({ document: { ...document, userName: 'ada.king' } }),
      scim,
      'PATCH',
    )
    expect(await who([named('ada')])).toBe('nobody')
    const young = await world.hire({ userName: 'ada', externalId: '00u2' })
    expect(await who([named('ada')])).toBe(young)
    expect(await who([external('00u1'), named('ada')])).toBe(old)
    expect(await who([pair('00u1'), named('ada')])).toBe(old)
  })
})

describe('somebody who was deleted', () => {
  it('is found by an id, and never by a name that may have passed on', async () => {
    const id = await world.hire({ userName: 'ada', externalId: '00u1', emails: [{ value: 'ada@acme.example' }] })
    await who([pair('sub-1'), named('ada')])
    await world.users.remove('acme', id, scim)
    for (const one of [{ by: 'id', value: id } as const, external('00u1'), pair('00u1'), pair('sub-1')])
      expect(await who([one]), JSON.stringify(one)).toBe(id)
    for (const one of [named('ada'), mail('ada@acme.example')]) expect(await who([one])).toBe('nobody')
  })

  it('and created anew under the same name: a late event of the first is not one of the second (P23)', async () => {
    const first = await world.hire({ userName: 'ada', externalId: '00u1' })
    await world.users.remove('acme', first, scim)
    const second = await world.hire({ userName: 'ada', externalId: '00u2' })
    for (const subject of [
      [external('00u1'), named('ada')],
      [pair('00u1'), named('ada')],
      [pair('00u1'), mail('ada')],
    ]) {
      const [received] = await world.intake.receive(okta, [signal('left', subject)])
      expect(received).toMatchObject({ effect: 'confirmed', userId: first })
    }
    expect(await world.stateOf(second)).toMatchObject({ epoch: 0, held: false })
    expect(await who([pair('00u2'), named('ada')])).toBe(second)
  })

  it('keeps what senders called it, until an event itself names its successor so (P23)', async () => {
    const first = await world.hire({ userName: 'ada' })
    await who([pair('sub-1'), named('ada')])
    await world.users.remove('acme', first, scim)
    const second = await world.hire({ userName: 'ada' })
    expect(await who([pair('sub-1')])).toBe(first)
    await world.pass('-1 hour')
    const old = signal('left', [pair('sub-1'), named('ada')], { occurredAt: minutesAgo(30) })
    expect(await world.intake.receive(okta, [old])).toMatchObject([{ effect: 'overtaken', userId: second }])
    expect(await world.stateOf(second)).toMatchObject({ held: false })
    expect(await who([pair('sub-1')])).toBe(second)
  })

  it('twice, under one externalId: the last of them', async () => {
    const people: string[] = []
    for (let time = 0; time < 3; time++) {
      people.push(await world.hire({ externalId: '00u1' }))
      await world.users.remove('acme', people.at(-1)!, scim)
    }
    expect(await who([external('00u1')])).toBe(people.at(-1))
  })

  it('and created anew with the same externalId is the one who lives', async () => {
    const first = await world.hire({ userName: 'ada', externalId: '00u1' })
    await world.users.remove('acme', first, scim)
    const second = await world.hire({ userName: 'ada', externalId: '00u1' })
    expect(await who([pair('00u1')])).toBe(second)
  })
})
