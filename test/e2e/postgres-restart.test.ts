import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends } from '../support/backends.ts'
import type { Answer, ScimClient } from '../support/clients.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { startTraffic } from '../support/traffic.ts'
import { waitFor } from '../support/wait-for.ts'

describe.each(backends())('promise 4: restarting Postgres loses nothing, with jobs on $name', ({ name }) => {
  let postgres: OwnPostgres
  let redis: TestRedis | undefined
  let tenure: RunningTenure
  let okta: ScimClient
  let linear: RegisteredServer

  beforeAll(async () => {
    postgres = await startPostgres()
    redis = name === 'redis' ? await startRedis() : undefined
    tenure = await runTenure('all', { ...postgres, redisUrl: redis?.url })
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    await tenure.admin.put('/rules/members', {
      server: 'linear',
      when: 'groups.display eq "Members"',
      scopes: ['read'],
    })
  })
  afterAll(async () => {
    await tenure?.close()
    await linear?.receiver.close()
    await redis?.destroy()
    await postgres?.destroy()
  })

  it('answers 503 meanwhile, each protocol in its own words, and goes on by itself', { timeout: 300_000 }, async () => {
    const group = await okta.createGroup('Members')
    const traffic = startTraffic(okta, { group: group.id, people: 12 })
    const ofAdmin = askOnAndOn(() => tenure.admin.send('GET', '/users?directory=acme'))
    const ofIntrospection = askOnAndOn(() => tenure.admin.sendIntrospection('no-such-token'))
    const readiness = async () => (await fetch(`${tenure.url}/readyz`)).status
    const someMore = (what: string) => {
      const enough = traffic.accepted + 50
      return waitFor(() => traffic.accepted >= enough, { what: `writes to be accepted ${what}`, timeoutMs: 60_000 })
    }

    await someMore('before')
    await postgres.stop()
    await waitFor(async () => (await readiness()) === 503, { what: 'Tenure not to be ready' })
    for (const { refused } of [traffic, ofAdmin, ofIntrospection]) {
      await waitFor(() => refused.length > 0, { what: 'a request to be refused' })
    }
    await postgres.start()
    await waitFor(async () => (await readiness()) === 200, { what: 'Tenure to be ready again', timeoutMs: 30_000 })
    for (const time of ['once', 'twice']) {
      await someMore(`after it was restarted ${time}`)
      await postgres.restart()
    }
    await someMore('after')
    await Promise.all([traffic.stop(), ofAdmin.stop(), ofIntrospection.stop()])

    const kinds = ({ refused }: { refused: readonly Answer[] }) =>
      new Set(refused.map(({ status, headers, body }) => JSON.stringify([status, headers.get('content-type'), body])))
    expect(kinds(traffic)).toEqual(
      new Set([
        JSON.stringify([
          503,
          'application/scim+json; charset=utf-8',
          {
            schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
            status: '503',
            detail: 'The database does not answer',
          },
        ]),
      ]),
    )
    expect(kinds(ofAdmin)).toEqual(
      new Set([
        JSON.stringify([
          503,
          'application/problem+json; charset=utf-8',
          {
            type: 'about:blank',
            status: 503,
            title: 'Service Unavailable',
            detail: 'The database does not answer',
          },
        ]),
      ]),
    )
    expect(kinds(ofIntrospection)).toEqual(
      new Set([
        JSON.stringify([
          503,
          'application/json; charset=utf-8',
          { error: 'temporarily_unavailable', error_description: 'Try again in 1 s' },
        ]),
      ]),
    )

    // A send whose settlement was cut off comes back after its lease.
    await tenure.admin.waitUntilSettled(90_000)
    for (const { id, active, member } of traffic.people) {
      expect(await okta.call('GET', `/Users/${id}`)).toMatchObject({ id, active })
      expect({ id, active: linear.receiver.users.get(id)?.active ?? false }).toEqual({ id, active: active && member })
    }
    expect(tenure.log.filter(({ status }) => status === 500)).toEqual([])
  })
})

/** One request after the other, until told to stop; keeps what was not 2xx. */
function askOnAndOn(ask: () => Promise<Answer>): { refused: readonly Answer[]; stop(): Promise<void> } {
  const refused: Answer[] = []
  let stopped = false
  const asking = (async () => {
    while (!stopped) {
      const answer = await ask()
      if (answer.status >= 300) refused.push(answer)
    }
  })()
  asking.catch(() => {})
  return {
    refused,
    async stop() {
      stopped = true
      await asking
    },
  }
}
