import { type Company, rules, type ServerId, servers } from './company.ts'
import { connectOkta, type Okta } from './okta.ts'
import { type McpServer, startMcpServer } from './servers.ts'
import type { TenureProcess } from './tenure.ts'

/** Everything that the story is played on: Tenure, an Okta org connected to it, and servers that it tells. */
export interface Stage {
  readonly tenure: TenureProcess
  readonly company: Company
  readonly okta: Okta
  readonly servers: readonly McpServer[]
  readonly directory: string
  readonly scimBaseUrl: string
  server(id: ServerId): McpServer
  close(): Promise<void>
}

const directory = 'acme'

/** What an operator does once, through the admin API: a directory and its token, servers and their secrets, rules. */
export async function setStage(tenure: TenureProcess, company: Company): Promise<Stage> {
  const { admin } = tenure
  const { scimBaseUrl } = await admin.call('POST', '/directories', { id: directory, provider: 'okta', name: 'Acme' })
  const { token } = await admin.call('POST', `/directories/${directory}/tokens`, { label: 'Okta' })
  const okta = connectOkta({ scimBaseUrl, token })
  const started: McpServer[] = []
  const close = async () => {
    await okta.close()
    await Promise.all(started.map((server) => server.close()))
  }
  try {
    for (const { id, name } of servers) {
      const server = await startMcpServer(id, name)
      started.push(server)
      const { connectors } = await admin.call('POST', '/servers', {
        id,
        name,
        resource: `https://mcp.${id}.example/mcp`,
        connectors: [{ type: 'webhook', url: server.webhookUrl }],
      })
      const credentials = await admin.call('POST', `/servers/${id}/credentials`)
      server.register({ url: tenure.url, signingSecret: connectors[0].signingSecret, ...credentials })
    }
    for (const { id, ...rule } of rules) await admin.call('PUT', `/rules/${id}`, { directory, ...rule })
    await okta.test()
    for (const group of company.groups) await okta.pushGroup(group)
  } catch (error) {
    await close()
    throw error
  }
  const server = (id: ServerId) => started.find((candidate) => candidate.id === id)!
  return { tenure, company, okta, servers: started, directory, scimBaseUrl, server, close }
}
