import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { ScimClient } from '../support/clients.ts'
import { forEach, insertPeople, type Person } from '../support/people.ts'
import { connect } from '../support/postgres.ts'
import type { TestRedis } from '../support/redis.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const onRedis = backends().find(({ name }) => name === 'redis')
const long = 240_000

describe.runIf(onRedis)('promise 4: losing Redis loses no work', () => {
  let backend: RunningBackend
  let redis: TestRedis
  let database: pg.Client
  let tenure: RunningTenure
  let okta: ScimClient
  const servers: RegisteredServer[] = []

  const run = () => runTenure('all', { ...backend.database, redisUrl: backend.redisUrl })

  beforeAll(async () => {
    backend = await onRedis!.start()
    redis = backend.redis!
    database = await connect(backend.database)
    tenure = await run()
    okta = await registerDirectory(tenure.admin, 'acme')
    for (const id of ['linear', 'figma']) {
      servers.push(await registerServer(tenure.admin, id))
      await tenure.admin.put(`/rules/${id}`, { server: id, when: 'userName pr', scopes: ['read'] })
    }
  })
  afterAll(async () => {
    await tenure?.close()
    for (const { receiver } of servers) await receiver.close()
    await database?.end()
    await backend?.stop()
  })

  /** People that every server has been told of. */
  const insertTold = async (prefix: string, count: number) => {
    const people = await insertPeople(database, { directory: 'acme', prefix, count })
    await tenure.admin.waitUntilSettled(120_000)
    return people
  }
  /** How often each server was told that each of these people has left. */
  const revocations = (people: readonly Person[]) =>
    servers.map(({ receiver }) => {
      const gone = receiver.requests.filter(({ message }) => !message.data.active)
      const counts = Map.groupBy(gone, ({ message }) => message.data.user.id)
      return people.map(({ id }) => counts.get(id)?.length ?? 0)
    })
  const once = (people: readonly Person[]) => servers.map(() => people.map(() => 1))

  it('tells every server once of each of 500 leavers when the queue is wiped while they leave', {
    timeout: long,
  }, async () => {
    const people = await insertTold('flushed', 500)
    let left = 0
    let wiped: Promise<void> | undefined
    await forEach(people, 10, async ({ id }) => {
      await okta.setActive(id, false)
      if (++left === people.length / 2) wiped = redis.flushAll()
    })
    await wiped
    await tenure.admin.waitUntilSettled(60_000)
    expect(revocations(people)).toEqual(once(people))
  })

  it('answers SCIM without Redis as fast as with it, and tells every server once when it is back', {
    timeout: long,
  }, async () => {
    const timed = async (people: readonly Person[]) => {
      const times: number[] = []
      await forEach(people, 1, async ({ id }) => {
        const start = performance.now()
        await okta.setActive(id, false)
        times.push(performance.now() - start)
      })
      return times.sort((a, b) => a - b)[times.length >> 1]!
    }
    const people = await insertTold('outage', 200)
    const [before, during] = [people.slice(0, 100), people.slice(100)]
    const withRedis = await timed(before)
    await tenure.admin.waitUntilSettled(60_000)

    await redis.stop()
    const withoutRedis = await timed(during)
    expect(withoutRedis).toBeLessThan(3 * withRedis + 20)
    expect(revocations(during)).toEqual(servers.map(() => during.map(() => 0)))

    await redis.start()
    await tenure.admin.waitUntilSettled(60_000)
    expect(revocations(people)).toEqual(once(people))
  })

  it('starts without Redis, takes what it is given, and tells it when Redis comes up', { timeout: long }, async () => {
    const people = await insertTold('start', 20)
    await tenure.close()
    await redis.stop()
    tenure = await run()
    okta = okta.at(tenure.url)
    await forEach(people, 5, ({ id }) => okta.setActive(id, false))
    const ready = await fetch(`${tenure.url}/readyz`)
    expect([ready.status, await ready.json()]).toMatchObject([200, { queue: { state: 'does not answer' } }])
    await redis.start()
    await waitFor(() => revocations(people).flat().every(Boolean), { what: 'every revocation', timeoutMs: 60_000 })
    await tenure.admin.waitUntilSettled(60_000)
    expect(revocations(people)).toEqual(once(people))
  })
})
