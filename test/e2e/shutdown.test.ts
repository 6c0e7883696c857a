import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AdminClient, type ScimClient } from '../support/clients.ts'
import { processesOf, startTenure, type TestProcess } from '../support/processes.ts'
import { adminKey, type RegisteredServer, registerDirectory, registerServer, secretKey } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const timeout = 120_000

describe.runIf(process.platform === 'linux')('tenure start with a database of its own', () => {
  let home: string
  let linear: RegisteredServer | undefined

  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'tenure-shutdown-')))
  })
  afterEach(async () => {
    await linear?.receiver.close()
    linear = undefined
    await untilNothingRuns()
    await rm(home, { recursive: true, force: true })
  })

  const launch = () =>
    startTenure({
      args: ['start'],
      env: {
        PORT: '0',
        TENURE_HOME: home,
        TENURE_ADMIN_KEY: adminKey,
        TENURE_SECRET_KEY: secretKey,
        TENURE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
      },
    })
  const ready = async (tenure: TestProcess): Promise<AdminClient> => {
    const { url } = await tenure.waitForLine(({ msg }) => msg === 'tenure.started', { timeoutMs: 60_000 })
    const admin = new AdminClient(String(url), adminKey)
    await admin.waitUntilReady()
    return admin
  }
  const untilNothingRuns = () =>
    waitFor(async () => (await processesOf(home)).length === 0, {
      what: `nothing of ${home} to run`,
      timeoutMs: 20_000,
    })
  /** A directory and a server that hears of everybody in it. */
  const register = async (admin: AdminClient): Promise<{ okta: ScimClient; linear: RegisteredServer }> => {
    const okta = await registerDirectory(admin, 'acme')
    linear = await registerServer(admin, 'linear')
    await admin.put('/rules/everyone', { server: 'linear', when: 'userName pr', scopes: ['read'] })
    return { okta, linear }
  }

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends on %s with code 0, nothing left running, the send in flight finished and recorded',
    {
      timeout,
    },
    async (signal) => {
      const first = launch()
      const { okta, linear } = await register(await ready(first))
      linear.receiver.behave({ delayMs: 1_000 })
      const { id } = await okta.createUser('ada@acme.example')
      const [request] = await linear.receiver.waitForRequests(1)
      expect(linear.receiver.open).toContain(request)
      expect(await first.kill(signal)).toEqual({ code: 0, signal: null })
      expect(await processesOf(home)).toEqual([])

      const second = launch()
      const admin = await ready(second)
      expect((await admin.get(`/deliveries?user=${id}`)).items).toMatchObject([
        { state: 'delivered', lastOutcome: 'applied', nextTry: null },
      ])
      expect(linear.receiver.requests).toHaveLength(1)
      await second.kill('SIGTERM')
    },
  )

  it('leaves nothing running after kill -9, and the next start tells what the killed one had not', {
    timeout,
  }, async () => {
    const first = launch()
    const { okta, linear } = await register(await ready(first))
    const ada = await okta.createUser('ada@acme.example')
    await linear.receiver.waitForRequests(1)
    linear.receiver.behave({ hang: true })
    await okta.setActive(ada.id, false)
    const grace = await okta.createUser('grace@acme.example')
    await linear.receiver.waitForRequests(3)
    await first.kill('SIGKILL')
    await untilNothingRuns()

    linear.receiver.behave()
    const second = launch()
    const admin = await ready(second)
    // What was in flight comes back when its lease is over.
    await admin.waitUntilSettled(60_000)
    expect(linear.receiver.users.get(ada.id)).toMatchObject({ active: false })
    expect(linear.receiver.users.get(grace.id)).toMatchObject({ active: true })
    expect(await second.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })

  it('is refused by a home that another one lives in, in one line, and leaves that one alone', {
    timeout,
  }, async () => {
    const first = launch()
    const admin = await ready(first)
    const second = launch()
    expect(await second.ended).toEqual({ code: 1, signal: null })
    expect(second.output().trim().split('\n')).toEqual([
      `tenure: TENURE_HOME ${home} is in use by process ${first.pid}: stop it first, or give this one another TENURE_HOME`,
    ])
    expect((await fetch(`${admin.url}/readyz`)).status).toBe(200)
    expect(await first.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})
