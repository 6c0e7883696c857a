import { randomBytes } from 'node:crypto'
import { type Agent, createAgent } from './agent.ts'
import { type Company, type Employee, rules, type ServerId, type VendorId, vendors } from './company.ts'
import { createDirectFetch } from './direct-fetch.ts'
import { type IdentityProvider, startIdentityProvider } from './identity-provider.ts'
import { connectOkta, type Okta } from './okta.ts'
import type { EventHook } from './okta-hooks.ts'
import { type McpServer, startVendor, type Vendor } from './servers.ts'
import type { TenureProcess } from './tenure.ts'
import { startWarehouse, type Warehouse } from './warehouse.ts'

/** Everything that the story is played on: Tenure, an Okta org connected to it, servers that it tells, and an agent. */
export interface Stage {
  readonly tenure: TenureProcess
  readonly company: Company
  readonly okta: Okta
  /** Of that org, with Tenure at its end. */
  readonly hook: EventHook
  /** Past whatever proxy the environment names: everybody is on this machine. */
  readonly fetch: typeof globalThis.fetch
  readonly identityProvider: IdentityProvider
  readonly vendors: readonly Vendor[]
  readonly warehouse: Warehouse
  /** The vendors' and the company's own. */
  readonly servers: readonly McpServer[]
  readonly directory: string
  readonly scimBaseUrl: string
  vendor(id: VendorId): Vendor
  /** The person signs in, and has an agent from then on. */
  signIn(employee: Employee): Promise<Agent>
  close(): Promise<void>
}

const directory = 'acme'
const mcpClient = 'claude'

/**
 * What an operator does once, through the admin API: a directory, its token and whose ID-JAGs are believed for it, an MCP
 * client, servers and their secrets, rules.
 */
export async function setStage(tenure: TenureProcess, company: Company): Promise<Stage> {
  const { admin } = tenure
  const { scimBaseUrl } = await admin.call('POST', '/directories', { id: directory, provider: 'okta', name: 'Acme' })
  const { token } = await admin.call('POST', `/directories/${directory}/tokens`, { label: 'Okta' })
  const direct = createDirectFetch()
  const closing: Array<{ close(): Promise<void> }> = [direct]
  const close = async () => {
    for (const each of closing.toReversed()) await each.close()
  }
  const started = <T extends { close(): Promise<void> }>(one: T): T => {
    closing.push(one)
    return one
  }
  try {
    const okta = started(connectOkta({ scimBaseUrl, token }))
    const hook = await setUpHook(tenure)
    const identityProvider = started(await startIdentityProvider(mcpClient))
    const { issuer } = identityProvider
    await admin.call('PUT', `/directories/${directory}/issuer`, { issuer, subject: 'externalId' })
    const auth = 'client_secret_basic'
    const { secret } = await admin.call('POST', '/clients', { id: mcpClient, name: 'Claude', auth })
    const theirs: Vendor[] = []
    for (const { id, name } of vendors) theirs.push(started(await startVendor(id, name, mcpClient)))
    const warehouse = started(await startWarehouse(direct.fetch))
    const servers = [...theirs, warehouse]
    for (const server of servers) await register(tenure, server)
    for (const { id, ...rule } of rules) await admin.call('PUT', `/rules/${id}`, { directory, ...rule })
    await okta.test()
    for (const group of company.groups) await okta.pushGroup(group)

    async function signIn(employee: Employee): Promise<Agent> {
      const client = { id: mcpClient, secret }
      const parts = { mcpUrl: warehouse.resource, identityProvider, issuer: tenure.url, client, fetch: direct.fetch }
      return started(createAgent(parts, await identityProvider.signIn(employee)))
    }
    const vendor = (id: ServerId) => theirs.find((candidate) => candidate.id === id)!
    return {
      tenure,
      company,
      okta,
      hook,
      fetch: direct.fetch,
      identityProvider,
      vendors: theirs,
      warehouse,
      servers,
      directory,
      scimBaseUrl,
      vendor,
      signIn,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What an admin makes up and tells both sides. */
async function setUpHook({ url, admin }: TenureProcess): Promise<EventHook> {
  const secret = randomBytes(32).toString('base64url')
  await admin.call('PUT', `/directories/${directory}/channels/okta`, { secret })
  const uri = `${url}/directories/${directory}/events/okta`
  return { id: 'who0000000000000demo', orgUrl: 'https://acme.okta.example', uri, secret }
}

async function register({ url, admin }: TenureProcess, server: McpServer): Promise<void> {
  const { id, name, resource, webhookUrl } = server
  const connectors = [{ type: 'webhook', url: webhookUrl }]
  const registered = await admin.call('POST', '/servers', { id, name, resource, connectors })
  const { clientId, clientSecret } = await admin.call('POST', `/servers/${id}/credentials`)
  server.register({ url, signingSecret: registered.connectors[0].signingSecret, clientId, clientSecret })
}
