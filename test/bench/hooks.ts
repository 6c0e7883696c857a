/**
 * How soon a sender of events has its answer: Okta's daily cap of 400,000 hook events squeezed into an hour, and as many
 * SETs, at their own pace whether the answers come or not, while workers converge the cut and servers are told. Beside
 * it, in the same run, a bare Express endpoint that commits one row.
 *
 *   npm run bench:hooks                     two minutes of hooks, two of SETs, half a minute of the bare one
 *   npm run bench:hooks -- --seconds 20     shorter
 *   npm run bench:hooks -- --rate 50        events a second
 *   npm run bench:hooks -- --json           one line of JSON
 *
 * Times are from when an event was due to be sent until its answer, so that waiting behind a slow one counts. Compare
 * them within one run: the machine also runs the sender, the workers, Postgres and the server that is told.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { Pool } from 'undici'
import { quantiles, ratio } from './figures.ts'
import { adminKey, caller, end, lineOf, run, settingsFor } from './processes.ts'
import { startStores } from './stores.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    rate: { type: 'string', default: String(400_000 / 3_600) },
    people: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
})
const seconds = Number(flags.seconds)
const rate = Number(flags.rate)
const people = Number(flags.people)
const secret = 'bench-hook-secret-of-this-run-32-chars'

interface Sent {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const stores = await startStores()
const told = createServer((req, res) => req.resume().on('end', () => res.writeHead(204).end()))
await new Promise<void>((done) => told.listen(0, '127.0.0.1', done))
const keys = await generateKeyPair('RS256')
const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' }
const jwks = createServer((_req, res) =>
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [jwk] })),
)
await new Promise<void>((done) => jwks.listen(0, '127.0.0.1', done))
const addressOf = (server: typeof told) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const issuer = 'https://transmitter.example'
const audience = 'https://tenure.example/bench'

const database = await stores.createDatabase()
const settings = settingsFor(database)
const tenure = run('bin/tenure.js', ['start'], settings)
const { url } = (await lineOf(tenure, ({ msg }) => msg === 'tenure.started')) as { url: string }
const bare = run('test/bench/bare.ts', [], settings)
const { url: bareUrl } = (await lineOf(bare, ({ url: at }) => at !== undefined)) as { url: string }

try {
  const ids = await populate()
  // The same people again and again: most of what a provider says is about somebody who has been cut already.
  const hooks = await measure(url, (turn) => hookOf(ids[turn % ids.length]!, turn))
  const sets = await measure(url, await signedSets(ids))
  const floor = await measure(bareUrl, (turn) => ({ ...hookOf(ids[0]!, turn), path: '/rows' }), Math.min(seconds, 30))
  const document = {
    node: process.version,
    eventsPerSecond: Math.round(rate * 10) / 10,
    hooks,
    sets,
    bare: floor,
    hooksToBare: { p50: ratio(hooks.p50, floor.p50), p99: ratio(hooks.p99, floor.p99) },
    setsToBare: { p50: ratio(sets.p50, floor.p50), p99: ratio(sets.p99, floor.p99) },
    aim: { p99Below: 100, holds: hooks.p99 < 100 && sets.p99 < 100 },
  }
  console.log(flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2))
} finally {
  await Promise.all([end(tenure), end(bare)])
  told.close()
  jwks.close()
  await stores.close()
}

/** @returns the Okta ids of everybody */
async function populate(): Promise<string[]> {
  const admin = caller(`${url}/admin/v1`, { authorization: `Bearer ${adminKey}` })
  await admin('POST', '/directories', { id: 'acme', provider: 'okta' })
  const { token } = await admin('POST', '/directories/acme/tokens', {})
  await admin('POST', '/servers', {
    id: 'linear',
    name: 'Linear',
    resource: 'https://linear.example/mcp',
    connectors: [{ type: 'webhook', url: `${addressOf(told)}/` }],
    concurrency: 50,
  })
  await admin('PUT', '/rules/everyone', { server: 'linear', when: 'active eq true', scopes: ['read'] })
  await admin('PUT', '/directories/acme/channels/okta', { secret })
  await admin('PUT', '/directories/acme/channels/ssf', {
    issuer,
    jwksUri: `${addressOf(jwks)}/jwks.json`,
    audience,
    delivery: 'push',
    pushAuthorization: `Bearer ${secret}`,
  })
  const scim = caller(`${url}/directories/acme/scim/v2`, { authorization: `Bearer ${token}` })
  const ids = Array.from({ length: people }, (_, at) => `00u${String(at).padStart(17, '0')}`)
  const left = [...ids]
  const worker = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop())
      await scim('POST', '/Users', {
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
        userName: `${id}@acme.example`,
        externalId: id,
        active: true,
      })
  }
  await Promise.all(Array.from({ length: 10 }, worker))
  for (;;) {
    const { items } = await admin('GET', '/deliveries?state=pending&limit=1')
    const { users } = await admin('GET', '/stats')
    if ((items as unknown[]).length === 0 && (users as { behind: number }).behind === 0) return ids
    await delay(500)
  }
}

function hookOf(id: string, turn: number): Sent {
  const published = new Date().toISOString()
  const target = [{ id, type: 'User', alternateId: `${id}@acme.example`, displayName: 'A person', detailEntry: null }]
  // One in ten cuts; the others are what an org has most of.
  const eventType = turn % 10 === 0 ? 'user.lifecycle.suspend' : 'user.account.update_profile'
  const event = {
    uuid: randomUUID(),
    published,
    eventType,
    version: '0',
    severity: 'INFO',
    outcome: { result: 'SUCCESS', reason: null },
    target,
  }
  const body = {
    eventType: 'com.okta.event_hook',
    eventTypeVersion: '1.0',
    cloudEventsVersion: '0.1',
    source: 'https://acme.okta.example/api/v1/eventHooks/who1',
    eventId: randomUUID(),
    eventTime: published,
    contentType: 'application/json',
    data: { events: [event] },
  }
  return {
    path: '/directories/acme/events/okta',
    headers: { 'content-type': 'application/json', authorization: secret },
    body: JSON.stringify(body),
  }
}

/** Signed before the clock runs: the sender's cryptography is not what is measured. */
async function signedSets(ids: readonly string[]): Promise<(turn: number) => Sent> {
  const type = 'https://schemas.openid.net/secevent/caep/event-type/'
  const sets: string[] = []
  for (let turn = 0; turn < Math.ceil(seconds * rate) + 1; turn++) {
    const event = turn % 10 === 0 ? 'session-revoked' : 'session-established'
    const claims = {
      sub_id: { format: 'iss_sub', iss: issuer, sub: ids[turn % ids.length]! },
      events: { [`${type}${event}`]: { event_timestamp: Math.floor(Date.now() / 1_000) } },
    }
    sets.push(
      await new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', kid: 'bench', typ: 'secevent+jwt' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt()
        .setJti(randomUUID())
        .sign(keys.privateKey),
    )
  }
  return (turn) => ({
    path: '/directories/acme/events/ssf',
    headers: { 'content-type': 'application/secevent+jwt', authorization: `Bearer ${secret}` },
    body: sets[turn]!,
  })
}

/** Sends at the rate, whether or not the ones before have been answered. */
async function measure(base: string, make: (turn: number) => Sent, forSeconds = seconds) {
  const pool = new Pool(base, { connections: 100, pipelining: 1 })
  const times: number[] = []
  const statuses: Record<string, number> = {}
  const open = new Set<Promise<void>>()
  const start = performance.now()
  const total = Math.floor(forSeconds * rate)
  for (let turn = 0; turn < total; turn++) {
    const due = start + (turn / rate) * 1_000
    if (due > performance.now()) await delay(due - performance.now())
    const { path, headers, body } = make(turn)
    const answered = pool.request({ method: 'POST', path, headers, body }).then(async (answer) => {
      await answer.body.dump()
      times.push(performance.now() - due)
      statuses[answer.statusCode] = (statuses[answer.statusCode] ?? 0) + 1
    })
    open.add(answered)
    void answered.finally(() => open.delete(answered))
  }
  await Promise.all(open)
  const took = (performance.now() - start) / 1_000
  await pool.close()
  return {
    sent: total,
    statuses,
    acknowledgedPerSecond: Math.round((times.length / took) * 10) / 10,
    ...quantiles(times),
  }
}
