import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { AdminClient, type Json, type ScimClient } from '../support/clients.ts'
import { forEach } from '../support/people.ts'
import { connect } from '../support/postgres.ts'
import { startTenure, type TestProcess } from '../support/processes.ts'
import type { Receiver } from '../support/receiver.ts'
import {
  adminKey,
  environment,
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const minute = 60_000
const timeout = 120_000

describe.each(backends())('deliveries with jobs on $name', ({ start }) => {
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

  /** A server for one test, told of everybody whose userName starts with its id. */
  const register = async (id: string): Promise<Receiver> => {
    const server = await registerServer(api.admin, id)
    servers.push(server)
    await api.admin.put(`/rules/${id}`, { server: id, when: `userName sw "${id}"`, scopes: ['read'] })
    return server.receiver
  }
  const deliveryOf = async (userId: string): Promise<Json> => {
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
  const statsOf = async (server: string): Promise<Json> =>
    (await api.admin.get('/stats')).servers.find((each: Json) => each.server === server)
  /** The schedule's time has come, for whatever waits for it. */
  const letTimePass = (server: string) =>
    database.query('update delivery set due_at = clock_timestamp() where server_id = $1 and due_at is not null', [
      server,
    ])
  const minutesUntil = (time: string) => (Date.parse(time) - Date.now()) / minute
  const idsOf = (requests: readonly Json[]) => requests.map(({ message }) => message.data.user.id)

  describe('on a worker', () => {
    let worker: RunningTenure
    beforeAll(async () => {
      worker = await runTenure('worker', { ...backend.database, redisUrl: backend.redisUrl })
    })
    afterAll(() => worker?.close())

    /** Raises the generation in the normal lane. */
    const move = (id: string) => okta.patchUser(id, { op: 'replace', path: 'externalId', value: 'moved' })
    /** The next try is so far off that whatever comes before it does not come by schedule. */
    const inFifteenMinutes = { status: 503, headers: { 'retry-after': '900' } }

    describe('a new generation is sent at once', () => {
      it('when the one before is in flight, whatever becomes of that', { timeout }, async () => {
        const receiver = await register('in-flight')
        receiver.behave({ ...inFifteenMinutes, hang: true, times: 1 })
        const { id } = await okta.createUser('in-flight@acme.example')
        const [first] = await receiver.waitForRequests(1)
        const { generation } = first!.message.data
        await move(id)
        await untilDelivery(id, 'to want more', ({ wantedGeneration }) => wantedGeneration > generation)
        expect(receiver.requests).toHaveLength(1)

        receiver.release()
        const [, second] = await receiver.waitForRequests(2)
        expect(second!.message.data).toMatchObject({ active: true, user: { externalId: 'moved' } })
        expect(second!.message.data.generation).toBeGreaterThan(generation)
        expect((await untilDelivered(id)).attempts).toMatchObject([{ outcome: 'unavailable' }, { outcome: 'applied' }])
      })

      it('when the one before backs off', { timeout }, async () => {
        const receiver = await register('backing-off')
        receiver.behave({ ...inFifteenMinutes, times: 1 })
        const { id } = await okta.createUser('backing-off@acme.example')
        const { nextTry } = await untilTried(id, 1)
        expect(minutesUntil(nextTry)).toBeGreaterThan(10)
        await move(id)
        const [, second] = await receiver.waitForRequests(2)
        expect(second!.message.data.user.externalId).toBe('moved')
        await untilDelivered(id)
      })

      it('when the one before is parked', { timeout }, async () => {
        const receiver = await register('was-parked')
        receiver.behave({ status: 400, times: 1 })
        const { id } = await okta.createUser('was-parked@acme.example')
        expect(await untilTried(id, 1)).toMatchObject({ state: 'parked', nextTry: null })
        await move(id)
        const [, second] = await receiver.waitForRequests(2)
        expect(second!.message.data.user.externalId).toBe('moved')
        expect(await untilDelivered(id)).toMatchObject({ parkedAt: null })
      })
    })

    describe('promise 7: retries that run out park, and nothing is dropped', () => {
      const failUntilParked = async (server: string, id: string, tries: number, before = 0) => {
        for (let tried = 1; tried <= tries; tried++) {
          const delivery = await untilTried(id, before + tried)
          expect(delivery.state).toBe(tried < tries ? 'pending' : 'parked')
          if (tried < tries) await letTimePass(server)
        }
      }

      it('parks a grant after 8 failures, lists it, and sends it again when it is replayed', { timeout }, async () => {
        const receiver = await register('down')
        receiver.behave({ status: 500 })
        const { id } = await okta.createUser('down@acme.example')
        await failUntilParked('down', id, 8)
        const delivery = await deliveryOf(id)
        expect(delivery).toMatchObject({
          nextTry: null,
          attempts: Array(8).fill({ outcome: 'unavailable', status: 500 }),
        })
        expect((await api.admin.get('/jobs?state=parked&server=down')).items).toMatchObject([
          { id: delivery.id, kind: 'delivery', state: 'parked', user: id, error: 'answered 500', attempts: 8 },
        ])

        receiver.behave()
        expect(await api.admin.post(`/jobs/${delivery.id}/replay`)).toMatchObject({ requeued: 1 })
        await untilDelivered(id)
        expect(receiver.users.get(id)).toMatchObject({ active: true })
        expect((await api.admin.get('/jobs?state=parked&server=down')).items).toEqual([])
      })

      it.each([
        { server: 'failing', status: 500, tries: 8 },
        { server: 'refusing', status: 400, tries: 1 },
      ])(
        'keeps trying a revocation that is parked after $tries answers of $status',
        { timeout },
        async ({ server, status, tries }) => {
          const receiver = await register(server)
          const { id } = await okta.createUser(`${server}@acme.example`)
          await untilDelivered(id)
          receiver.behave({ status })
          await okta.setActive(id, false)
          await failUntilParked(server, id, tries, 1)
          for (const tried of [tries + 1, tries + 2]) {
            const { nextTry } = await deliveryOf(id)
            expect(minutesUntil(nextTry)).toBeGreaterThan(11)
            expect(minutesUntil(nextTry)).toBeLessThan(19)
            await letTimePass(server)
            expect(await untilTried(id, tried + 1)).toMatchObject({ state: 'parked' })
          }
          receiver.behave()
          await letTimePass(server)
          expect(await untilDelivered(id)).toMatchObject({ parkedAt: null, nextTry: null })
          expect(receiver.users.get(id)).toMatchObject({ active: false })
        },
      )
    })

    it('stops telling a server that answers 410 of joiners, and goes on telling it of leavers', {
      timeout,
    }, async () => {
      const receiver = await register('gone')
      const leaver = await okta.createUser('gone-leaver@acme.example')
      await untilDelivered(leaver.id)
      receiver.behave(({ message }) => (message.data.active ? { status: 410 } : undefined))
      const joiner = await okta.createUser('gone-joiner@acme.example')
      await untilTried(joiner.id, 1)
      await waitFor(async () => (await statsOf('gone')).paused, { what: 'the server to be paused' })

      const late = await okta.createUser('gone-late@acme.example')
      await untilDelivery(late.id, 'to be due', ({ state }) => state === 'pending')
      await okta.setActive(leaver.id, false)
      await receiver.waitFor(({ message }) => message.data.user.id === leaver.id && !message.data.active)
      await untilDelivered(leaver.id)
      expect(idsOf(receiver.requests)).toEqual([leaver.id, joiner.id, leaver.id])
      expect(receiver.users.get(leaver.id)).toMatchObject({ active: false })
      expect(await deliveryOf(late.id)).toMatchObject({ state: 'pending', attempts: [] })
    })

    it('opens the breaker after 10 failures in a row, lets one probe through, and closes when that is answered', {
      timeout,
    }, async () => {
      const receiver = await register('breaker')
      /** Until the test says so, it is not yet or no longer time for a probe. */
      const probeAt = (when: 'now' | 'in an hour') =>
        database.query(
          `update server set probe_at = clock_timestamp() + case when $1 = 'now' then interval '0' else interval '1 hour' end
           where id = 'breaker' and probe_at is not null`,
          [when],
        )
      const join = (name: string): Promise<Json> => okta.createUser(`breaker-${name}@acme.example`)
      const leavers = [await join('leaver-1'), await join('leaver-2')]
      for (const { id } of leavers) await untilDelivered(id)
      const isNormal = ({ message }: Json) => message.data.active

      receiver.behave({ status: 500 })
      await forEach([...Array(12).keys()], 4, join as never)
      await waitFor(async () => (await statsOf('breaker')).failing >= 10, { what: 'ten failures', timeoutMs: 30_000 })
      await probeAt('in an hour')
      await waitFor(async () => (await statsOf('breaker')).inFlight === 0, { what: 'nothing in flight' })

      // A revocation goes past the breaker, so it tells when everything that could go has gone.
      const before = receiver.requests.length
      await letTimePass('breaker')
      const late = await join('late')
      await untilDelivery(late.id, 'to be due', ({ state }) => state === 'pending')
      await okta.setActive(leavers[0].id, false)
      await receiver.waitForRequests(before + 1)
      expect(idsOf(receiver.requests.slice(before))).toEqual([leavers[0].id])
      await untilTried(leavers[0].id, 2)

      receiver.behave({ hang: true, apply: true })
      await letTimePass('breaker')
      await probeAt('now')
      await waitFor(() => [...receiver.open].some(isNormal), { what: 'the probe' })
      await probeAt('in an hour')
      await okta.setActive(leavers[1].id, false)
      await receiver.waitFor(({ message }) => message.data.user.id === leavers[1].id && !message.data.active)
      expect([...receiver.open].filter(isNormal)).toHaveLength(1)

      receiver.behave()
      receiver.release()
      await waitFor(async () => (await statsOf('breaker')).failing === 0, { what: 'the breaker to close' })
      await letTimePass('breaker')
      await waitFor(async () => (await statsOf('breaker')).pending === 0, {
        what: 'everybody to be told',
        timeoutMs: 30_000,
      })
      expect(receiver.users.size).toBe(leavers.length + 12 + 1)
    })
  })

  describe('promises 3 and 4: a worker that was frozen', () => {
    let frozen: TestProcess | undefined
    let other: RunningTenure | undefined
    const lockers: pg.Client[] = []

    const launchWorker = async () => {
      const env = environment({ ...backend.database, redisUrl: backend.redisUrl })
      frozen = startTenure({ args: ['worker'], env })
      const { url } = await frozen.waitForLine(({ msg }) => msg === 'tenure.started')
      await new AdminClient(String(url), adminKey).waitUntilReady()
      return frozen
    }
    const isWaitingFor = async (statement: string): Promise<boolean> => {
      const { rowCount } = await database.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ $1`,
        [statement],
      )
      return rowCount! > 0
    }
    /** Not in the middle of some other transaction, whose locks everybody would wait for. */
    const freeze = ({ pid }: TestProcess) =>
      waitFor(
        async () => {
          process.kill(pid, 'SIGSTOP')
          const { rowCount } = await database.query(
            `select from pg_stat_activity where datname = current_database() and application_name like 'tenure%' and state like 'idle in transaction%'`,
          )
          if (rowCount === 0) return true
          process.kill(pid, 'SIGCONT')
          return false
        },
        { what: 'the worker to hold no transaction open' },
      )

    const startOther = async () => {
      other = await runTenure('worker', { ...backend.database, redisUrl: backend.redisUrl })
    }
    const endLease = (deliveryId: string) =>
      database.query(`update delivery set leased_until = clock_timestamp() - interval '1 second' where id = $1`, [
        deliveryId,
      ])
    const letAnotherSend = async (receiver: Receiver, userId: string) => {
      await startOther()
      await receiver.waitForRequests(1, 30_000)
      await untilDelivered(userId)
    }
    const wake = async (worker: TestProcess, deliveryId: string) => {
      process.kill(worker.pid, 'SIGCONT')
      await worker.waitForLine((line) => line.msg === 'delivery.lease_lost' && line.deliveryId === deliveryId)
    }
    afterEach(async () => {
      for (const locker of lockers.splice(0)) await locker.end()
      await frozen?.kill('SIGKILL')
      await other?.close()
      other = undefined
    })

    it('between a look at its lease and the send looks once more, and does not send', { timeout }, async () => {
      const owner = await connect({ url: backend.database.ownerUrl })
      const gate = await connect(backend.database)
      lockers.push(owner, gate)
      // Renewals wait for us, with their answer decided: only they leave a lease as it is.
      await owner.query(`
        create function wait_for_test() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock_shared(4711); return new; end $$;
        create trigger renewal_waits before update on delivery
        for each row when (new.lease = old.lease) execute function wait_for_test()`)
      await gate.query('select pg_advisory_lock(4711)')
      const receiver = await register('frozen-late')
      const worker = await launchWorker()
      const user = await okta.createUser('frozen-late@acme.example')
      await waitFor(() => isWaitingFor('held as materialized'), { what: 'the worker to look' })
      await freeze(worker)
      const frozenAt = Date.now()
      await gate.query('select pg_advisory_unlock(4711)')
      await waitFor(async () => !(await isWaitingFor('held as materialized')), { what: 'its answer' })
      const { id } = await deliveryOf(user.id)
      await endLease(id)
      await letAnotherSend(receiver, user.id)
      // In truth the lease lasts longer than any answer is believed.
      await waitFor(() => Date.now() - frozenAt > 6_000, { what: 'the answer to be old' })
      await wake(worker, id)
      expect(receiver.requests).toHaveLength(1)
      await owner.query('drop trigger renewal_waits on delivery')
    })

    it('inside a transaction does not hold its locks for ever', { timeout }, async () => {
      const receiver = await register('frozen-inside')
      const worker = await launchWorker()
      const lock = await connect({ url: backend.database.ownerUrl })
      lockers.push(lock)
      await lock.query('begin; lock table ledger_entry in access exclusive mode')
      const { id } = await okta.createUser('frozen-inside@acme.example')
      await waitFor(() => isWaitingFor('with change as materialized'), { what: 'the worker to decide, with our lock' })
      process.kill(worker.pid, 'SIGSTOP')
      await lock.end()
      await okta.setActive(id, false)

      process.kill(worker.pid, 'SIGCONT')
      await waitFor(async () => (await api.admin.get('/stats')).users.behind === 0, { what: 'it to go on deciding' })
      await waitFor(async () => (await statsOf('frozen-inside')).pending === 0, { what: 'nothing to be due' })
      expect(receiver.users.get(id)?.active ?? false).toBe(false)
    })
  })
})
