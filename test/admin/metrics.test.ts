import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMetrics, type Metrics } from '../../src/admin/metrics.ts'
import { createDatabase as createKysely, createPool } from '../../src/db/pool.ts'
import { envelope, logEvent, post, userTarget } from '../receivers/okta-calls.ts'
import { makeSecret } from '../receivers/world.ts'
import type { ScimClient } from '../support/clients.ts'
import { type Scrape, scrape } from '../support/exposition.ts'
import { connect, createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const perLane = ['server', 'lane']
const perChannel = ['directory', 'channel']

/** Every family of ours, with its type and labels; those of Node and the process come with prom-client. */
const families: Record<string, [type: string, labels: string[]]> = {
  tenure_alarms: ['gauge', ['kind', 'severity']],
  tenure_channel_event_lag_seconds: ['histogram', perChannel],
  tenure_channel_events_total: ['counter', [...perChannel, 'effect']],
  tenure_channel_events_waiting: ['gauge', perChannel],
  tenure_channel_last_event_age_seconds: ['gauge', perChannel],
  tenure_channel_refusals_total: ['counter', [...perChannel, 'reason']],
  tenure_converge_duration_seconds: ['histogram', ['lane']],
  tenure_converge_failures_total: ['counter', ['lane']],
  tenure_converge_lag_seconds: ['histogram', ['lane']],
  tenure_database_pool_connections: ['gauge', ['state']],
  tenure_database_pool_waiting: ['gauge', []],
  tenure_database_up: ['gauge', []],
  tenure_deliveries_due: ['gauge', perLane],
  tenure_deliveries_in_flight: ['gauge', perLane],
  tenure_deliveries_oldest_undelivered_seconds: ['gauge', perLane],
  tenure_deliveries_parked: ['gauge', perLane],
  tenure_deliveries_pending: ['gauge', perLane],
  tenure_delivery_attempt_duration_seconds: ['histogram', ['server']],
  tenure_delivery_attempts_total: ['counter', ['server', 'outcome']],
  tenure_event_lag_seconds: ['histogram', ['source']],
  tenure_gate_answers_total: ['counter', ['question', 'answer']],
  tenure_grants_open: ['gauge', []],
  tenure_kill_time_seconds: ['histogram', ['server']],
  tenure_queue_hints_total: ['counter', ['result']],
  tenure_queue_up: ['gauge', []],
  tenure_request_duration_seconds: ['histogram', ['area']],
  tenure_requests_total: ['counter', ['area', 'status']],
  tenure_scim_requests_total: ['counter', ['directory', 'method', 'status']],
  tenure_server_failures_in_a_row: ['gauge', ['server']],
  tenure_server_paused: ['gauge', ['server']],
  tenure_sweep_found_total: ['counter', ['kind']],
  tenure_sweeps_total: ['counter', ['result']],
  tenure_users_active: ['gauge', []],
  tenure_users_behind: ['gauge', []],
  tenure_users_held: ['gauge', []],
}

describe('metrics', () => {
  let database: TestDatabase
  let tenure: RunningTenure
  let okta: ScimClient
  let linear: RegisteredServer
  let canva: RegisteredServer
  let figma: RegisteredServer
  let ada: string

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('all', database)
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    canva = await registerServer(tenure.admin, 'canva')
    figma = await registerServer(tenure.admin, 'figma')
    for (const { id } of [linear, canva, figma]) {
      await tenure.admin.put(`/rules/${id}`, { server: id, when: 'active eq true', scopes: ['read'] })
    }
  })
  afterAll(async () => {
    canva?.receiver.release()
    await tenure?.close()
    for (const server of [linear, canva, figma]) await server?.receiver.close()
    await database?.drop()
  })

  const read = () => scrape(tenure.url)
  const grant = (scope: string, token: string) =>
    tenure.admin.grant({ directory: 'acme', user: { id: ada }, server: 'linear', scopes: [scope], token })

  it('count what happens to a joiner', async () => {
    const before = await read()
    expect(before.value('tenure_users_active')).toBe(0)
    ada = (await okta.createUser('ada@acme.example')).id
    await tenure.admin.waitUntilSettled()
    expect((await grant('read', 'at-ada')).status).toBe(201)
    expect((await grant('write', 'at-more')).status).toBe(403)
    await tenure.admin.introspect('at-ada')

    const after = await read()
    const grew = growth(before, after)
    expect(after.value('tenure_users_active')).toBe(1)
    expect(after.value('tenure_users_behind')).toBe(0)
    expect(after.value('tenure_users_held')).toBe(0)
    expect(after.value('tenure_grants_open')).toBe(1)
    expect(grew('tenure_event_lag_seconds_count', { source: 'scim' })).toBe(1)
    expect(grew('tenure_scim_requests_total', { directory: 'acme', method: 'POST', status: '201' })).toBe(1)
    expect(grew('tenure_requests_total', { area: 'scim', status: '201' })).toBe(1)
    expect(grew('tenure_requests_total', { area: 'admin', status: '403' })).toBe(1)
    expect(grew('tenure_request_duration_seconds_count', { area: 'oauth2' })).toBe(1)
    expect(grew('tenure_converge_lag_seconds_count', { lane: 'normal' })).toBe(1)
    expect(grew('tenure_converge_duration_seconds_count', { lane: 'normal' })).toBeGreaterThanOrEqual(1)
    expect(grew('tenure_gate_answers_total', { question: 'grant', answer: 'allowed' })).toBe(1)
    expect(grew('tenure_gate_answers_total', { question: 'grant', answer: 'refused' })).toBe(1)
    expect(grew('tenure_gate_answers_total', { question: 'introspection', answer: 'active' })).toBe(1)
    expect(grew('tenure_queue_hints_total', { result: 'given' })).toBeGreaterThanOrEqual(4)
    for (const server of ['linear', 'canva', 'figma']) {
      expect(grew('tenure_delivery_attempts_total', { server, outcome: 'applied' }), server).toBe(1)
      expect(grew('tenure_delivery_attempt_duration_seconds_count', { server }), server).toBe(1)
      expect(after.value('tenure_kill_time_seconds_count', { server }), 'a joiner is no kill').toBeUndefined()
    }
  })

  it('time the kill of a leaver where it arrived, and show where it did not', async () => {
    canva.receiver.behave({ hang: true })
    figma.receiver.behave({ status: 410 })
    const before = await read()
    const sent = performance.now()
    await okta.setActive(ada, false)
    await tenure.admin.introspect('at-ada')
    for (const { receiver } of [linear, canva, figma]) await receiver.waitFor(({ message }) => !message.data.active)
    const settled = (scraped: Scrape) =>
      scraped.value('tenure_kill_time_seconds_count', { server: 'linear' }) === 1 &&
      (scraped.value('tenure_delivery_attempts_total', { server: 'figma', outcome: 'refused' }) ?? 0) > 0
    const after = await waitFor(async () => [await read()].find(settled), { what: 'the two answers to be settled' })
    const elapsedSeconds = (performance.now() - sent) / 1_000

    const grew = growth(before, after)
    const killTime = after.value('tenure_kill_time_seconds_sum', { server: 'linear' })!
    expect(killTime).toBeGreaterThan(0)
    expect(killTime).toBeLessThan(elapsedSeconds)
    expect(after.value('tenure_kill_time_seconds_bucket', { server: 'linear', le: '3600' })).toBe(1)
    expect(after.value('tenure_kill_time_seconds_bucket', { server: 'linear', le: '0.005' })).toBeDefined()
    expect(after.value('tenure_kill_time_seconds_count', { server: 'figma' }), 'not taken').toBeUndefined()
    expect(grew('tenure_event_lag_seconds_count', { source: 'scim' })).toBe(1)
    expect(grew('tenure_converge_lag_seconds_count', { lane: 'urgent' })).toBe(1)
    expect(after.value('tenure_converge_lag_seconds_sum', { lane: 'urgent' })).toBeGreaterThan(0)
    expect(after.value('tenure_converge_lag_seconds_sum', { lane: 'urgent' })).toBeLessThan(killTime)
    expect(grew('tenure_gate_answers_total', { question: 'introspection', answer: 'inactive' })).toBe(1)
    expect(after.value('tenure_users_active')).toBe(0)
    expect(after.value('tenure_grants_open')).toBe(0)

    const urgent = (server: string) => ({ server, lane: 'urgent' })
    expect(after.value('tenure_deliveries_in_flight', urgent('canva'))).toBe(1)
    expect(after.value('tenure_deliveries_pending', urgent('canva'))).toBe(1)
    expect(after.value('tenure_deliveries_due', urgent('canva'))).toBe(0)
    expect(after.value('tenure_deliveries_oldest_undelivered_seconds', urgent('canva'))).toBeGreaterThan(0)
    expect(after.value('tenure_deliveries_oldest_undelivered_seconds', urgent('linear'))).toBe(0)
    expect(after.value('tenure_deliveries_parked', urgent('figma'))).toBe(1)
    expect(after.value('tenure_deliveries_parked', { server: 'figma', lane: 'normal' })).toBe(0)
    expect(after.value('tenure_server_paused', { server: 'figma' })).toBe(1)
    expect(after.value('tenure_server_paused', { server: 'linear' })).toBe(0)
    expect(after.value('tenure_alarms', { kind: 'server_gone', severity: 'critical' })).toBe(1)
  })

  it('count decisions that fail, and the sweeps that come back to them', async () => {
    const owner = await connect({ url: database.ownerUrl })
    try {
      await owner.query(`alter table entitlement add constraint broken check (server_id <> 'supabase')`)
      const supabase = await registerServer(tenure.admin, 'supabase')
      await supabase.receiver.close()
      await tenure.admin.put('/rules/supabase', { server: 'supabase', when: 'active eq true', scopes: ['read'] })
      const before = await read()
      await okta.createUser('bea@acme.example')
      await waitFor(
        async () => {
          const grew = growth(before, await read())
          return grew('tenure_converge_failures_total') >= 2 && grew('tenure_sweep_found_total', { kind: 'user' }) >= 1
        },
        { what: 'a sweep to come back to a decision that failed' },
      )
      const after = await read()
      expect(after.value('tenure_users_behind')).toBe(1)
      expect(growth(before, after)('tenure_sweeps_total', { result: 'done' })).toBeGreaterThanOrEqual(1)
    } finally {
      await owner.query('alter table entitlement drop constraint broken')
      await owner.end()
    }
  })

  it('count what event channels tell, how late it is, and who was turned away', async () => {
    const secret = makeSecret('event hook')
    await tenure.admin.put('/directories/acme/channels/okta', { secret })
    const url = `${tenure.url}/directories/acme/events/okta`
    const published = new Date(Date.now() - 90_000).toISOString()
    const leave = (id: string) =>
      logEvent('user.lifecycle.deactivate', [userTarget({ oktaId: id, userName: `${id}@acme.example` })], { published })
    const [nobody, another] = [leave('00uNobody'), leave('00uAnother')]
    expect((await post(url, secret, envelope([nobody]))).status).toBeLessThan(300)
    expect((await post(url, secret, envelope([nobody, another]))).status).toBeLessThan(300)
    expect((await post(url, `${secret}x`, envelope([nobody]))).status).toBe(401)

    const channel = { directory: 'acme', channel: 'okta' }
    const after = await waitFor(
      async () => [await read()].find((scraped) => scraped.value('tenure_channel_refusals_total', channel) === 1),
      { what: 'the call that was turned away to be counted' },
    )
    expect(after.value('tenure_channel_events_total', { ...channel, effect: 'waiting' })).toBe(2)
    expect(after.value('tenure_channel_events_total', { ...channel, effect: 'duplicate' })).toBe(1)
    expect(after.value('tenure_channel_event_lag_seconds_count', channel), 'a duplicate is late anyway').toBe(2)
    expect(after.value('tenure_channel_event_lag_seconds_bucket', { ...channel, le: '60' })).toBe(0)
    expect(after.value('tenure_channel_event_lag_seconds_bucket', { ...channel, le: '300' })).toBe(2)
    expect(after.value('tenure_channel_events_waiting', channel)).toBe(2)
    expect(after.value('tenure_channel_last_event_age_seconds', channel)).toBeLessThan(60)
  })

  it('have the names, types and labels that dashboards rely on, and no others', async () => {
    await fetch(`${tenure.url}/directories/nobody/scim/v2/Users`)
    const scraped = await read()
    const ours = [...scraped.families].filter(([name]) => name.startsWith('tenure_'))
    const shown = ours.map(([name, { type, labels }]) => [name, [type, [...labels].filter((l) => l !== 'le').sort()]])
    const wanted = Object.entries(families).map(([name, [type, labels]]) => [name, [type, labels.toSorted()]])
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(wanted))
    expect(scraped.value('tenure_scim_requests_total', { directory: 'nobody' }), 'made up by a caller').toBeUndefined()
    expect(scraped.value('tenure_database_up')).toBe(1)
    expect(scraped.value('tenure_queue_up')).toBe(1)
    expect(scraped.value('tenure_database_pool_connections', { state: 'idle' })).toBeGreaterThan(0)
    expect(scraped.value('process_cpu_seconds_total')).toBeGreaterThan(0)
  })
})

describe('metrics without a database', () => {
  it('are still answered, with what the process has counted and none of what the rows would say', async () => {
    const postgres = await startPostgres()
    const tenure = await runTenure('all', postgres)
    try {
      await registerServer(tenure.admin, 'linear').then(({ receiver }) => receiver.close())
      const up = await scrape(tenure.url)
      expect(up.value('tenure_database_up')).toBe(1)
      expect(up.value('tenure_deliveries_pending', { server: 'linear' })).toBe(0)

      await postgres.stop()
      const down = await scrape(tenure.url)
      expect(down.status).toBe(200)
      expect(down.value('tenure_database_up')).toBe(0)
      expect(down.value('tenure_queue_up')).toBe(0)
      expect(down.value('tenure_requests_total', { area: 'admin', status: '201' })).toBe(1)
      for (const name of ['tenure_users_behind', 'tenure_deliveries_pending', 'tenure_alarms']) {
        expect(down.value(name), name).toBeUndefined()
      }

      await postgres.start()
      const again = await waitFor(
        async () => [await scrape(tenure.url)].find((scraped) => scraped.value('tenure_database_up') === 1),
        { what: 'the database to be up again' },
      )
      expect(again.value('tenure_deliveries_pending', { server: 'linear' })).toBe(0)
    } finally {
      await tenure.close()
      await postgres.destroy()
    }
  })

  it('tell how late events are by the clocks of their sources', async () => {
    const pool = createPool('postgres://nobody@127.0.0.1:1/none', { max: 1, name: 'no database' })
    const queue = { counts: { given: 0, dropped: 0 }, isReady: async () => false }
    const metrics: Metrics = createMetrics({ db: createKysely(pool), pool, queue: queue as never })
    metrics.noteEvent({ source: 'okta', occurredAt: new Date(Date.now() - 90_000) })
    metrics.noteEvent({ source: 'okta', occurredAt: new Date(Date.now() + 90_000) })
    const text = await metrics.read()
    expect(text).toContain('tenure_event_lag_seconds_bucket{le="60",source="okta"} 1')
    expect(text).toContain('tenure_event_lag_seconds_bucket{le="300",source="okta"} 2')
    expect(text).toContain('tenure_database_up 0')
    await pool.end()
  })
})

/** By how much a series grew; one that was not there began at 0. */
function growth(before: Scrape, after: Scrape) {
  return (name: string, labels: Record<string, string> = {}): number =>
    (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0)
}
