import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { expire } from '../../src/housekeeping/expire.ts'
import { defaultRetention } from '../../src/retention.ts'
import { createIssuers, type Issuers } from '../../src/trust/issuers.ts'
import type { Json } from '../support/clients.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'
import { startWeb, type Web } from '../support/web.ts'

let database: TestDatabase
let tenure: RunningTenure
let egress: Egress
let db: Database
let owner: pg.Client
let issuers: Issuers
let web: Web

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
  db = openDatabase(createPool(database.url, { max: 4, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  issuers = createIssuers({ db, egress })
  for (const id of ['acme', 'globex']) await registerDirectory(tenure.admin, id)
})
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await egress?.close()
  await tenure?.close()
  await database?.drop()
})
beforeEach(async () => {
  await owner.query('delete from trusted_issuer')
  web = await startWeb()
})
afterEach(() => web.close())

const okta = {
  issuer: 'https://acme.okta.example',
  jwksUri: 'https://acme.okta.example/oauth2/v1/keys',
  subject: 'externalId',
}
const put = (path: string, body: Json) => tenure.admin.send('PUT', `/directories/${path}`, body)

describe('a trusted issuer', () => {
  it('is set, shown, replaced, listed and removed', async () => {
    const made = await put('acme/issuer', okta)
    expect(made).toMatchObject({
      status: 201,
      body: { ...okta, id: 'default', directory: 'acme', tenant: null, algorithms: ['RS256', 'ES256', 'EdDSA'] },
    })
    const further = { ...okta, issuer: 'https://idp.example/', tenant: 'contractors', algorithms: ['PS256'] }
    expect(await put('acme/issuers/contractors', further)).toMatchObject({ status: 201 })
    const changed = await put('acme/issuer', { ...okta, subject: 'email' })
    expect(changed).toMatchObject({ status: 200, body: { subject: 'email', createdAt: made.body.createdAt } })
    expect((await tenure.admin.get('/directories/acme/issuers')).items).toEqual([
      expect.objectContaining({ ...further, id: 'contractors' }),
      changed.body,
    ])
    expect(await tenure.admin.get('/directories/acme/issuers/default')).toEqual(changed.body)
    await tenure.admin.delete('/directories/acme/issuer')
    expect(await tenure.admin.send('GET', '/directories/acme/issuer')).toMatchObject({ status: 404 })
    expect(await issuers.find(db, okta.issuer, undefined)).toBeUndefined()
    await tenure.admin.delete('/directories/acme/issuers/contractors')
    expect((await tenure.admin.get('/directories/acme/issuers')).items).toEqual([])
  })

  it('is found by its exact name and tenant, with what its directory says of reuse', async () => {
    await put('acme/issuer', okta)
    await put('globex/issuer', { ...okta, tenant: 'globex', subject: 'userName' })
    expect(await issuers.find(db, okta.issuer, undefined)).toMatchObject({
      directoryId: 'acme',
      tenant: null,
      subject: 'externalId',
      assertionReuse: 'forbid',
    })
    await tenure.admin.send('PATCH', '/directories/globex', { assertionReuse: 'same_client_until_exp' })
    expect(await issuers.find(db, okta.issuer, 'globex')).toMatchObject({
      directoryId: 'globex',
      subject: 'userName',
      assertionReuse: 'same_client_until_exp',
    })
    for (const [issuer, tenant] of [
      [`${okta.issuer}/`, undefined],
      [okta.issuer.toUpperCase(), undefined],
      [okta.issuer, 'acme'],
      [okta.issuer, ''],
      [okta.issuer, 'GLOBEX'],
    ] as const)
      expect(await issuers.find(db, issuer, tenant), `${issuer} ${tenant}`).toBeUndefined()
  })

  it('belongs to one directory, under one id: two who take it at once do not both have it', async () => {
    const answers = await Promise.all([
      put('acme/issuer', okta),
      put('globex/issuer', okta),
      put('acme/issuers/again', okta),
    ])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
    expect(answers.find(({ status }) => status === 409)!.body.detail).toContain(okta.issuer)
  })

  it('finds its used assertions when it is registered anew, under another id of the directory too', async () => {
    await put('acme/issuer', okta)
    const first = await issuers.find(db, okta.issuer, undefined)
    await tenure.admin.delete('/directories/acme/issuer')
    await put('globex/issuers/again', okta)
    expect((await issuers.find(db, okta.issuer, undefined))!.id).toBe(first!.id)
    await put('acme/issuer', { ...okta, tenant: 't' })
    expect((await issuers.find(db, okta.issuer, 't'))!.id).not.toBe(first!.id)
  })

  it('is none of a directory that is deleted, whatever is left of it', async () => {
    await registerDirectory(tenure.admin, 'tombstone')
    await put('tombstone/issuer', okta)
    expect(await issuers.find(db, okta.issuer, undefined)).toBeDefined()
    await owner.query(`update directory set deleted_at = clock_timestamp() where id = 'tombstone'`)
    expect(await issuers.find(db, okta.issuer, undefined)).toBeUndefined()
  })

  it('goes with its directory, and is free for another', async () => {
    await registerDirectory(tenure.admin, 'leaving')
    await put('leaving/issuer', okta)
    expect(await put('acme/issuer', okta)).toMatchObject({ status: 409 })
    expect(await tenure.admin.send('DELETE', '/directories/leaving')).toMatchObject({ status: 202 })
    expect(await issuers.find(db, okta.issuer, undefined)).toBeUndefined()
    expect(await put('leaving/issuer', okta)).toMatchObject({ status: 404 })
    expect(await put('acme/issuer', okta)).toMatchObject({ status: 201 })
  })

  it.each<[string, Json, string]>([
    ['http', { issuer: 'http://idp.example' }, 'issuer'],
    ['a private address', { issuer: 'https://10.0.0.1' }, 'issuer'],
    ['a path that is no ASCII', { issuer: 'https://idp.example/acmé' }, 'issuer'],
    ['a name that no index takes', { issuer: `https://idp.example/${'x'.repeat(1_000)}` }, 'issuer'],
    ['a query', { issuer: 'https://idp.example/?a=b' }, 'issuer'],
    ['a fragment', { issuer: 'https://idp.example/#a' }, 'issuer'],
    ['keys by http', { jwksUri: 'http://idp.example/keys' }, 'jwksUri'],
    ['keys at a private address', { jwksUri: 'https://169.254.169.254/keys' }, 'jwksUri'],
    ['no signature', { algorithms: ['none'] }, 'algorithms.0'],
    ['a shared secret', { algorithms: ['ES256', 'HS256'] }, 'algorithms.1'],
    ['no algorithm', { algorithms: [] }, 'algorithms'],
    ['another subject', { subject: 'displayName' }, 'subject'],
    ['no subject', { subject: undefined }, 'subject'],
  ])('is refused with %s', async (_what, fields, field) => {
    const answer = await put('acme/issuer', { ...okta, ...fields })
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field }] } })
    expect(await tenure.admin.send('GET', '/directories/acme/issuer')).toMatchObject({ status: 404 })
  })
})

describe('the key set of an issuer that does not say where it is', () => {
  const found = (path: string) => ({ json: { issuer: `${web.url}${path}`, jwks_uri: `${web.url}/keys` } })
  const discover = (path: string) => put('acme/issuer', { issuer: `${web.url}${path}`, subject: 'externalId' })

  it.each([
    ['', '/.well-known/openid-configuration'],
    ['', '/.well-known/oauth-authorization-server'],
    ['/', '/.well-known/openid-configuration'],
    ['/oauth2/default', '/oauth2/default/.well-known/openid-configuration'],
    ['/oauth2/default', '/.well-known/oauth-authorization-server/oauth2/default'],
    ['/oauth2/default', '/.well-known/openid-configuration/oauth2/default'],
  ])('of an issuer with path %j is found at %s, and kept', async (path, place) => {
    web.put(place, found(path))
    expect(await discover(path)).toMatchObject({ status: 201, body: { jwksUri: `${web.url}/keys` } })
    const asked = web.asked.length
    web.put(place, { status: 404 })
    expect(await issuers.find(db, `${web.url}${path}`, undefined)).toMatchObject({ jwksUri: `${web.url}/keys` })
    expect(web.asked).toHaveLength(asked)
  })

  it('is taken from OpenID Connect Discovery first', async () => {
    web.put('/.well-known/openid-configuration', found(''))
    await discover('')
    expect(web.asked).toEqual(['/.well-known/openid-configuration'])
  })

  it.each<[string, () => Parameters<Web['put']>[1], RegExp]>([
    [
      'names another issuer',
      () => ({ json: { issuer: 'https://idp.example', jwks_uri: `${web.url}/keys` } }),
      /another issuer/,
    ],
    ['differs by a slash', () => found('/'), /another issuer/],
    ['names no keys', () => ({ json: { issuer: web.url } }), /no jwks_uri/],
    ['is no JSON', () => ({ status: 200, body: '<html>' }), /no JSON/],
    ['redirects', () => ({ status: 302, location: '/.well-known/oauth-authorization-server' }), /answered 302/],
  ])('is not found where the metadata %s, and the answer says why', async (_what, page, why) => {
    web.put('/.well-known/openid-configuration', page())
    const answer = await discover('')
    expect(answer).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'jwksUri', message: expect.stringMatching(why) }] },
    })
    expect(await issuers.find(db, web.url, undefined)).toBeUndefined()
  })

  it('is not taken from a private address', async () => {
    web.put('/.well-known/openid-configuration', { json: { issuer: web.url, jwks_uri: 'https://10.0.0.1/keys' } })
    expect(await discover('')).toMatchObject({ status: 422, body: { errors: [{ field: 'jwksUri' }] } })
  })
})

describe('the alarm of a key set that cannot be had', () => {
  const alarms = async () =>
    (await tenure.admin.get('/alarms')).items.filter(({ kind }: Json) => kind === 'issuer_keys_unreachable')

  it('opens after ten minutes, and ends when it can be had, or when nobody has tried for an hour', async () => {
    await put('acme/issuer', okta)
    const fail = () => issuers.noteKeys(okta.jwksUri, false)
    const wait = (minutes: number) =>
      owner.query(`update trusted_issuer set keys_failing_since = keys_failing_since - make_interval(mins => ${minutes}),
        keys_failed_at = keys_failed_at - make_interval(mins => ${minutes})`)
    await fail()
    await wait(9)
    await fail()
    expect(await alarms()).toEqual([])
    await wait(1)
    expect(await alarms()).toMatchObject([{ severity: 'critical', subject: { directory: 'acme' }, count: 1 }])
    expect((await tenure.admin.get('/directories/acme/issuer')).keysFailingSince).not.toBeNull()
    await wait(60)
    expect(await alarms()).toEqual([])
    await fail()
    expect(await alarms()).toHaveLength(1)
    await issuers.noteKeys(okta.jwksUri, true)
    expect(await alarms()).toEqual([])
    expect((await tenure.admin.get('/directories/acme/issuer')).keysFailingSince).toBeNull()
  })
})

describe('used assertions', () => {
  it('go when they would be refused for their age', async () => {
    await owner.query(`
      insert into assertion_use (issuer_id, jti_hash, client, expires_at)
      select 'iss', sha256(n::text::bytea), 'claude', clock_timestamp() + case when n <= 7000 then interval '-1 second' else interval '1 minute' end
      from generate_series(1, 7010) n`)
    expect(await expire(db, defaultRetention)).toEqual({ assertion_use: 7_000 })
    const { rows } = await owner.query('select count(*)::int as left from assertion_use')
    expect(rows).toEqual([{ left: 10 }])
  })
})
