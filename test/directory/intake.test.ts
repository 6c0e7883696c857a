import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect } from '../support/postgres.ts'
import { byId, type IntakeWorld, minutesAgo, okta, scim, signal, ssf, startIntakeWorld } from './intake-world.ts'

let world: IntakeWorld
let byHand: pg.Client

beforeAll(async () => {
  world = await startIntakeWorld()
  byHand = await connect({ url: world.url })
})
beforeEach(async () => {
  await world.owner.query('delete from inbound_event')
  world.hints.length = 0
})
afterEach(async () => {
  await byHand.query('rollback')
})
afterAll(async () => {
  await byHand?.end()
  await world?.close()
})

describe('an event of a known user', () => {
  it('cuts and holds when it says left or suspended, and asks for converge', async () => {
    for (const kind of ['left', 'suspended'] as const) {
      const id = await world.hire()
      const occurredAt = minutesAgo(2)
      const [received] = await world.intake.receive(okta, [signal(kind, byId(id), { occurredAt })])
      expect(received).toEqual({ dedupeKey: expect.any(String), effect: 'cut', userId: id })
      expect(await world.stateOf(id)).toMatchObject({
        epoch: 1,
        held: true,
        holdSource: 'okta',
        cuts: 1,
        kinds: ['joined', kind],
      })
      expect(world.hints).toContain(`urgent ${id}`)
      const { rows } = await world.owner.query(
        'select * from lifecycle_event where user_id = $1 and epoch is not null',
        [id],
      )
      expect(rows).toMatchObject([
        {
          source: 'okta',
          occurred_at: occurredAt,
          detail: { actor: 'okta', operation: `test.${kind}`, effect: 'cut' },
        },
      ])
      const [event] = (await world.events()).filter(({ user_id }) => user_id === id)
      expect(event).toMatchObject({ effect: 'cut', event_id: rows[0].id, subject: null, waits_until: null })
    }
  })

  it('cuts and does not hold when it says sessions_revoked, and confirms when a later cut came first', async () => {
    const id = await world.hire()
    const tell = async (minutes: number | undefined) => {
      const at = minutes === undefined ? {} : { occurredAt: minutesAgo(minutes) }
      return (await world.intake.receive(ssf, [signal('sessions_revoked', byId(id), at)]))[0]!.effect
    }
    expect(await tell(600)).toBe('cut')
    expect(await tell(300)).toBe('cut')
    expect(await tell(400)).toBe('confirmed')
    expect(await tell(undefined)).toBe('cut')
    expect(await tell(1)).toBe('confirmed')
    expect(await world.stateOf(id)).toMatchObject({ epoch: 3, held: false, cuts: 3 })
  })

  it('is dated by our clock when its sender has one that is ahead', async () => {
    const id = await world.hire()
    const tell = () =>
      world.intake.receive(ssf, [signal('sessions_revoked', byId(id), { occurredAt: minutesAgo(-60) })])
    expect((await tell())[0]!.effect).toBe('cut')
    const { rows } = await world.owner.query(
      'select occurred_at <= now() as past from lifecycle_event where user_id = $1 and epoch is not null',
      [id],
    )
    expect(rows).toEqual([{ past: true }])
    const [later] = await world.intake.receive(ssf, [signal('sessions_revoked', byId(id), { occurredAt: new Date() })])
    expect(later!.effect).toBe('cut')
  })

  it('is only kept when it changes nothing by itself', async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [
      signal('enabled', byId(id)),
      signal('changed', byId(id)),
      signal('noted', byId(id)),
      signal('sessions_revoked', byId(id), { isNarrow: true }),
      signal('noted', []),
    ])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 0, held: false, kinds: ['joined'] })
    const events = await world.events()
    expect(events.map(({ effect, user_id }) => [effect, user_id])).toEqual(
      expect.arrayContaining([
        ['recorded', id],
        ['recorded', null],
      ]),
    )
    expect(events.filter(({ user_id }) => user_id === id)).toHaveLength(4)
    expect(world.hints).toEqual([])
  })

  it('does not wait for the lock of a user to whom nothing may happen', async () => {
    const id = await world.hire()
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const received = await world.intake.receive(okta, [signal('changed', byId(id)), signal('noted', byId(id))])
    expect(received.map(({ effect }) => effect)).toEqual(['recorded', 'recorded'])
  })

  it('is all or none with the others of its call', async () => {
    const [first, second] = [await world.hire(), await world.hire()]
    const call = [
      signal('left', byId(first)),
      signal('left', byId(second), { detail: { id: 'nul \u0000 is no text' } }),
    ]
    await expect(world.intake.receive(okta, call)).rejects.toThrow()
    expect(await world.events()).toEqual([])
    expect(await world.stateOf(first)).toMatchObject({ epoch: 0, held: false })
    expect(world.hints).toEqual([])
    const again = await world.intake.receive(okta, [call[0]!, { ...call[1]!, detail: {} }])
    expect(again.map(({ effect }) => effect)).toEqual(['cut', 'cut'])
  })

  it('does what it does in the order of the sender, whatever the order in the call', async () => {
    const id = await world.hire()
    const received = await world.intake.receive(okta, [
      signal('noted', byId(id)),
      signal('enabled', byId(id), { occurredAt: minutesAgo(1) }),
      signal('left', byId(id), { occurredAt: minutesAgo(2) }),
      signal('suspended', byId(id), { occurredAt: minutesAgo(3) }),
    ])
    expect(received.map(({ effect }) => effect)).toEqual(['recorded', 'recorded', 'confirmed', 'cut'])
    expect(await world.stateOf(id)).toMatchObject({ held: true, kinds: ['joined', 'suspended'] })
    const enabled = (await world.events()).find(({ type }) => type === 'test.enabled')
    expect(enabled!.ask_due_at).toBeInstanceOf(Date)
  })
})

describe('an event that comes again', () => {
  it('counts once within a call', async () => {
    const id = await world.hire()
    const one = signal('sessions_revoked', byId(id))
    const received = await world.intake.receive(okta, [one, one, { ...one, type: 'another' }])
    expect(received.map(({ effect }) => effect)).toEqual(['cut', 'cut', 'cut'])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, cuts: 1 })
    expect((await world.events()).map(({ type }) => type)).toEqual(['test.sessions_revoked'])
  })

  it('counts once over calls, and says so', async () => {
    const id = await world.hire()
    const one = signal('sessions_revoked', byId(id), { detail: { call: 'c1' } })
    expect(await world.intake.receive(okta, [one])).toMatchObject([{ effect: 'cut' }])
    expect(await world.intake.receive(okta, [one])).toEqual([{ dedupeKey: one.dedupeKey, effect: 'duplicate' }])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, cuts: 1 })
    expect(await world.intake.recall(okta, one.dedupeKey)).toEqual({ effect: 'cut', detail: { call: 'c1' } })
    expect(await world.intake.recall(ssf, one.dedupeKey)).toBeUndefined()
  })

  it('counts once over two calls at the same time: the second waits for what becomes of the first', async () => {
    const [id, other] = [await world.hire(), await world.hire()]
    const shared = signal('sessions_revoked', byId(id))
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const first = world.intake.receive(okta, [shared])
    await world.locks.waitUntilWaiting(1)
    const second = world.another().receive(okta, [signal('left', byId(other)), shared])
    await world.locks.waitUntilWaiting(2)
    await byHand.query('commit')
    expect((await first).map(({ effect }) => effect)).toEqual(['cut'])
    expect((await second).map(({ effect }) => effect)).toEqual(['cut', 'duplicate'])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
  })

  it('is taken by the second of two calls when the first is rolled back (P3)', async () => {
    const id = await world.hire()
    const shared = signal('left', byId(id))
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const first = world.intake.receive(okta, [shared]).catch((error) => error)
    await world.locks.waitUntilWaiting(1)
    const second = world.another().receive(okta, [shared])
    await world.locks.waitUntilWaiting(2)
    const { rowCount } = await byHand.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and query like '%user_state s%no key update%'`,
    )
    expect(rowCount).toBe(1)
    expect(await first).toBeInstanceOf(Error)
    await byHand.query('commit')
    expect(await second).toMatchObject([{ effect: 'cut' }])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: true })
  })

  it('meets itself the other way round without a deadlock', async () => {
    const people = [await world.hire(), await world.hire(), await world.hire()]
    const call = people.map((id) => signal('sessions_revoked', byId(id)))
    // Whoever goes on from here has written what comes before in its own order, and wants what the other has written.
    await byHand.query('begin')
    await byHand.query(
      `insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect)
       values ('inb_by_hand', 'acme', 'okta', sha256($1::text::bytea), 't', 'noted', 'recorded')`,
      [call[1]!.dedupeKey],
    )
    await world.locks.expectNoDeadlock(async () => {
      const calls = [world.intake.receive(okta, call), world.another().receive(okta, call.toReversed())]
      await world.locks.waitUntilWaiting(2)
      await byHand.query('rollback')
      const effects = (await Promise.all(calls)).flat().map(({ effect }) => effect)
      expect(effects.toSorted()).toEqual(['cut', 'cut', 'cut', 'duplicate', 'duplicate', 'duplicate'])
    })
  })

  it('is another event over another channel or of another directory', async () => {
    const id = await world.hire()
    const one = signal('noted', byId(id))
    for (const channel of [okta, ssf, { ...okta, directoryId: 'umbrella' }])
      expect((await world.intake.receive(channel, [one]))[0]!.effect).not.toBe('duplicate')
  })
})

describe('of somebody who is cut already', () => {
  it('is one epoch, one entry of the ledger, one round, when three channels tell of one leave (P22)', async () => {
    const id = await world.hire()
    const occurredAt = minutesAgo(1)
    await Promise.all([
      world.intake.receive(okta, [signal('left', byId(id), { occurredAt })]),
      world.another().receive(ssf, [signal('suspended', byId(id), { occurredAt })]),
    ])
    const revoked = signal('sessions_revoked', byId(id), { occurredAt: minutesAgo(0) })
    await world.intake.receive({ ...okta, kind: 'global-token-revocation' }, [revoked])
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: true, cuts: 1 })
    const events = await world.events()
    expect(new Set(events.map(({ event_id }) => event_id)).size).toBe(1)
    expect(events.map(({ effect }) => effect).toSorted()).toEqual(['confirmed', 'confirmed', 'confirmed', 'cut'])
    await world.state(id, false)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: true, cuts: 1 })
    await world.users.remove('acme', id, scim)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, cuts: 1 })
  })

  it('SCIM first: what the channels add confirms its cut', async () => {
    const id = await world.hire()
    await world.state(id, false)
    await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(1) })])
    await world.intake.receive(ssf, [signal('sessions_revoked', byId(id))])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1, held: false, cuts: 1 })
    await world.users.remove('acme', id, scim)
    await world.intake.receive(okta, [signal('left', byId(id))])
    const events = await world.events()
    expect(events.map(({ effect }) => effect)).toEqual(['confirmed', 'confirmed', 'confirmed'])
    expect(events.every(({ event_id }) => event_id !== null)).toBe(true)
  })

  it('sessions first: the leave cuts once more, for what was issued in between', async () => {
    const id = await world.hire()
    await world.intake.receive(ssf, [signal('sessions_revoked', byId(id), { occurredAt: minutesAgo(1) })])
    await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(2) })])
    expect(await world.stateOf(id)).toMatchObject({
      epoch: 2,
      held: true,
      kinds: ['joined', 'sessions_revoked', 'left'],
    })
  })

  it('held for a moment by two channels at once: the second waits for the first and confirms', async () => {
    const id = await world.hire()
    await byHand.query('begin')
    await byHand.query('select from user_state where user_id = $1 for no key update', [id])
    const calls = [okta, ssf].map((channel) => world.intake.receive(channel, [signal('left', byId(id))]))
    await world.locks.waitUntilWaiting(2)
    await byHand.query('commit')
    const effects = (await Promise.all(calls)).map(([received]) => received!.effect)
    expect(effects.toSorted()).toEqual(['confirmed', 'cut'])
    expect(await world.stateOf(id)).toMatchObject({ epoch: 1 })
  })
})

describe('a hold', () => {
  it.each(['left', 'suspended'] as const)(
    'of %s is ended by a statement of SCIM, also when it changes nothing',
    async (kind) => {
      const id = await world.hire()
      await world.intake.receive(okta, [signal(kind, byId(id))])
      await world.users.change(
        'acme',
        id,
        ({ document }) => ({ document: { ...document, title: 'Engineer' } }),
        scim,
        'PATCH',
      )
      expect(await world.stateOf(id)).toMatchObject({ held: true })
      await world.state(id, true)
      expect(await world.stateOf(id)).toMatchObject({
        held: false,
        epoch: 1,
        kinds: ['joined', kind, 'changed', 'resumed'],
      })
    },
  )

  it('is confirmed by active: false, and outlasts it until active: true', async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    await world.state(id, false)
    expect(await world.stateOf(id)).toMatchObject({ held: true, epoch: 1, kinds: ['joined', 'suspended', 'left'] })
    await world.state(id, true)
    expect(await world.stateOf(id)).toMatchObject({ held: false, epoch: 1 })
    await world.state(id, false)
    expect(await world.stateOf(id)).toMatchObject({ epoch: 2, cuts: 2 })
  })

  it('is not ended by an "enabled", however late or often, nor by one that is newer', async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    for (const occurredAt of [minutesAgo(60), minutesAgo(0), minutesAgo(-60)])
      for (const channel of [okta, ssf])
        await world.intake.receive(channel, [signal('enabled', byId(id), { occurredAt })])
    expect(await world.stateOf(id)).toMatchObject({ held: true, epoch: 1 })
  })

  it('begins again when a leave comes after SCIM has spoken', async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    await world.state(id, true)
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    expect(await world.stateOf(id)).toMatchObject({ held: true, epoch: 2 })
  })

  it('is not begun by a late leave after SCIM has taken somebody back, who loses nothing that is newer (P21)', async () => {
    const id = await world.hire()
    await world.state(id, false)
    await world.pass('1 hour')
    await world.state(id, true)
    const [late] = await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(61) })])
    expect(late!.effect).toBe('confirmed')
    expect(await world.stateOf(id)).toMatchObject({ held: false, epoch: 1 })
  })

  it('begins for a late leave that SCIM never told of, and is a reason to ask', async () => {
    const id = await world.hire()
    const [late] = await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(600) })])
    expect(late!.effect).toBe('cut')
    expect(await world.stateOf(id)).toMatchObject({ held: true, epoch: 1 })
    expect(await world.intake.takeQuestions(okta, 10)).toMatchObject([{ userId: id }])
  })

  it('begins for a leave before a cut that was none', async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [signal('sessions_revoked', byId(id))])
    await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(1) })])
    expect(await world.stateOf(id)).toMatchObject({ held: true, epoch: 2 })
  })

  it('begins for a POST that does not itself state active, which says nothing against it', async () => {
    const id = await world.hire({ active: undefined })
    const [old] = await world.intake.receive(okta, [signal('left', byId(id), { occurredAt: minutesAgo(600) })])
    expect(old!.effect).toBe('cut')
  })
})

describe('asking the sender', () => {
  const asked = async (isActive: boolean, askedAt?: Date) => {
    const [question] = await world.intake.takeQuestions(okta, 10)
    const at = askedAt ?? (await world.intake.now())
    return question && world.intake.answer(okta, question, { isActive, askedAt: at })
  }
  const suspended = async () => {
    const id = await world.hire()
    await world.intake.receive(okta, [signal('suspended', byId(id), { occurredAt: minutesAgo(1) })])
    return id
  }
  const enable = (id: string, more = {}) => world.intake.receive(okta, [signal('enabled', byId(id), more)])

  it('is due after an "enabled" of somebody held, and of nobody else', async () => {
    const id = await suspended()
    await enable(await world.hire())
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
    await enable(id, { detail: { user: '00u1' } })
    expect(await world.intake.takeQuestions(ssf, 10)).toEqual([])
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([
      { eventId: expect.stringMatching(/^inb_/), userId: id, detail: { user: '00u1' } },
    ])
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
  })

  it('is due again a minute later while there is no answer, for a day', async () => {
    const id = await suspended()
    await enable(id)
    for (let time = 0; time < 3; time++) {
      expect(await world.intake.takeQuestions(okta, 10)).toHaveLength(1)
      await world.pass('61 seconds')
    }
    await world.pass('1 day')
    expect(await world.intake.takeQuestions(okta, 10)).toHaveLength(1)
    await world.pass('1 hour')
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
  })

  it('ends the hold by the answer, and gives back nothing that was cut', async () => {
    const id = await suspended()
    await enable(id)
    expect(await asked(true)).toBe(true)
    expect(await world.stateOf(id)).toMatchObject({ held: false, epoch: 1, kinds: ['joined', 'suspended', 'resumed'] })
    expect(world.hints).toContain(`normal ${id}`)
    await world.pass('2 minutes')
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
  })

  it('leaves the hold when the sender does not say so', async () => {
    const id = await suspended()
    await enable(id)
    expect(await asked(false)).toBe(false)
    expect(await world.stateOf(id)).toMatchObject({ held: true })
  })

  it('leaves a hold that began after the question', async () => {
    const id = await suspended()
    await enable(id)
    const askedAt = await world.intake.now()
    await world.state(id, true)
    await world.intake.receive(okta, [signal('suspended', byId(id))])
    expect(await asked(true, askedAt)).toBe(false)
    expect(await world.stateOf(id)).toMatchObject({ held: true })
  })

  it('leaves a hold that another leave has confirmed after the question', async () => {
    const id = await suspended()
    await enable(id)
    const askedAt = await world.intake.now()
    expect(await world.intake.receive(ssf, [signal('suspended', byId(id))])).toMatchObject([{ effect: 'confirmed' }])
    expect(await asked(true, askedAt)).toBe(false)
    expect(await world.stateOf(id)).toMatchObject({ held: true })
  })

  it('is due, too, when the "enabled" came before the leave that it is later than', async () => {
    const id = await world.hire()
    await enable(id, { occurredAt: minutesAgo(1) })
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
    await world.intake.receive(ssf, [signal('suspended', byId(id), { occurredAt: minutesAgo(2) })])
    expect(await world.stateOf(id)).toMatchObject({ held: true })
    expect(await asked(true)).toBe(true)
    expect(await world.stateOf(id)).toMatchObject({ held: false })
  })

  it('is not due for an "enabled" that is older than the leave', async () => {
    const id = await world.hire()
    await enable(id, { occurredAt: minutesAgo(3) })
    await world.intake.receive(okta, [signal('suspended', byId(id), { occurredAt: minutesAgo(2) })])
    expect(await world.intake.takeQuestions(okta, 10)).toEqual([])
  })
})
