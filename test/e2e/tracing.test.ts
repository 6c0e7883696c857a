import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { patchSchema, type ScimClient } from '../support/clients.ts'
import { type CollectedSpan, type Collector, startCollector } from '../support/collector.ts'
import { freePort } from '../support/free-port.ts'
import { createDatabase } from '../support/postgres.ts'
import {
  adminKey,
  type RegisteredServer,
  registerDirectory,
  registerServer,
  runTenure,
  spawnTenure,
} from '../support/tenure.ts'

type Part = Awaited<ReturnType<typeof spawnTenure>>

describe.each(backends())('traces, with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let collector: Collector
  let api: Part
  let worker: Part
  let okta: ScimClient
  const servers: RegisteredServer[] = []

  beforeAll(async () => {
    backend = await start()
    collector = await startCollector()
    const stores = { ...backend.database, redisUrl: backend.redisUrl }
    api = await spawnTenure('api', stores, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    worker = await spawnTenure('worker', stores, {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
      OTEL_SERVICE_NAME: 'tenure-worker',
    })
    okta = await registerDirectory(api.admin, 'acme')
    for (const id of ['linear', 'figma']) {
      servers.push(await registerServer(api.admin, id))
      await api.admin.put(`/rules/${id}`, { server: id, when: 'active eq true', scopes: ['read'] })
    }
  })
  afterAll(async () => {
    for (const part of [api, worker]) await part?.process.kill()
    for (const { receiver } of servers) await receiver.close()
    await collector?.close()
    await backend?.stop()
  })

  it('go from the request over the decision to every server that is told, across processes', async () => {
    const { id } = await okta.createUser('ada@acme.example', { displayName: 'Ada Lovelace' })
    const others = await Promise.all(Array.from({ length: 8 }, (_, n) => okta.createUser(`user-${n}@acme.example`)))
    await api.admin.waitUntilSettled()

    const trace = newTrace()
    await deactivate(okta, id, trace)
    for (const { receiver } of servers) {
      const told = await receiver.waitFor(({ message }) => message.data.user.id === id && !message.data.active)
      expect(told.headers).not.toHaveProperty('traceparent')
    }
    // Hints that are given together travel together, each with its own trace.
    const atOnce = others.map((user) => ({ user: String(user.id), trace: newTrace() }))
    await Promise.all(atOnce.map(({ user, trace }) => deactivate(okta, user, trace)))
    await api.admin.waitUntilSettled()
    expect((await api.process.kill('SIGTERM')).code).toBe(0)
    expect((await worker.process.kill('SIGTERM')).code).toBe(0)

    const lines = [...api.process.lines, ...worker.process.lines].filter(({ traceId }) => traceId === trace.traceId)
    expect(lines.map(({ msg }) => msg).sort()).toEqual([
      'delivery.attempted',
      'delivery.attempted',
      'request.served',
      'user.converged',
    ])

    const spans = collector.spans.filter(({ traceId }) => traceId === trace.traceId)
    const request = spans.find(({ kind }) => kind === 'server')!
    expect(request).toMatchObject({
      name: 'PATCH /directories/{directory}/scim/v2/Users/{id}',
      service: 'tenure',
      parentSpanId: trace.spanId,
      failed: false,
      attributes: {
        'http.request.method': 'PATCH',
        'http.route': '/directories/{directory}/scim/v2/Users/{id}',
        'http.response.status_code': 200,
        'tenure.directory.id': 'acme',
        'tenure.user.id': id,
      },
    })
    const told = servers.map(({ id }) => spans.find((span) => span.attributes['tenure.server.id'] === id)!)
    for (const attempt of told) {
      expect(attempt).toMatchObject({
        name: 'delivery.attempt',
        kind: 'client',
        service: 'tenure-worker',
        attributes: { 'tenure.user.id': id, 'tenure.outcome': 'applied', 'http.response.status_code': 200 },
      })
      expect(ancestors(spans, attempt).map(({ name, kind }) => [name, kind])).toEqual([
        ['user.converge', 'internal'],
        ['process converge-urgent', 'consumer'],
        ['addBulk converge-urgent', 'producer'],
        [request.name, 'server'],
      ])
    }
    const known = new Set(spans.map(({ spanId }) => spanId))
    expect(spans.filter((span) => span !== request && !known.has(span.parentSpanId!))).toEqual([])

    for (const { user, trace } of atOnce) {
      const own = collector.spans.filter(({ traceId }) => traceId === trace.traceId)
      const decided = own.filter(({ name }) => name === 'user.converge')
      expect(decided.map(({ attributes }) => attributes['tenure.user.id'])).toEqual([user])
      expect(ancestors(own, decided[0]!).at(-1)).toMatchObject({
        kind: 'server',
        attributes: { 'tenure.user.id': user },
      })
    }
  })

  it('hold ids and no names or secrets, and leave probes and the upkeep of queues out', () => {
    const all = collector.bodies.join('\n')
    for (const word of ['ada@', 'acme.example', 'Lovelace', okta.token, adminKey]) expect(all).not.toContain(word)
    expect(collector.spans.length).toBeGreaterThan(30)
    const kinds =
      /^((GET|POST|PUT|PATCH) \/(directories|admin)\/|(addBulk|process) |user\.converge$|delivery\.attempt$)/
    expect(collector.spans.map(({ name }) => name).filter((name) => !kinds.test(name))).toEqual([])
  })
})

describe('tracing', () => {
  it('marks what failed, and keeps the share that is configured', async () => {
    const collector = await startCollector()
    const database = await createDatabase()
    const tracing = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER_ARG: '0' }
    const tenure = await runTenure('all', database, tracing)
    const okta = await registerDirectory(tenure.admin, 'acme')
    const figma = await registerServer(tenure.admin, 'figma')
    figma.receiver.behave({ status: 503 })
    await tenure.admin.put('/rules/figma', { server: 'figma', when: 'active eq true', scopes: ['read'] })
    const trace = newTrace()
    await okta.createUser('unsampled@acme.example')
    await fetch(`${okta.base}/Users`, { headers: { authorization: `Bearer ${okta.token}`, ...headerOf(trace) } })
    await figma.receiver.waitForRequests(1)
    await tenure.close()
    // Only the caller's own trace: it had decided.
    expect(collector.spans.map(({ traceId, name }) => [traceId, name])).toEqual([
      [trace.traceId, 'GET /directories/{directory}/scim/v2/Users'],
    ])

    // The same process without it, and with it once more: the API knows one provider at a time.
    const collected = collector.bodies.length
    const silent = await runTenure('api', database)
    await silent.admin.get('/stats')
    await silent.close()
    expect(collector.bodies.length).toBe(collected)
    const again = await runTenure('all', database, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    await okta.at(again.url).createUser('sampled@acme.example')
    await figma.receiver.waitFor(({ message }) => message.data.user.userName === 'sampled@acme.example')
    await again.close()
    const attempt = collector.spans.find(({ name }) => name === 'delivery.attempt')
    expect(attempt).toMatchObject({
      failed: true,
      attributes: { 'error.type': 'unavailable', 'http.response.status_code': 503 },
    })
    await figma.receiver.close()
    await database.drop()
    await collector.close()
  })

  it('does without a collector that is away, and stops in time all the same', async () => {
    const database = await createDatabase()
    const away = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` }
    const api = await spawnTenure('api', database, away)
    await registerDirectory(api.admin, 'acme')
    const asked = performance.now()
    expect((await api.process.kill('SIGTERM')).code).toBe(0)
    expect(performance.now() - asked).toBeLessThan(9_500)
    expect(api.process.lines.some(({ msg }) => msg === 'tracing.export_failed')).toBe(true)
    await database.drop()
  })

  it('is not even loaded unless it is configured', async () => {
    const collector = await startCollector()
    const database = await createDatabase()
    const telling = { NODE_OPTIONS: `--import ${new URL('../support/tell-modules.js', import.meta.url).href}` }
    const loadedBy = async (variables: Record<string, string>) => {
      const part = await spawnTenure('worker', database, { ...telling, ...variables })
      await part.process.kill('SIGTERM')
      const loaded = part.process.lines.flatMap((line) => (typeof line.loaded === 'string' ? [line.loaded] : []))
      expect(loaded).toContain('bullmq')
      return loaded.filter((name) => /opentelemetry|otel/.test(name)).sort()
    }
    expect(await loadedBy({})).toEqual(['@opentelemetry/api'])
    expect(await loadedBy({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })).toEqual(
      expect.arrayContaining(['@opentelemetry/sdk-trace', '@opentelemetry/exporter-trace-otlp-http', 'bullmq-otel']),
    )
    await database.drop()
    await collector.close()
  })
})

interface Trace {
  readonly traceId: string
  readonly spanId: string
}

function newTrace(): Trace {
  return { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex') }
}

/** W3C Trace Context, sampled. */
function headerOf({ traceId, spanId }: Trace): { traceparent: string } {
  return { traceparent: `00-${traceId}-${spanId}-01` }
}

async function deactivate(okta: ScimClient, id: string, trace: Trace): Promise<void> {
  const response = await fetch(`${okta.base}/Users/${id}`, {
    method: 'PATCH',
    headers: {
      authorization: `Bearer ${okta.token}`,
      'content-type': 'application/scim+json',
      ...headerOf(trace),
    },
    body: JSON.stringify({ schemas: [patchSchema], Operations: [{ op: 'replace', value: { active: false } }] }),
  })
  expect(response.status).toBe(200)
}

/** Parent first. */
function ancestors(spans: readonly CollectedSpan[], span: CollectedSpan): CollectedSpan[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
  return parent === undefined ? [] : [parent, ...ancestors(spans, parent)]
}
