import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { logEvent, party } from '../../src/demo/okta-events.ts'
import { oktaWork } from '../../src/receivers/okta/work.ts'
import { waitFor } from '../support/wait-for.ts'
import { type OktaWorld, plenty, startOktaWorld } from './okta-world.ts'

let world: OktaWorld
let names = 0

beforeAll(async () => {
  world = await startOktaWorld()
})
/** The channel has read everything that there is. */
beforeEach(async () => {
  world.hook.behave()
  world.okta.api.behave()
  world.okta.api.limit(plenty)
  await world.setUpOkta()
  await world.work()
})
afterAll(() => world?.close())

const hire = (name = 'someone') => world.hire(`${name}-${names++}@acme.example`)
const requests = () => world.okta.api.requests.filter((path) => path.startsWith('/api/v1/logs'))
const queryOf = (path: string) => new URL(path, world.okta.url).searchParams

describe('reading the System Log of an Okta org (reference §1.6)', () => {
  it('P30: cuts whoever left when the hook was lost', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    const { uuid } = await world.okta.suspend(person)
    expect(await world.isGood(person)).toBe(true)
    expect(await world.work()).toMatchObject({ againMs: 60_000 })
    expect(await world.isGood(person)).toBe(false)
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
    expect(await world.taken(uuid)).toMatchObject({ kind: 'suspended', effect: 'cut', userId: person.id })
  })

  it('counts once what the hook told, twice, and the log tells again', async () => {
    const person = await hire()
    world.hook.behave({ duplicates: true })
    const { uuid } = await world.okta.suspend(person)
    const before = await world.countTaken()
    await world.work()
    expect(await world.taken(uuid)).toMatchObject({ effect: 'cut' })
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
    expect(await world.countTaken()).toBe(before)
  })

  it('asks in polling mode, from an hour before, for what can change somebody’s access', async () => {
    await world.setUpOkta({ apiUrl: `${world.okta.url}/` })
    const asked = requests().length
    await world.work()
    const query = queryOf(requests()[asked]!)
    expect([query.get('sortOrder'), query.has('until'), query.has('after')]).toEqual(['ASCENDING', false, false])
    expect(Date.now() - Date.parse(query.get('since')!)).toBeGreaterThan(59 * 60_000)
    const filter = query.get('filter')!
    for (const type of ['user.lifecycle.deactivate', 'user.lifecycle.delete.completed', 'user.lifecycle.unsuspend'])
      expect(filter).toContain(`eventType eq "${type}"`)
    expect(filter).not.toMatch(/user\.session\.start|update_profile|id_jag/)
  })

  it('reads pages until one is empty, and goes on from there in the next turn', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    const about = party(person.oktaId, 'User', person.userName)
    for (let n = 0; n < 450; n++) world.okta.log.append(logEvent('user.session.clear', [about]))
    const before = [requests().length, await world.countOf('user.session.clear')]
    await world.work()
    expect(requests().length).toBe(before[0]! + 4)
    expect(await world.countOf('user.session.clear')).toBe(before[1]! + 450)
    await world.work()
    expect(requests().length).toBe(before[0]! + 5)
    expect(queryOf(requests().at(-1)!).get('after')).not.toBeNull()
  })

  it('meets what is written down after what happened later', async () => {
    const [early, late] = [await hire(), await hire()]
    world.hook.behave({ loses: true })
    world.okta.log.fallBehind()
    await world.okta.suspend(early)
    world.okta.log.append(logEvent('user.lifecycle.suspend', [party(late.oktaId, 'User', late.userName)]))
    await world.work()
    expect(await world.isGood(early)).toBe(true)
    world.okta.log.catchUp()
    await world.work()
    expect([await world.isGood(early), await world.isGood(late)]).toEqual([false, false])
  })

  it('P3: reads a page again when nobody was there any more to move the cursor', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    const { uuid } = await world.okta.suspend(person)
    const { state } = await world.channel()
    const noteState = () => Promise.reject(new Error('killed'))
    await world.crash({ channels: { ...world.channels, noteState } })
    expect(await world.taken(uuid)).toMatchObject({ effect: 'cut' })
    expect((await world.channel()).state).toEqual(state)
    const count = await world.countTaken()
    await world.work()
    expect(await world.countTaken()).toBe(count)
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
  })

  it('P3: does not move the cursor over what could not be written down', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    const { state } = await world.channel()
    const intake = { ...world.parts.intake, receive: () => Promise.reject(new Error('no database')) }
    await world.crash({ intake })
    expect((await world.channel()).state).toEqual(state)
    await world.work()
    expect(await world.isGood(person)).toBe(false)
  })

  it('takes nothing when the turn has passed to somebody else', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    const turn = await world.takeTurn()
    await oktaWork(world.parts)(turn, async () => false, new AbortController().signal)
    expect(await world.isGood(person)).toBe(true)
    await world.work()
    expect(await world.isGood(person)).toBe(false)
  })

  it('begins again, an hour back, when other types are asked for', async () => {
    const person = await hire()
    const { uuid } = logEvent('user.account.lock', [])
    world.okta.log.append(logEvent('user.account.lock', [party(person.oktaId, 'User', person.userName)], { uuid }))
    await world.work()
    expect(await world.taken(uuid)).toBeUndefined()
    await world.setUpOkta({ effects: { 'user.account.lock': 'suspended' } })
    await world.work()
    expect(await world.taken(uuid)).toMatchObject({ effect: 'cut' })
  })

  it.each([
    ['does not know the place in its log any more', () => world.okta.log.forgetCursors(), 'Okta answered 400'],
    ['does not say what follows it', endTheLog, 'Okta does not say where in its log to go on'],
  ])('begins again, an hour back, when Okta %s', async (_what, lose, error) => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    await lose()
    expect(await world.work()).toMatchObject({ error })
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.isGood(person)).toBe(false)
  })

  it('P30: notes the last hook call that failed, and which hook it was', async () => {
    const person = await hire()
    const behind = await startRefusing(500)
    const { uri } = behind
    const other = await world.okta.addHook({ uri, secret: 'of-nobody' })
    await world.okta.lock(person)
    expect(other.attempts.map(({ status }) => status)).toEqual([500, 500])
    await world.work()
    expect((await world.channel()).state.hookFailure).toEqual({ at: expect.any(String), hook: other.id })
    other.behave({ loses: true })
    await behind.close()
  })

  it('takes what can be used of a page, and says that not all could', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    const page = [null, { eventType: 'user.lifecycle.suspend' }, ...world.okta.log.entries.slice(-1)]
    const headers = { Link: `<${(await world.channel()).state.cursor}&n=1>; rel="next"` }
    world.okta.api.behave({ path: /logs/, times: 1, body: JSON.stringify(page), headers })
    await world.work()
    expect(await world.isGood(person)).toBe(false)
    expect(world.lines.at(-1)).toMatchObject({ msg: 'channel.events_unusable', events: 2, directoryId: 'acme' })
  })
})

describe('an Okta org that does not answer as it should', () => {
  it('is left alone until its rate limit is over, and then asked where it was', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    world.okta.api.limit({ limit: 60, remaining: 0, resetInSeconds: 40 })
    const { againMs, error } = await world.work()
    expect(error).toBe('The rate limit of the Okta org is used up (429)')
    expect(againMs).toBeGreaterThan(35_000)
    expect(againMs).toBeLessThanOrEqual(42_000)
    world.okta.api.limit(plenty)
    await world.work()
    expect(await world.isGood(person)).toBe(false)
  })

  it('has a share of its rate limit left to others', async () => {
    const person = await hire()
    world.hook.behave({ loses: true })
    await world.okta.suspend(person)
    world.okta.api.limit({ limit: 60, remaining: 6, resetInSeconds: 30 })
    const asked = requests().length
    const result = await world.work()
    expect(requests().length).toBe(asked + 1)
    expect(result).not.toHaveProperty('error')
    expect(result.againMs).toBeGreaterThan(20_000)
    expect(await world.isGood(person)).toBe(false)
  })

  it.each([
    ['a token that is no good', () => world.setUpOkta({}, 'SSWS 00-not-a-token-of-this-org-0123456789'), /401/],
    [
      'a token that may not read it',
      () => Promise.resolve(world.okta.api.scope('okta.users.read')),
      /403.*okta\.logs\.read/,
    ],
  ])('is said plainly: %s', async (_what, arrange, words) => {
    await arrange()
    const { error, againMs } = await world.work()
    expect(error).toMatch(words)
    expect(againMs).toBe(300_000)
    expect(await world.channel()).toMatchObject({ error, failingSince: expect.any(Date) })
    world.okta.api.scope('okta.logs.read', 'okta.users.read', 'okta.apps.read')
    await world.setUpOkta({}, world.okta.api.accessToken)
    expect(await world.work()).not.toHaveProperty('error')
    expect(await world.channel()).toMatchObject({ error: null, failingSince: null })
  })

  it('loses nothing while it refuses the first turns', async () => {
    await world.setUpOkta({ apiUrl: world.okta.url.replace('127.0.0.1', 'localhost') })
    await world.setUpOkta()
    world.okta.api.behave({ path: /logs/, status: 500 })
    expect(await world.work()).toMatchObject({ error: 'Okta answered 500', againMs: 60_000 })
    const { since } = (await world.channel()).state
    expect(since).toEqual(expect.any(String))
    await world.work()
    world.okta.api.behave()
    await world.work()
    expect(queryOf(requests().at(-2)!).get('since')).toBe(since)
  })

  it.each([
    ['is not JSON', { body: '<html>' }, 'What Okta answered is not JSON'],
    ['is no list', { body: '{}' }, 'What Okta answered is no list of events'],
    ['has no next page', { body: '[]' }, 'Okta does not say where in its log to go on'],
    ['is a redirect', { status: 302, headers: { Location: 'https://elsewhere.example' } }, 'Okta answered 302'],
    ['is no log', { status: 404 }, 'There is no System Log at this address (404)'],
  ])('is an error that says why when what it answers %s', async (_what, fault, error) => {
    const { since } = (await world.channel()).state
    world.okta.api.behave({ path: /logs/, ...fault })
    expect(await world.work()).toMatchObject({ error, againMs: 60_000, state: { since } })
  })

  it('is an error when it cannot be reached, or stops in the midst of it', async () => {
    await world.setUpOkta({ apiUrl: 'http://127.0.0.1:9' })
    expect(await world.work()).toMatchObject({ error: expect.stringContaining('Could not connect to 127.0.0.1:9') })
    await world.setUpOkta()
    world.okta.api.behave({ stalls: true })
    const ends = new AbortController()
    const turn = await world.takeTurn()
    const asked = requests().length
    const working = oktaWork(world.parts)(turn, async () => true, ends.signal)
    await waitFor(() => requests().length > asked, { what: 'the log to be asked for' })
    ends.abort()
    expect(await working).toMatchObject({ error: expect.stringContaining('aborted') })
  })

  it('never shows its token to anybody else, wherever its pages lead', async () => {
    const elsewhere = await startRefusing(200)
    const page = JSON.stringify([logEvent('user.session.clear', [])])
    const headers = { Link: `<${elsewhere.uri}>; rel="next"` }
    world.okta.api.behave({ path: /logs/, body: page, headers })
    expect(await world.work()).toMatchObject({ error: 'Okta does not say where in its log to go on' })
    await world.channels.noteState({ directoryId: 'acme', kind: 'okta' }, { cursor: elsewhere.uri })
    world.okta.api.behave()
    expect(await world.work()).not.toHaveProperty('error')
    expect(elsewhere.requests).toBe(0)
    await elsewhere.close()
  })

  it('does not keep a turn busy with the same page for ever', async () => {
    await world.setUpOkta({ effects: { 'user.account.lock': 'noted' } })
    await world.work()
    const { cursor } = (await world.channel()).state as { cursor: string }
    const headers = { Link: `<${cursor}>; rel="next"` }
    world.okta.api.behave({ path: /logs/, body: JSON.stringify([logEvent('user.session.clear', [])]), headers })
    expect(await world.work()).toMatchObject({ error: 'Okta gives the same page of its log again' })
  })
})

it('asks for nothing without a token', async () => {
  const turn = await world.takeTurn()
  const asked = world.okta.api.requests.length
  const signal = new AbortController().signal
  const without = { ...turn, token: undefined }
  expect(await oktaWork(world.parts)(without, async () => true, signal)).toEqual({
    state: turn.state,
    againMs: undefined,
  })
  expect(world.okta.api.requests.length).toBe(asked)
})

/** By a cursor that leads to one last page. */
function endTheLog(): Promise<void> {
  const cursor = `${world.okta.url}/api/v1/logs?since=2000-01-01T00:00:00Z&until=2000-01-02T00:00:00Z`
  return world.channels.noteState({ directoryId: 'acme', kind: 'okta' }, { cursor })
}

/** Answers hooks' challenges, and everything else with this status. */
async function startRefusing(status: number) {
  let requests = 0
  const server = createServer((req, res) => {
    const challenge = req.headers['x-okta-verification-challenge']
    if (challenge) return void res.end(JSON.stringify({ verification: challenge }))
    requests++
    req.resume()
    res.writeHead(status, { 'content-type': 'application/json' }).end('[]')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/elsewhere`,
    get requests() {
      return requests
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
