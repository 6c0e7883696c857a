import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { type Channels, createChannels } from '../../src/directory/channels.ts'
import { createIntake, type Intake } from '../../src/directory/intake.ts'
import type { Signal } from '../../src/lifecycle/signals.ts'
import { createSealer } from '../../src/secrets.ts'
import type { Json, ScimClient } from '../support/clients.ts'
import { scrape } from '../support/exposition.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { record } from '../support/secret-setup.ts'
import { type RunningTenure, registerDirectory, runTenure, secretKey } from '../support/tenure.ts'
import { startWeb, type Web } from '../support/web.ts'

let database: TestDatabase
let tenure: RunningTenure
let db: Database
let owner: pg.Client
let channels: Channels
let intake: Intake
let scim: ScimClient
let web: Web

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  db = openDatabase(createPool(database.url, { max: 4, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  channels = createChannels({ db, sealer: createSealer([secretKey]) })
  intake = createIntake({ db, hintUser: () => {} })
  scim = await registerDirectory(tenure.admin, 'acme')
  await registerDirectory(tenure.admin, 'globex')
})
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await tenure?.close()
  await database?.drop()
})
beforeEach(async () => {
  await owner.query('delete from inbound_event; delete from channel; delete from channel_refusal')
  web = await startWeb()
})
afterEach(() => web.close())

const okta = { directoryId: 'acme', kind: 'okta' } as const
const send = (method: string, kind: string, body?: Json) =>
  tenure.admin.send(method, `/directories/acme/channels/${kind}`, body)
const put = (kind: string, body: Json) => send('PUT', kind, body)
const get = (kind: string) => tenure.admin.get(`/directories/acme/channels/${kind}`)
const alarms = async () => (await tenure.admin.get('/alarms')).items

function makeSecret(what: string): string {
  const secret = `${what}-${randomBytes(24).toString('base64url')}`
  record.secret(secret, what)
  return secret
}

const ssf = {
  issuer: 'https://idp.example',
  jwksUri: 'https://idp.example/keys',
  audience: 'https://rx.example',
  delivery: 'push',
}
const revocation = { issuer: 'https://acme.okta.example', jwksUri: 'https://acme.okta.example/keys' }

let told = 0
const signal = (kind: Signal['kind'], subject: Signal['subject'], more: Partial<Signal> = {}): Signal => ({
  dedupeKey: `told-${told++}`,
  type: `test.${kind}`,
  kind,
  subject,
  ...more,
})
const personOf = (id: string) => [{ by: 'id', value: id }] as const
const stranger = [{ by: 'externalId', value: '00uStranger' }] as const

describe('an event channel', () => {
  it.each([
    [
      'okta',
      {
        apiUrl: 'https://acme.okta.example',
        appId: '0oa1',
        pollSeconds: 30,
        effects: { 'user.account.lock': 'sessions_revoked' },
      },
    ],
    [
      'ssf',
      {
        ...ssf,
        audience: ['https://rx.example', 'rx'],
        legacy: true,
        subject: 'email',
        algorithms: ['RS256'],
        effects: { 'risk-level-change': 'sessions_revoked' },
      },
    ],
    [
      'ssf',
      {
        ...ssf,
        audience: ['rx'],
        delivery: 'poll',
        pollUrl: 'https://idp.example/poll',
        subjectIssuers: ['https://people.example'],
      },
    ],
    ['global-token-revocation', { ...revocation, client: '0oa2', subject: 'externalId' }],
  ])('of kind %s is set up, shown, replaced, listed and removed', async (kind, settings) => {
    const secrets = kind === 'okta' ? { secret: makeSecret('hook') } : {}
    const made = await put(kind, { ...settings, ...secrets })
    const url = `${tenure.url}/directories/acme/events/${kind}`
    expect(made).toMatchObject({ status: 201, body: { kind, directory: 'acme', url, ...settings } })
    expect(await get(kind)).toEqual(made.body)
    expect(await tenure.admin.get('/directories/acme/channels')).toEqual({ items: [made.body], next: null })
    const again = await put(kind, settings)
    expect(again).toMatchObject({ status: 200, body: { ...settings, createdAt: made.body.createdAt } })
    expect(await send('DELETE', kind)).toMatchObject({ status: 204 })
    for (const method of ['GET', 'DELETE']) expect(await send(method, kind)).toMatchObject({ status: 404 })
    expect((await tenure.admin.get('/directories/acme/channels')).items).toEqual([])
  })

  it('has what is left out by default, not as it was', async () => {
    await put('okta', { secret: makeSecret('hook'), appId: '0oa1' })
    expect((await put('okta', {})).body).not.toHaveProperty('appId')
  })

  it('is of its own directory alone', async () => {
    await put('global-token-revocation', revocation)
    expect((await tenure.admin.get('/directories/globex/channels')).items).toEqual([])
    const answer = await tenure.admin.send('GET', '/directories/globex/channels/global-token-revocation')
    expect(answer).toMatchObject({ status: 404 })
  })

  it.each<[string, string, Json, string]>([
    ['a hook without a secret', 'okta', {}, 'secret'],
    ['a short secret', 'okta', { secret: 'fifteen-letters' }, 'secret'],
    ['a short old secret', 'okta', { secret: ['sixteen-letters-or-more', 'short'] }, 'secret'],
    ['three secrets', 'okta', { secret: ['a', 'b', 'c'].map((each) => each.repeat(16)) }, 'secret'],
    ['the same secret twice', 'okta', { secret: ['a'.repeat(16), 'a'.repeat(16)] }, 'secret'],
    ['a secret that no header carries', 'okta', { secret: `${'a'.repeat(16)}\n` }, 'secret'],
    ['no secret on purpose', 'okta', { secret: null }, 'secret'],
    ['http', 'okta', { secret: 'a'.repeat(16), apiUrl: 'http://acme.okta.example' }, 'apiUrl'],
    ['a private host', 'okta', { secret: 'a'.repeat(16), apiUrl: 'https://10.0.0.1' }, 'apiUrl'],
    ['an org with a query', 'okta', { secret: 'a'.repeat(16), apiUrl: 'https://acme.okta.example/?a=b' }, 'apiUrl'],
    ['a token of no org', 'okta', { secret: 'a'.repeat(16), apiToken: '00token' }, 'apiUrl'],
    ['an effect that there is not', 'okta', { secret: 'a'.repeat(16), effects: { 'user.x': 'cut' } }, 'effects.user.x'],
    ['an issuer that is a private host', 'ssf', { ...ssf, issuer: 'https://169.254.169.254' }, 'issuer'],
    ['an issuer with a query', 'ssf', { ...ssf, issuer: 'https://idp.example/?a' }, 'issuer'],
    ['keys at a private host', 'ssf', { ...ssf, jwksUri: 'https://[::1]/keys' }, 'jwksUri'],
    ['an algorithm with a shared key', 'ssf', { ...ssf, algorithms: ['HS256'] }, 'algorithms.0'],
    ['no audience', 'ssf', { ...ssf, audience: [] }, 'audience'],
    ['nowhere to poll', 'ssf', { ...ssf, delivery: 'poll' }, 'pollUrl'],
    ['a place to poll of what is pushed', 'ssf', { ...ssf, pollUrl: 'https://idp.example/poll' }, 'pollUrl'],
    ['a private place to poll', 'ssf', { ...ssf, delivery: 'poll', pollUrl: 'https://192.168.0.1' }, 'pollUrl'],
    [
      'a private endpoint',
      'ssf',
      { ...ssf, stream: { configurationEndpoint: 'https://10.0.0.1' } },
      'stream.configurationEndpoint',
    ],
    [
      'a header of what is polled',
      'ssf',
      { ...ssf, delivery: 'poll', pollUrl: 'https://idp.example/poll', pushAuthorization: 'a'.repeat(16) },
      'pushAuthorization',
    ],
    [
      'a header of a stream that Tenure creates',
      'ssf',
      { ...ssf, stream: {}, token: 'some-token', pushAuthorization: 'a'.repeat(16) },
      'pushAuthorization',
    ],
    ['a token for nothing', 'ssf', { ...ssf, token: 'some-token' }, 'token'],
    [
      'keys over http',
      'global-token-revocation',
      { ...revocation, jwksUri: 'http://acme.okta.example/keys' },
      'jwksUri',
    ],
  ])('is not set up with %s', async (_what, kind, body, field) => {
    const answer = await put(kind, body)
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: expect.stringContaining(field) }] } })
    expect((await tenure.admin.get('/directories/acme/channels')).items).toEqual([])
  })

  it('never shows a secret or a token, wherever it is seen', async () => {
    const secrets = ['first', 'second', 'token', 'push'].map(makeSecret)
    const [first, second, token, push] = secrets
    await put('okta', { secret: [second, first], apiUrl: 'https://acme.okta.example', apiToken: token })
    await put('ssf', { ...ssf, pushAuthorization: push })
    const shown = JSON.stringify(await tenure.admin.get('/directories/acme/channels'))
    for (const secret of secrets) expect(shown).not.toContain(secret)
    const refused = await put('okta', { secret: `${first} \u0007`, apiToken: `${token} ` })
    expect(refused.status).toBe(422)
    for (const secret of secrets) expect(JSON.stringify(refused.body)).not.toContain(secret)
  })

  it('has the secrets that were given: one, a new one beside the old one, the new one alone', async () => {
    const [old, fresh] = [makeSecret('old'), makeSecret('new')] as [string, string]
    const admitted = async () => {
      const channel = (await channels.find(okta))!
      return [old, fresh].map((secret) => channels.admits(channel, secret))
    }
    await put('okta', { secret: old })
    expect(await admitted()).toEqual([true, false])
    expect((await put('okta', {})).body.secrets).toHaveLength(1)
    expect(await admitted()).toEqual([true, false])
    expect((await put('okta', { secret: [fresh, old] })).body.secrets).toHaveLength(2)
    expect(await admitted()).toEqual([true, true])
    await put('okta', { secret: fresh })
    expect(await admitted()).toEqual([false, true])
  })

  it('asks for no header of a push any more, where that is given as null', async () => {
    await put('ssf', { ...ssf, pushAuthorization: makeSecret('push') })
    expect((await put('ssf', ssf)).body.secrets).toHaveLength(1)
    expect((await put('ssf', { ...ssf, pushAuthorization: null })).body.secrets).toEqual([])
  })

  it('keeps its token until another is given, or null', async () => {
    const secret = makeSecret('hook')
    const apiUrl = 'https://acme.okta.example'
    const token = makeSecret('token')
    expect((await put('okta', { secret, apiUrl, apiToken: token })).body.hasToken).toBe(true)
    expect((await put('okta', { apiUrl, appId: '0oa1' })).body.hasToken).toBe(true)
    expect((await channels.takeTurns(10)).map(({ token }) => token)).toEqual([token])
    expect((await put('okta', { apiUrl, apiToken: null })).body.hasToken).toBe(false)
  })

  it.each<[string, string, Json, Json, string]>([
    ['okta', 'apiToken', { apiUrl: 'https://acme.okta.example' }, { apiUrl: 'https://evil.example' }, 'apiToken'],
    [
      'ssf',
      'token',
      { ...ssf, delivery: 'poll', pollUrl: 'https://idp.example/poll' },
      { ...ssf, delivery: 'poll', pollUrl: 'https://evil.example/poll' },
      'token',
    ],
    [
      'ssf',
      'token',
      { ...ssf, stream: { configurationEndpoint: 'https://idp.example/s' } },
      { ...ssf, stream: { configurationEndpoint: 'https://idp.example/s', statusEndpoint: 'https://evil.example' } },
      'token',
    ],
  ])('shows the token that it has to no other host: %s', async (kind, name, settings, moved, field) => {
    const secrets = kind === 'okta' ? { secret: makeSecret('hook') } : {}
    const given = await put(kind, { ...settings, ...secrets, [name]: makeSecret('token') })
    expect(given.status).toBe(201)
    expect(await put(kind, moved)).toMatchObject({ status: 422, body: { errors: [{ field }] } })
    expect(await put(kind, { ...moved, [name]: makeSecret('another') })).toMatchObject({ status: 200 })
  })

  it.each<[string, string, Json, boolean]>([
    [
      'an org and a token',
      'okta',
      { apiUrl: 'https://acme.okta.example', apiToken: '00made-up-kH3pQ9xWvT2sLd8yZ' },
      true,
    ],
    ['an org without a token', 'okta', { apiUrl: 'https://acme.okta.example' }, false],
    ['a hook alone', 'okta', {}, false],
    ['polling', 'ssf', { ...ssf, delivery: 'poll', pollUrl: 'https://idp.example/poll' }, true],
    ['a stream', 'ssf', { ...ssf, stream: { configurationEndpoint: 'https://idp.example/s' } }, true],
    ['pushes alone', 'ssf', ssf, false],
  ])('is asked at once, where there is something to be asked: %s', async (_what, kind, body, works) => {
    await put(kind, kind === 'okta' ? { secret: makeSecret('hook'), ...body } : body)
    expect((await channels.takeTurns(10)).map((turn) => turn.kind)).toEqual(works ? [kind] : [])
    await owner.query(`update channel set work_leased_until = null, work_due_at = work_due_at + interval '1 hour'`)
    expect(await channels.takeTurns(10)).toEqual([])
    expect(await tenure.admin.send('POST', `/directories/acme/channels/${kind}/check`)).toMatchObject(
      works ? { status: 202, body: { kind } } : { status: 409 },
    )
    expect((await channels.takeTurns(10)).map((turn) => turn.kind)).toEqual(works ? [kind] : [])
  })

  it('goes on where it was, unless it is of another sender from now on', async () => {
    const stream = { configurationEndpoint: 'https://idp.example/s', statusEndpoint: 'https://idp.example/t' }
    await put('ssf', { ...ssf, stream })
    const [turn] = await channels.takeTurns(1)
    await channels.endTurn(turn!, { state: { cursor: 'there' }, againMs: 1_000 })
    const stateOf = async () => (await channels.get({ directoryId: 'acme', kind: 'ssf' })).state
    await put('ssf', { ...ssf, audience: 'another', stream })
    expect(await stateOf()).toEqual({ cursor: 'there' })
    await put('ssf', { ...ssf, issuer: 'https://another.example', stream })
    expect(await stateOf()).toEqual({})
  })

  it('finds the keys, and the endpoints of streams, in the metadata of its transmitter', async () => {
    const issuer = `${web.url}/tenant`
    const endpoints = {
      configurationEndpoint: `${web.url}/stream`,
      statusEndpoint: `${web.url}/status`,
      verificationEndpoint: `${web.url}/verify`,
    }
    web.put('/.well-known/ssf-configuration/tenant', {
      json: {
        issuer,
        jwks_uri: `${web.url}/keys`,
        configuration_endpoint: endpoints.configurationEndpoint,
        status_endpoint: endpoints.statusEndpoint,
        verification_endpoint: endpoints.verificationEndpoint,
      },
    })
    const { jwksUri: _, ...given } = { ...ssf, issuer }
    const found = await put('ssf', { ...given, stream: { events: ['session-revoked'] } })
    expect(found).toMatchObject({
      status: 201,
      body: { jwksUri: `${web.url}/keys`, stream: { ...endpoints, events: ['session-revoked'] } },
    })
    const nowhere = await put('ssf', { ...given, issuer: `${web.url}/nothing` })
    expect(nowhere).toMatchObject({ status: 422, body: { errors: [{ field: expect.any(String) }] } })
  })

  it('finds the keys of Universal Logout in the metadata of the issuer', async () => {
    web.put('/.well-known/openid-configuration', { json: { issuer: web.url, jwks_uri: `${web.url}/keys` } })
    const found = await put('global-token-revocation', { issuer: web.url })
    expect(found).toMatchObject({ status: 201, body: { jwksUri: `${web.url}/keys` } })
  })

  it('has its URL with its directory from the beginning', async () => {
    expect((await tenure.admin.get('/directories/acme')).eventUrls).toEqual(
      Object.fromEntries(
        ['okta', 'ssf', 'global-token-revocation'].map((kind) => [
          kind,
          `${tenure.url}/directories/acme/events/${kind}`,
        ]),
      ),
    )
  })
})

describe('what came over a channel', () => {
  it('is listed newest first, page after page, with what came of it', async () => {
    const { id } = await scim.createUser('ada@acme.example')
    const occurredAt = new Date(Date.now() - 90_000)
    await intake.receive(okta, [signal('noted', [])])
    await intake.receive(okta, [signal('left', personOf(id), { occurredAt })])
    await intake.receive(okta, [signal('left', personOf(id))])
    await intake.receive(okta, [signal('left', stranger)])
    await intake.receive({ ...okta, kind: 'ssf' }, [signal('noted', [])])
    const { items, next } = await tenure.admin.get('/directories/acme/channels/okta/events')
    expect(next).toBeNull()
    expect(items).toMatchObject([
      { effect: 'waiting', user: null, event: null, lagMs: null, names: [{ by: 'externalId', value: '00uStranger' }] },
      { effect: 'confirmed', user: id, event: items[2].event, names: null },
      { type: 'test.left', kind: 'left', effect: 'cut', user: id, occurredAt: occurredAt.toISOString() },
      { effect: 'recorded', user: null, occurredAt: null },
    ])
    expect(items[2].lagMs).toBeGreaterThanOrEqual(90_000)
    expect(items[2].lagMs).toBeLessThan(100_000)
    const paged: Json[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: Json = await tenure.admin.get(
        `/directories/acme/channels/okta/events?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`,
      )
      paged.push(...page.items)
      cursor = page.next
    }
    expect(paged).toEqual(items)
    const cuts = await tenure.admin.get('/directories/acme/channels/okta/events?effect=cut')
    expect(cuts.items).toEqual([items[2]])
    expect((await tenure.admin.get('/directories/globex/channels/okta/events')).items).toEqual([])
  })

  it("stands in its person's timeline, after the event that it became, with its lag", async () => {
    const { id } = await scim.createUser('grace@acme.example')
    await intake.receive(okta, [signal('noted', personOf(id))])
    await intake.receive(okta, [signal('suspended', personOf(id), { occurredAt: new Date(Date.now() - 5_000) })])
    await intake.receive({ ...okta, kind: 'ssf' }, [signal('left', personOf(id))])
    const { items } = await tenure.admin.get(`/users/${id}/timeline`)
    const told = items.filter(({ kind }: Json) => ['event', 'inbound'].includes(kind))
    expect(told).toMatchObject([
      { kind: 'event', detail: { kind: 'joined' } },
      { kind: 'inbound', detail: { channel: 'okta', type: 'test.noted', effect: 'recorded', lagMs: null } },
      { kind: 'event', detail: { kind: 'suspended', source: 'okta' } },
      { kind: 'inbound', detail: { channel: 'okta', type: 'test.suspended', kind: 'suspended', effect: 'cut' } },
      { kind: 'inbound', detail: { channel: 'ssf', effect: 'confirmed' } },
    ])
    expect(told[3].detail.lagMs).toBeGreaterThanOrEqual(5_000)
    expect(told[3].detail.event).toBe(told[2].detail.id)
  })

  it('stands there when it took effect, where it had to wait for its person', async () => {
    await intake.receive(okta, [signal('left', [{ by: 'externalId', value: '00uWaitedFor' }])])
    await owner.query(`update inbound_event set received_at = received_at - interval '1 hour'`)
    const { id } = await scim.createUser('waited-for@acme.example', { externalId: '00uWaitedFor' })
    await intake.joinWaiting()
    const { items } = await tenure.admin.get(`/users/${id}/timeline`)
    expect(items.filter(({ kind }: Json) => kind === 'event' || kind === 'inbound')).toMatchObject([
      { kind: 'event', detail: { kind: 'joined' } },
      { kind: 'event', detail: { kind: 'sessions_revoked' } },
      { kind: 'inbound', detail: { effect: 'overtaken' } },
    ])
  })

  it('crowds nothing else out of a timeline, where it did nothing', async () => {
    const { id } = await scim.createUser('busy@acme.example')
    for (let call = 0; call < 3; call++)
      await intake.receive(
        okta,
        Array.from({ length: 50 }, () => signal('noted', personOf(id))),
      )
    const { items } = await tenure.admin.get(`/users/${id}/timeline`)
    expect(items.filter(({ kind }: Json) => kind === 'inbound')).toHaveLength(100)
    expect(items[0]).toMatchObject({ kind: 'event', detail: { kind: 'joined' } })
  })
})

describe('an event that waits', () => {
  const jobs = async (query = '') => (await tenure.admin.get(`/jobs?kind=event${query}`)).items

  it('is failed work, and takes effect at a replay once its user is known', async () => {
    const subject = [{ by: 'externalId', value: '00uLate' }] as const
    await intake.receive(okta, [signal('left', subject), signal('left', stranger)])
    const listed = await jobs()
    expect(listed).toHaveLength(2)
    expect(listed[0]).toMatchObject({ kind: 'event', state: 'failing', user: null, server: null, attempts: 0 })
    expect(listed[0].error).toContain('test.left over okta of acme')
    expect(await jobs('&state=parked')).toEqual([])
    expect((await tenure.admin.get('/jobs?kind=delivery')).items).toEqual([])

    const rehearsed = await tenure.admin.post('/jobs/replay', { dryRun: true })
    expect(rehearsed).toMatchObject({ requeued: 2, events: 2, deliveries: 0, users: 0 })
    const { id } = await scim.createUser('late@acme.example', { externalId: '00uLate' })
    expect(await jobs()).toHaveLength(2)
    expect(await tenure.admin.post(`/jobs/${listed[0].id}/replay`)).toMatchObject({ requeued: 1, events: 1 })
    expect(await jobs()).toHaveLength(1)
    const { items } = await tenure.admin.get('/directories/acme/channels/okta/events')
    expect(items).toContainEqual(expect.objectContaining({ user: id, effect: 'overtaken' }))
  })

  it('is replayed by its kind and its age, not with deliveries, users or servers', async () => {
    await intake.receive(okta, [signal('left', stranger)])
    const count = async (body: Json) => (await tenure.admin.post('/jobs/replay', { ...body, dryRun: true })).events
    expect(await count({ kind: 'event' })).toBe(1)
    for (const kind of ['delivery', 'user']) expect(await count({ kind })).toBe(0)
    expect(await count({ server: 'linear' })).toBe(0)
    expect(await count({ since: new Date(Date.now() - 60_000).toISOString() })).toBe(1)
    expect(await count({ since: new Date(Date.now() + 60_000).toISOString() })).toBe(0)
    expect(await tenure.admin.send('POST', '/jobs/inb_nothing/replay')).toMatchObject({ status: 404 })
  })
})

describe('alarms of channels', () => {
  const about = { directory: 'acme', channel: 'okta' }
  const setUp = (works = false) =>
    channels.put(okta, {
      config: {},
      inbound: [makeSecret('new'), makeSecret('old')],
      outbound: undefined,
      works,
      source: [],
    })
  const kinds = async () =>
    (await alarms()).filter(({ subject }: Json) => subject.channel).map(({ kind }: Json) => kind)

  it('are none of a channel that is well', async () => {
    await setUp(true)
    expect(await kinds()).toEqual([])
  })

  it('rise when it is silent for longer than it ever is', async () => {
    await setUp()
    await owner.query(`update channel set created_at = now() - interval '35 hours'`)
    expect(await kinds()).toEqual([])
    await owner.query(`update channel set created_at = now() - interval '37 hours'`)
    expect(await alarms()).toMatchObject([{ kind: 'channel_silent', severity: 'warning', subject: about, count: 1 }])
    await intake.receive(okta, [signal('noted', [])])
    expect(await kinds()).toEqual([])
  })

  it('rise when its own work fails for more than ten minutes', async () => {
    await setUp(true)
    const [turn] = await channels.takeTurns(1)
    await channels.endTurn(turn!, { state: {}, againMs: 1_000, error: 'Okta answered 401' })
    expect(await get('okta')).toMatchObject({
      error: 'Okta answered 401',
      failingSince: expect.any(String),
      checkedAt: null,
    })
    expect(await kinds()).toEqual([])
    await owner.query(`update channel set work_failing_since = now() - interval '11 minutes'`)
    expect(await alarms()).toMatchObject([{ kind: 'channel_failing', severity: 'critical', subject: about }])
    expect((await alarms())[0].message).toContain('Okta answered 401')
  })

  it.each([
    ['paused', { streamStatus: { status: 'paused', at: '2026-11-20T10:00:00.000Z' } }, true],
    ['disabled', { stream: { status: 'disabled' } }, true],
    [
      'enabled',
      { streamStatus: { status: 'enabled', at: '2026-11-20T10:00:00.000Z' }, stream: { status: 'paused' } },
      false,
    ],
  ])('rise at once when its stream is %s', async (status, state, rises) => {
    await setUp()
    await channels.noteState(okta, state)
    expect((await get('okta')).streamStatus).toBe(status)
    expect(await kinds()).toEqual(rises ? ['channel_failing'] : [])
    if (rises) expect((await alarms())[0].message).toContain(`its stream is ${status}`)
  })

  it('rise while all that comes is refused, for more than credentials that anybody can show', async () => {
    await setUp()
    const refuse = (reason: string) =>
      owner.query(
        `insert into channel_refusal (directory_id, channel_kind, reason, count) values ('acme', 'okta', $1, 2)`,
        [reason],
      )
    await refuse('credential')
    expect(await kinds()).toEqual([])
    await refuse('audience')
    expect(await alarms()).toMatchObject([{ kind: 'channel_refusing', severity: 'critical', subject: about, count: 2 }])
    expect((await alarms())[0].message).toContain('(audience)')
    await intake.receive(okta, [signal('noted', [])])
    expect(await kinds()).toEqual([])
  })

  it('rise for events that name several people, for a week', async () => {
    await setUp()
    for (const userName of ['One@acme.example', 'two@acme.example'])
      await scim.createUser(userName, { emails: [{ value: 'shared@acme.example', primary: true }] })
    const several = [{ by: 'email', value: 'shared@acme.example' }] as const
    expect(await intake.receive(okta, [signal('left', several)])).toMatchObject([{ effect: 'ambiguous' }])
    expect(await alarms()).toMatchObject([{ kind: 'event_ambiguous', subject: about, count: 1 }])
    await owner.query(`update inbound_event set received_at = received_at - interval '8 days'`)
    expect(await kinds()).toEqual([])
  })

  it('rise for events that have waited for more than an hour', async () => {
    await setUp()
    await intake.receive(okta, [signal('left', stranger), signal('suspended', stranger)])
    expect(await kinds()).toEqual([])
    await owner.query(`update inbound_event set received_at = received_at - interval '61 minutes'`)
    expect(await alarms()).toMatchObject([{ kind: 'events_waiting', severity: 'warning', subject: about, count: 2 }])
  })

  it.each([
    ['the older one was used since there is a newer one', 1, '1 minute', true],
    ['the older one was last used before', 1, '3 hours', false],
    ['the newer one was used', 0, '1 minute', false],
  ])('P35: rise when the older of two secrets is in use: %s', async (_what, place, ago, rises) => {
    await setUp()
    await owner.query(`update channel_secret set created_at = now() - interval '2 hours'`)
    await owner.query(`update channel_secret set last_used_at = now() - $2::interval where place = $1`, [place, ago])
    expect(await kinds()).toEqual(rises ? ['channel_old_secret'] : [])
  })

  it('P35: rise no more when the older of two secrets was not used for a day', async () => {
    await setUp()
    await owner.query(
      `update channel_secret set created_at = now() - interval '2 days', last_used_at = now() - interval '25 hours'`,
    )
    expect(await kinds()).toEqual([])
  })
})

describe('the figures of channels', () => {
  it('are in the stats and metrics: what waits, who was turned away, since when nothing came', async () => {
    await put('okta', { secret: makeSecret('hook') })
    await put('ssf', ssf)
    await intake.receive(okta, [signal('left', stranger, { occurredAt: new Date(Date.now() - 1_000) })])
    await owner.query(
      `insert into channel_refusal values ('acme', 'okta', 'credential', 3), ('acme', 'okta', 'size', 1)`,
    )
    const { channels: listed } = await tenure.admin.get('/stats')
    expect(listed).toMatchObject([
      {
        directory: 'acme',
        channel: 'okta',
        health: { waiting: 1, refusals: [{ reason: 'credential', count: 3 }, { reason: 'size' }] },
      },
      { directory: 'acme', channel: 'ssf', health: { lastEventAt: null, waiting: 0, refusals: [] } },
    ])
    expect(listed[0].health).toEqual((await get('okta')).health)
    const scraped = await scrape(tenure.url)
    const labels = { directory: 'acme', channel: 'okta' }
    expect(scraped.value('tenure_channel_events_waiting', labels)).toBe(1)
    expect(scraped.value('tenure_channel_refusals_total', { ...labels, reason: 'credential' })).toBe(3)
    expect(scraped.value('tenure_channel_last_event_age_seconds', labels)).toBeLessThan(60)
    expect(scraped.value('tenure_channel_last_event_age_seconds', { ...labels, channel: 'ssf' })).toBeUndefined()
    expect(scraped.value('tenure_channel_events_waiting', { ...labels, channel: 'ssf' })).toBe(0)
  })
})
