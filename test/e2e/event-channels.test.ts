import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { envelope, type LogEvent, logEvent, post, userTarget } from '../receivers/okta-calls.ts'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type AdminClient, patchSchema, type ScimClient } from '../support/clients.ts'
import { connect } from '../support/postgres.ts'
import { record } from '../support/secret-setup.ts'
import { audience, caep, risc, type SetTransmitter, startTransmitter } from '../support/set-transmitter.ts'
import { push } from '../support/ssf-world.ts'
import { type RegisteredServer, registerDirectory, registerServer, runTenure, spawnTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

interface Person {
  readonly id: string
  readonly oktaId: string
  readonly userName: string
  readonly token: string
}

const secret = randomBytes(32).toString('base64url')

describe.each(backends())('event channels, with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let transmitter: SetTransmitter
  let owner: pg.Client
  let tenure: { url: string; admin: AdminClient }
  let close: () => Promise<unknown>
  let okta: ScimClient
  let linear: RegisteredServer
  let hired = 0

  beforeAll(async () => {
    record.secret(secret, 'hook secret')
    backend = await start()
    owner = await connect({ url: backend.database.ownerUrl })
    transmitter = await startTransmitter()
    await startAll()
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    await tenure.admin.put('/rules/everyone', { server: 'linear', when: 'active eq true', scopes: ['read'] })
    await tenure.admin.put('/directories/acme/channels/okta', { secret })
    const { issuer, jwksUri } = transmitter
    const stream = { issuer, jwksUri, audience, delivery: 'push', pushAuthorization: secret }
    await tenure.admin.put('/directories/acme/channels/ssf', stream)
  })
  afterAll(async () => {
    await close?.()
    await linear?.receiver.close()
    await transmitter?.close()
    await owner?.end()
    await backend?.stop()
  })

  const stores = () => ({ ...backend.database, redisUrl: backend.redisUrl })
  async function startAll(): Promise<void> {
    const running = await runTenure('all', stores())
    tenure = running
    close = () => running.close()
  }

  const ids = () => {
    const name = `person${hired++}`
    return { oktaId: `00u${name}`, userName: `${name}@acme.example` }
  }
  async function create({ oktaId, userName }: { oktaId: string; userName: string }): Promise<string> {
    return (await okta.createUser(userName, { externalId: oktaId, active: true })).id
  }
  /** In, told to the server, with a token. */
  async function hire(): Promise<Person> {
    const names = ids()
    const id = await create(names)
    await linear.receiver.waitFor(({ message }) => message.data.user.id === id)
    const token = randomBytes(24).toString('base64url')
    await tenure.admin.grant({ directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], token })
    return { id, token, ...names }
  }
  const hook = (...events: LogEvent[]) => post(`${tenure.url}/directories/acme/events/okta`, secret, envelope(events))
  const about = (person: { oktaId: string; userName: string }, eventType: string, at = new Date()) =>
    logEvent(eventType, [userTarget(person)], { published: at.toISOString() })
  async function set({ oktaId }: { oktaId: string }, type: string): Promise<number> {
    const signed = await transmitter.sign({
      sub_id: { format: 'iss_sub', iss: transmitter.issuer, sub: oktaId },
      events: { [type]: {} },
    })
    return (await push(`${tenure.url}/directories/acme/events/ssf`, signed, { authorization: secret })).status
  }
  const deactivate = ({ id }: Person) =>
    okta.send('PATCH', `/Users/${id}`, {
      schemas: [patchSchema],
      Operations: [{ op: 'replace', path: 'active', value: false }],
    })

  async function standing({ id }: { id: string }) {
    const { rows } = await owner.query(
      `select s.epoch::int as epoch, s.hold_source as hold,
         (select count(*)::int from ledger_entry l where l.user_id = s.user_id and l.kind = 'cut') as cuts
       from user_state s where s.user_id = $1`,
      [id],
    )
    return rows[0] as { epoch: number; hold: string | null; cuts: number }
  }
  const effectsOn = async ({ id }: { id: string }): Promise<string[]> => {
    const { rows } = await owner.query('select effect from inbound_event where user_id = $1 order by seq', [id])
    return rows.map(({ effect }) => effect)
  }
  const isGood = async ({ token }: Person) => (await tenure.admin.introspect(token, { server: 'linear' })).active
  /** Generations in which the server was told that the user is out. */
  const revocationsOf = ({ id }: { id: string }) =>
    new Set(
      linear.receiver.requests
        .filter(({ message: { data } }) => data.user.id === id && !data.active)
        .map(({ message }) => message.data.generation),
    )
  const toldOut = (person: { id: string }) =>
    waitFor(() => revocationsOf(person).size > 0, { what: 'the server to be told that the user is out' })

  it('told many times at once, does it once', async () => {
    const lee = await hire()
    const left = about(lee, 'user.lifecycle.suspend')
    const answers = await Promise.all(Array.from({ length: 8 }, () => hook(left)))
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
    expect(await isGood(lee)).toBe(false)
    expect((await hook(left, left)).status).toBe(200)
    await toldOut(lee)
    await tenure.admin.waitUntilSettled()
    expect(await standing(lee)).toEqual({ epoch: 1, hold: 'okta', cuts: 1 })
    expect(await effectsOn(lee)).toEqual(['cut'])
    expect(revocationsOf(lee).size).toBe(1)
  })

  it('told "enabled" before the "disabled" that it followed, ends held', async () => {
    const lee = await hire()
    const now = Date.now()
    await hook(about(lee, 'user.lifecycle.unsuspend', new Date(now - 1_000)))
    expect(await isGood(lee)).toBe(true)
    await hook(about(lee, 'user.lifecycle.suspend', new Date(now - 2_000)))
    expect(await isGood(lee)).toBe(false)
    await toldOut(lee)
    expect(await standing(lee)).toEqual({ epoch: 1, hold: 'okta', cuts: 1 })
  })

  it('ends no hold for an "enabled", forged, late or genuine, but for what SCIM states', async () => {
    const lee = await hire()
    await hook(about(lee, 'user.lifecycle.suspend'))
    const enabled = envelope([about(lee, 'user.lifecycle.unsuspend')])
    const url = `${tenure.url}/directories/acme/events/okta`
    expect((await post(url, randomBytes(32).toString('base64url'), enabled)).status).toBe(401)
    await hook(about(lee, 'user.lifecycle.unsuspend', new Date(Date.now() - 60_000)))
    await hook(about(lee, 'user.lifecycle.unsuspend'), about(lee, 'user.lifecycle.reactivate'))
    expect(await set(lee, `${risc}account-enabled`)).toBe(202)
    expect(await standing(lee)).toMatchObject({ epoch: 1, hold: 'okta' })
    expect(await isGood(lee)).toBe(false)
    await okta.send('PATCH', `/Users/${lee.id}`, {
      schemas: [patchSchema],
      Operations: [{ op: 'replace', path: 'active', value: true }],
    })
    expect(await standing(lee)).toEqual({ epoch: 1, hold: null, cuts: 1 })
    expect(await isGood(lee)).toBe(false)
    await linear.receiver.waitFor(
      ({ message: { data } }) => data.user.id === lee.id && data.active && data.notBefore !== null,
    )
  })

  it('keeps an event about somebody whom SCIM has yet to create', async () => {
    const lee = ids()
    await hook(about(lee, 'user.lifecycle.suspend'))
    const id = await create(lee)
    await waitFor(async () => (await effectsOn({ id })).length > 0, { what: 'the event to find its user' })
    // Okta states that she is active after it said that she was suspended.
    expect(await effectsOn({ id })).toEqual(['overtaken'])
    expect(await standing({ id })).toEqual({ epoch: 1, hold: null, cuts: 1 })
  })

  it('of an event and the creation at the same moment, the later one is right', { timeout: 60_000 }, async () => {
    const people = Array.from({ length: 25 }, ids)
    const created = await Promise.all(
      people.map(
        async (person) => (await Promise.all([create(person), hook(about(person, 'user.lifecycle.suspend'))]))[0],
      ),
    )
    for (const id of created) {
      await waitFor(async () => (await effectsOn({ id })).length > 0, { what: 'the event to find its user' })
      const { rows } = await owner.query(
        `select s.hold_at is not null as held, e.received_at > s.stated_active_at as later, s.epoch::int as epoch
         from user_state s join inbound_event e on e.user_id = s.user_id where s.user_id = $1`,
        [id],
      )
      expect(rows).toEqual([{ held: rows[0].later, later: rows[0].later, epoch: 1 }])
    }
  })

  const channels = {
    hook: (lee: Person) => hook(about(lee, 'user.lifecycle.deactivate')),
    set: (lee: Person) => set(lee, `${risc}account-disabled`),
    scim: deactivate,
  }
  it.each([
    ['hook', 'set', 'scim'],
    ['hook', 'scim', 'set'],
    ['set', 'hook', 'scim'],
    ['set', 'scim', 'hook'],
    ['scim', 'hook', 'set'],
    ['scim', 'set', 'hook'],
  ] as const)('one leave told by %s, then %s, then %s: one epoch, one round of revocations', async (...order) => {
    const lee = await hire()
    for (const [at, name] of order.entries()) {
      await channels[name](lee)
      expect([at, await isGood(lee)]).toEqual([at, false])
    }
    // What ends with it is told by some as well.
    expect(await set(lee, `${caep}session-revoked`)).toBe(202)
    await toldOut(lee)
    await tenure.admin.waitUntilSettled()
    expect(await standing(lee)).toMatchObject({ epoch: 1, cuts: 1 })
    expect(revocationsOf(lee).size).toBe(1)
  })

  it('one leave told by all three at once: one epoch, one round of revocations', async () => {
    const lee = await hire()
    await Promise.all(Object.values(channels).map((tell) => tell(lee)))
    expect(await isGood(lee)).toBe(false)
    await toldOut(lee)
    await tenure.admin.waitUntilSettled()
    expect(await standing(lee)).toMatchObject({ epoch: 1, cuts: 1 })
    expect(revocationsOf(lee).size).toBe(1)
  })

  it('killed between its answer and the work, has lost nothing', { timeout: 60_000 }, async () => {
    const lee = await hire()
    await close()
    const api = await spawnTenure('api', stores())
    tenure = api
    expect((await hook(about(lee, 'user.lifecycle.deactivate'))).status).toBe(200)
    await api.process.kill('SIGKILL')
    expect(revocationsOf(lee).size).toBe(0)

    await startAll()
    expect(await isGood(lee)).toBe(false)
    await toldOut(lee)
    expect(await standing(lee)).toEqual({ epoch: 1, hold: 'okta', cuts: 1 })
    // Okta had no answer that it remembers, perhaps, and sends it again.
    expect(await effectsOn(lee)).toEqual(['cut'])
  })
})
