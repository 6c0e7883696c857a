import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { Json, ScimClient } from '../support/clients.ts'
import { connect } from '../support/postgres.ts'
import type { Receiver } from '../support/receiver.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const timeout = 120_000
const none = { inFlight: 0, delivered: 0, alreadyDue: 0 }
const nothing = { dryRun: false, requeued: 0, deliveries: 0, users: 0, events: 0, skipped: none }
/** Refused at once and for good, as far as the schedule goes. */
const refusal = { status: 400 }
/** The next try is so far off that whatever comes before it does not come by schedule. */
const inFifteenMinutes = { status: 503, headers: { 'retry-after': '900' } }

describe.each(backends())('replay with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let database: pg.Client
  let api: RunningTenure
  let okta: ScimClient
  const servers: RegisteredServer[] = []

  beforeAll(async () => {
    backend = await start()
    database = await connect(backend.database)
    api = await runTenure('api', { ...backend.database, redisUrl: backend.redisUrl })
    okta = await registerDirectory(api.admin, 'acme')
  })
  afterAll(async () => {
    await api?.close()
    for (const { receiver } of servers) await receiver.close()
    await database?.end()
    await backend?.stop()
  })

  /** Workers while `during` runs; outside of it there are none, and rows stay as they are. */
  async function working<T>(during: () => Promise<T>): Promise<T> {
    const worker = await runTenure('worker', { ...backend.database, redisUrl: backend.redisUrl })
    try {
      return await during()
    } finally {
      await worker.close()
    }
  }

  /** A server for one test, told of everybody whose userName starts with its id. */
  async function register(id: string): Promise<Receiver> {
    const server = await registerServer(api.admin, id)
    servers.push(server)
    await api.admin.put(`/rules/${id}`, { server: id, when: `userName sw "${id}."`, scopes: ['read'] })
    return server.receiver
  }

  async function join(server: string, count: number, first = 0): Promise<string[]> {
    const names = Array.from({ length: count }, (_, index) => `${server}.${first + index}@acme.example`)
    const people = await Promise.all(names.map((name) => okta.createUser(name)))
    return people.map(({ id }) => id)
  }

  const replay = (body: Json = {}): Promise<Json> => api.admin.post('/jobs/replay', body)

  const listed = async (query: string): Promise<Json[]> => (await api.admin.get(`/jobs?limit=1000&${query}`)).items

  async function deliveryOf(userId: string): Promise<Json> {
    const { items } = await api.admin.get(`/deliveries?user=${userId}`)
    return items[0] && api.admin.get(`/deliveries/${items[0].id}`)
  }

  const untilDelivery = (userId: string, what: string, holds: (delivery: Json) => boolean): Promise<Json> =>
    waitFor(
      async () => {
        const delivery = await deliveryOf(userId)
        return delivery && holds(delivery) ? delivery : undefined
      },
      { what: `the delivery ${what}`, timeoutMs: 30_000 },
    )
  const untilDelivered = (userId: string) =>
    untilDelivery(userId, 'to have arrived', ({ state }) => state === 'delivered')
  const untilTried = (userId: string, times: number) =>
    untilDelivery(userId, `to have been tried ${times} times`, ({ attempts }) => attempts.length === times)

  /** Of a server, tried once and not taken, by the workers of the moment. */
  async function fail(server: string, count: number, first = 0): Promise<string[]> {
    const ids = await join(server, count, first)
    for (const id of ids) await untilTried(id, 1)
    return ids
  }

  /** Everything that a replay could have touched. */
  async function allRows(): Promise<Json> {
    const rows = (table: string, key: string) =>
      database.query(`select * from ${table} order by ${key}`).then((result) => result.rows)
    return {
      deliveries: await rows('delivery', 'id'),
      users: await rows('user_state', 'user_id'),
      servers: await rows('server', 'id'),
      attempts: await rows('attempt', 'id'),
    }
  }

  interface Failed {
    readonly id: string
    readonly attempts: number
    readonly parked: boolean
    readonly due: boolean
    readonly dueAt: string | null
  }

  async function failedRows(): Promise<Map<string, Failed>> {
    const { rows } = await database.query<Failed>(
      `select id, attempts, parked_at is not null as parked, due_at::text as "dueAt", coalesce(due_at <= clock_timestamp(), false) as due
       from delivery
       union all
       select user_id::text, converge_attempts, false, converge_due_at::text, coalesce(converge_due_at <= clock_timestamp(), false)
       from user_state`,
    )
    return new Map(rows.map((row) => [row.id, row]))
  }

  /** Without a worker: what is said to be requeued is what the rows say is due now with a fresh schedule, and was not. */
  async function replayedAsTheRowsSay(body: Json = {}): Promise<Json> {
    const before = await failedRows()
    const answer = await replay(body)
    const after = await failedRows()
    const requeued = [...after.values()].filter((row) => {
      const earlier = before.get(row.id)!
      return row.due && row.attempts === 0 && !row.parked && (earlier.attempts > 0 || earlier.parked)
    })
    const changed = [...after.values()].filter(
      (row) => JSON.stringify(row) !== JSON.stringify({ ...before.get(row.id)!, due: row.due }),
    )
    expect(changed.map(({ id }) => id).sort()).toEqual(requeued.map(({ id }) => id).sort())
    expect(answer).toMatchObject({
      requeued: requeued.length,
      deliveries: requeued.filter(({ id }) => id.startsWith('dlv_')).length,
      users: requeued.filter(({ id }) => !id.startsWith('dlv_')).length,
      events: 0,
    })
    return answer
  }

  describe('duplicates', () => {
    it('counts a row once, however often the same is replayed', { timeout }, async () => {
      const receiver = await register('twice')
      const [parked, backingOff] = await working(async () => {
        receiver.behave(refusal)
        const refused = await fail('twice', 3)
        receiver.behave(inFifteenMinutes)
        return [refused, await fail('twice', 2, 3)]
      })
      expect(await listed('server=twice')).toHaveLength(5)
      const query = { server: 'twice' }
      expect(await replayedAsTheRowsSay(query)).toEqual({ ...nothing, requeued: 5, deliveries: 5 })
      expect(await listed('server=twice')).toEqual([])
      expect(await replayedAsTheRowsSay(query)).toEqual({ ...nothing, skipped: { ...none, alreadyDue: 5 } })
      const { id } = await deliveryOf(parked![0]!)
      expect(await api.admin.post(`/jobs/${id}/replay`)).toEqual({ ...nothing, skipped: { ...none, alreadyDue: 1 } })

      receiver.behave()
      const before = receiver.requests.length
      await working(async () => {
        for (const user of [...parked!, ...backingOff!]) await untilDelivered(user)
      })
      expect(receiver.requests).toHaveLength(before + 5)
      expect(await replayedAsTheRowsSay(query)).toEqual(nothing)
    })

    it('counts it once when they come at the same moment, too', { timeout }, async () => {
      const receiver = await register('at-once')
      receiver.behave(refusal)
      const [user] = await working(() => fail('at-once', 8))
      const holder = await connect(backend.database)
      try {
        await holder.query('begin')
        await holder.query('select from delivery where user_id = $1 for update', [user])
        const answers = Promise.all(Array.from({ length: 4 }, () => replay({ server: 'at-once' })))
        await waitFor(
          async () => {
            const { rowCount } = await database.query(
              `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ 'requeued'`,
            )
            return rowCount === 4
          },
          { what: 'all to wait for one row' },
        )
        await holder.query('commit')
        const all = await answers
        expect(all.map(({ requeued }) => requeued).sort()).toEqual([0, 0, 0, 8])
        expect(all.map(({ deliveries }) => deliveries).sort()).toEqual([0, 0, 0, 8])
        expect(all.map(({ skipped }) => skipped.alreadyDue).sort()).toEqual([0, 8, 8, 8])
      } finally {
        await holder.end()
      }
    })
  })

  describe('a server that is still down', () => {
    it.each([
      { server: 'refusing', behaviour: refusal, state: 'parked', outcome: 'refused' },
      { server: 'down', behaviour: inFifteenMinutes, state: 'failing', outcome: 'unavailable' },
    ])(
      'is tried again each time, and counted again: $server',
      { timeout },
      async ({ server, behaviour, state, outcome }) => {
        const receiver = await register(server)
        receiver.behave(behaviour)
        await working(async () => {
          const users = await fail(server, 3)
          for (const tries of [2, 3]) {
            expect(await listed(`server=${server}&state=${state}`)).toHaveLength(3)
            expect(await replay({ server })).toEqual({ ...nothing, requeued: 3, deliveries: 3 })
            for (const user of users) {
              const { attempts } = await untilTried(user, tries)
              expect(attempts).toMatchObject(Array(tries).fill({ outcome }))
            }
          }
          expect(await listed(`server=${server}&state=${state}`)).toMatchObject(Array(3).fill({ attempts: 1 }))
        })
        expect(receiver.requests).toHaveLength(9)
        expect(await replayedAsTheRowsSay({ server })).toEqual({ ...nothing, requeued: 3, deliveries: 3 })
      },
    )

    it('has its schedule from the start again after 8 failures', { timeout }, async () => {
      const receiver = await register('eight')
      receiver.behave({ status: 500 })
      await working(async () => {
        const [user] = await fail('eight', 1)
        for (let tried = 2; tried <= 8; tried++) {
          await database.query(`update delivery set due_at = clock_timestamp() where server_id = 'eight'`)
          await untilTried(user!, tried)
        }
        expect(await listed('server=eight')).toMatchObject([{ state: 'parked', attempts: 8, nextTry: null }])
        receiver.behave(inFifteenMinutes)
        expect(await replay({ server: 'eight' })).toEqual({ ...nothing, requeued: 1, deliveries: 1 })
        await untilTried(user!, 9)
        expect(await listed('server=eight')).toMatchObject([
          { state: 'failing', attempts: 1, nextTry: expect.any(String) },
        ])
        receiver.behave()
        expect(await replay({ server: 'eight' })).toEqual({ ...nothing, requeued: 1, deliveries: 1 })
        await untilDelivered(user!)
      })
    })

    it('keeps a replayed revocation that parks again going', { timeout }, async () => {
      const receiver = await register('revoking')
      await working(async () => {
        const [user] = await join('revoking', 1)
        await untilDelivered(user!)
        receiver.behave(refusal)
        await okta.setActive(user!, false)
        await untilTried(user!, 2)
        for (const tries of [3, 4]) {
          expect(await replay({ server: 'revoking' })).toEqual({ ...nothing, requeued: 1, deliveries: 1 })
          const { state, urgent, nextTry } = await untilTried(user!, tries)
          expect({ state, urgent }).toEqual({ state: 'parked', urgent: true })
          const minutes = (Date.parse(nextTry) - Date.now()) / 60_000
          expect(minutes).toBeGreaterThan(11)
          expect(minutes).toBeLessThan(19)
        }
        receiver.behave()
        await replay({ server: 'revoking' })
        await untilDelivered(user!)
        expect(receiver.users.get(user!)).toMatchObject({ active: false })
      })
    })
  })

  describe('nothing to do', () => {
    it('answers zeros, 404 for what does not exist, and says so of one that was delivered', { timeout }, async () => {
      await register('well')
      const [user] = await working(async () => {
        const users = await join('well', 1)
        await untilDelivered(users[0]!)
        return users
      })
      const before = await allRows()
      expect(await replay({ server: 'well' })).toEqual(nothing)
      expect(await replay({ server: 'no-such-server' })).toEqual(nothing)
      const delivered = { ...nothing, skipped: { ...none, delivered: 1 } }
      const { id } = await deliveryOf(user!)
      expect(await api.admin.post(`/jobs/${id}/replay`)).toEqual(delivered)
      expect(await api.admin.post(`/jobs/${user}/replay`)).toEqual(delivered)
      for (const unknown of ['dlv_unknown', '00000000-0000-4000-8000-000000000000', 'nothing'])
        expect(await api.admin.send('POST', `/jobs/${unknown}/replay`)).toMatchObject({ status: 404 })
      expect(await allRows()).toEqual(before)
    })
  })

  describe('what is being sent', () => {
    it('is left alone, and sent once', { timeout }, async () => {
      const receiver = await register('hanging')
      receiver.behave({ ...inFifteenMinutes, times: 1 })
      await working(async () => {
        const [user] = await fail('hanging', 1)
        receiver.behave({ hang: true, apply: true })
        expect(await replay({ server: 'hanging' })).toMatchObject({ requeued: 1 })
        await receiver.waitForRequests(2)
        const inFlight = { ...nothing, skipped: { ...none, inFlight: 1 } }
        const { id } = await deliveryOf(user!)
        expect(await replay({ server: 'hanging' })).toEqual(inFlight)
        expect(await replay({ server: 'hanging', dryRun: true })).toEqual({ ...inFlight, dryRun: true })
        expect(await api.admin.post(`/jobs/${id}/replay`)).toEqual(inFlight)

        const [never] = await join('hanging', 1, 1)
        await receiver.waitForRequests(3)
        expect(await api.admin.post(`/jobs/${(await deliveryOf(never!)).id}/replay`)).toEqual(inFlight)
        expect(await replay({ server: 'hanging' })).toEqual(inFlight) // what never failed is none of a replay's business
        receiver.release()
        await untilDelivered(user!)
        await untilDelivered(never!)
        expect(await replay({ server: 'hanging' })).toEqual(nothing)
      })
      expect(receiver.requests).toHaveLength(3)
    })
  })

  describe('a generation that was superseded', () => {
    const move = (user: string, externalId: string) =>
      okta.patchUser(user, { op: 'replace', path: 'externalId', value: externalId })
    const toldSince = (receiver: Receiver, before: number) =>
      receiver.requests.slice(before).map(({ message }) => message.data)

    it('is not sent by a replay: the newest is, once', { timeout }, async () => {
      const receiver = await register('moved')
      receiver.behave(refusal)
      await working(async () => {
        const [user] = await fail('moved', 1)
        const { wantedGeneration: first } = await deliveryOf(user!)
        await move(user!, 'newest')
        const { wantedGeneration, state } = await untilTried(user!, 2)
        expect(state).toBe('parked')
        expect(wantedGeneration).toBeGreaterThan(first)

        receiver.behave()
        expect(await replay({ server: 'moved' })).toEqual({ ...nothing, requeued: 1, deliveries: 1 })
        await untilDelivered(user!)
        expect(toldSince(receiver, 2)).toMatchObject([{ generation: wantedGeneration, user: { externalId: 'newest' } }])
      })
    })

    it('is not sent where the newer waits for its server either', { timeout }, async () => {
      const receiver = await register('overtaken')
      receiver.behave(refusal)
      await working(async () => {
        const [user] = await fail('overtaken', 1)
        const { id, wantedGeneration: first } = await deliveryOf(user!)
        await api.admin.post('/servers/overtaken/pause')
        await move(user!, 'newest')
        const { wantedGeneration, parkedAt } = await untilDelivery(
          user!,
          'to want more',
          ({ wantedGeneration }) => wantedGeneration > first,
        )
        expect(parkedAt).toBeNull()
        const waiting = { ...nothing, skipped: { ...none, alreadyDue: 1 } }
        expect(await replay({ server: 'overtaken' })).toEqual(waiting)
        expect(await api.admin.post(`/jobs/${id}/replay`)).toEqual(waiting)

        receiver.behave()
        await api.admin.post('/servers/overtaken/resume')
        await untilDelivered(user!)
        expect(toldSince(receiver, 1)).toMatchObject([{ generation: wantedGeneration, user: { externalId: 'newest' } }])
      })
    })
  })

  describe('a paused server', () => {
    it('has what is replayed due and waiting, except for revocations', { timeout }, async () => {
      const receiver = await register('paused')
      await working(async () => {
        const [leaver] = await join('paused', 1)
        await untilDelivered(leaver!)
        receiver.behave(refusal)
        const joiners = await fail('paused', 2, 1)
        await okta.setActive(leaver!, false)
        await untilTried(leaver!, 2)
        await api.admin.post('/servers/paused/pause', { reason: 'maintenance' })

        receiver.behave()
        const before = receiver.requests.length
        expect(await replay({ server: 'paused', dryRun: true })).toMatchObject({ requeued: 3 })
        expect(await replay({ server: 'paused' })).toEqual({ ...nothing, requeued: 3, deliveries: 3 })
        await untilDelivered(leaver!)
        for (const joiner of joiners)
          expect(await deliveryOf(joiner)).toMatchObject({ state: 'pending', parkedAt: null, attempts: [{}] })
        const { servers } = await api.admin.get('/stats')
        expect(servers.find(({ server }: Json) => server === 'paused')).toMatchObject({ paused: true, pending: 2 })
        expect(await replay({ server: 'paused' })).toEqual({ ...nothing, skipped: { ...none, alreadyDue: 2 } })
        expect(receiver.requests).toHaveLength(before + 1)

        await api.admin.post('/servers/paused/resume')
        for (const joiner of joiners) await untilDelivered(joiner)
        expect(receiver.requests).toHaveLength(before + 3)
      })
    })

    it.each(['/jobs/replay', '/jobs/{id}/replay'])('is spoken of where %s is described', async (path) => {
      const { paths } = await api.admin.get('/openapi.json')
      expect(paths[path].post.description).toMatch(/`requeued` means due, not sent.*paused/s)
    })
  })

  describe('users that cannot be converged', () => {
    const documents = new Map<string, unknown>()
    const spoil = async (user: string) => {
      const { rows } = await database.query('select document from scim_user where id = $1', [user])
      documents.set(user, rows[0].document)
      await database.query(`update scim_user set document = 'null' where id = $1`, [user])
    }
    const mend = (user: string) =>
      database.query('update scim_user set document = $2 where id = $1', [user, documents.get(user)])
    const untilListed = (user: string) =>
      waitFor(async () => (await listed('kind=user')).find((job) => job.user === user), {
        what: 'the user to be listed',
      })
    /** Each try that fails puts the next one off. */
    const notBySchedule = () =>
      database.query(
        `update user_state set converge_due_at = clock_timestamp() + interval '1 hour' where converge_error is not null`,
      )

    it('are listed, and replayed with the rest or alone', { timeout }, async () => {
      const receiver = await register('puzzling')
      const [user] = await join('puzzling', 1)
      await spoil(user!)
      await working(() => untilListed(user!))
      await notBySchedule()
      expect(await listed('kind=user')).toMatchObject([
        { id: user, kind: 'user', state: 'failing', user, server: null, error: expect.stringMatching(/./) },
      ])
      expect(await listed('kind=user&server=puzzling')).toEqual([])
      expect(await replayedAsTheRowsSay({ kind: 'delivery', server: 'puzzling' })).toEqual(nothing)
      expect(await replayedAsTheRowsSay({ kind: 'user' })).toEqual({ ...nothing, requeued: 1, users: 1 })
      const due = { ...nothing, skipped: { ...none, alreadyDue: 1 } }
      expect(await replayedAsTheRowsSay({ kind: 'user' })).toEqual(due)
      expect(await api.admin.post(`/jobs/${user}/replay`)).toEqual(due)

      const replayedAt = new Date()
      await working(() =>
        waitFor(async () => (await untilListed(user!)).attempts > 0, { what: 'the user to fail again' }),
      )
      await notBySchedule()
      const [job] = await listed('kind=user')
      expect(Date.parse(job.failedAt)).toBeGreaterThanOrEqual(replayedAt.getTime())
      expect(Date.parse(job.failedAt)).toBeLessThanOrEqual(Date.now())

      await mend(user!)
      expect(await api.admin.post(`/jobs/${user}/replay`)).toEqual({ ...nothing, requeued: 1, users: 1 })
      await working(() => untilDelivered(user!))
      expect(receiver.users.get(user!)).toMatchObject({ active: true })
      expect(await listed('kind=user')).toEqual([])
      expect(await api.admin.post(`/jobs/${user}/replay`)).toEqual({ ...nothing, skipped: { ...none, delivered: 1 } })
    })

    it('are counted once when two replay at the same moment', { timeout }, async () => {
      await register('contested')
      const [user] = await join('contested', 1)
      await spoil(user!)
      await working(() => untilListed(user!))
      await notBySchedule()
      const holder = await connect(backend.database)
      try {
        await holder.query('begin')
        await holder.query('select from user_state where user_id = $1 for update', [user])
        const answers = Promise.all([replay({ kind: 'user' }), replay({ kind: 'user' })])
        await waitFor(
          async () => {
            const { rowCount } = await database.query(
              `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ 'requeued'`,
            )
            return rowCount === 2
          },
          { what: 'both to wait for the user' },
        )
        await holder.query('commit')
        expect((await answers).map(({ users }) => users).sort()).toEqual([0, 1])
      } finally {
        await holder.end()
      }
      await mend(user!)
      await working(() => untilDelivered(user!))
    })

    it('are found by when they failed, also when it was a rule that changed', { timeout }, async () => {
      await register('ruled')
      const [user] = await join('ruled', 1)
      await working(() => untilDelivered(user!))
      await spoil(user!)
      const beforehand = new Date()
      await api.admin.put('/rules/ruled', { server: 'ruled', when: 'userName sw "ruled."', scopes: ['read', 'write'] })
      await working(() => untilListed(user!))
      await notBySchedule()
      const afterwards = new Date()
      expect(await replayedAsTheRowsSay({ kind: 'user', since: afterwards.toISOString() })).toEqual(nothing)
      expect(await replayedAsTheRowsSay({ kind: 'user', since: beforehand.toISOString() })).toMatchObject({ users: 1 })
      await mend(user!)
      await working(() =>
        waitFor(async () => (await listed('kind=user')).length === 0, { what: 'nobody to be listed' }),
      )
    })
  })

  describe('dryRun, since, server and kind', () => {
    it('says beforehand what will be done, changes nothing, and takes only what is asked for', {
      timeout,
    }, async () => {
      for (const { receiver } of servers) receiver.behave()
      await replay() // whatever earlier tests have left
      const [narrow, other] = [await register('narrow'), await register('other')]
      await working(() => api.admin.waitUntilSettled())
      let since = ''
      await working(async () => {
        narrow.behave(refusal)
        await fail('narrow', 2)
        since = new Date().toISOString()
        narrow.behave(inFifteenMinutes)
        await fail('narrow', 1, 2)
        const [leaver] = await join('other', 1)
        await untilDelivered(leaver!)
        other.behave(refusal)
        await okta.setActive(leaver!, false)
        await untilTried(leaver!, 2)
        await fail('other', 1, 1)
      })
      const [user] = await join('narrow', 1, 9)
      const { rows } = await database.query('select document from scim_user where id = $1', [user])
      await database.query(`update scim_user set document = 'null' where id = $1`, [user])
      await working(() => waitFor(async () => (await listed('kind=user')).length === 1, { what: 'the user to fail' }))
      await database.query(
        `update user_state set converge_due_at = clock_timestamp() + interval '1 hour' where user_id = $1`,
        [user],
      )

      const expected = (deliveries: number, users: number) => ({
        ...nothing,
        requeued: deliveries + users,
        deliveries,
        users,
      })
      const before = await allRows()
      for (const [query, answer] of [
        [{}, expected(5, 1)],
        [{ kind: 'delivery' }, expected(5, 0)],
        [{ kind: 'user' }, expected(0, 1)],
        [{ server: 'narrow' }, expected(3, 0)],
        [{ server: 'narrow', since }, expected(1, 0)],
        [{ kind: 'delivery', since }, expected(3, 0)],
        [{ server: 'narrow', kind: 'user' }, expected(0, 0)],
        [{ since: new Date().toISOString() }, expected(0, 0)],
      ] as const)
        expect([query, await replay({ ...query, dryRun: true })]).toEqual([query, { ...answer, dryRun: true }])
      expect(await allRows()).toEqual(before)

      expect(await replayedAsTheRowsSay({ server: 'narrow', since })).toEqual(expected(1, 0))
      const rest = { ...expected(4, 1), dryRun: true, skipped: { ...none, alreadyDue: 1 } }
      const between = await allRows()
      expect(await replay({ dryRun: true })).toEqual(rest)
      expect(await allRows()).toEqual(between)
      expect(await replayedAsTheRowsSay()).toEqual({ ...rest, dryRun: false })
      expect(await replay({ dryRun: true })).toEqual({
        ...nothing,
        dryRun: true,
        skipped: { ...none, alreadyDue: 6 },
      })
      await database.query('update scim_user set document = $2 where id = $1', [user, rows[0].document])
    })
  })
})
