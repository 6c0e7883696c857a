import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { Json, ScimClient } from '../support/clients.ts'
import { insertPeople, type Person } from '../support/people.ts'
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

const told = ({ users }: Receiver, people: readonly Person[]) => people.filter(({ id }) => users.has(id)).length
/** Thousands of people take their time on a busy machine. */
const long = 360_000

describe.each(backends())('with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let database: pg.Client
  let tenure: RunningTenure
  let okta: ScimClient
  const servers = new Map<string, RegisteredServer>()

  beforeAll(async () => {
    backend = await start()
    database = await connect(backend.database)
    tenure = await runTenure('all', { ...backend.database, redisUrl: backend.redisUrl })
    okta = await registerDirectory(tenure.admin, 'acme')
    // All rules first: each new one has everybody decided about anew.
    const whose = {
      canva: 'userName co "deciding"',
      granola: 'userName co "telling"',
      stuck: 'userName sw "crowd"',
      linear: 'groups.display eq "Engineering"',
      figma: 'groups.display eq "Engineering"',
      slack: 'groups.display eq "Engineering"',
    }
    for (const [id, when] of Object.entries(whose)) {
      servers.set(id, await registerServer(tenure.admin, id))
      await tenure.admin.put(`/rules/${id}`, { server: id, when, scopes: ['read'] })
    }
  })
  afterAll(async () => {
    for (const { receiver } of servers.values()) receiver.release()
    await tenure?.close()
    for (const { receiver } of servers.values()) await receiver.close()
    await database?.end()
    await backend?.stop()
  })

  const receiverOf = (id: string) => servers.get(id)!.receiver
  /** Deliveries gather behind a paused server without one of them being tried. */
  const pause = (id: string) => database.query('update server set paused_at = now() where id = $1', [id])
  const resume = (id: string) => database.query('update server set paused_at = null where id = $1', [id])
  const pendingAt = async (id: string): Promise<number> => {
    const stats = await tenure.admin.get('/stats')
    return stats.users.behind > 0 ? 0 : stats.servers.find(({ server }: Json) => server === id).pending
  }

  describe('promise 6: leavers overtake joiners', () => {
    const joinersTold = (receiver: Receiver, leaver: Json, joiners: readonly Person[]) => {
      const revocation = receiver.requests.find(
        ({ message }) => message.data.user.id === leaver.id && !message.data.active,
      )!
      const ids = new Set(joiners.map(({ id }) => id))
      return receiver.requests.filter(({ index, message }) => index < revocation.index && ids.has(message.data.user.id))
        .length
    }
    const untilRevoked = (receiver: Receiver, { id }: Json) =>
      receiver.waitFor(({ message }) => message.data.user.id === id && !message.data.active, 60_000)

    it(
      'decides about a leaver before most of 2,000 joiners that wait to be decided about',
      async () => {
        const receiver = receiverOf('canva')
        const leaver = await okta.createUser('leaver-deciding@acme.example')
        await receiver.waitForRequests(1)
        const joiners = await insertPeople(database, { directory: 'acme', prefix: 'deciding', count: 2_000 })
        await waitFor(() => told(receiver, joiners) > 0, { what: 'the first joiner to be told', timeoutMs: 60_000 })
        await okta.setActive(leaver.id, false)
        await untilRevoked(receiver, leaver)
        expect((await tenure.admin.get('/stats')).users.behind).toBeGreaterThan(0)
        expect(joinersTold(receiver, leaver, joiners)).toBeLessThan(1_000)
        await waitFor(() => told(receiver, joiners) === 2_000, { what: 'all joiners to be told', timeoutMs: 60_000 })
      },
      long,
    )

    it(
      'tells of a leaver before most of 2,000 joiners that a slow server has yet to hear of',
      async () => {
        const receiver = receiverOf('granola')
        const leaver = await okta.createUser('leaver-telling@acme.example')
        await receiver.waitForRequests(1)
        receiver.behave({ delayMs: 50 })
        await pause('granola')
        const joiners = await insertPeople(database, { directory: 'acme', prefix: 'telling', count: 2_000 })
        await waitFor(async () => (await pendingAt('granola')) === joiners.length, {
          what: '2,000 deliveries to be due',
          timeoutMs: 60_000,
        })
        await resume('granola')
        await waitFor(() => told(receiver, joiners) > 0, { what: 'the first joiner to be told', timeoutMs: 60_000 })
        await okta.setActive(leaver.id, false)
        await untilRevoked(receiver, leaver)
        expect(joinersTold(receiver, leaver, joiners)).toBeLessThan(200)
        receiver.behave()
        await waitFor(() => told(receiver, joiners) === 2_000, { what: 'all joiners to be told', timeoutMs: 60_000 })
      },
      long,
    )
  })

  describe('promise 5: a server that hangs does not delay another', () => {
    it(
      'tells all others while its first request is still open and 10,000 deliveries wait behind it',
      async () => {
        const stuck = receiverOf('stuck')
        stuck.behave({ hang: true })
        await pause('stuck')
        const crowd = await insertPeople(database, { directory: 'acme', prefix: 'crowd', count: 10_000 })
        await waitFor(async () => (await pendingAt('stuck')) === crowd.length, {
          what: '10,000 deliveries to be due',
          timeoutMs: 300_000,
        })
        const well = ['linear', 'figma', 'slack'].map(receiverOf)

        await resume('stuck')
        const [hanging] = await stuck.waitForRequests(1)
        const engineers = crowd.slice(0, 50)
        await okta.createGroup(
          'Engineering',
          engineers.map(({ id }) => id),
        )
        for (const receiver of well) {
          await waitFor(() => told(receiver, engineers) === engineers.length, { what: 'every engineer to be told' })
        }

        expect(stuck.open).toContain(hanging)
        expect(await pendingAt('stuck')).toBe(crowd.length)
        for (const receiver of well) expect(receiver.requests).toHaveLength(engineers.length)
      },
      long,
    )
  })
})
