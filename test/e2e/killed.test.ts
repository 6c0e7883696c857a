import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { AdminClient, type ScimClient } from '../support/clients.ts'
import { freePort } from '../support/free-port.ts'
import { startTenure, type TestProcess } from '../support/processes.ts'
import { createRandom } from '../support/random.ts'
import type { Receiver } from '../support/receiver.ts'
import { adminKey, environment, type RegisteredServer, registerDirectory, registerServer } from '../support/tenure.ts'
import { startTraffic } from '../support/traffic.ts'
import { waitFor } from '../support/wait-for.ts'

const rounds = 20
const random = createRandom()
process.stderr.write(`killed.test.ts: TEST_SEED=${random.seed}\n`)

describe.each(backends())('promise 4: kill -9 of any process loses nothing, with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let admin: AdminClient
  let okta: ScimClient
  let everyone: RegisteredServer
  let members: RegisteredServer
  const processes = new Map<'api' | 'worker', TestProcess>()
  const ports = new Map<'api' | 'worker', number>()

  const launch = async (role: 'api' | 'worker') => {
    const env = { ...environment({ ...backend.database, redisUrl: backend.redisUrl }), PORT: String(ports.get(role)) }
    const started = startTenure({ args: [role], env })
    processes.set(role, started)
    await started.waitForLine(({ msg }) => msg === 'tenure.started')
  }

  beforeAll(async () => {
    backend = await start()
    for (const role of ['api', 'worker'] as const) ports.set(role, await freePort())
    await Promise.all([launch('api'), launch('worker')])
    admin = new AdminClient(`http://127.0.0.1:${ports.get('api')}`, adminKey)
    await admin.waitUntilReady()
    okta = await registerDirectory(admin, 'acme')
    // Slots of a killed sender stay taken until its leases are over: with many, the next one has room.
    everyone = await registerServer(admin, 'everyone', { concurrency: 200 })
    members = await registerServer(admin, 'members', { concurrency: 200 })
    await admin.put('/rules/everyone', { server: 'everyone', when: 'userName pr', scopes: ['read'] })
    await admin.put('/rules/members', { server: 'members', when: 'groups.display eq "Members"', scopes: ['read'] })
  })
  afterAll(async () => {
    for (const running of processes.values()) await running.kill('SIGTERM')
    for (const { receiver } of [everyone, members]) await receiver?.close()
    await backend?.stop()
  })

  it(`brings every accepted change of ${rounds} rounds to every server, never an older state after a newer one`, {
    timeout: 300_000,
  }, async () => {
    const group = await okta.createGroup('Members')
    const traffic = startTraffic(okta, { group: group.id, people: 12, random })
    for (let round = 1; round <= rounds; round++) {
      const enough = traffic.accepted + random.between(1, 60)
      await waitFor(() => traffic.accepted >= enough, {
        what: 'more accepted writes',
        timeoutMs: 60_000,
        intervalMs: 5,
      })
      const role = random.pick(['api', 'worker'] as const)
      await processes.get(role)!.kill('SIGKILL')
      await launch(role)
    }
    await traffic.stop()
    // Rows that were in flight at a kill come back after their lease.
    await admin.waitUntilSettled(90_000)

    for (const { id, active, member } of traffic.people) {
      expect({ id, active: everyone.receiver.users.get(id)?.active ?? false }).toEqual({ id, active })
      expect({ id, active: members.receiver.users.get(id)?.active ?? false }).toEqual({ id, active: active && member })
    }
    expect(olderAfterNewer(everyone.receiver)).toEqual([])
    expect(olderAfterNewer(members.receiver)).toEqual([])
  })
})

/**
 * Requests that began after one of a newer generation of their user had begun (promise 3). A killed sender is no excuse: until
 * its lease is over nobody else sends, and long before then its last bytes have arrived or never will. The same generation
 * may come again.
 */
function olderAfterNewer({ requests }: Receiver): string[] {
  const newest = new Map<string, number>()
  return requests
    .toSorted((a, b) => a.begun - b.begun)
    .flatMap(({ message }) => {
      const { user, generation } = message.data
      const before = newest.get(user.id) ?? 0
      newest.set(user.id, Math.max(before, generation))
      return generation < before ? [`${user.id}: ${generation} after ${before}`] : []
    })
}
