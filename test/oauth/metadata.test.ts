import { discoverAuthorizationServerMetadata } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, runTenure } from '../support/tenure.ts'

const places = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']

let database: TestDatabase
let tenure: RunningTenure
/** Behind a proxy that takes the path of its public address off. */
let behind: RunningTenure

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  behind = await runTenure('api', database, { PUBLIC_URL: 'https://mcp.acme.example/tenure' })
})
afterAll(async () => {
  await behind?.close()
  await tenure?.close()
  await database?.drop()
})

async function read(path: string, of = tenure): Promise<Json> {
  const answer = await fetch(of.url + path)
  expect(answer.status, path).toBe(200)
  return answer.json()
}

describe('authorization server metadata (RFC 8414)', () => {
  it.each(places)('is at %s, and true', async (place) => {
    const metadata = await read(place)
    expect(metadata).toMatchObject({
      issuer: tenure.url,
      authorization_endpoint: `${tenure.url}/oauth2/authorize`,
      token_endpoint: `${tenure.url}/oauth2/token`,
      jwks_uri: `${tenure.url}/oauth2/jwks`,
      revocation_endpoint: `${tenure.url}/oauth2/revoke`,
      introspection_endpoint: `${tenure.url}/oauth2/introspect`,
      response_types_supported: [],
      grant_types_supported: ['urn:ietf:params:oauth:grant-type:jwt-bearer'],
      authorization_grant_profiles_supported: ['urn:ietf:params:oauth:grant-profile:id-jag'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
      introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
      client_id_metadata_document_supported: true,
    })
    const algorithms: string[] = metadata.token_endpoint_auth_signing_alg_values_supported
    expect(algorithms).toEqual(expect.arrayContaining(['RS256', 'ES256', 'EdDSA']))
    expect(algorithms.filter((alg) => alg === 'none' || alg.startsWith('HS'))).toEqual([])
  })

  it('is served by each endpoint that it names', async () => {
    const metadata = await read(places[0]!)
    const endpoints = Object.entries<string>(metadata).filter(([name]) => /_endpoint$|_uri$/.test(name))
    expect(endpoints).toHaveLength(5)
    for (const [name, url] of endpoints) expect((await fetch(url)).status, name).not.toBe(404)
  })

  it('is what the MCP SDK takes, at either place', async () => {
    const found = await discoverAuthorizationServerMetadata(tenure.url)
    expect(found).toMatchObject({ issuer: tenure.url, token_endpoint: `${tenure.url}/oauth2/token` })
    const only: string[] = []
    const openid = await discoverAuthorizationServerMetadata(tenure.url, {
      fetchFn: async (url, init) => {
        only.push(new URL(url).pathname)
        return String(url).includes('openid') ? fetch(url, init) : new Response(null, { status: 404 })
      },
    })
    expect(openid).toMatchObject({ issuer: tenure.url, jwks_uri: `${tenure.url}/oauth2/jwks` })
    expect(only).toEqual(places)
  })

  it('§7.31: lists the scopes of living servers, and of their rules where a server has no list', async () => {
    expect(await read(places[0]!)).not.toHaveProperty('scopes_supported')
    await tenure.admin.post('/directories', { id: 'acme', provider: 'okta' })
    const add = (id: string, scopes?: string[]) =>
      tenure.admin.post('/servers', { id, name: id, resource: `https://${id}.example/mcp`, connectors: [], scopes })
    await add('listed', ['b', 'a'])
    await add('open')
    for (const [server, scopes] of [
      ['listed', ['a']],
      ['open', ['c', 'a']],
    ] as const)
      await tenure.admin.put(`/rules/${server}`, { directory: 'acme', server, when: 'userName pr', scopes })
    expect((await read(places[0]!)).scopes_supported).toEqual(['a', 'b', 'c'])
    await tenure.admin.delete('/servers/listed')
    expect((await read(places[0]!)).scopes_supported).toEqual(['a', 'c'])
    await tenure.admin.delete('/servers/open')
    expect(await read(places[0]!)).not.toHaveProperty('scopes_supported')
  })

  it('never names whose ID-JAGs are believed', async () => {
    const issuer = { issuer: 'https://idp.example', jwksUri: 'https://idp.example/keys', subject: 'externalId' }
    await tenure.admin.put('/directories/acme/issuer', issuer)
    for (const place of places) expect(JSON.stringify(await read(place))).not.toContain('idp.example')
  })

  it('may be read from any page, and kept for five minutes', async () => {
    for (const path of [...places, '/oauth2/jwks']) {
      const { headers } = await fetch(tenure.url + path)
      expect(headers.get('access-control-allow-origin'), path).toBe('*')
      expect(headers.get('cache-control'), path).toBe('public, max-age=300')
    }
  })

  it.each(places)('has the path of the issuer inserted: %s/tenure (RFC 8414 §3.1)', async (place) => {
    for (const path of [place, `${place}/tenure`]) {
      expect(await read(path, behind)).toMatchObject({
        issuer: 'https://mcp.acme.example/tenure',
        token_endpoint: 'https://mcp.acme.example/tenure/oauth2/token',
        jwks_uri: 'https://mcp.acme.example/tenure/oauth2/jwks',
      })
    }
    for (const path of ['/other', '/tenure/more', '/tenure/']) {
      expect((await fetch(behind.url + place + path)).status, path).toBe(404)
    }
    for (const path of ['/tenure', '/']) expect((await fetch(tenure.url + place + path)).status, path).toBe(404)
  })
})

describe('public keys (RFC 7517)', () => {
  it('are served as a set, the same by every process', async () => {
    const answer = await fetch(`${tenure.url}/oauth2/jwks`)
    expect(answer.headers.get('content-type')).toMatch(/^application\/jwk-set\+json/)
    const set = (await answer.json()) as Json
    expect(set.keys).toEqual([
      {
        kty: 'EC',
        crv: 'P-256',
        alg: 'ES256',
        use: 'sig',
        kid: expect.any(String),
        x: expect.any(String),
        y: expect.any(String),
      },
    ])
    expect(await read('/oauth2/jwks', behind)).toEqual(set)
    const rotated = await tenure.admin.post('/signing-keys/rotate')
    expect(rotated).toMatchObject({ state: 'next', publishedUntil: null })
    expect((await read('/oauth2/jwks', behind)).keys.map(({ kid }: Json) => kid)).toEqual([
      rotated.kid,
      set.keys[0].kid,
    ])
    expect(await tenure.admin.send('POST', '/signing-keys/rotate')).toMatchObject({ status: 409 })
    expect((await tenure.admin.get('/signing-keys')).items).toMatchObject([
      { kid: rotated.kid, state: 'next' },
      { kid: set.keys[0].kid, state: 'signing' },
    ])
  })
})

describe('the authorization endpoint', () => {
  it.each(['GET', 'POST'])('says that there is no sign-in here: %s', async (method) => {
    const answer = await fetch(`${tenure.url}/oauth2/authorize?response_type=code&client_id=x`, { method })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toEqual({
      error: 'unsupported_response_type',
      error_description: expect.stringContaining('ID-JAG'),
    })
  })
})
