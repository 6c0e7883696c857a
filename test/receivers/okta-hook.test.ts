import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { appId, envelope, logEvent, ourApp, post, userTarget } from './okta-calls.ts'
import { type ChannelWorld, makeSecret, type Person, startChannelWorld } from './world.ts'

let world: ChannelWorld
let secret: string
let olderSecret: string

/** No workers: whatever an answer says is so without any. */
beforeAll(async () => {
  world = await startChannelWorld('api')
  secret = makeSecret('event hook')
  olderSecret = makeSecret('older event hook')
  await world.admin.post('/directories', { id: 'umbrella', provider: 'okta' })
})
beforeEach(() => world.setUp('okta', { appId }, [secret, olderSecret]))
afterAll(() => world?.close())

const send = (...events: unknown[]) => post(world.url('okta'), secret, envelope(events))

function deactivation(person: Pick<Person, 'oktaId' | 'userName'>, fields: Parameters<typeof logEvent>[2] = {}) {
  return logEvent('user.lifecycle.deactivate', [userTarget(person)], fields)
}

function secondsAgo(seconds: number): string {
  return new Date(Date.now() - seconds * 1_000).toISOString()
}

async function expectUncut(person: Person): Promise<void> {
  expect(await world.standing(person)).toMatchObject({ epoch: 0, hold: null })
  expect(await world.isGood(person)).toBe(true)
}

async function challenge(value: string | undefined, kind = 'okta') {
  const headers = value === undefined ? {} : { 'x-okta-verification-challenge': value }
  const response = await fetch(world.url(kind), { headers: { authorization: secret, ...headers } })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

describe('the handshake of an event hook (reference §1.1)', () => {
  it('says the challenge back, and needs no secret for it', async () => {
    const value = '4d0b8f5e-challenge'
    const response = await fetch(world.url('okta'), { headers: { 'x-okta-verification-challenge': value } })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ verification: value })
  })

  it('P36: is JSON whatever is in it, and nothing else of the request', async () => {
    const value = '"}<script>alert(1)</script>'
    const { headers, text } = await challenge(value)
    expect(text).toBe(JSON.stringify({ verification: value }))
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it.each([undefined, '', 'c'.repeat(513)])(
    'P36: is refused without a challenge, or with one too long (%#)',
    async (value) => {
      const { status, text } = await challenge(value)
      expect(status).toBe(400)
      expect(text).not.toContain('ccc')
    },
  )

  it('is not for a directory without this channel, or for none', async () => {
    for (const directory of ['umbrella', 'nowhere']) {
      const headers = { 'x-okta-verification-challenge': 'who-is-there' }
      const response = await fetch(world.url('okta', directory), { headers })
      expect(response.status).toBe(404)
      expect(await response.text()).not.toContain('who-is-there')
    }
  })
})

describe('P35: the secret of an event hook', () => {
  it('is either of two while it changes, and says when each was used', async () => {
    for (const shown of [secret, olderSecret]) {
      const person = await world.join()
      expect(await post(world.url('okta'), shown, envelope([deactivation(person)]))).toMatchObject({ status: 200 })
      expect(await world.isGood(person)).toBe(false)
    }
    const { secrets } = await world.channels.get({ directoryId: 'acme', kind: 'okta' })
    expect(secrets).toHaveLength(2)
    expect(secrets.map(({ lastUsedAt }) => lastUsedAt)).toEqual([expect.any(Date), expect.any(Date)])
  })

  it('opens nothing once it is taken away', async () => {
    const person = await world.join()
    await world.setUp('okta', { appId }, [secret])
    expect(await post(world.url('okta'), olderSecret, envelope([deactivation(person)]))).toMatchObject({ status: 401 })
    await expectUncut(person)
  })

  it.each([
    ['none', () => undefined],
    ['an empty one', () => ''],
    ['another', () => 'an event hook secret of somebody else'],
    ['its beginning', () => secret.slice(0, -1)],
    ['more than it', () => `${secret}x`],
    ['it in another case', () => secret.toUpperCase()],
    ['it behind a scheme', () => `Bearer ${secret}`],
    ['two at once', () => `${secret}, ${olderSecret}`],
  ])('is refused as %s, in words that say nothing', async (_what, shown) => {
    const person = await world.join()
    const answer = await post(world.url('okta'), shown(), envelope([deactivation(person)]))
    expect(answer.status).toBe(401)
    expect(JSON.parse(answer.text)).toEqual({
      type: 'about:blank',
      status: 401,
      title: 'Unauthorized',
      detail: 'The credentials are not accepted',
    })
    await expectUncut(person)
  })

  it('is asked for before the body is read', async () => {
    for (const body of ['{', 'x'.repeat(2 * 1024 * 1024)])
      expect(await post(world.url('okta'), 'a secret of nobody at all', body)).toMatchObject({ status: 401 })
  })

  it('is never left out: a channel without one takes nothing', async () => {
    const person = await world.join()
    await world.setUp('okta', { appId }, [])
    for (const shown of [undefined, '', secret])
      expect(await post(world.url('okta'), shown, envelope([deactivation(person)]))).toMatchObject({ status: 401 })
    await expectUncut(person)
  })

  it('P24: of one directory opens no other, and names nobody there', async () => {
    const person = await world.join()
    const theirs = makeSecret('event hook of umbrella')
    await world.setUp('okta', {}, [theirs], 'umbrella')
    const url = world.url('okta', 'umbrella')
    expect(await post(url, secret, envelope([deactivation(person)]))).toMatchObject({ status: 401 })
    expect(await post(url, theirs, envelope([deactivation(person)]))).toMatchObject({ status: 200 })
    await expectUncut(person)
    await world.channels.remove({ directoryId: 'umbrella', kind: 'okta' })
  })
})

describe('P28: a call is answered when it is committed, before any work', () => {
  it('with an empty 200, after which nothing is good any more', async () => {
    const person = await world.join()
    const begun = performance.now()
    const answer = await send(deactivation(person))
    expect(performance.now() - begun).toBeLessThan(3_000)
    expect(answer).toMatchObject({ status: 200, text: '' })
    expect(await world.isGood(person)).toBe(false)
    expect(await world.admin.get(`/users/${person.id}`)).toMatchObject({
      epoch: 1,
      hold: { source: 'okta' },
      behind: true,
    })
    expect(world.linear.receiver.requests).toHaveLength(0)
  })

  it('with all events of the call, oldest first, whatever their order', async () => {
    const people = await Promise.all(Array.from({ length: 20 }, () => world.join()))
    const [lee] = people
    const cleared = logEvent('user.session.clear', [userTarget(lee!)], { published: secondsAgo(2) })
    const left = deactivation(lee!, { published: secondsAgo(1) })
    const others = people.slice(1).map((person) => deactivation(person))
    expect(await send(left, ...others, cleared)).toMatchObject({ status: 200 })
    expect(await world.taken(cleared.uuid)).toMatchObject({ effect: 'cut' })
    expect(await world.taken(left.uuid)).toMatchObject({ effect: 'cut' })
    expect(await world.standing(lee!)).toMatchObject({ epoch: 2, hold: 'okta' })
    for (const person of people) expect(await world.isGood(person)).toBe(false)
  })

  it('and each event counts once, within a call and over several at a time', async () => {
    const person = await world.join()
    const event = logEvent('user.session.clear', [userTarget(person)])
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(event, event)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(await send(event)).toMatchObject({ status: 200, text: '' })
    expect(await world.standing(person)).toMatchObject({ epoch: 1 })
  })

  it('and an enabled user is not let in by it: the hold stays until SCIM speaks', async () => {
    const person = await world.join()
    await send(deactivation(person))
    const enabled = logEvent('user.lifecycle.activate', [userTarget(person)])
    expect(await send(enabled)).toMatchObject({ status: 200 })
    expect(await world.taken(enabled.uuid)).toMatchObject({ effect: 'recorded', userId: person.id })
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
    await world.scim.setActive(person.id, true)
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: null })
    expect(await world.isGood(person)).toBe(false)
  })

  it('and whoever is not known yet is waited for', async () => {
    const event = deactivation({ oktaId: '00unobodyyet', userName: 'nobody-yet@acme.example' })
    expect(await send(event)).toMatchObject({ status: 200 })
    expect(await world.taken(event.uuid)).toMatchObject({ kind: 'left', effect: 'waiting', userId: null })
  })
})

describe('what a call may hold', () => {
  it('P12: events of types that nobody knows', async () => {
    const person = await world.join()
    const event = logEvent('user.lifecycle.abduct', [userTarget(person)])
    expect(await send(event)).toMatchObject({ status: 200, text: '' })
    expect(await world.taken(event.uuid)).toMatchObject({ kind: 'noted', effect: 'recorded' })
    await expectUncut(person)
  })

  it('P26, P27: failed ones and sign-outs, which take nothing from anybody', async () => {
    const [person, admin] = [await world.join(), await world.join()]
    const failed = deactivation(person, { outcome: { result: 'FAILURE', reason: 'no permission' } })
    const signedOut = logEvent('user.session.end', [userTarget(admin)], { actor: userTarget(person) })
    expect(await send(failed, signedOut)).toMatchObject({ status: 200 })
    expect(await world.taken(signedOut.uuid)).toMatchObject({ kind: 'noted', userId: person.id })
    await expectUncut(person)
    await expectUncut(admin)
  })

  it('P27: the admin who clears somebody’s sessions keeps their own', async () => {
    const [person, admin] = [await world.join(), await world.join()]
    await send(logEvent('user.session.clear', [userTarget(person)], { actor: userTarget(admin) }))
    expect(await world.isGood(person)).toBe(false)
    await expectUncut(admin)
  })

  it('assignments of our app, whose account name finds who the login does not', async () => {
    const person = await world.join({ externalId: 'hr-4711' })
    const account = { ...ourApp, id: '0uaaccount', type: 'AppUser', alternateId: person.userName }
    const login = { oktaId: '00ulogin', userName: 'somebody.else@acme.example' }
    expect(
      await send(logEvent('application.user_membership.remove', [account, userTarget(login), ourApp])),
    ).toMatchObject({
      status: 200,
    })
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: 'okta' })
  })

  it('no events at all', async () => {
    expect(await send()).toMatchObject({ status: 200, text: '' })
  })

  it('P29: some that cannot be used, beside which the others count', async () => {
    const person = await world.join()
    const before = await world.countTaken()
    const answer = await send(
      null,
      { ...deactivation(person), uuid: undefined },
      { ...deactivation(person), eventType: 'user.lifecycle\u0000' },
      deactivation(person),
    )
    expect(answer).toMatchObject({ status: 200 })
    expect(await world.countTaken()).toBe(before + 1)
    expect(await world.isGood(person)).toBe(false)
  })

  it('P29: texts that Postgres cannot hold, beside which the others count', async () => {
    const person = await world.join()
    const hostile = { ...userTarget(person), id: '00u\u0000', alternateId: 'lee\ud800' }
    const event = logEvent('user.lifecycle.deactivate', [hostile], {
      published: '+275760-09-13T00:00:00.000Z',
      transaction: { type: 'WEB', id: 't\u0000', detail: {} },
    })
    expect(await send(event, deactivation(person))).toMatchObject({ status: 200 })
    expect(await world.taken(event.uuid)).toMatchObject({ kind: 'left', effect: 'recorded', userId: null })
    expect(await world.isGood(person)).toBe(false)
  })

  it('a compressed body, and any content type', async () => {
    const person = await world.join()
    const response = await fetch(world.url('okta'), {
      method: 'POST',
      headers: { authorization: secret, 'content-encoding': 'gzip', 'content-type': 'text/plain' },
      body: gzipSync(JSON.stringify(envelope([deactivation(person)]))),
    })
    expect(response.status).toBe(200)
    expect(await world.isGood(person)).toBe(false)
  })
})

describe('a malformed call', () => {
  const malformed: ReadonlyArray<readonly [string, unknown]> = [
    ['nothing', ''],
    ['no JSON', '{"data":'],
    ['no object', '[]'],
    ['null', 'null'],
    ['a text', '"data"'],
    ['no data', { ...envelope([]), data: undefined }],
    ['data that is a list', { ...envelope([]), data: [] }],
    ['no list of events', { ...envelope([]), data: { events: { 0: logEvent('user.session.clear', []) } } }],
    ['nothing but what is no event', envelope([null, 'user.session.clear', {}])],
  ]

  it.each(malformed)('is refused: %s', async (_what, body) => {
    const before = await world.countTaken()
    const answer = await post(world.url('okta'), secret, body)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text).detail).toBe('The body is not what this channel takes')
    expect(await world.countTaken()).toBe(before)
  })

  it('is too large with more than a mebibyte', async () => {
    const person = await world.join()
    const event = { ...deactivation(person), displayMessage: 'x'.repeat(1024 * 1024) }
    expect(await send(event)).toMatchObject({ status: 413 })
    await expectUncut(person)
  })

  it('is counted by what is wrong with it', async () => {
    await world.admin.post('/directories', { id: 'counted', provider: 'okta' })
    await world.setUp('okta', {}, [secret], 'counted')
    const url = world.url('okta', 'counted')
    for (const [, body] of malformed) await post(url, secret, body)
    await post(url, secret, envelope([null, logEvent('user.session.clear', [])]))
    await post(url, secret, 'x'.repeat(1024 * 1024 + 1))
    await post(url, undefined, envelope([]))
    await post(url, 'a secret of nobody at all', '{')
    await fetch(url)
    await post(url, secret, envelope([]))
    await world.waitForRefusals('okta', { content: malformed.length + 2, size: 1, credential: 2 }, 'counted')
  })

  it('is at another address, or of another method, none', async () => {
    expect(await post(`${world.url('okta')}/more`, secret, envelope([]))).toMatchObject({ status: 404 })
    expect(await fetch(world.url('okta'), { method: 'PUT', headers: { authorization: secret } })).toMatchObject({
      status: 404,
    })
  })

  it.each(['okta', 'ssf', 'global-token-revocation'])(
    '%s is not in a directory that no database can name',
    async (kind) => {
      expect(await post(world.url(kind, '%00'), secret, envelope([]))).toMatchObject({ status: 404 })
    },
  )
})

describe('P37: what is written down of calls', () => {
  it('no name, no address and no secret, in the log or in the rows of events', async () => {
    const person = await world.join()
    await send(logEvent('user.lifecycle.suspend', [userTarget(person)]), null)
    await post(world.url('okta'), 'not the secret of this hook', envelope([deactivation(person)]))
    const lines = world.tenure.log.filter(({ path }) => path === '/directories/acme/events/okta')
    expect(lines.at(-2)).toMatchObject({ status: 200, directoryId: 'acme', channel: 'okta', events: 1 })
    expect(lines.at(-1)).toMatchObject({ status: 401, directoryId: 'acme', reason: 'credential' })
    const { rows } = await world.owner.query('select * from inbound_event where user_id = $1', [person.id])
    for (const text of [JSON.stringify(world.tenure.log), JSON.stringify(rows)]) {
      expect(text).not.toContain(person.userName)
      expect(text).not.toContain('192.0.2.10')
      expect(text).not.toContain('not the secret')
    }
  })
})
