import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type AdminClient, type Json, type ScimClient, ServerClient } from '../support/clients.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { record } from '../support/secret-setup.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'
import { connectMcp, type GuardedMcp, type Run, startGuardedMcp } from './mcp-server.ts'

/** From a SCIM write to the end of a running call: a real Tenure, its webhooks, a real MCP server and client. */

let database: TestDatabase
let tenure: RunningTenure
let admin: AdminClient
let scim: ScimClient
let names = 0
let mcp: GuardedMcp

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('all', database)
  admin = tenure.admin
  scim = await registerDirectory(admin, 'acme')
})
afterEach(async () => {
  await mcp.close()
  expect(mcp.failures).toEqual([])
})
afterAll(async () => {
  await tenure?.close()
  await database?.drop()
})

interface Place {
  readonly server: string
  readonly credentials: ServerClient
  readonly readers: string
  readonly writers: string
}

/** A server whose readers and writers are two groups, and the guard in front of it. */
async function protect({ withWebhook = true } = {}): Promise<Place> {
  const server = `guarded-${names++}`
  const resource = `https://${server}.example/mcp`
  const { connectors } = await admin.post('/servers', {
    id: server,
    name: server,
    resource,
    connectors: [{ type: 'webhook', url: 'http://127.0.0.1:9/not-there-yet' }],
  })
  const credentials = await admin.post(`/servers/${server}/credentials`)
  const groups: Record<string, string> = {}
  for (const scope of ['read', 'write']) {
    const displayName = `${server} may ${scope}`
    groups[scope] = (await scim.createGroup(displayName)).id
    const when = `groups.display eq "${displayName}"`
    await admin.put(`/rules/${server}-${scope}`, { directory: 'acme', server, scopes: [scope], when })
  }
  const { clientId, clientSecret } = credentials
  const wired = withWebhook ? { webhookSecret: connectors[0].signingSecret } : { recheckSeconds: 0.2 }
  mcp = await startGuardedMcp({ tenure: tenure.url, resource, clientId, clientSecret, ...wired })
  if (withWebhook) {
    const moved = [{ id: connectors[0].id, url: mcp.webhookUrl }]
    const { status } = await admin.send('PATCH', `/servers/${server}`, { connectors: moved })
    expect(status).toBe(200)
  }
  return {
    server,
    credentials: new ServerClient(tenure.url, credentials),
    readers: groups.read!,
    writers: groups.write!,
  }
}

async function hire({ readers, writers }: Place, groups = [readers, writers]): Promise<string> {
  const { id } = await scim.createUser(`person-${names++}@acme.example`)
  for (const group of groups) await scim.addMembers(group, id)
  return id
}

/** A token of the server's own, recorded at Tenure with the server's credentials. */
async function tokenFor(
  { server, credentials }: Place,
  user: string,
  scopes: string[],
): Promise<{ id: string; token: string }> {
  const token = `own-${randomBytes(32).toString('base64url')}`
  record.secret(token, 'access token of a server')
  const { status, body } = await credentials.send('POST', '/admin/v1/grants', {
    directory: 'acme',
    user: { id: user },
    server,
    client: 'claude',
    scopes,
    token,
    expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
  })
  expect(status).toBe(201)
  return { id: body.id, token }
}

/** Servers of other tests are gone, and what they are to be told waits. */
async function settled({ server }: Place): Promise<void> {
  await waitFor(
    async () => {
      const { users, servers } = await admin.get('/stats')
      const { pending, inFlight } = servers.find((each: Json) => each.server === server)
      return users.behind === 0 && pending === 0 && inFlight === 0
    },
    { what: 'the server to be told' },
  )
}

async function running(token: string, tool = 'slow'): Promise<{ run: Run; outcome: Promise<Json> }> {
  const client = await connectMcp(mcp.url, token, { versionNegotiation: { mode: 'auto' } })
  const place = mcp.runs.length
  const outcome = client
    .callTool({ name: tool, arguments: {} }, { onprogress: () => {} })
    .catch((error) => error)
    .finally(() => client.close())
  return { run: await waitFor(() => mcp.runs[place], { what: 'the tool to run' }), outcome }
}

async function whoami(token: string): Promise<Json> {
  const client = await connectMcp(mcp.url, token, { versionNegotiation: { mode: 'auto' } })
  const { content } = await client.callTool({ name: 'whoami', arguments: {} }).finally(() => client.close())
  return (content as Json)[0].text
}

describe('a SCIM deactivation', () => {
  it.each(['slow', 'streaming'])('ends the running tool %s by webhook, and refuses the next call', async (tool) => {
    const here = await protect()
    const [ada, bob] = [await hire(here), await hire(here)]
    const [adas, bobs] = [await tokenFor(here, ada, ['read']), await tokenFor(here, bob, ['read'])]
    const [call, other] = [await running(adas.token, tool), await running(bobs.token)]
    expect(call.run.userId).toBe(ada)
    await scim.setActive(ada, false)
    expect((await call.outcome).message).toMatch(/^(Unauthorized|Access has ended)$/)
    await waitFor(() => call.run.isStopped, { what: 'the tool to stop' })
    await expect(whoami(adas.token)).rejects.toThrow('Unauthorized')
    await settled(here)
    expect(other.run).toMatchObject({ isStopped: false, isEnded: false })
    expect(await whoami(bobs.token)).toBe(bob)
    // Tenure counts it as told.
    const { items } = await admin.get(`/deliveries?user=${ada}&server=${here.server}`)
    expect(items).toEqual([expect.objectContaining({ state: 'delivered' })])
  })

  it('ends it without a webhook, by the next introspection', async () => {
    const here = await protect({ withWebhook: false })
    const ada = await hire(here)
    const { token } = await tokenFor(here, ada, ['read'])
    const call = await running(token)
    await scim.setActive(ada, false)
    expect((await call.outcome).message).toBe('Unauthorized')
    await waitFor(() => call.run.isStopped, { what: 'the tool to stop' })
  })

  it('and activation let a new token in, and the old one stays refused', async () => {
    const here = await protect()
    const ada = await hire(here)
    const old = await tokenFor(here, ada, ['read'])
    expect(await whoami(old.token)).toBe(ada)
    await scim.setActive(ada, false)
    await settled(here)
    await scim.setActive(ada, true)
    await settled(here)
    const young = await tokenFor(here, ada, ['read'])
    expect(await whoami(young.token)).toBe(ada)
    await expect(whoami(old.token)).rejects.toThrow('Unauthorized')
  })
})

describe('a mover', () => {
  it('loses the running call whose token has the scope that was lost, and keeps the other', async () => {
    const here = await protect()
    const ada = await hire(here)
    const [writing, reading] = [await tokenFor(here, ada, ['read', 'write']), await tokenFor(here, ada, ['read'])]
    const [lost, kept] = [await running(writing.token), await running(reading.token)]
    await scim.removeMember(here.writers, ada)
    expect((await lost.outcome).message).toBe('Unauthorized')
    await settled(here)
    expect(kept.run).toMatchObject({ isStopped: false, isEnded: false })
    expect(await whoami(reading.token)).toBe(ada)
    await expect(whoami(writing.token)).rejects.toThrow('Unauthorized')
  })
})

describe('an operator', () => {
  it('who revokes one grant ends its calls, and no other of that user', async () => {
    const here = await protect()
    const ada = await hire(here)
    const [one, two] = [await tokenFor(here, ada, ['read']), await tokenFor(here, ada, ['read'])]
    const [revoked, kept] = [await running(one.token), await running(two.token)]
    await admin.post(`/grants/${one.id}/revoke`)
    expect((await revoked.outcome).message).toBe('Unauthorized')
    await settled(here)
    expect(kept.run).toMatchObject({ isStopped: false, isEnded: false })
  })

  it('who cuts a user ends all of their calls, and their next token works', async () => {
    const here = await protect()
    const ada = await hire(here)
    const { token } = await tokenFor(here, ada, ['read'])
    const call = await running(token, 'streaming')
    await admin.post(`/users/${ada}/cut`)
    expect((await call.outcome).message).toBe('Access has ended')
    await settled(here)
    expect(await whoami((await tokenFor(here, ada, ['read'])).token)).toBe(ada)
  })
})
