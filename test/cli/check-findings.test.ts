import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { check } from '../../src/cli/check/check.ts'
import { type DoubtId, doubts, virtues } from '../../src/cli/check/findings.ts'
import { givenIdJags, mintedIdJags } from '../../src/cli/check/id-jag.ts'
import { drawReport } from '../../src/cli/check/report.ts'
import { createRequests } from '../../src/cli/check/requests.ts'
import type { Trial } from '../../src/cli/check/trial.ts'
import type { Json } from '../support/clients.ts'
import { freePort } from '../support/free-port.ts'
import { idToken, json, type ReadyServer, startReadyServer } from '../support/ready-server.ts'

const prm = '/.well-known/oauth-protected-resource/mcp'
const rootPrm = '/.well-known/oauth-protected-resource'
const asMetadata = '/.well-known/oauth-authorization-server'
let server: ReadyServer

beforeAll(async () => {
  server = await startReadyServer()
})
afterEach(() => server.restore())
afterAll(() => server.close())

interface Row {
  readonly id: DoubtId
  /** For a reader, where an id has several rows. */
  readonly when?: string
  readonly mutate: (server: ReadyServer) => void | Promise<void>
  /** What else is said, in its order. */
  readonly before?: readonly DoubtId[]
  readonly after?: readonly DoubtId[]
  readonly trial?: (server: ReadyServer) => Promise<Partial<Trial>> | Partial<Trial>
  readonly timeoutMs?: number
}

const row = (id: DoubtId, mutate: Row['mutate'], rest: Partial<Row> = {}): Row => ({ id, mutate, ...rest })
const tried = (id: DoubtId, mutate: Row['mutate'], rest: Partial<Row> = {}): Row =>
  row(id, mutate, { trial: () => ({}), ...rest })
const be = (fields: (server: ReadyServer) => Partial<ReadyServer>) => (server: ReadyServer) =>
  void Object.assign(server, fields(server))
const set = (what: 'resource' | 'metadata', fields: Json) => (server: ReadyServer) =>
  void Object.assign(server[what], fields)
const without = (what: 'resource' | 'metadata', name: string) => (server: ReadyServer) => void delete server[what][name]
const says =
  (status: number, body = '{}', headers = {}) =>
  (_seen: unknown, res: Json) =>
    void res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
const given =
  (...claims: Json[]) =>
  async ({ mint }: ReadyServer) => ({
    idJags: givenIdJags(await Promise.all(claims.map((each) => mint(each)))),
  })

/** One ready server, spoilt in one way: exactly that is named. */
const rows: readonly Row[] = [
  // What can be wrong with any URL.
  row('private-address', set('metadata', { revocation_endpoint: 'https://10.0.0.1/revoke' })),
  row('private-address', (server) => set('resource', { authorization_servers: [server.stranger.url] })(server), {
    when: 'of the authorization server',
  }),
  row(
    'private-address',
    be(() => ({ challenge: `Bearer resource_metadata="${server.stranger.url}/", scope="read"` })),
    {
      when: 'in the challenge',
    },
  ),
  row('private-address', set('metadata', { introspection_endpoint: 'https://inside.example/' }), {
    when: 'by its name',
  }),
  row('not-https', set('metadata', { token_endpoint: 'http://as.example/token' })),
  row('not-https', set('resource', { authorization_servers: ['http://as.example'] }), { when: 'of the issuer' }),
  row('redirect', (server) => server.answer('mcp', '/mcp', says(307, '', { location: 'https://new.example/mcp' }))),
  row(
    'redirect-to-private',
    (server) => server.answer('mcp', prm, says(302, '', { location: 'http://169.254.169.254/' })),
    {
      after: ['resource-metadata-missing'],
    },
  ),
  row(
    'redirect-to-private',
    (server) => server.answer('as', '/token', says(307, '', { location: `${server.stranger.url}/token` })),
    {
      when: 'of the token endpoint',
      trial: () => ({}),
    },
  ),
  row('timeout', (server) => server.answer('as', asMetadata, () => {}), { timeoutMs: 1_500 }),
  row('timeout', (server) => server.answer('as', asMetadata, (_seen, res) => void res.writeHead(200).write('{')), {
    when: 'in the middle of an answer',
    timeoutMs: 1_500,
  }),
  row('unreachable', async (server) =>
    set('resource', { authorization_servers: [`http://127.0.0.1:${await freePort()}`] })(server),
  ),
  row('unreachable', (server) => server.answer('as', asMetadata, (_seen, res) => void res.socket?.destroy()), {
    when: 'the connection breaks',
  }),

  // The 401.
  row('open-without-token', (server) => server.answer('mcp', '/mcp', says(200))),
  row('no-401', (server) => server.answer('mcp', '/mcp', says(403)), { after: ['refusal-not-401'] }),
  row(
    'no-bearer-challenge',
    be(() => ({ challenge: 'Basic realm="x"' })),
  ),
  row(
    'no-bearer-challenge',
    be(() => ({ challenge: undefined })),
    { when: 'there is no header' },
  ),
  row(
    'challenge-not-first',
    be(({ challenge }) => ({ challenge: `Basic realm="x", ${challenge}` })),
  ),
  row(
    'no-resource-metadata-link',
    be(() => ({ challenge: 'Bearer scope="read"' })),
  ),
  row('bad-token-accepted', (server) => {
    const { challenge = '' } = server
    server.answer('mcp', '/mcp', ({ headers }, res) =>
      headers.authorization
        ? says(200)(undefined, res)
        : says(401, '', { 'www-authenticate': challenge })(undefined, res),
    )
  }),
  row('refusal-not-401', (server) => {
    const { challenge = '' } = server
    server.answer('mcp', '/mcp', ({ headers }, res) =>
      says(headers.authorization ? 403 : 401, '', { 'www-authenticate': challenge })(undefined, res),
    )
  }),

  // Protected-resource metadata.
  row(
    'resource-metadata-missing',
    (server) => {
      server.challenge = 'Bearer scope="read"'
      server.answer('mcp', prm, says(404))
    },
    { before: ['no-resource-metadata-link'] },
  ),
  row(
    'resource-metadata-root-only',
    (server) => {
      server.challenge = 'Bearer scope="read"'
      server.answer('mcp', prm, says(401))
      server.answer('mcp', rootPrm, (_seen, res) => json(res, 200, server.resource))
    },
    { before: ['no-resource-metadata-link'] },
  ),
  row(
    'metadata-status',
    (server) => {
      server.answer('mcp', prm, says(404))
      server.answer('mcp', rootPrm, (_seen, res) => json(res, 200, server.resource))
    },
    { when: 'the named document is not there', after: ['resource-metadata-root-only'] },
  ),
  row('metadata-status', (server) => server.answer('as', asMetadata, says(500)), {
    after: ['authorization-server-metadata-missing'],
  }),
  row(
    'metadata-not-json',
    (server) => server.answer('as', asMetadata, says(200, '<html>', { 'content-type': 'text/html' })),
    {
      after: ['authorization-server-metadata-missing'],
    },
  ),
  row('metadata-not-json', (server) => server.answer('as', asMetadata, says(200, '[]')), {
    when: 'it is no object',
    after: ['authorization-server-metadata-missing'],
  }),
  row('metadata-too-large', (server) => set('metadata', { filler: 'x'.repeat(70_000) })(server), {
    after: ['authorization-server-metadata-missing'],
  }),
  row('metadata-content-type', (server) =>
    server.answer('mcp', prm, (_seen, res) => void res.end(JSON.stringify(server.resource))),
  ),
  row('resource-mismatch', set('resource', { resource: 'https://other.example/mcp' })),
  row('resource-mismatch', without('resource', 'resource'), { when: 'there is none' }),
  row('resource-mismatch', (server) => set('resource', { resource: server.url.replace(/\/mcp$/, '') })(server), {
    when: 'it is broader, and its metadata is elsewhere',
  }),
  row('resource-broader', (server) => {
    const origin = new URL(server.url).origin
    server.challenge = `Bearer resource_metadata="${origin}${rootPrm}", scope="read"`
    set('resource', { resource: origin })(server)
    server.answer('mcp', rootPrm, (_seen, res) => json(res, 200, server.resource))
  }),
  row('trailing-slash', (server) => set('resource', { resource: `${server.url}/` })(server)),
  row('trailing-slash', (server) => set('metadata', { issuer: `${server.issuer}/` })(server), {
    when: 'of the issuer',
  }),
  row('header-not-supported', set('resource', { bearer_methods_supported: ['body'] })),
  row('no-authorization-server', set('resource', { authorization_servers: [] })),
  row('several-authorization-servers', (server) => {
    set('resource', { authorization_servers: [server.issuer, 'https://as.example'] })(server)
  }),
  row('no-scopes', (server) => {
    server.challenge = server.challenge?.replace(/, scope.*/, '')
    without('resource', 'scopes_supported')(server)
  }),
  row('scope-disagrees', set('resource', { scopes_supported: ['write'] })),
  row('scope-disagrees', set('metadata', { scopes_supported: ['write'] }), { when: 'at the authorization server' }),
  row('offline-access-listed', set('resource', { scopes_supported: ['read', 'offline_access'] })),

  // Authorization-server metadata.
  row('authorization-server-metadata-missing', (server) => server.answer('as', asMetadata, says(404))),
  row('issuer-mismatch', set('metadata', { issuer: 'https://as.example' })),
  row('issuer-mismatch', without('metadata', 'issuer'), { when: 'there is none' }),
  row('profile-not-advertised', without('metadata', 'authorization_grant_profiles_supported')),
  row('profile-not-advertised', set('metadata', { authorization_grant_profiles_supported: ['urn:other'] }), {
    when: 'another one is',
  }),
  row('jwt-bearer-missing', set('metadata', { grant_types_supported: ['authorization_code'] })),
  row('token-endpoint-missing', without('metadata', 'token_endpoint')),
  row('sdk-fields-missing', without('metadata', 'response_types_supported')),
  row('sdk-fields-missing', without('metadata', 'authorization_endpoint'), { when: 'the other one' }),
  row(
    'client-authentication-unusable',
    set('metadata', { token_endpoint_auth_methods_supported: ['tls_client_auth'] }),
  ),
  row('client-authentication-narrow', set('metadata', { token_endpoint_auth_methods_supported: ['private_key_jwt'] })),
  row('client-authentication-narrow', without('metadata', 'token_endpoint_auth_methods_supported'), {
    when: 'nothing is listed',
  }),
  row('no-revocation-endpoint', without('metadata', 'revocation_endpoint')),
  row('no-introspection-endpoint', without('metadata', 'introspection_endpoint')),
  row('resource-not-listed', set('metadata', { protected_resources: ['https://other.example/mcp'] })),

  // The trial.
  tried('not-tried', set('metadata', { issuer: 'https://as.example' }), { before: ['issuer-mismatch'] }),
  tried('not-tried', set('resource', { resource: 'https://other.example' }), {
    when: 'the resource is in doubt',
    before: ['resource-mismatch'],
  }),
  tried(
    'id-jag-not-minted',
    be(() => ({ mints: false })),
  ),
  tried('id-jag-not-minted', (server) => server.answer('idp', '/token', says(200, '{"access_token":"x"}')), {
    when: 'it is something else',
  }),
  tried('id-jag-unreadable', () => {}, { trial: () => ({ idJags: givenIdJags(['no.jwt.at-all']) }) }),
  tried(
    'id-jag-type',
    be(() => ({ type: 'JWT' })),
    { after: ['id-jag-refused'] },
  ),
  tried(
    'id-jag-audience',
    be(() => ({ claims: { aud: server.url } })),
    { after: ['id-jag-refused'] },
  ),
  tried(
    'id-jag-audience',
    be(() => ({ claims: { aud: [server.issuer, 'https://other.example'] } })),
    {
      when: 'there are two',
    },
  ),
  tried(
    'id-jag-resource',
    be(() => ({ claims: { resource: 'https://other.example' } })),
  ),
  tried(
    'id-jag-client',
    be(() => ({ claims: { client_id: 'claude-at-the-idp' } })),
  ),
  tried('id-jag-life', () => {}, {
    trial: given({ iat: 1_700_000_000, exp: 1_700_000_300 }),
    after: ['id-jag-refused'],
  }),
  tried(
    'id-jag-life',
    be(() => ({ claims: { exp: Math.floor(Date.now() / 1_000) + 3_600 } })),
    {
      when: 'it lives for an hour',
    },
  ),
  tried(
    'id-jag-refused',
    be(() => ({ isCut: () => true })),
  ),
  tried('id-jag-refused', () => {}, {
    when: 'the secret is wrong',
    trial: ({ client }) => ({ client: { id: client.id, secret: 'wrong' } }),
  }),
  tried(
    'token-response-wrong',
    be(() => ({ tokenAnswer: { token_type: 'DPoP' } })),
  ),
  tried('token-response-wrong', (server) => server.answer('as', '/token', says(503, '<html>')), {
    when: 'it is no JSON',
  }),
  tried(
    'token-cacheable',
    be(() => ({ tokenHeaders: {} })),
  ),
  tried(
    'token-life-long',
    be(() => ({ tokenAnswer: { expires_in: 86_400 } })),
  ),
  tried(
    'token-life-long',
    be(() => ({ tokenAnswer: { expires_in: undefined } })),
    {
      when: 'it does not say',
    },
  ),
  tried(
    'refresh-token-returned',
    be(() => ({ tokenAnswer: { refresh_token: 'a-refresh-token' } })),
  ),
  tried(
    'scope-not-echoed',
    be(() => ({ tokenAnswer: { scope: undefined } })),
  ),
  tried(
    'token-refused',
    be(() => ({ tokenAnswer: { access_token: 'of-nobody' } })),
  ),
  tried('not-mcp', (server) => {
    const { challenge = '' } = server
    server.answer('mcp', '/mcp', ({ headers }, res) =>
      /Bearer token-/.test(headers.authorization ?? '') && server.requests.every(({ path }) => path !== '/revoke')
        ? says(200, '<html>')(undefined, res)
        : says(401, '', { 'www-authenticate': challenge })(undefined, res),
    )
  }),
  tried(
    'replay-accepted',
    be(() => ({ takesOnce: false })),
  ),
  tried('revocation-failed', (server) =>
    server.answer('as', '/revoke', says(400, '{"error":"unsupported_token_type"}')),
  ),
  tried(
    'revocation-ignored',
    be(() => ({ honoursRevocation: false })),
    {
      trial: () => ({ withinMs: 300 }),
    },
  ),
  tried(
    'refusal-not-401',
    (server) => {
      const { challenge = '' } = server
      server.answer('mcp', '/mcp', ({ headers }, res) => {
        const isRevoked = server.requests.some(({ path }) => path === '/revoke')
        const isGood = /Bearer token-/.test(headers.authorization ?? '')
        if (isGood && !isRevoked) return json(res, 200, { jsonrpc: '2.0', id: 1, result: {} })
        return says(isGood ? 403 : 401, '', { 'www-authenticate': challenge })(undefined, res)
      })
    },
    { when: 'after the revocation' },
  ),
  tried(
    'remint-accepted',
    be(() => ({ gates: false })),
    {
      trial: (server) => ({ takingBack: cutting(server) }),
    },
  ),
  tried(
    'remint-accepted',
    be(() => ({ gates: false })),
    {
      when: 'freshly minted, after somebody took the access away',
      trial: (server) => ({ takingBack: { by: 'operator' }, note: () => be(() => ({ isCut: () => true }))(server) }),
    },
  ),
  tried('remint-not-tried', () => {}, {
    trial: async (server) => ({ ...(await given({})(server)), takingBack: cutting(server) }),
  }),
  tried('remint-not-tried', () => {}, {
    when: 'the second ID-JAG is the first',
    trial: async (server) => ({
      ...(await given({ jti: 'a' }, { jti: 'a', scope: 'write' })(server)),
      takingBack: cutting(server),
    }),
  }),
  tried('remint-not-tried', () => {}, {
    when: 'the second ID-JAG has expired',
    trial: async (server) => ({
      ...(await given({}, { iat: 1_700_000_000, exp: 1_700_000_300 })(server)),
      takingBack: cutting(server),
    }),
  }),
  tried('remint-not-tried', () => {}, {
    when: 'the authorization server is busy',
    trial: (server) => ({
      takingBack: {
        by: 'cut',
        async cut() {
          server.isCut = () => true
          server.answer('as', '/token', says(503, '{"error":"temporarily_unavailable"}'))
        },
      },
    }),
  }),
]

function isAnythingIssued(): boolean {
  return server.outstanding().length > 0
}

function cutting(server: ReadyServer): Trial['takingBack'] {
  return {
    by: 'cut',
    async cut() {
      server.isCut = () => true
    },
  }
}

async function spoil({ mutate, trial, timeoutMs = 10_000 }: Omit<Row, 'id'>) {
  await mutate(server)
  const addresses: Record<string, string> = { 'inside.example': '10.0.0.1' }
  const requests = createRequests({
    allowPrivate: ['127.0.0.1'],
    timeoutMs,
    resolve: async (name) => [{ address: addresses[name] ?? '93.184.216.34', family: 4 }],
  })
  const provider = { tokenEndpoint: server.idpTokenEndpoint, idToken, clientId: 'x', clientSecret: undefined }
  const usual: Trial = {
    idJags: mintedIdJags(requests, provider),
    client: { id: server.client.id, secret: server.client.secret },
    scope: undefined,
    takingBack: { by: 'revocation' },
    withinMs: 5_000,
    now: () => new Date(),
    note: () => {},
  }
  return check(requests, server.url, trial && { ...usual, ...(await trial(server)) })
}

describe('what is wrong', () => {
  it.each(rows.map((each) => ({ ...each, name: each.when ? `${each.id}: ${each.when}` : each.id })))(
    '$name',
    async ({ name: _name, ...row }) => {
      const report = await spoil(row)
      const wrong = report.findings.filter(({ level }) => level !== 'ok')
      expect(wrong.map(({ id }) => id)).toEqual([...(row.before ?? []), row.id, ...(row.after ?? [])])
      expect(report.ready).toBe(wrong.every(({ level }) => level === 'warning'))
      expect(server.stranger.requests).toBe(0)
      for (const secret of server.secrets) expect(JSON.stringify(report)).not.toContain(secret)
    },
  )

  it('is all in this table', () => {
    expect([...new Set(rows.map(({ id }) => id))].sort()).toEqual(Object.keys(doubts).sort())
  })
})

describe('what is in order', () => {
  it('is said by the same words, all of them', async () => {
    const plain = await spoil({ mutate: () => {}, trial: () => ({}) })
    server.restore()
    const cut = await spoil({ mutate: () => {}, trial: (server) => ({ takingBack: cutting(server) }) })
    const said = [...plain.findings, ...cut.findings]
    expect(said.filter(({ level }) => level !== 'ok')).toEqual([])
    expect([...new Set(said.map(({ id }) => id))].sort()).toEqual(Object.keys(virtues).sort())
  })

  it('is a path that the issuer has, before the path and behind it', async () => {
    const issuer = `${server.issuer}/tenant/one`
    const asked = async (where: string) => {
      server.restore()
      return spoil({
        mutate(server) {
          set('resource', { authorization_servers: [issuer] })(server)
          set('metadata', { issuer })(server)
          server.answer('as', where, (_seen, res) => json(res, 200, server.metadata))
        },
      })
    }
    for (const where of [
      '/.well-known/oauth-authorization-server/tenant/one',
      '/.well-known/openid-configuration/tenant/one',
      '/tenant/one/.well-known/openid-configuration',
    ])
      expect(await asked(where)).toMatchObject({ ready: true, issuer })
    expect(await asked(asMetadata)).toMatchObject({ ready: false })
  })

  it('sends the ID-JAG as MCP clients do, with the secret in the body where the server lists only that', async () => {
    await spoil({
      mutate: set('metadata', { token_endpoint_auth_methods_supported: ['client_secret_post'] }),
      trial: () => ({}),
    })
    const [{ form, headers } = { form: new URLSearchParams(), headers: {} }] = server.requests.filter(
      ({ host, path }) => host === 'as' && path === '/token',
    )
    expect([...form.keys()].sort()).toEqual([
      'assertion',
      'client_id',
      'client_secret',
      'grant_type',
      'resource',
      'scope',
    ])
    expect([form.get('resource'), form.get('scope')]).toEqual([server.url, 'read'])
    expect(headers.authorization).toBeUndefined()
  })

  it('takes the first message of a stream for the answer, and ends the session that it began', async () => {
    const report = await spoil({
      mutate(server) {
        const { challenge = '' } = server
        server.answer('mcp', '/mcp', ({ headers, method }, res) => {
          const isRevoked = server.requests.some(({ path }) => path === '/revoke')
          if (!/Bearer token-/.test(headers.authorization ?? '') || isRevoked)
            return says(401, '', { 'www-authenticate': challenge })(undefined, res)
          if (method === 'DELETE') return void res.writeHead(204).end()
          // Never ended: a stream stays open for as long as its server likes.
          res.writeHead(200, { 'content-type': 'text/event-stream', 'mcp-session-id': 'a-session' })
          res.write('id: 1\ndata: \n\n')
          res.write('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
        })
      },
      trial: () => ({}),
    })
    expect(report.findings.filter(({ level }) => level !== 'ok')).toEqual([])
    expect(server.requests.at(-1)).toMatchObject({ method: 'DELETE', headers: { 'mcp-session-id': 'a-session' } })
  })

  it('takes a 404 to its session for no answer about the token', async () => {
    const report = await spoil({
      mutate(server) {
        const { challenge = '' } = server
        server.answer('mcp', '/mcp', ({ headers }, res) => {
          const isRevoked = server.requests.some(({ path }) => path === '/revoke')
          if (headers['mcp-session-id'] && isRevoked) return says(404)(undefined, res)
          if (!/Bearer token-/.test(headers.authorization ?? '') || isRevoked)
            return says(401, '', { 'www-authenticate': challenge })(undefined, res)
          return json(res, 200, { jsonrpc: '2.0', id: 1, result: {} }, { 'mcp-session-id': 'a-session' })
        })
      },
      trial: () => ({}),
    })
    expect(report.findings.at(-1)).toMatchObject({ id: 'revocation-honoured' })
  })

  it("has the ID-JAG to return with before Tenure's cut, since a newer one may give a token by right", async () => {
    let minted = 0
    await spoil({
      mutate: () => {},
      trial: (server) => ({
        takingBack: {
          by: 'cut',
          async cut() {
            minted = server.requests.filter(({ host }) => host === 'idp').length
          },
        },
        withinMs: 0,
      }),
    })
    expect(minted).toBe(2)
    expect(server.requests.filter(({ host }) => host === 'idp')).toHaveLength(2)
  })

  it.each<[string, Omit<Row, 'id'>]>([
    ['was refused', { mutate: be(() => ({ isCut: isAnythingIssued })), trial: () => ({}) }],
    ['came of a replay', { mutate: be(() => ({ takesOnce: false })), trial: () => ({}) }],
    [
      'outlived the cut, and its successor',
      {
        mutate: be(() => ({ honoursRevocation: false, gates: false })),
        trial: (server) => ({ takingBack: cutting(server), withinMs: 0 }),
      },
    ],
  ])('leaves no token behind that %s', async (_what, row) => {
    await spoil(row)
    expect(server.requests.map(({ path }) => path)).toContain('/token')
    expect(server.outstanding()).toEqual([])
  })

  it('stops waiting when the token would have expired anyway', async () => {
    const report = await spoil({
      mutate(server) {
        server.honoursRevocation = false
        server.tokenAnswer = { expires_in: 1 }
      },
      trial: () => ({ withinMs: 60_000 }),
    })
    expect(report.findings.at(-1)).toMatchObject({ id: 'revocation-ignored' })
  })
})

describe('docs/check.md', () => {
  const text = readFileSync(new URL('../../docs/check.md', import.meta.url), 'utf8')
  const cells = text.split('\n').flatMap((line) => {
    const [, id, ...rest] = line.split('|').map((cell) => cell.trim())
    return id !== undefined && /^`[a-z]/.test(id) ? [[id.slice(1, -1), ...rest.slice(0, -1)]] : []
  })

  it('says of each finding what the command says', () => {
    const wrong = Object.entries(doubts).map(([id, { level, why, fix }]) => [id, level, why, fix])
    const right = Object.entries(virtues).map(([id, why]) => [id, why])
    expect(cells).toEqual([...wrong, ...right])
  })
})

describe('the report', () => {
  it('shows what a stranger says as one plain line', async () => {
    const report = await spoil({
      mutate: set('metadata', { issuer: `\u001b[2Jhttps://as.example\n${'x'.repeat(5_000)}` }),
    })
    const colours = { bold: String, dim: String, green: String, yellow: String, red: String } as Json
    const text = drawReport(report, { width: undefined, colours })
    expect(text).not.toContain('\u001b')
    const line = text.split('\n').find((each) => each.includes('issuer-mismatch'))
    expect(line?.length).toBeLessThan(400)
  })
})
