import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { Answer, Json } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { audience, caep, risc, startTransmitter } from '../../support/set-transmitter.ts'
import { type PushedDirectory, push, type SsfWorld, startSsfWorld } from '../../support/ssf-world.ts'
import { waitFor } from '../../support/wait-for.ts'

const revoked = `${caep}session-revoked`
const disabled = `${risc}account-disabled`

let world: SsfWorld
let acme: PushedDirectory
let names = 0

beforeAll(async () => {
  world = await startSsfWorld()
  acme = await world.directory('acme')
})
afterAll(() => world?.close())

const now = () => Math.floor(Date.now() / 1_000)
const bySub = (sub: string, iss = world.transmitter.issuer) => ({ format: 'iss_sub', iss, sub })
const byEmail = (email: string) => ({ format: 'email', email })

async function join(directory = acme): Promise<{ id: string; sub: string; email: string }> {
  const sub = `00u-pitfall-${names++}`
  const email = `${sub}@acme.example`
  const { id } = await directory.scim.createUser(email, { externalId: sub })
  return { id, sub, email }
}

/** `session-revoked` of a sub, unless told otherwise. */
function sign(sub: string, claims: Record<string, unknown> = {}): Promise<string> {
  return world.transmitter.sign({ sub_id: bySub(sub), events: { [revoked]: { event_timestamp: now() } }, ...claims })
}

async function standing(id: string): Promise<{ epoch: number; held: boolean }> {
  const { epoch, hold } = await world.admin.get(`/users/${id}`)
  return { epoch, held: hold !== null }
}

async function eventsOf(id: string): Promise<Json[]> {
  return (await world.events('acme')).filter(({ userId }) => userId === id)
}

/** Breaks the connection that waits for a lock, as soon as there is one. */
async function breakWhoeverWaits(): Promise<void> {
  const url = Object.assign(new URL(inject('postgres').adminUrl), { pathname: `/${world.database.name}` }).href
  const admin = await connect({ url })
  const broken = async () => {
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rowCount
  }
  await waitFor(broken, { what: 'the push to wait for a lock' })
  await admin.end()
}

/** What its sender sees of an answer. */
const seen = ({ status, headers, body }: Answer) => ({
  status,
  headers: [...headers].filter(([name]) => name !== 'date'),
  body,
})

describe('pitfalls of a receiver of SETs (reference §8)', () => {
  it('P1: takes a SET whose sender is nearly two minutes ahead', async () => {
    const { id, sub } = await join()
    expect(await push(acme.pushUrl, await sign(sub, { iat: now() + 110 }))).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
  })

  it('P2: does not look at exp, and takes what a sender has tried to send for days', async () => {
    const { id, sub } = await join()
    const set = await sign(sub, { exp: now() - 86_400, iat: now() - 6 * 86_400 })
    expect(await push(acme.pushUrl, set)).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
  })

  it('P3: a SET that the database lost before it was committed is asked for again, and then counts', async () => {
    const { id, sub } = await join()
    const set = await sign(sub)
    await world.owner.query('begin')
    await world.owner.query('select 1 from user_state where user_id = $1 for update', [id])
    const pushed = push(acme.pushUrl, set)
    await breakWhoeverWaits()
    const lost = await pushed
    await world.owner.query('rollback')
    expect(lost).toMatchObject({ status: 503, body: undefined })
    expect(Number(lost.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await eventsOf(id)).toEqual([])
    expect(await push(acme.pushUrl, set)).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
  })

  it('P3: a jti that is known is answered like a new one and changes nothing, ten at a time too', async () => {
    const { id, sub } = await join()
    const set = await sign(sub)
    const answers = await Promise.all(Array.from({ length: 10 }, () => push(acme.pushUrl, set)))
    const later = await push(acme.pushUrl, set)
    for (const answer of [...answers, later]) expect(seen(answer)).toEqual({ ...seen(answers[0]!), status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
    expect(await eventsOf(id)).toHaveLength(1)
  })

  it('P3: the jti of another issuer is another SET', async () => {
    const { id, sub, email } = await join()
    const other = await startTransmitter()
    try {
      const jti = randomUUID()
      expect(await push(acme.pushUrl, await sign(sub, { jti }))).toMatchObject({ status: 202 })
      await world.setUp('acme', { issuer: other.issuer, jwksUri: other.jwksUri })
      const events = { [revoked]: { event_timestamp: now() + 1 } }
      const set = await other.sign({ jti, sub_id: byEmail(email), events })
      expect(await push(acme.pushUrl, set)).toMatchObject({ status: 202 })
      expect(await eventsOf(id)).toHaveLength(2)
    } finally {
      await world.setUp('acme')
      await other.close()
    }
  })

  it.each(['secevent+jwt', 'SecEvent+JWT', 'application/secevent+jwt', 'Application/SECEVENT+JWT'])(
    'P5: takes typ %s',
    async (typ) => {
      const { sub } = await join()
      const claims = { sub_id: bySub(sub), events: { [revoked]: {} } }
      expect(await push(acme.pushUrl, await world.transmitter.sign(claims, { header: { typ } }))).toMatchObject({
        status: 202,
      })
    },
  )

  it('P7: takes keys and issuer of the channel it comes over, not of whom the SET names', async () => {
    const theirs = await startTransmitter()
    const directory = await world.directory('of-theirs', { issuer: theirs.issuer, jwksUri: theirs.jwksUri })
    const { sub } = await join(directory)
    const claims = { sub_id: byEmail(`${sub}@acme.example`), events: { [revoked]: {} } }
    const ours = await world.transmitter.sign(claims)
    const pretended = await world.transmitter.sign({ ...claims, iss: theirs.issuer })
    for (const set of [ours, pretended]) expect(await push(directory.pushUrl, set)).toMatchObject({ status: 503 })
    const good = await theirs.sign(claims)
    expect(await push(acme.pushUrl, good)).toMatchObject({ status: 503 })
    expect(await push(directory.pushUrl, good)).toMatchObject({ status: 202 })
    expect(await world.events('of-theirs')).toHaveLength(1)
    await theirs.close()
  })

  it('P8: a SET for one directory is not taken by another with the same transmitter', async () => {
    const beta = await world.directory('beta', { audience: ['https://tenure.example/streams/beta'] })
    const { id, sub } = await join(beta)
    expect(await push(beta.pushUrl, await sign(sub))).toMatchObject({ status: 400, body: { err: 'invalid_audience' } })
    const both = await sign(sub, { aud: ['https://elsewhere.example', 'https://tenure.example/streams/beta'] })
    expect(await push(beta.pushUrl, both)).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
  })

  it('P19: forgets what it has heard lately by an address that has passed to somebody else', async () => {
    const { id, email } = await join()
    const newcomer = bySub(`newcomer-${names}`)
    const tell = async (claims: Record<string, unknown>) =>
      expect(await push(acme.pushUrl, await world.transmitter.sign(claims))).toMatchObject({ status: 202 })
    const aliases = { format: 'aliases', identifiers: [newcomer, byEmail(email)] }
    await tell({ sub_id: aliases, events: { [`${caep}token-claims-change`]: { claims: {} } } })
    await tell({ sub_id: byEmail(email), events: { [`${risc}identifier-recycled`]: {} } })
    await tell({ sub_id: newcomer, events: { [disabled]: {} } })
    expect(await standing(id)).toMatchObject({ epoch: 0, held: false })
  })

  it('P8: takes any of the audiences that are configured', async () => {
    const moving = await world.directory('moving', { audience: ['https://new.example/streams/1', audience] })
    for (const aud of [audience, ['https://new.example/streams/1']])
      expect(await push(moving.pushUrl, await sign('nobody', { aud }))).toMatchObject({ status: 202 })
  })

  it('P9: takes the subject in both places when they say the same', async () => {
    const { id, sub } = await join()
    const events = { [revoked]: { subject: { sub, iss: world.transmitter.issuer, format: 'iss_sub' } } }
    expect(await push(acme.pushUrl, await sign(sub, { events }))).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
  })

  it('P10: logging out one session leaves all others', async () => {
    const { id, sub } = await join()
    const sub_id = { format: 'complex', user: bySub(sub), session: { format: 'opaque', id: 'sid-1' } }
    expect(await push(acme.pushUrl, await sign(sub, { sub_id }))).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 0 })
    expect(await eventsOf(id)).toMatchObject([{ effect: 'recorded' }])
  })

  it('P11: takes each of several events, each once', async () => {
    const { id, sub } = await join()
    const events = { [`${caep}credential-change`]: {}, [revoked]: {}, [disabled]: {}, 'urn:example:x': {} }
    const set = await sign(sub, { events })
    for (const _time of [1, 2]) expect(await push(acme.pushUrl, set)).toMatchObject({ status: 202 })
    const taken = await eventsOf(id)
    expect(taken.map(({ type }) => type).toSorted()).toEqual(Object.keys(events).toSorted())
    expect(await standing(id)).toMatchObject({ held: true })
    // One of them alone, later, with a jti of its own, is another event.
    expect(await push(acme.pushUrl, await sign(sub))).toMatchObject({ status: 202 })
    expect(await eventsOf(id)).toHaveLength(taken.length + 1)
  })

  it('P12: takes a type that nobody knows, and does nothing', async () => {
    const { id, sub } = await join()
    const events = { 'https://schemas.openid.net/secevent/caep/event-type/not-yet-invented': { level: 9 } }
    expect(await push(acme.pushUrl, await sign(sub, { events }))).toMatchObject({ status: 202, body: undefined })
    expect(await standing(id)).toEqual({ epoch: 0, held: false })
    expect(await eventsOf(id)).toMatchObject([{ kind: 'noted', effect: 'recorded' }])
  })

  it.each([
    ['seconds', (at: Date) => at.getTime() / 1_000],
    ['milliseconds', (at: Date) => at.getTime()],
  ])('P13: reads event_timestamp in %s', async (_unit, write) => {
    const { id, sub } = await join()
    const at = new Date((now() - 3_600) * 1_000)
    expect(
      await push(acme.pushUrl, await sign(sub, { events: { [revoked]: { event_timestamp: write(at) } } })),
    ).toMatchObject({ status: 202 })
    expect((await eventsOf(id))[0].occurredAt).toEqual(at)
  })

  it.each<[string, unknown, Record<string, unknown>, number]>([
    ['toe', undefined, { toe: 7_200 }, 7_200],
    ['iat, for want of another', undefined, {}, 600],
    ['iat, where event_timestamp is a text', '2026-11-22T10:00:00Z', {}, 600],
    ['iat, where event_timestamp is beyond all time', 1e300, {}, 600],
    ['iat, where event_timestamp is negative', -1, {}, 600],
  ])('P13: else goes by %s', async (_name, event_timestamp, { toe }, secondsAgo) => {
    const { id, sub } = await join()
    const at = now()
    const claims = { iat: at - 600, ...(typeof toe === 'number' && { toe: at - toe }) }
    const set = await sign(sub, { ...claims, events: { [revoked]: { event_timestamp } } })
    expect(await push(acme.pushUrl, set)).toMatchObject({ status: 202 })
    expect((await eventsOf(id))[0].occurredAt).toEqual(new Date((at - secondsAgo) * 1_000))
  })

  it('P14: says neither what is expected nor whether anybody is known', async () => {
    const { sub } = await join()
    const known = await push(acme.pushUrl, await sign(sub))
    const unknown = await push(acme.pushUrl, await sign('00u-nobody'))
    expect(seen(unknown)).toEqual(seen(known))
    const refused = await Promise.all(
      [
        { iss: 'https://x.example' },
        { aud: 'https://x.example' },
        { jti: 7 },
        { iat: 1 },
        { sub_id: { format: 7 } },
      ].map(async (wrong) => push(acme.pushUrl, await sign(sub, wrong))),
    )
    for (const { status, headers, body } of refused) {
      expect({ status, language: headers.get('content-language') }).toEqual({ status: 400, language: 'en' })
      expect(headers.get('content-type')).toMatch(/^application\/json/)
      expect(body).toEqual({ err: expect.any(String), description: 'The SET is not accepted' })
    }
  })

  it('P14: answers alike for a directory without a channel, one that is polled, and none', async () => {
    const none = await world.directory('unplugged', { delivery: 'poll' })
    const polled = await push(none.pushUrl, await sign('x'))
    await world.channels.remove({ directoryId: 'unplugged', kind: 'ssf' })
    const bare = await push(none.pushUrl, await sign('x'))
    const nowhere = await push(none.pushUrl.replace('unplugged', 'nowhere'), await sign('x'))
    expect(polled).toMatchObject({ status: 404, body: { err: 'invalid_request' } })
    for (const answer of [bare, nowhere]) expect(seen(answer)).toEqual(seen(polled))
    expect(await world.events('unplugged')).toEqual([])
  })

  it('P15: made-up kids do not have the key set fetched for each', async () => {
    await push(acme.pushUrl, await sign('x'))
    const key = await world.transmitter.makeKey('RS256')
    const before = world.transmitter.fetches
    for (let index = 0; index < 40; index++) {
      const set = await world.transmitter.sign({}, { key, header: { kid: `made-up-${index}` } })
      expect(await push(acme.pushUrl, set)).toMatchObject({ status: 503 })
    }
    expect(world.transmitter.fetches - before).toBeLessThanOrEqual(1)
  })

  it('P24: looks for the subject in the directory of the channel alone', async () => {
    const gamma = await world.directory('gamma', { audience: ['https://tenure.example/streams/gamma'] })
    const { id: ours, email, sub } = await join()
    const theirs = (await gamma.scim.createUser(email, { externalId: sub })).id
    expect(await push(acme.pushUrl, await sign(sub, { sub_id: byEmail(email) }))).toMatchObject({ status: 202 })
    const byId = { format: 'scim', uri: `/Users/${theirs}` }
    expect(await push(acme.pushUrl, await sign(sub, { sub_id: byId }))).toMatchObject({ status: 202 })
    expect(await standing(ours)).toMatchObject({ epoch: 1 })
    expect(await standing(theirs)).toMatchObject({ epoch: 0 })
    expect(await world.events('gamma')).toEqual([])
  })

  it('P25: never takes the sub of one issuer for that of another', async () => {
    const { id, sub } = await join()
    const elsewhere = bySub(sub, 'https://login.microsoftonline.com/tenant/v2.0')
    expect(await push(acme.pushUrl, await sign(sub, { sub_id: elsewhere }))).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 0 })
    await world.setUp('acme', { subjectIssuers: [elsewhere.iss] })
    expect(await push(acme.pushUrl, await sign(sub, { sub_id: elsewhere }))).toMatchObject({ status: 202 })
    expect(await standing(id)).toMatchObject({ epoch: 1 })
    await world.setUp('acme')
  })
})

describe('authorization of pushes (RFC 8935 §2.1)', () => {
  it('takes both secrets while one is being changed, and none where none is configured', async () => {
    const [old, young] = ['Bearer old-Yc4mJ8sQ2vTn7WzLx5Hb', 'Basic bmV3LVp4Tjd2UTJtWThzSjRjVHdMNUhi']
    const directory = await world.directory('guarded')
    const put = (...inbound: string[]) => world.setUp('guarded', {}, ...inbound)
    const tried = async (authorization?: string) =>
      (await push(directory.pushUrl, await sign('x'), { authorization })).status
    await put(young, old)
    expect([
      await tried(old),
      await tried(young),
      await tried(`${old} `),
      await tried('Bearer x'),
      await tried(),
    ]).toEqual([202, 202, 202, 401, 401])
    await put(young)
    expect([await tried(old), await tried(young)]).toEqual([401, 202])
    await put()
    expect([await tried(), await tried(young)]).toEqual([202, 202])
  })
})
