import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { expire } from '../../src/housekeeping/expire.ts'
import { defaultRetention } from '../../src/retention.ts'
import { type Clients, createClients, type McpClient } from '../../src/trust/clients.ts'
import type { Json, ScimClient } from '../support/clients.ts'
import { watchLocks } from '../support/locks.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

let database: TestDatabase
let tenure: RunningTenure
let egress: Egress
let db: Database
let owner: pg.Client
let clients: Clients

const document: McpClient = {
  id: 'https://agent.example/client',
  name: 'Agent',
  auth: 'none',
  jwksUri: null,
  isDocument: true,
  mayUseJwtBearer: false,
  tokenRequestsPerMinute: 600,
}

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('all', database)
  egress = createEgress({ allowPrivateTargets: [] })
  db = openDatabase(createPool(database.url, { max: 4, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  const documents = { find: async (url: string) => (url === document.id ? document : undefined) }
  clients = createClients({ db, egress, documents, hintUser: () => {} })
})
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await egress?.close()
  await tenure?.close()
  await database?.drop()
})
beforeEach(() => owner.query('delete from mcp_client'))

const add = (body: Json) => tenure.admin.send('POST', '/clients', body)

describe('an MCP client', () => {
  it.each(['client_secret_basic', 'client_secret_post'])(
    'with %s is given its secret once, and it is kept hashed',
    async (auth) => {
      const { status, body } = await add({ id: 'agent', auth })
      expect(status).toBe(201)
      expect(body).toMatchObject({ id: 'agent', name: 'agent', auth, jwksUri: null, tokenRequestsPerMinute: 600 })
      expect(body.secret).toMatch(/^mcp_[A-Za-z0-9_-]{43}$/)
      const shown = await tenure.admin.get('/clients/agent')
      expect(shown).not.toHaveProperty('secret')
      expect(shown.secrets).toEqual([{ createdAt: expect.any(String), expiresAt: null }])
      const { rows } = await owner.query(`select k::text as text from mcp_client_secret k`)
      expect(rows).toHaveLength(1)
      expect(rows[0].text).not.toContain(body.secret)
      expect(await clients.hasSecret('agent', body.secret)).toBe(true)
      expect(await clients.hasSecret('agent', `${body.secret}x`)).toBe(false)
      expect(await clients.hasSecret('other', body.secret)).toBe(false)
    },
  )

  it('that signs has a key set, and no secret; a public one has neither', async () => {
    const jwksUri = 'https://gateway.example/keys'
    const signing = await add({ id: 'gateway', auth: 'private_key_jwt', jwksUri })
    expect(signing).toMatchObject({ status: 201, body: { jwksUri, secrets: [] } })
    const open = await add({ id: 'open', auth: 'none', name: 'Open', tokenRequestsPerMinute: 5 })
    expect(open).toMatchObject({ status: 201, body: { name: 'Open', secrets: [], tokenRequestsPerMinute: 5 } })
    for (const { body } of [signing, open]) expect(body).not.toHaveProperty('secret')
    expect(await clients.find('gateway')).toEqual({
      id: 'gateway',
      name: 'gateway',
      auth: 'private_key_jwt',
      jwksUri,
      isDocument: false,
      mayUseJwtBearer: true,
      tokenRequestsPerMinute: 600,
    })
    expect((await tenure.admin.get('/clients')).items.map(({ id }: Json) => id)).toEqual(['gateway', 'open'])
  })

  it.each<[string, Json, string]>([
    ['no id', { auth: 'none' }, 'id'],
    ['no way to authenticate', { id: 'agent' }, 'auth'],
    ['keys that it does not sign with', { id: 'agent', auth: 'none', jwksUri: 'https://a.example/keys' }, 'jwksUri'],
    ['no keys to sign with', { id: 'agent', auth: 'private_key_jwt' }, 'jwksUri'],
    ['keys by http', { id: 'agent', auth: 'private_key_jwt', jwksUri: 'http://a.example/keys' }, 'jwksUri'],
    ['keys at a private address', { id: 'agent', auth: 'private_key_jwt', jwksUri: 'https://10.0.0.1/k' }, 'jwksUri'],
    ['a space in its id', { id: 'an agent', auth: 'none' }, 'id'],
    ['an unknown preset', { preset: 'copilot' }, 'preset'],
  ])('is refused with %s', async (_what, body, field) => {
    expect(await add(body)).toMatchObject({ status: 422, body: { errors: [{ field }] } })
    expect((await tenure.admin.get('/clients')).items).toEqual([])
  })

  it('has an id of its own', async () => {
    await add({ id: 'agent', auth: 'none' })
    expect(await add({ id: 'agent', auth: 'client_secret_basic' })).toMatchObject({ status: 409 })
    expect(await clients.find('agent')).toMatchObject({ auth: 'none' })
  })

  it('is changed in what is said: one that comes to have a secret is given it, one that has none loses it', async () => {
    const first = await add({ id: 'agent', auth: 'client_secret_basic' })
    const change = (body: Json) => tenure.admin.send('PATCH', '/clients/agent', body)
    const renamed = await change({ name: 'Agent', tokenRequestsPerMinute: 7, auth: 'client_secret_post' })
    expect(renamed).toMatchObject({ status: 200, body: { name: 'Agent', tokenRequestsPerMinute: 7 } })
    expect(renamed.body).not.toHaveProperty('secret')
    expect(await clients.hasSecret('agent', first.body.secret)).toBe(true)
    expect(await change({ auth: 'private_key_jwt' })).toMatchObject({ status: 422 })
    const jwksUri = 'https://a.example/keys'
    expect(await change({ auth: 'private_key_jwt', jwksUri })).toMatchObject({ body: { jwksUri, secrets: [] } })
    expect(await clients.hasSecret('agent', first.body.secret)).toBe(false)
    expect(await change({ name: 'Still' })).toMatchObject({ body: { jwksUri, name: 'Still' } })
    const again = await change({ auth: 'client_secret_basic', tokenRequestsPerMinute: null })
    expect(again).toMatchObject({ body: { jwksUri: null, tokenRequestsPerMinute: 600 } })
    expect(await clients.hasSecret('agent', again.body.secret)).toBe(true)
  })

  it('is given a new secret; the old one is good beside it for 24 hours', async () => {
    const { secret: old } = await tenure.admin.post('/clients', { id: 'agent', auth: 'client_secret_basic' })
    const { secret } = await tenure.admin.post('/clients/agent/rotate-secret')
    const good = async () => [await clients.hasSecret('agent', old), await clients.hasSecret('agent', secret)]
    expect(await good()).toEqual([true, true])
    await owner.query(`update mcp_client_secret set expires_at = expires_at - interval '23 hours 59 minutes'`)
    expect(await good()).toEqual([true, true])
    await owner.query(`update mcp_client_secret set expires_at = expires_at - interval '1 minute'`)
    expect(await good()).toEqual([false, true])
    expect((await tenure.admin.get('/clients/agent')).secrets).toHaveLength(1)
    await add({ id: 'open', auth: 'none' })
    expect(await tenure.admin.send('POST', '/clients/open/rotate-secret')).toMatchObject({ status: 409 })
    const gone = await expire(db, defaultRetention)
    expect([gone, await good()]).toEqual([{ mcp_client_secret: 1 }, [false, true]])
  })

  it('§7.46: that is named by a URL is the registered one, where there is one, and else its document', async () => {
    expect(await clients.find(document.id)).toEqual(document)
    expect(await clients.find('https://other.example/client')).toBeUndefined()
    await add({ id: document.id, auth: 'none', name: 'Pinned' })
    expect(await clients.find(document.id)).toMatchObject({ name: 'Pinned', isDocument: false, mayUseJwtBearer: true })
    const path = `/clients/${encodeURIComponent(document.id)}`
    expect(await tenure.admin.get(path)).toMatchObject({ name: 'Pinned' })
    await tenure.admin.delete(path)
    expect(await clients.find(document.id)).toEqual(document)
  })
})

describe('a preset', () => {
  it.each([
    ['claude-chat', 'https://claude.ai/oauth/mcp-oauth-client-metadata', 'Claude'],
    ['claude-cowork', 'https://claude.ai/oauth/mcp-oauth-client-metadata', 'Claude'],
    ['claude-code', 'https://claude.ai/oauth/claude-code-client-metadata', 'Claude Code'],
    ['vscode', 'https://vscode.dev/oauth/client-metadata.json', 'Visual Studio Code'],
  ])('registers %s as what is known of it, for the grant type jwt-bearer', async (preset, id, name) => {
    const { status, body } = await add({ preset })
    expect(status).toBe(201)
    expect(body).toMatchObject({ id, name, auth: 'none', preset })
    expect(await clients.find(id)).toMatchObject({ mayUseJwtBearer: true, isDocument: false })
  })

  it('gives way to what is said beside it', async () => {
    const { status, body } = await add({ preset: 'vscode', id: 'vscode', auth: 'client_secret_post', name: 'Code' })
    expect(status).toBe(201)
    expect(body).toMatchObject({ id: 'vscode', name: 'Code', auth: 'client_secret_post', preset: 'vscode' })
    expect(await clients.hasSecret('vscode', body.secret)).toBe(true)
  })

  it('shows its document, as it was seen', async () => {
    const { items } = await tenure.admin.get('/client-presets')
    expect(items.map(({ preset }: Json) => preset)).toEqual(['claude-chat', 'claude-code', 'claude-cowork', 'vscode'])
    for (const { document, seen, note } of items) {
      expect(document).toMatchObject({ client_id: expect.stringMatching(/^https:/), redirect_uris: expect.any(Array) })
      expect(seen).toMatch(/^\d{4}-\d\d-\d\d$/)
      expect(note).toMatch(/\w/)
    }
  })
})

describe('an MCP client that is removed', () => {
  let okta: ScimClient
  let linear: RegisteredServer
  let people: string[]

  beforeAll(async () => {
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    await tenure.admin.put('/rules/all', { directory: 'acme', server: 'linear', when: 'userName pr', scopes: ['read'] })
    people = []
    for (const name of ['ada', 'bob', 'eve']) people.push((await okta.createUser(`${name}@acme.example`)).id)
    await tenure.admin.waitUntilSettled()
  })
  afterAll(() => linear?.receiver.close())

  const grant = async (user: string, client: string, jti: string) => {
    const given = { directory: 'acme', user: { id: user }, server: 'linear', client, scopes: ['read'], jti }
    return (await tenure.admin.grant(given)).body
  }
  const isActive = async (jti: string) => (await tenure.admin.introspect(jti)).active

  it('leaves no open grant: each is closed with its ledger entry, and its server told, in one transaction', async () => {
    await add({ id: 'agent', auth: 'none' })
    const [ada, bob, eve] = people as [string, string, string]
    const agents = [await grant(ada, 'agent', 'a1'), await grant(ada, 'agent', 'a2'), await grant(bob, 'agent', 'b1')]
    const others = [await grant(ada, 'other', 'a3'), await grant(eve, 'other', 'e1'), await grant(eve, 'Agent', 'e2')]
    const before = linear.receiver.requests.length
    await tenure.admin.delete('/clients/agent')
    for (const { jti } of agents) expect(await isActive(jti), jti).toBe(false)
    for (const { jti } of others) expect(await isActive(jti), jti).toBe(true)
    const { rows } = await owner.query(`select grant_id, detail from ledger_entry where kind = 'closed'`)
    expect(rows.map(({ grant_id }) => grant_id).sort()).toEqual(agents.map(({ id }) => id).sort())
    for (const { detail } of rows) expect(detail).toMatchObject({ reason: 'revoked', actor: 'key:root' })
    const told = async () =>
      linear.receiver.requests
        .slice(before)
        .flatMap(({ message }) => message.data.revokedGrants.map(({ jti }: Json) => jti))
    await waitFor(async () => (await told()).length === 3, { what: 'the server to be told' })
    expect((await told()).sort()).toEqual(['a1', 'a2', 'b1'])
    await tenure.admin.waitUntilSettled()
    const { items } = await tenure.admin.get(`/events?directory=acme&user=${ada}`)
    expect(items[0]).toMatchObject({ kind: 'changed', detail: { operation: 'DELETE /clients' } })
    expect(await tenure.admin.send('DELETE', '/clients/agent')).toMatchObject({ status: 404 })
  })

  it('waits for a token that is being issued to it, and closes it too', async () => {
    await add({ id: 'agent', auth: 'none' })
    const watch = await watchLocks({ db, url: database.url })
    const issuing = await db.startTransaction().execute()
    try {
      expect(await clients.hold(issuing, { id: 'agent', isDocument: false })).toBe(true)
      const removal = clients.remove('agent', { source: 'admin', actor: 'key:root' })
      await watch.waitUntilWaiting(1)
      await sql`
        insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, epoch, issued_at, expires_at, recorded_by)
        select 'grt_late', directory_id, user_id, 'linear', 'agent', '{read}', 'late', epoch, clock_timestamp(),
          clock_timestamp() + interval '1 minute', 'test'
        from user_state where user_id = ${people[0]!}`.execute(issuing)
      await issuing.commit().execute()
      await removal
    } finally {
      if (!issuing.isCommitted) await issuing.rollback().execute()
      await watch.close()
    }
    expect(await isActive('late')).toBe(false)
    expect(await clients.hold(db, { id: 'agent', isDocument: false })).toBe(false)
    expect(await clients.hold(db, document)).toBe(true)
  })
})
