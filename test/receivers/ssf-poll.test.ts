import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import type { SsfTransmitter } from '../support/idps/ssf-transmitter.ts'
import { waitFor } from '../support/wait-for.ts'
import { caep, risc, type SsfChannelWorld, startSsfChannelWorld } from './ssf-channel-world.ts'
import type { Person } from './world.ts'

const revoked = `${caep}session-revoked`
const minute = 60_000

let world: SsfChannelWorld
let transmitter: SsfTransmitter

beforeAll(async () => {
  world = await startSsfChannelWorld()
})
afterAll(() => world?.close())
/** A stream that is polled, set up and verified, with nothing left to be told. */
beforeEach(async () => {
  transmitter = await world.transmitter()
  await world.channels.remove({ directoryId: 'acme', kind: 'ssf' }).catch(() => {})
  await world.connect(transmitter, { delivery: 'poll' })
  transmitter.withholdVerifications()
  await world.work()
  await transmitter.release()
  await world.work()
  expect(stream().waiting).toEqual([])
})

const stream = () => transmitter.streams[0]!
const of = ({ oktaId }: Person) => transmitter.subject(oktaId)
const polls = (): Json[] =>
  transmitter.asked.filter(({ path }) => path.startsWith('/ssf/poll/')).map(({ body }) => body)
const epochOf = async (person: Person) => (await world.standing(person)).epoch

describe('a stream that is polled (RFC 8936)', () => {
  it('is created without an address, verified, and polled where the transmitter says', async () => {
    expect(stream().config.delivery).toEqual({
      method: 'urn:ietf:rfc:8936',
      endpoint_url: expect.stringContaining('/ssf/poll/'),
    })
    const { stream: kept, verified } = await world.state()
    expect(kept.pollUrl).toBe(stream().config.delivery.endpoint_url)
    expect(verified.state).toBe((await world.state()).verification.state)
    expect(await world.work()).toEqual({ state: expect.anything(), againMs: 5_000 })
    expect((await world.state()).stream).toMatchObject({ verifiedAt: verified.at, isUnverified: false })
  })

  it('is asked for 25 at a time and not to wait, and told what was committed with the next question', async () => {
    const before = polls().length
    const ada = await world.join()
    const jti = await transmitter.emit(revoked, of(ada))
    expect(await world.work()).toMatchObject({ againMs: 5_000 })
    expect(polls().slice(before)).toEqual([
      { maxEvents: 25, returnImmediately: true },
      { maxEvents: 25, returnImmediately: true, ack: [jti] },
    ])
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(await world.isGood(ada)).toBe(false)
    expect(stream().waiting).toEqual([])
  })

  it('is asked on while there is more, and everything is taken once', async () => {
    const people = [await world.join(), await world.join(), await world.join()]
    for (let n = 0; n < 60; n++) await transmitter.emit(`${caep}credential-change`, of(people[n % 3]!))
    const before = polls().length
    await world.work()
    expect(stream().waiting).toEqual([])
    expect(stream().acknowledged).toHaveLength(61)
    expect(
      polls()
        .slice(before)
        .map(({ ack = [] }) => ack.length),
    ).toEqual([0, 25, 25, 10])
    for (const person of people) expect(await world.effects(person)).toHaveLength(20)
  })

  it('is polled at its own address, with no stream looked after from here', async () => {
    const pollUrl = stream().config.delivery.endpoint_url
    await world.connect(transmitter, { delivery: 'poll', stream: undefined, pollUrl } as never)
    const ada = await world.join()
    await transmitter.emit(revoked, of(ada))
    const before = transmitter.asked.length
    expect(await world.work()).not.toHaveProperty('error')
    expect(transmitter.asked.slice(before).map(({ path }) => path)).toEqual([
      new URL(pollUrl).pathname,
      new URL(pollUrl).pathname,
    ])
    expect(await world.isGood(ada)).toBe(false)
  })

  it('does nothing twice: duplicates, the newest first, and what it has acknowledged already', async () => {
    const ada = await world.join()
    stream().behave({ reverses: true, forgetsAcks: true })
    const at = Date.now()
    await transmitter.emit(revoked, of(ada), {}, { at: at - 2_000 })
    await transmitter.emit(revoked, of(ada), {}, { at: at - 1_000 })
    const { epoch } = await world.standing(ada)
    await world.work()
    await world.work()
    expect(stream().waiting).toEqual([])
    expect(stream().acknowledged).toHaveLength(4)
    expect(await epochOf(ada)).toBe(epoch + 1)
    expect(await world.effects(ada)).toEqual(['cut', 'confirmed'])
  })

  it('speaks as before the final specifications where the channel is set up so', async () => {
    for (const shape of ['okta', 'google'] as const) {
      transmitter = await world.transmitter({ shape })
      await world.connect(transmitter, { delivery: 'poll', legacy: true })
      await world.work()
      const ada = await world.join()
      await transmitter.emit(`${risc}account-disabled`, of(ada))
      expect(await world.work()).not.toHaveProperty('error')
      expect(stream().refused).toEqual(new Map())
      expect(await world.effects(ada)).toEqual(['cut'])
      expect(await world.standing(ada)).toMatchObject({ hold: 'ssf' })
    }
  })
})

describe('whoever dies between taking and telling (P3)', () => {
  it('is given it again: it counts once, and is acknowledged', async () => {
    const ada = await world.join()
    const { epoch } = await world.standing(ada)
    const jti = await transmitter.emit(revoked, of(ada))
    // It is committed; nobody is left to say so, or to write down that it was not said.
    await world
      .give(await world.takeTurn(), {
        intake: {
          ...world.parts.intake,
          receive: async (...given) => {
            await world.parts.intake.receive(...given)
            throw Object.assign(new Error('Connection terminated unexpectedly'), { code: '57P01' })
          },
        },
      })
      .then(
        () => Promise.reject(new Error('it was to crash')),
        () => {},
      )
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(stream().acknowledged).not.toContain(jti)

    await world.work()
    expect(stream().acknowledged).toContain(jti)
    expect(stream().given.get(jti)).toBe(2)
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(await epochOf(ada)).toBe(epoch + 1)
  })

  it('acknowledges nothing that was not committed', async () => {
    const ada = await world.join()
    const jti = await transmitter.emit(revoked, of(ada))
    const gone = () => Promise.reject(Object.assign(new Error('the database is gone'), { code: 'ECONNREFUSED' }))
    await world.give(await world.takeTurn(), { intake: { ...world.parts.intake, receive: gone } }).then(
      () => Promise.reject(new Error('it was to crash')),
      () => {},
    )
    expect(stream().waiting.map((each) => each.jti)).toEqual([jti])
    await world.work()
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(stream().waiting).toEqual([])
  })

  it('remembers what it could not tell, and tells it in its next turn', async () => {
    const ada = await world.join()
    const jti = await transmitter.emit(revoked, of(ada))
    transmitter.behave({ path: /poll/, skips: 1, times: 1, status: 500 })
    const result = await world.work()
    expect(result).toMatchObject({ error: 'The transmitter answered 500', againMs: 30_000 })
    expect((await world.state()).answers).toEqual({ ack: [jti], setErrs: {} })
    const before = polls().length
    await world.work()
    expect(polls()[before]).toMatchObject({ ack: [jti] })
    expect(stream().given.get(jti)).toBe(1)
    expect((await world.state()).answers).toEqual({ ack: [], setErrs: {} })
  })

  it('tells nothing once the turn has passed to somebody else', async () => {
    const ada = await world.join()
    const jti = await transmitter.emit(revoked, of(ada))
    const turn = await world.takeTurn()
    transmitter.behave({
      path: /poll/,
      times: 1,
      meanwhile: () => world.owner.query(`update channel set work_lease = 'of another worker' where kind = 'ssf'`),
    })
    await world.channels.endTurn(turn, await world.give(turn))
    expect(stream().acknowledged).not.toContain(jti)
    expect(await world.channel()).toMatchObject({ error: null })
    await world.work()
    expect(stream().acknowledged).toContain(jti)
    expect(await world.effects(ada)).toEqual(['cut'])
  })
})

describe('a SET that is refused', () => {
  it('is told so by its jti, counted, and keeps nothing else from being taken', async () => {
    const [ada, bob] = [await world.join(), await world.join()]
    await transmitter.emit(revoked, of(ada))
    const bad = {
      invalid_request: await transmitter.emit(revoked, of(ada), {}, { header: { typ: 'JWT' } }),
      invalid_issuer: await transmitter.emit(revoked, of(ada), {}, { claims: { iss: 'https://elsewhere.example' } }),
      invalid_audience: await transmitter.emit(revoked, of(ada), {}, { claims: { aud: 'https://elsewhere.example' } }),
      authentication_failed: await transmitter.emit(revoked, of(ada), {}, { isForged: true }),
      invalid_state: await transmitter.verify('a state that was never asked with'),
      invalid_key: await transmitter.emit(revoked, of(ada), {}, { key: await transmitter.keys.rotate('ES256') }),
    }
    const junk = randomUUID()
    transmitter.send(junk, 'not.a.set')
    await transmitter.keys.rotate()
    world.pass(minute)
    await transmitter.emit(revoked, of(bob))
    expect(await world.work()).not.toHaveProperty('error')
    const told = Object.fromEntries([...stream().refused].map(([jti, { err }]) => [jti, err]))
    expect(told).toEqual({
      ...Object.fromEntries(Object.entries(bad).map(([err, jti]) => [jti, err])),
      [junk]: 'invalid_request',
    })
    expect(new Set([...stream().refused.values()].map(({ description }) => description)).size).toBe(1)
    for (const person of [ada, bob]) expect(await world.effects(person)).toEqual(['cut'])
    expect(stream().waiting).toEqual([])
    await waitFor(async () => (await world.refusalsOf()).signature === 1, { what: 'refusals to be counted' })
    expect(await world.refusalsOf()).toMatchObject({ type: 1, issuer: 1, audience: 1, signature: 1, state: 1 })
  })

  it.each([
    ['', 'without a jti'],
    ['j'.repeat(513), 'with a jti that is too long'],
    ['a\0b', 'with a jti that cannot be kept'],
  ])('for nothing that can be said back, %#: %s is left, and shown', async (jti) => {
    const ada = await world.join()
    transmitter.send(jti, 'not.a.set')
    await transmitter.emit(revoked, of(ada))
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('no usable jti'), againMs: 5_000 })
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(stream().waiting).toHaveLength(1)
  })
})

describe('keys (sheet §2.8)', () => {
  it('a SET whose key is not there yet waits for it, while others are taken (P16)', async () => {
    const [ada, bob] = [await world.join(), await world.join()]
    const before = transmitter.keys.newest
    const key = await transmitter.keys.rotate()
    transmitter.keys.hide(key)
    const jti = await transmitter.emit(revoked, of(ada))
    await transmitter.emit(revoked, of(bob), {}, { key: before })
    world.pass(minute)
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('no key for a SET'), againMs: 5_000 })
    expect(stream().waiting.map((each) => each.jti)).toEqual([jti])
    expect(stream().refused).toEqual(new Map())
    expect(await world.effects(bob)).toEqual(['cut'])
    expect(await world.isGood(ada)).toBe(true)

    transmitter.keys.show(key)
    world.pass(minute)
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(stream().waiting).toEqual([])
  })

  it('many of them do not stand in the way of what comes behind', async () => {
    const ada = await world.join()
    const before = transmitter.keys.newest
    const key = await transmitter.keys.rotate()
    transmitter.keys.hide(key)
    for (let n = 0; n < 30; n++) await transmitter.emit(revoked, transmitter.subject('nobody'))
    await transmitter.emit(revoked, of(ada), {}, { key: before })
    await world.work()
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(stream().waiting).toHaveLength(30)
  })

  it('made-up ones do not have the key set fetched for each (P15)', async () => {
    const made = transmitter.keys.newest
    await transmitter.keys.rotate()
    for (let n = 0; n < 20; n++)
      await transmitter.emit(revoked, transmitter.subject('nobody'), {}, { key: { ...made, kid: randomUUID() } })
    world.pass(minute)
    const before = transmitter.keys.fetches
    await world.work()
    await world.work()
    expect(transmitter.keys.fetches - before).toBe(1)
    expect(stream().waiting).toHaveLength(20)
  })

  it.each(['broken', 'garbage'] as const)('a key set that is %s is no reason to refuse anything (P16)', async (how) => {
    transmitter = await world.transmitter()
    transmitter.keys.serve(how)
    await world.connect(transmitter, { delivery: 'poll' })
    await world.work()
    const ada = await world.join()
    const jti = await transmitter.emit(revoked, of(ada))
    expect(await world.work()).toMatchObject({ error: 'The key set of the transmitter cannot be had' })
    expect(stream().waiting.map((each) => each.jti)).toContain(jti)
    transmitter.keys.serve('good')
    world.pass(minute)
    expect(await world.work()).not.toHaveProperty('error')
    expect(stream().waiting).toEqual([])
    expect(await world.effects(ada)).toEqual(['cut'])
  })

  it('one that signs no more is good for what it has signed, as long as it is served (P17)', async () => {
    const ada = await world.join()
    await transmitter.emit(revoked, of(ada))
    await transmitter.keys.rotate()
    await transmitter.emit(revoked, of(ada))
    world.pass(minute)
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.effects(ada)).toHaveLength(2)
  })

  it('a key set in a private network is never asked for (P18)', async () => {
    await world.connect(transmitter, { delivery: 'poll', jwksUri: 'http://169.254.169.254/keys' })
    await transmitter.emit(revoked, transmitter.subject('nobody'))
    expect(await world.work()).toMatchObject({ error: 'The key set of the transmitter cannot be had' })
    expect(stream().waiting).toHaveLength(1)
  })
})

describe('a transmitter that does not answer as it should', () => {
  it.each([
    [{ status: 401 }, 'refuses the token (401)', 5 * minute],
    [{ status: 403 }, 'does not let the token do this (403)', 5 * minute],
    [{ status: 429, headers: { 'retry-after': '40' } }, 'asked too often (429)', 40_000],
    [{ status: 429 }, 'asked too often (429)', minute],
    [{ status: 503 }, 'answered 503', 30_000],
    [{ status: 400 }, 'answered 400', 30_000],
    [{ body: '<html>' }, 'no list of SETs', 30_000],
    [{ body: '[]' }, 'no list of SETs', 30_000],
    [{ body: '{"sets":[]}' }, 'no list of SETs', 30_000],
  ])('is asked again: %j', async (fault, error, againMs) => {
    const ada = await world.join()
    await transmitter.emit(revoked, of(ada))
    transmitter.behave({ path: /poll/, ...fault })
    const result = await world.work()
    expect(result).toMatchObject({ error: expect.stringContaining(error), againMs })
    expect(JSON.stringify(result)).not.toContain(transmitter.token)
    transmitter.behave()
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.effects(ada)).toEqual(['cut'])
  })

  it('has nothing when it says nothing', async () => {
    transmitter.behave({ path: /poll/, status: 202, body: '' })
    expect(await world.work()).not.toHaveProperty('error')
  })

  it('is not asked on and on when it gives again what was answered', async () => {
    const ada = await world.join()
    const jti = randomUUID()
    const set = await transmitter.keys.sign({
      iss: transmitter.issuer,
      aud: transmitter.audience,
      jti,
      iat: Math.floor(Date.now() / 1_000),
      sub_id: of(ada),
      events: { [revoked]: {} },
    })
    transmitter.behave({ path: /poll/, body: JSON.stringify({ sets: { [jti]: set }, moreAvailable: true }) })
    const before = polls().length
    expect(await world.work()).toMatchObject({ againMs: 5_000 })
    expect(polls().length - before).toBe(2)
    expect(await world.effects(ada)).toEqual(['cut'])
  })

  it('is polled although its stream cannot be looked after, which is not tried in every turn', async () => {
    const ada = await world.join()
    transmitter.behave({ path: /status/, status: 403 })
    await world.age('stream,checkedAt', 6 * minute)
    await transmitter.emit(revoked, of(ada))
    const error = expect.stringContaining('does not let the token do this (403)')
    expect(await world.work()).toMatchObject({ error, againMs: 5_000 })
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(await world.work()).toMatchObject({ error, againMs: 5_000 })
    expect(transmitter.asked.filter(({ status }) => status === 403)).toHaveLength(1)
    transmitter.behave()
    await world.age('trouble,until', 6 * minute)
    expect(await world.work()).not.toHaveProperty('error')
  })
})
