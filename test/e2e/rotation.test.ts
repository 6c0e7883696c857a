import { setTimeout as delay } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { AdminClient, type Answer, type Json, ScimClient, ServerClient } from '../support/clients.ts'
import { type Counted, Fleet, type Load, startLoad } from '../support/load.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { startTenure } from '../support/processes.ts'
import type { ReceivedRequest } from '../support/receiver.ts'
import {
  adminKey,
  environment,
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
  spawnTenure,
} from '../support/tenure.ts'
import { startTraffic, type Traffic } from '../support/traffic.ts'
import { waitFor } from '../support/wait-for.ts'

const timeout = 240_000
/** Between the requests of one caller, where processes start beside them: these need the machine as well. */
const pauseMs = 25
const statusesOf = (answers: readonly Counted[]) => [...new Set(answers.map(({ status }) => status))].sort()

/** An identity provider whose requests go to whichever process is up. */
class RoamingScimClient extends ScimClient {
  readonly #fleet: Fleet

  constructor({ base, token }: ScimClient, fleet: Fleet) {
    super(base, token)
    this.#fleet = fleet
  }

  override async send(method: string, path: string, body?: unknown): Promise<Answer> {
    await delay(pauseMs)
    return this.#fleet.ask((url) => this.at(url).send(method, path, body))
  }
}

describe('TENURE_SECRET_KEY, by restarts, one process at a time', () => {
  const keys = { old: `the-old-secret-key-${'o'.repeat(32)}`, new: `the-new-secret-key-${'n'.repeat(32)}` }
  type Running = Awaited<ReturnType<typeof spawnTenure>>
  type Place = 'api one' | 'api two' | 'worker'
  const roleOf = (place: Place) => (place === 'worker' ? 'worker' : 'api')

  const fleet = new Fleet()
  const running = new Map<Place, Running>()
  const servers: RegisteredServer[] = []
  const loads: Load[] = []
  let database: TestDatabase
  let traffic: Traffic | undefined

  beforeAll(async () => {
    database = await createDatabase()
  })
  afterAll(async () => {
    await traffic?.stop().catch(() => {})
    await Promise.allSettled(loads.map((load) => load.stop()))
    await Promise.all([...running.values()].map(({ process }) => process.kill('SIGTERM')))
    for (const { receiver } of servers) await receiver.close()
    await database?.drop()
  })

  /** Up before the one that it replaces goes. */
  async function restart(places: readonly Place[], secretKey: string): Promise<void> {
    for (const place of places) {
      const next = await spawnTenure(roleOf(place), database, { TENURE_SECRET_KEY: secretKey })
      const before = running.get(place)
      running.set(place, next)
      if (place !== 'worker') fleet.add(next.url)
      if (!before) continue
      expect(await before.process.kill('SIGTERM')).toEqual({ code: 0, signal: null })
      if (place !== 'worker') fleet.remove(before.url)
    }
  }
  const admin = () => running.get('api one')!.admin
  const secrets = async (): Promise<Json> => (await admin().get('/stats')).secrets

  /** A secret of its own, sealed with whatever key seals now. */
  async function addServer(id: string): Promise<RegisteredServer> {
    const server = await registerServer(admin(), id)
    servers.push(server)
    await admin().put(`/rules/${id}`, { server: id, when: 'groups.display eq "Engineering"', scopes: ['read'] })
    return server
  }
  const nextWebhooks = () =>
    Promise.all(servers.map(({ receiver }) => receiver.waitForRequests(receiver.requests.length + 3, 30_000)))

  it('refuses nothing and leaves nothing unreadable', { timeout }, async () => {
    const apis: readonly Place[] = ['api one', 'api two']
    await Promise.all([...apis, 'worker' as const].map((place) => restart([place], keys.old)))
    const okta = new RoamingScimClient(await registerDirectory(admin(), 'acme'), fleet)
    await addServer('sealed-by-old')
    const ada = await okta.createUser('ada@acme.example')
    const group = (await okta.createGroup('Engineering', [ada.id])).id
    const credentials = await admin().post('/servers/sealed-by-old/credentials')

    let granted = 0
    const grant = () => {
      const token = `token-of-ada-${granted++}`
      return { directory: 'acme', user: { id: ada.id }, server: 'sealed-by-old', scopes: ['read'], jti: token, token }
    }
    const first = grant()
    expect(await admin().grant(first)).toMatchObject({ status: 201 })
    traffic = startTraffic(okta, { group, people: 3 })
    const grants = startLoad(async () => {
      await delay(pauseMs)
      const fields = grant()
      return fleet.ask((url) => new AdminClient(url, adminKey).grant(fields))
    }, 1)
    const introspections = startLoad(async () => {
      await delay(pauseMs)
      const { active } = await fleet.ask((url) => new ServerClient(url, credentials).introspect(first.token))
      return { status: active ? 200 : 0 }
    }, 1)
    loads.push(grants, introspections)
    await nextWebhooks()
    expect(await secrets()).toEqual({ sealed: 2, underOlderKeys: 0 })

    await restart([...apis, 'worker'], `${keys.old},${keys.new}`)
    await addServer('sealed-by-old-still')
    await nextWebhooks()
    expect(await secrets()).toEqual({ sealed: 3, underOlderKeys: 0 })

    await restart(apis, `${keys.new},${keys.old}`)
    await addServer('sealed-by-new')
    await nextWebhooks()
    expect(await secrets()).toMatchObject({ sealed: 4, underOlderKeys: expect.toSatisfy((count) => count > 0) })
    await restart(['worker'], `${keys.new},${keys.old}`)
    await waitFor(async () => (await secrets()).underOlderKeys === 0, { what: 'nothing to lie under the old key' })
    await nextWebhooks()

    await restart([...apis, 'worker'], keys.new)
    await addServer('sealed-by-new-alone')
    await nextWebhooks()
    expect(await secrets()).toEqual({ sealed: 5, underOlderKeys: 0 })

    await traffic.stop()
    expect(traffic.refused).toEqual([])
    expect(traffic.accepted).toBeGreaterThan(50)
    // 200: one whose answer was lost with its connection and that was asked for again.
    expect(statusesOf(await grants.stop())).toSatisfy((seen) =>
      (seen as number[]).every((status) => [200, 201].includes(status)),
    )
    expect(statusesOf(await introspections.stop())).toEqual([200])
    for (const { answers } of loads) expect(answers.length).toBeGreaterThan(50)

    await admin().waitUntilSettled()
    for (const { id, receiver } of servers) {
      expect([id, receiver.requests.filter(({ signatureValid }) => !signatureValid)]).toEqual([id, []])
      for (const person of traffic.people)
        expect([id, receiver.users.get(person.id)?.active ?? false]).toEqual([id, person.active && person.member])
    }
    const owner = await connect({ url: database.ownerUrl })
    const { rows } = await owner.query('select distinct outcome from attempt order by outcome')
    await owner.end()
    // Unanswered: what a worker was sending when it was stopped, and another has sent again. None was refused or held back.
    expect(rows.map(({ outcome }) => outcome)).toBeOneOf([['applied'], ['applied', 'unanswered']])

    await Promise.all(
      (['api', 'worker'] as const).map(async (role) => {
        const late = startTenure({ args: [role], env: { ...environment(database), TENURE_SECRET_KEY: keys.old } })
        expect(await late.ended).toEqual({ code: 1, signal: null })
        expect(late.output()).toContain('tenure: TENURE_SECRET_KEY is not the key that this database was set up with\n')
        expect(late.output()).not.toContain('tenure.started')
      }),
    )
  })
})

describe('with two processes that serve', () => {
  let database: TestDatabase
  let one: RunningTenure
  let two: RunningTenure
  let okta: ScimClient
  const loads: Load[] = []

  beforeAll(async () => {
    database = await createDatabase()
    one = await runTenure('api', database)
    two = await runTenure('api', database)
    okta = await registerDirectory(one.admin, 'acme')
  })
  afterEach(async () => {
    await Promise.allSettled(loads.splice(0).map((load) => load.stop()))
  })
  afterAll(async () => {
    await one?.close()
    await two?.close()
    await database?.drop()
  })

  const load = (call: () => Promise<{ status: number }>, parallel?: number): Load => {
    const started = startLoad(call, parallel)
    loads.push(started)
    return started
  }

  /** One of two credentials goes while both are used, at both processes. */
  async function takesBack<T>({
    gone,
    kept,
    use,
    remove,
  }: {
    gone: T
    kept: T
    use: (url: string, credential: T) => Promise<{ status: number }>
    remove: () => Promise<unknown>
  }): Promise<void> {
    const urls = [one.url, two.url]
    const withGone = urls.map((url) => load(() => use(url, gone)))
    const withKept = urls.map((url) => load(() => use(url, kept)))
    const all = [...withGone, ...withKept]
    await Promise.all(all.map((each) => each.more(10)))
    const asked = performance.now()
    await remove()
    const answered = performance.now()
    await Promise.all(all.map((each) => each.more(10)))

    for (const each of withKept) expect(statusesOf(await each.stop())).toEqual([200])
    for (const each of withGone) {
      const answers = await each.stop()
      expect(statusesOf(answers.filter(({ endedAt }) => endedAt < asked))).toEqual([200])
      expect(statusesOf(answers.filter(({ begunAt }) => begunAt > answered))).toEqual([401])
    }
  }

  describe('an admin key', () => {
    it('that is named is refused from its removal on, and the second never', { timeout }, async () => {
      const first = await one.admin.post('/keys', { name: 'first' })
      const asFirst = new AdminClient(two.url, first.key)
      const early = load(() => asFirst.send('GET', '/servers'))
      await early.more(5)
      const second = await asFirst.post('/keys', { name: 'second' })
      expect(await asFirst.send('POST', '/keys', { name: 'second' })).toMatchObject({ status: 409 })
      expect(statusesOf(await early.stop())).toEqual([200])

      let turn = 0
      await takesBack({
        gone: first.key,
        kept: second.key,
        use: async (url, key) => {
          const admin = new AdminClient(url, key)
          if (turn++ % 2 === 0) return admin.send('GET', '/directories')
          return admin.sendIntrospection('no-such-token', {})
        },
        remove: () => new AdminClient(one.url, second.key).delete(`/keys/${first.id}`),
      })
    })

    it('that has expired leaves its name to the next', async () => {
      const expiresAt = new Date(Date.now() + 60_000).toISOString()
      const { id, key } = await one.admin.post('/keys', { name: 'short-lived', expiresAt })
      expect(await one.admin.send('POST', '/keys', { name: 'short-lived' })).toMatchObject({ status: 409 })
      const owner = await connect({ url: database.ownerUrl })
      await owner.query('update admin_key set expires_at = clock_timestamp() where id = $1', [id])
      await owner.end()
      const next = await one.admin.post('/keys', { name: 'short-lived' })
      expect(await new AdminClient(two.url, key).send('GET', '/keys')).toMatchObject({ status: 401 })
      const { items } = await new AdminClient(two.url, next.key).get('/keys')
      expect(items.filter(({ name }: Json) => name === 'short-lived')).toMatchObject([{ id: next.id, expiresAt: null }])
      expect(await one.admin.send('GET', `/keys/${id}`)).toMatchObject({ status: 404 })
    })
  })

  it('a SCIM token is refused from its removal on, the others never', { timeout }, async () => {
    const [gone, kept] = [
      await one.admin.post('/directories/acme/tokens', { label: 'the first' }),
      await one.admin.post('/directories/acme/tokens', { label: 'the second' }),
    ]
    const { id } = await okta.createUser('scim-token@acme.example')
    await takesBack({
      gone: gone.token,
      kept: kept.token,
      use: (url, token) => new ScimClient(okta.at(url).base, token).send('GET', `/Users/${id}`),
      remove: () => two.admin.delete(`/directories/acme/tokens/${gone.id}`),
    })
    expect(await okta.send('GET', `/Users/${id}`)).toMatchObject({ status: 200 })
  })

  it("a server's credentials are refused from their removal on, the others never", { timeout }, async () => {
    await one.admin.post('/servers', {
      id: 'asking',
      name: 'Asking',
      resource: 'https://asking.example/mcp',
      connectors: [{ type: 'webhook', url: 'https://hooks.asking.example/tenure' }],
    })
    const gone = await one.admin.post('/servers/asking/credentials', { label: 'the first' })
    const kept = await two.admin.post('/servers/asking/credentials', { label: 'the second' })
    await takesBack({
      gone,
      kept,
      use: (url, { clientId, clientSecret }) =>
        fetch(`${url}/oauth2/introspect`, {
          method: 'POST',
          headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
          body: new URLSearchParams({ token: 'no-such-token' }),
        }),
      remove: () => two.admin.delete(`/servers/asking/credentials/${gone.clientId}`),
    })
  })
})

describe('TENURE_ADMIN_KEY, by restarts, one process at a time', () => {
  const keys = { old: 'the-old-admin-key-of-this-test', new: 'the-new-admin-key-of-this-test' }
  const fleet = new Fleet()
  let database: TestDatabase
  let running: RunningTenure[] = []
  const loads: Load[] = []

  beforeAll(async () => {
    database = await createDatabase()
  })
  afterAll(async () => {
    await Promise.allSettled(loads.map((load) => load.stop()))
    for (const tenure of running) await tenure.close()
    await database?.drop()
  })

  async function restartAll(list: string): Promise<void> {
    for (const [index, before] of [...running].entries()) {
      const next = await runTenure('api', database, { TENURE_ADMIN_KEY: list })
      fleet.add(next.url)
      running[index] = next
      await before.close()
      fleet.remove(before.url)
    }
  }

  it('never refuses a key that is listed everywhere', { timeout }, async () => {
    running = [
      await runTenure('api', database, { TENURE_ADMIN_KEY: keys.old }),
      await runTenure('api', database, { TENURE_ADMIN_KEY: keys.old }),
    ]
    for (const { url } of running) fleet.add(url)
    let key = keys.old
    const clients: Array<(admin: AdminClient) => Promise<Answer>> = [
      (admin) => admin.send('GET', '/servers'),
      (admin) => admin.send('POST', '/rules/test', { directory: 'acme', when: 'active eq true' }),
      (admin) => admin.sendIntrospection('no-such-token', {}),
    ]
    await fleet.ask((url) => new AdminClient(url, key).post('/directories', { id: 'acme', provider: 'okta' }))
    for (const call of clients) loads.push(startLoad(() => fleet.ask((url) => call(new AdminClient(url, key)))))
    const more = () => Promise.all(loads.map((load) => load.more(20)))

    await more()
    expect(await running[0]!.admin.send('GET', '/servers')).toMatchObject({ status: 401 }) // the key of other tests
    await restartAll(`${keys.old},${keys.new}`)
    await more()
    key = keys.new
    await more()
    await restartAll(keys.new)
    await more()
    for (const load of loads) expect(statusesOf(await load.stop())).toEqual([200])
    for (const { url } of running)
      expect(await new AdminClient(url, keys.old).send('GET', '/servers')).toMatchObject({ status: 401 })
  })
})

describe("a webhook's secret, while deliveries flow", () => {
  let database: TestDatabase
  let api: RunningTenure
  let worker: RunningTenure
  let okta: ScimClient
  let server: RegisteredServer
  let created = 0

  beforeAll(async () => {
    database = await createDatabase()
    api = await runTenure('api', database)
    worker = await runTenure('worker', database)
    okta = await registerDirectory(api.admin, 'acme')
  })
  afterAll(async () => {
    await api?.close()
    await worker?.close()
    await server?.receiver.close()
    await database?.drop()
  })

  const signaturesOf = ({ headers }: ReceivedRequest) => String(headers['webhook-signature']).split(' ').length
  const fits = (secret: string) => (request: ReceivedRequest) => {
    try {
      new Webhook(secret).verify(request.body, request.headers as Record<string, string>)
      return true
    } catch {
      return false
    }
  }

  it('signs beside the one before for a day, then alone', { timeout }, async () => {
    const { connectors } = await api.admin.post('/servers', {
      id: 'linear',
      name: 'Linear',
      resource: 'https://linear.example/mcp',
      connectors: [{ type: 'webhook', url: 'http://127.0.0.1:9' }],
    })
    expect(connectors).toHaveLength(1)
    server = await registerServer(api.admin, 'figma')
    const { receiver } = server
    await api.admin.put('/rules/figma', { server: 'figma', when: 'active eq true', scopes: ['read'] })
    const [connector] = (await api.admin.get('/servers/figma')).connectors
    const rotate = async (): Promise<string> =>
      (await api.admin.post(`/servers/figma/connectors/${connector.id}/rotate-secret`)).signingSecret

    const people: string[] = []
    const stream = startLoad(async () => {
      const answer = await okta.send('POST', '/Users', {
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
        userName: `person-${created++}@acme.example`,
        active: true,
      })
      people.push(answer.body.id)
      return answer
    }, 2)
    /** Webhooks about people who joined from now on, so that nothing of them was made ready before. */
    const nextWebhooks = async (): Promise<ReceivedRequest[]> => {
      const known = people.length
      await stream.more(10)
      const ids = people.slice(known + 2, known + 8) // two may have been under way
      return Promise.all(ids.map((id) => receiver.waitFor(({ message }) => message.data.user.id === id, 30_000)))
    }
    try {
      const before = await nextWebhooks()
      expect(before.map(signaturesOf)).toEqual(before.map(() => 1))
      expect(await api.admin.get('/servers/figma')).toMatchObject({ connectors: [{ secrets: [{ signsUntil: null }] }] })

      const second = await rotate()
      const both = await nextWebhooks()
      expect(both.map(signaturesOf)).toEqual(both.map(() => 2))
      expect(both.every(fits(second))).toBe(true)
      expect(receiver.requests.every(({ signatureValid }) => signatureValid)).toBe(true) // it knows the first only
      expect(before.some(fits(second))).toBe(false)
      const [rotated] = (await api.admin.get('/servers/figma')).connectors
      expect(rotated.secrets).toMatchObject([{ signsUntil: null }, { signsUntil: expect.any(String) }])
      const hours = (Date.parse(rotated.secrets[1].signsUntil) - Date.now()) / 3_600_000
      expect(hours).toBeGreaterThan(23.9)
      expect(hours).toBeLessThanOrEqual(24)

      receiver.trust(second)
      const switchedAt = receiver.requests.length
      await nextWebhooks()
      const owner = await connect({ url: database.ownerUrl })
      await owner.query(
        'update connector_secret set signs_until = clock_timestamp() where signs_until is not null and connector_id = $1',
        [connector.id],
      )
      await owner.end()
      const after = await nextWebhooks()
      expect(after.map(signaturesOf)).toEqual(after.map(() => 1))
      expect(after.every(fits(second))).toBe(true)
      expect(receiver.requests.slice(switchedAt).every(({ signatureValid }) => signatureValid)).toBe(true)

      const [third, fourth] = await Promise.all([rotate(), rotate()])
      const all = await nextWebhooks()
      expect(all.map(signaturesOf)).toEqual(all.map(() => 3))
      for (const secret of [second, third, fourth]) expect(all.every(fits(secret!))).toBe(true)
      const { secrets } = (await api.admin.get('/servers/figma')).connectors[0]
      expect(secrets.filter(({ signsUntil }: Json) => signsUntil === null)).toHaveLength(1)
    } finally {
      expect(statusesOf(await stream.stop())).toEqual([201])
    }
    await api.admin.waitUntilSettled()
    expect(receiver.users.size).toBe(people.length)
  })

  it.each(['linear', 'nowhere'])('is not that of another server: %s', async (id) => {
    const path = `/servers/${id}/connectors/${(await api.admin.get('/servers/figma')).connectors[0].id}/rotate-secret`
    expect(await api.admin.send('POST', path)).toMatchObject({ status: 404 })
  })
})
