import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Identifier, SignalKind } from '../../src/lifecycle/signals.ts'
import { connect } from '../support/postgres.ts'
import { type IntakeWorld, minutesAgo, okta, scim, signal, ssf, startIntakeWorld } from './intake-world.ts'

let world: IntakeWorld
let byHand: pg.Client
let names = 0
let userName: string
let subject: Identifier[]

beforeAll(async () => {
  world = await startIntakeWorld()
  byHand = await connect({ url: world.url })
})
beforeEach(async () => {
  await world.owner.query('delete from inbound_event')
  userName = `newcomer-${names++}@acme.example`
  subject = [{ by: 'userName', value: userName.toUpperCase() }]
})
afterEach(async () => {
  await byHand.query('rollback')
})
afterAll(async () => {
  await byHand?.end()
  await world?.close()
})

async function tell(kind: SignalKind = 'left', more = {}): Promise<string> {
  const [received] = await world.intake.receive(okta, [signal(kind, subject, more)])
  return received!.effect
}

async function effect(): Promise<string> {
  return (await world.events())[0]!.effect
}

describe('an event of somebody who is not known yet (P20)', () => {
  it.each<[SignalKind, string]>([
    ['left', 'waiting'],
    ['suspended', 'waiting'],
    ['sessions_revoked', 'waiting'],
    ['enabled', 'unmatched'],
    ['changed', 'unmatched'],
    ['noted', 'unmatched'],
  ])('%s: %s', async (kind, becomes) => {
    expect(await tell(kind)).toBe(becomes)
    const [event] = await world.events()
    expect(event!.subject).toEqual(becomes === 'waiting' ? [expect.objectContaining(subject[0]!)] : null)
  })

  it('does not wait when its sender is told that there is nobody', async () => {
    const one = signal('sessions_revoked', subject)
    expect(await world.intake.receive(okta, [one], { waits: false })).toMatchObject([{ effect: 'unmatched' }])
    expect(await world.intake.receive(okta, [one], { waits: false })).toMatchObject([{ effect: 'duplicate' }])
    expect(await world.intake.recall(okta, one.dedupeKey)).toMatchObject({ effect: 'unmatched' })
  })

  it.each<[SignalKind, string]>([
    ['left', 'overtaken'],
    ['suspended', 'overtaken'],
    ['sessions_revoked', 'cut'],
  ])('%s is joined by the sweep with whoever SCIM creates as active: the epoch, and no hold', async (kind, becomes) => {
    await tell(kind)
    const id = await world.hire({ userName })
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0 })
    world.hints.length = 0
    expect(await world.intake.joinWaiting()).toBe(1)
    expect(await effect()).toBe(becomes)
    expect(await world.stateOf(id)).toMatchObject({
      epoch: 1,
      held: false,
      cuts: 1,
      kinds: ['joined', 'sessions_revoked'],
    })
    expect(world.hints).toEqual([`urgent ${id}`])
    expect(await world.intake.joinWaiting()).toBe(0)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
  })

  it('cuts and holds whoever SCIM creates without stating active', async () => {
    await tell()
    const id = await world.hire({ userName, active: undefined })
    await world.intake.joinWaiting()
    expect(await effect()).toBe('cut')
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: true, holdSource: 'okta' })
  })

  it('confirms whoever SCIM creates as inactive, and whoever is gone again', async () => {
    await tell()
    await world.hire({ userName, active: false })
    await world.intake.joinWaiting()
    expect(await effect()).toBe('confirmed')
  })

  it('is told twice and joined once, by two sweeps at the same time', async () => {
    await tell()
    const id = await world.hire({ userName })
    const other = world.another()
    const joined = await Promise.all([world.intake.joinWaiting(), other.joinWaiting()])
    expect(joined[0]! + joined[1]!).toBe(1)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
  })

  it('is joined by whatever name it carries', async () => {
    const issuer = 'https://idp.example'
    const named: Array<[Identifier, Record<string, unknown>]> = [
      [{ by: 'externalId', value: 'Ext-1' }, { externalId: 'Ext-1' }],
      [{ by: 'userName', value: 'ADA@acme.example' }, { userName: 'ada@acme.example' }],
      [{ by: 'email', value: 'Grace@Acme.example' }, { emails: [{ value: 'grace@acme.example', primary: true }] }],
      [{ by: 'email', value: 'Linus@Acme.example' }, { userName: 'linus@acme.example' }],
      [{ by: 'subject', issuer, value: 'Ext-2', attribute: 'externalId' }, { externalId: 'Ext-2' }],
      [{ by: 'subject', issuer, value: 'ken@acme.example', attribute: 'userName' }, { userName: 'Ken@acme.example' }],
      [
        { by: 'subject', issuer, value: 'joe@acme.example', attribute: 'email' },
        { emails: [{ value: 'joe@acme.example' }] },
      ],
    ]
    await world.intake.receive(
      okta,
      named.map(([one]) => signal('sessions_revoked', [one])),
    )
    expect(await world.intake.joinWaiting()).toBe(0)
    for (const [one, fields] of named) {
      const id = await world.hire(fields)
      expect(await world.intake.joinWaiting(), JSON.stringify(one)).toBe(1)
      expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
    }
  })

  it('is joined by what another event has taught of its sender', async () => {
    const pair: Identifier = { by: 'subject', issuer: 'https://idp.example', value: 'sub-1', attribute: 'externalId' }
    await world.intake.receive(okta, [signal('sessions_revoked', [pair])])
    const id = await world.hire({ userName, externalId: 'an employee number' })
    expect(await world.intake.joinWaiting()).toBe(0)
    await world.intake.receive(okta, [signal('noted', [pair, ...subject])])
    expect(await world.intake.joinWaiting()).toBe(1)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
  })

  it('is not joined with somebody of another directory (P24)', async () => {
    await tell()
    const id = await world.hire({ userName }, 'umbrella')
    expect(await world.intake.joinWaiting()).toBe(0)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0, held: false })
  })

  it('waits for seven days and no longer; what it knew of somebody goes then', async () => {
    await tell()
    await world.pass('6 days 23 hours')
    await world.intake.joinWaiting()
    expect(await effect()).toBe('waiting')
    await world.pass('2 hours')
    await world.intake.joinWaiting()
    expect(await world.events()).toMatchObject([{ effect: 'unmatched', subject: null, waits_until: null }])
    const id = await world.hire({ userName })
    expect(await world.intake.joinWaiting()).toBe(0)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0 })
  })

  it('is joined on the sixth day: by when it was received, against when SCIM has spoken', async () => {
    await tell()
    await world.pass('6 days')
    const id = await world.hire({ userName })
    await world.intake.joinWaiting()
    expect(await world.events()).toMatchObject([{ effect: 'overtaken', user_id: id }])
  })

  it('keeps no other from being joined when one cannot be', async () => {
    await tell()
    await world.owner.query(`update inbound_event set subject = '[{"by": "userName", "value": 5, "folded": "broken"}]'`)
    const broken = await world.hire({ userName: 'broken' })
    await world.intake.receive(okta, [signal('left', subject)])
    const id = await world.hire({ userName })
    await expect(world.intake.joinWaiting()).rejects.toThrow()
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
    expect(await world.stateOf(broken)).toMatchObject({ epoch: 0 })
  })

  it('in whatever numbers: none is passed over', async () => {
    const people = Array.from({ length: 620 }, (_, index) => `crowd-${index}@acme.example`)
    await world.intake.receive(
      okta,
      people.map((value) => signal('sessions_revoked', [{ by: 'userName', value }])),
    )
    for (const name of people) await world.hire({ userName: name })
    const joined = [await world.intake.joinWaiting(), await world.intake.joinWaiting()]
    expect(joined).toEqual([500, 120])
  })
})

describe('an event that races the creation of its user', () => {
  // `byHand` stands for the POST: its rows are there, uncommitted, dated when the statement ran.
  const post = (active = true) =>
    byHand.query(
      `with u as (
         insert into scim_user (id, directory_id, user_name_key, active, document, folded)
         values (gen_random_uuid(), 'acme', $1, $2, '{}', '{}') returning id)
       insert into user_state (user_id, directory_id, stated_active_at)
       select id, 'acme', case when $2 then clock_timestamp() end from u returning user_id`,
      [userName, active],
    )

  it('received while the POST is under way and after it has spoken: cut and held', async () => {
    await byHand.query('begin')
    const { rows } = await post()
    expect(await tell()).toBe('waiting')
    expect(await world.intake.joinWaiting()).toBe(0)
    await byHand.query('commit')
    await world.intake.joinWaiting()
    expect(await effect()).toBe('cut')
    expect(await world.stateOf(rows[0].user_id)).toMatchObject({ epoch: 1, held: true })
  })

  it('received while the POST is under way and before it has spoken: the epoch, and no hold', async () => {
    await byHand.query('begin')
    await byHand.query('select clock_timestamp()')
    expect(await tell()).toBe('waiting')
    const { rows } = await post()
    await byHand.query('commit')
    await world.intake.joinWaiting()
    expect(await effect()).toBe('overtaken')
    expect(await world.stateOf(rows[0].user_id)).toMatchObject({ epoch: 1, held: false })
  })

  it('under way itself while the POST comes and goes: it did not see the user, and waits', async () => {
    // The lookup of the event is done; what becomes of it is yet to be written.
    await byHand.query('begin')
    const pair: Identifier = {
      by: 'subject',
      issuer: 'https://idp.example',
      value: `racer-${names}`,
      attribute: 'externalId',
    }
    const known = await world.hire({ userName: `known-${names}` })
    await byHand.query('select from user_state where user_id = $1 for no key update', [known])
    const call = world.intake.receive(okta, [
      signal('left', [...subject, pair]),
      signal('left', [{ by: 'id', value: known }]),
    ])
    await world.locks.waitUntilWaiting(1)
    const id = await world.hire({ userName })
    await byHand.query('commit')
    expect((await call).map(({ effect }) => effect)).toEqual(['waiting', 'cut'])
    await world.intake.joinWaiting()
    // Received before the POST, whatever it waited for afterwards.
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: false })
  })

  it('with the POST that is in: cut and held at once', async () => {
    const id = await world.hire({ userName })
    expect(await tell('left', { occurredAt: minutesAgo(1) })).toBe('cut')
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: true })
  })

  it('and a statement of SCIM that comes while it is joined: whichever is second decides', async () => {
    await tell()
    const id = await world.hire({ userName, active: undefined })
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const joined = world.intake.joinWaiting()
    await world.locks.waitUntilWaiting(1)
    const stated = world.state(id, true)
    await world.locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await Promise.all([joined, stated])
    expect(await effect()).toBe('cut')
    expect(await world.stateOf(id)).toMatchObject({ held: false, epoch: 1, kinds: ['joined', 'left', 'resumed'] })
  })

  it('and a statement of SCIM before it is joined: no hold', async () => {
    await tell()
    const id = await world.hire({ userName, active: undefined })
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const stated = world.state(id, true)
    await world.locks.waitUntilWaiting(1)
    const joined = world.intake.joinWaiting()
    await world.locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await Promise.all([joined, stated])
    expect(await effect()).toBe('overtaken')
    expect(await world.stateOf(id)).toMatchObject({ held: false, epoch: 1 })
  })

  it('and its deletion: nothing is left to be cut, whichever is first', async () => {
    await tell()
    const id = await world.hire({ userName, externalId: `gone-${names}` })
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const joined = world.intake.joinWaiting()
    await world.locks.waitUntilWaiting(1)
    const removed = world.users.remove('acme', id, scim)
    await world.locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await Promise.all([joined, removed])
    expect(await world.stateOf(id)).toMatchObject({ kinds: ['joined', 'sessions_revoked', 'left'] })
    const [late] = await world.intake.receive(ssf, [signal('left', [{ by: 'externalId', value: `gone-${names}` }])])
    expect(late).toMatchObject({ effect: 'confirmed', userId: id })
  })
})
