import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Asked, SsfTransmitter } from '../support/idps/ssf-transmitter.ts'
import { record } from '../support/secret-setup.ts'
import { waitFor } from '../support/wait-for.ts'
import { caep, risc, type SsfChannelWorld, startSsfChannelWorld } from './ssf-channel-world.ts'
import { makeSecret } from './world.ts'

const minute = 60_000
const day = 24 * 60 * minute

let world: SsfChannelWorld
let transmitter: SsfTransmitter

beforeAll(async () => {
  world = await startSsfChannelWorld()
})
afterAll(() => world?.close())
beforeEach(async () => {
  transmitter = await world.transmitter()
  await world.channels.remove({ directoryId: 'acme', kind: 'ssf' }).catch(() => {})
  await world.connect(transmitter)
})

const calls = (asked: readonly Asked[] = transmitter.asked) =>
  asked.map(({ method, path, status }) => `${method} ${path} ${status}`)
const stream = () => transmitter.streams[0]!
const shownSecret = () => {
  const { authorization_header = '' } = stream().config.delivery
  record.secret(authorization_header.replace('Bearer ', ''), 'push secret of a stream')
  return authorization_header
}
/** Until the stream has proved that it comes through, by a SET that was pushed. */
const untilVerified = () =>
  waitFor(async () => (await world.state()).verified, { what: 'the verification event to be taken' })

describe('the stream of a channel that is pushed (SSF 1.0 §8.1)', () => {
  it('is created with an address and a secret that opens it, and asks for what does anything', async () => {
    const { error, againMs } = await world.work()
    expect({ error, againMs }).toEqual({ error: undefined, againMs: 15_000 })
    expect(calls()).toEqual([
      'GET /ssf/stream 200',
      'POST /ssf/stream 201',
      'GET /ssf/status 200',
      'POST /ssf/verify 204',
    ])
    expect(stream().config).toMatchObject({
      delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: world.url('ssf') },
      description: `Tenure, ${world.url('ssf')}`,
    })
    expect(stream().config.events_requested).toEqual(
      expect.arrayContaining([`${caep}session-revoked`, `${risc}account-disabled`]),
    )
    expect(stream().config.events_requested).not.toContain(`${caep}session-presented`)
    expect(await world.state()).toMatchObject({ stream: { id: stream().config.stream_id, status: 'enabled' } })

    const ada = await world.join()
    await transmitter.emit(`${caep}session-revoked`, transmitter.subject(ada.oktaId))
    await stream().flush()
    expect(stream().attempts.at(-1)).toMatchObject({ status: 202 })
    expect(await world.effects(ada)).toEqual(['cut'])
    expect(await world.isGood(ada)).toBe(false)
  })

  it('takes nothing from anybody who does not show that secret', async () => {
    await world.work()
    expect(shownSecret()).toMatch(/^Bearer push_[\w-]{43}$/)
    for (const authorization of ['', 'Bearer push_of-somebody-else', shownSecret().slice(0, -1)]) {
      const headers = { 'content-type': 'application/secevent+jwt', ...(authorization && { authorization }) }
      const { status } = await fetch(world.url('ssf'), { method: 'POST', headers, body: 'a.b.c' })
      expect(status).toBe(401)
    }
  })

  it('asks for the events that are configured, and only for those', async () => {
    const { configuration: configurationEndpoint } = transmitter.endpoints
    const events = [`${risc}account-disabled`]
    await world.connect(transmitter, { stream: { configurationEndpoint, events } })
    await world.work()
    expect(stream().config.events_requested).toEqual(events)
  })

  it('is not created a second time, nor asked for anything in the next turns', async () => {
    await world.work()
    await untilVerified()
    const before = transmitter.asked.length
    expect(await world.work()).toMatchObject({ againMs: 5 * minute })
    await world.work()
    expect(transmitter.asked).toHaveLength(before)
    expect(transmitter.streams).toHaveLength(1)
  })

  it('is found again when the answer to its creation was lost', async () => {
    transmitter = await world.transmitter({ mostStreams: 3 })
    await world.connect(transmitter)
    transmitter.behave({ method: 'POST', path: /stream/, dropsAnswer: true, times: 1 })
    expect(await world.work()).toMatchObject({ error: expect.stringMatching(/^No answer from 127\.0\.0\.1/) })
    const secret = shownSecret()
    expect(await world.work()).not.toHaveProperty('error')
    expect(transmitter.streams).toHaveLength(1)
    expect(calls()).toContain('PATCH /ssf/stream 200')
    // The same one: what the transmitter pushes meanwhile is taken, whichever call it has heard.
    expect(shownSecret()).toBe(secret)
  })

  it('is the one that there is when no other is allowed, changed and never replaced (P44)', async () => {
    const theirs = { stream_id: '', description: 'of last year', events_requested: [`${caep}token-claims-change`] }
    await fetch(transmitter.endpoints.configuration, {
      method: 'POST',
      headers: { authorization: `Bearer ${transmitter.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        ...theirs,
        delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'http://127.0.0.1:9/' },
      }),
    })
    expect(await world.work()).not.toHaveProperty('error')
    expect(calls().slice(1, 4)).toEqual(['GET /ssf/stream 200', 'POST /ssf/stream 409', 'PATCH /ssf/stream 200'])
    expect(transmitter.asked.map(({ method }) => method)).not.toContain('PUT')
    expect(stream().config).toMatchObject({
      description: 'of last year',
      delivery: { endpoint_url: world.url('ssf'), authorization_header: shownSecret() },
    })
    await untilVerified()
  })

  it('keeps what it shows when it is changed, and shows something else to the next transmitter', async () => {
    await world.work()
    const [id, secret] = [(await world.state()).stream.id, shownSecret()]
    await world.connect(transmitter, { subject: 'userName' }, { token: null })
    await world.connect(transmitter, { subject: 'userName' })
    await world.work()
    expect([(await world.state()).stream.id, shownSecret()]).toEqual([id, secret])
    expect(await world.channel()).toMatchObject({ secrets: [{}], hasToken: true })

    transmitter = await world.transmitter()
    await world.connect(transmitter)
    await world.work()
    expect(shownSecret()).not.toBe(secret)
    expect((await world.channel()).secrets).toHaveLength(2)
    await untilVerified()
  })

  it('comes through again after somebody has set up the channel with secrets of their own', async () => {
    await world.work()
    await untilVerified()
    await world.connect(transmitter, {}, { inbound: [makeSecret('push authorization')] })
    await world.work()
    const jti = await transmitter.emit(`${caep}session-revoked`, transmitter.subject('nobody'))
    await stream().flush()
    expect(stream().attempts.find((each) => each.jti === jti)).toMatchObject({ status: 202 })
  })

  it('is led here again when this Tenure has another address', async () => {
    await world.work()
    await untilVerified()
    await world.work({ publicUrl: () => 'http://127.0.0.1:9' })
    expect(stream().config.delivery.endpoint_url).toBe('http://127.0.0.1:9/directories/acme/events/ssf')
    await world.work()
    expect(stream().config.delivery.endpoint_url).toBe(world.url('ssf'))
  })

  it('is created anew when the transmitter has lost it', async () => {
    await world.work()
    const first = stream().config.stream_id
    await fetch(`${transmitter.endpoints.configuration}?stream_id=${first}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${transmitter.token}` },
    })
    await world.age('stream,checkedAt', 6 * minute)
    expect(await world.work()).toMatchObject({ againMs: 0, error: expect.stringContaining('no longer has the stream') })
    await world.work()
    expect(stream().config.stream_id).not.toBe(first)
    expect((await world.state()).stream.id).toBe(stream().config.stream_id)
  })

  it.each([
    ['of another issuer', { iss: 'https://elsewhere.example' }, 'another issuer'],
    [
      'for another audience',
      { aud: 'https://elsewhere.example/a' },
      'another audience than the ones that are set up here: https://elsewhere.example/a',
    ],
    ['without an id', { stream_id: undefined }, 'is no stream'],
  ])('is not believed when it is %s', async (_case, over, error) => {
    const good = { stream_id: 's1', iss: transmitter.issuer, aud: [transmitter.audience] }
    transmitter.behave({ method: 'POST', path: /stream/, status: 201, body: JSON.stringify({ ...good, ...over }) })
    expect(await world.work()).toMatchObject({ error: expect.stringContaining(error) })
    expect(await world.state()).not.toHaveProperty('stream')
  })
})

describe('whether a stream comes through (SSF 1.0 §8.1.4)', () => {
  it('is asked with a state that is kept before the answer can come, and shown once it has', async () => {
    // The event is taken before the call for it is answered.
    transmitter.behave({
      path: /verify/,
      times: 1,
      meanwhile: async () => {
        const { verification } = await world.state()
        await transmitter.verify(verification.state)
        await stream().flush()
      },
    })
    await world.work()
    const { verified, verification } = await world.state()
    expect(verified).toMatchObject({ state: verification.state })
    await world.work()
    expect((await world.state()).stream).toMatchObject({ verifiedAt: verified.at, isUnverified: false })
  })

  it('is asked again after a day, with another state', async () => {
    await world.work()
    await untilVerified()
    const { state: first } = (await world.state()).verification
    await world.age('verification,requestedAt', day - minute)
    await world.work()
    expect((await world.state()).verification.state).toBe(first)
    await world.age('verification,requestedAt', 2 * minute)
    await world.work()
    const { state: second } = (await world.state()).verification
    expect(second).not.toBe(first)
    await waitFor(async () => (await world.state()).verified.state === second, { what: 'the second verification' })
  })

  it('is in doubt while no event has come, until one does; an answer to an older question is refused (P45)', async () => {
    transmitter.withholdVerifications()
    await world.work()
    const { state: stale } = (await world.state()).verification
    expect(await world.work()).not.toHaveProperty('error')
    await world.age('verification,requestedAt', 11 * minute)
    const missing = { error: expect.stringContaining('verification event that was asked for has not come') }
    expect(await world.work()).toMatchObject(missing)
    expect(await world.work()).toMatchObject(missing)
    expect((await world.channel()).failingSince).not.toBeNull()

    const jti = await transmitter.verify(stale)
    await stream().flush()
    expect(stream().refused.get(jti)).toMatchObject({ err: 'invalid_state' })
    await transmitter.emit(`${caep}session-revoked`, transmitter.subject('nobody'))
    const { state: fresh } = (await world.state()).verification
    expect(fresh).not.toBe(stale)
    await transmitter.verify(fresh)
    await stream().flush()
    expect(await world.work()).not.toHaveProperty('error')
  })

  it('is not asked more often than the transmitter allows, and being told so is no trouble', async () => {
    transmitter = await world.transmitter({ minVerificationSeconds: 3_600 })
    await world.connect(transmitter)
    transmitter.withholdVerifications()
    await world.work()
    await world.age('verification,requestedAt', 11 * minute)
    await world.work()
    expect(calls().filter((call) => call.includes('verify'))).toEqual(['POST /ssf/verify 204'])
    await world.age('verification,requestedAt', 60 * minute)
    const before = await world.state()
    expect((await world.work()).error).not.toContain('429')
    expect(calls().filter((call) => call.includes('verify'))).toEqual(['POST /ssf/verify 204', 'POST /ssf/verify 429'])
    expect((await world.state()).verification.state).toBe(before.verification.state)
  })

  it('is asked again when the question did not get there', async () => {
    transmitter.behave({ path: /verify/, status: 500, times: 2 })
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('answered 500'), againMs: 30_000 })
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('answered 500') })
    await world.work()
    await untilVerified()
    expect(await world.work()).not.toHaveProperty('error')
  })
})

describe('how a stream stands (SSF 1.0 §8.1.2)', () => {
  const later = () => world.age('stream,checkedAt', 6 * minute)

  it.each(['paused', 'disabled'] as const)('tells one that is %s to go on, once in a day', async (status) => {
    await world.work()
    await untilVerified()
    stream().status = status
    expect(await world.work()).not.toHaveProperty('error')
    await later()
    expect(await world.work()).not.toHaveProperty('error')
    expect(stream().status).toBe('enabled')
    expect(world.lines.map(({ msg }) => msg)).toContain('channel.stream_resumed')

    stream().status = status
    await later()
    const stopped = { error: `The transmitter has ${status} the stream: nothing comes` }
    expect(await world.work()).toMatchObject(stopped)
    expect(stream().status).toBe(status)
    expect(await world.work()).toMatchObject(stopped)
    expect((await world.state()).stream.status).toBe(status)

    await world.age('stream,resumedAt', day)
    await later()
    expect(await world.work()).not.toHaveProperty('error')
    expect(stream().status).toBe('enabled')
  })

  it('is looked at as soon as the stream tells that it stops', async () => {
    await world.work()
    await untilVerified()
    transmitter.behave({ method: 'POST', path: /status/, status: 405 })
    await transmitter.setStatus('paused', 'maintenance')
    expect((await world.state()).streamStatus).toMatchObject({ status: 'paused' })
    await world.age('stream,checkedAt', minute)
    expect(await world.work()).toMatchObject({ error: 'The transmitter has paused the stream: nothing comes' })
    expect((await world.channel()).failingSince).not.toBeNull()
    expect((await world.state()).stream.status).toBe('paused')
  })

  it('is what the stream told of itself where there is nobody to ask', async () => {
    const { configuration: configurationEndpoint } = transmitter.endpoints
    await world.connect(transmitter, { stream: { configurationEndpoint } })
    expect(await world.work()).not.toHaveProperty('error')
    await world.age('stream,setUpAt', minute)
    await transmitter.setStatus('disabled')
    expect(await world.work()).toMatchObject({ error: 'The transmitter has disabled the stream: nothing comes' })
    expect((await world.state()).stream.status).toBe('disabled')
  })
})

describe('a transmitter that does not do as it is asked', () => {
  it.each([
    [{ status: 401 }, 'refuses the token (401)', 5 * minute],
    [{ status: 403 }, 'does not let the token do this (403): it needs ssf.manage', 5 * minute],
    [{ status: 429, headers: { 'retry-after': '77' } }, 'asked too often (429)', 77_000],
    [{ status: 429, headers: { 'retry-after': '86000' } }, 'asked too often (429)', 15 * minute],
    [{ status: 503 }, 'answered 503', 30_000],
    [{ body: '<html>' }, 'is no stream', 30_000],
    [{ status: 302, headers: { location: 'http://127.0.0.1:9/' } }, 'answered 302', 30_000],
  ])('is shown in plain words, and asked again: %j', async (fault, error, againMs) => {
    transmitter.behave({ path: /stream/, method: 'body' in fault ? 'POST' : 'GET', ...fault })
    const result = await world.work()
    expect(result).toMatchObject({ error: expect.stringContaining(error), againMs })
    expect(JSON.stringify(result)).not.toContain(transmitter.token)
    transmitter.behave()
    expect(await world.work()).not.toHaveProperty('error')
  })

  it('is not asked without a token, and not again until somebody gives one', async () => {
    await world.connect(transmitter, {}, { token: null })
    expect(await world.work()).toMatchObject({ againMs: undefined, error: expect.stringContaining('without a token') })
    expect(transmitter.asked).toHaveLength(0)
    await world.connect(transmitter)
    expect(await world.work()).not.toHaveProperty('error')
  })

  it('is asked through the one door out: no address in private networks (P18)', async () => {
    const configurationEndpoint = 'http://169.254.169.254/ssf/stream'
    await world.connect(transmitter, { stream: { configurationEndpoint } })
    expect(await world.work()).toMatchObject({
      error: expect.stringMatching(/^Calls to 169\.254\.169\.254 are not allowed/),
    })
  })

  it('is not asked for anything more once the turn has passed to somebody else', async () => {
    const turn = await world.takeTurn()
    transmitter.behave({
      method: 'GET',
      path: /stream/,
      times: 1,
      meanwhile: () => world.owner.query(`update channel set work_lease = 'of another worker' where kind = 'ssf'`),
    })
    const result = await world.give(turn)
    await world.channels.endTurn(turn, result)
    expect(calls()).toEqual(['GET /ssf/stream 200'])
    expect(await world.channel()).toMatchObject({ error: null, state: {} })
  })
})
