import type { GuardOptions } from '../../src/guard/guard.ts'
import { type GuardedMcp, startGuardedMcp } from '../guard/mcp-server.ts'
import { type Agent, startAgent } from './agent.ts'
import type { RunningBackend } from './backends.ts'
import type { Answer, Json } from './clients.ts'
import { type OidcProvider, startOidcProvider } from './idps/oidc-provider.ts'
import { basic, jwtBearer, type Person, postForm } from './oauth-world.ts'
import { connect } from './postgres.ts'
import { registerDirectory, runTenure } from './tenure.ts'
import { waitFor } from './wait-for.ts'

/** People of a group of their own, and the rule that names it. */
export interface Team {
  readonly group: string
  readonly rule: { readonly id: string; readonly body: Readonly<Record<string, unknown>> }
}

/** What `slow` needs; the other tools need `read` alone. */
export const slowNeeds = ['read', 'write']

/**
 * A company that has nothing but what it would have: a Tenure with its worker, an identity provider that people log in to,
 * and an MCP server behind the guard, which Tenure tells by webhook. MCP clients are the SDK's.
 */
export async function startEnterprise(
  backend: RunningBackend,
  {
    server = {},
    guard = {},
    isWired = true,
  }: { server?: object; guard?: Partial<GuardOptions>; isWired?: boolean } = {},
) {
  const tenure = await runTenure('all', { ...backend.database, redisUrl: backend.redisUrl })
  const { admin } = tenure
  const owner = await connect({ url: backend.database.ownerUrl })
  const idp: OidcProvider = await startOidcProvider({ 'agent-at-acme': 'claude' })
  const scim = await registerDirectory(admin, 'acme')
  await admin.put('/directories/acme/issuer', { issuer: idp.issuer, jwksUri: idp.jwksUri, subject: 'externalId' })
  const { secret } = await admin.post('/clients', { id: 'claude', auth: 'client_secret_basic' })
  const mcp: GuardedMcp = await startGuardedMcp(register, {
    protect(protecting) {
      const [usual, slow] = [protecting.protect(), protecting.protect({ scopes: slowNeeds })]
      return (req, res, next) => (req.body?.params?.name === 'slow' ? slow : usual)(req, res, next)
    },
  })
  const parts = { idp, mcp, tenure, client: { id: 'claude', secret: secret as string } }
  const agents: Agent[] = []
  let names = 0

  async function register(url: string): Promise<GuardOptions> {
    const resource = `${url}/mcp`
    const connectors = isWired ? [{ type: 'webhook', url: `${url}/tenure` }] : []
    const made = await admin.post('/servers', { id: 'notes', name: 'Notes', resource, connectors, ...server })
    const { clientId, clientSecret } = await admin.post('/servers/notes/credentials')
    return {
      tenure: tenure.url,
      resource,
      clientId,
      clientSecret,
      webhookSecret: made.connectors[0]?.signingSecret,
      scopes: ['read'],
      scopesSupported: ['read', 'write'],
      ...guard,
    }
  }

  return {
    admin,
    idp,
    mcp,
    owner,
    scim,
    tenure,
    /** A group, and a rule that gives it these scopes. */
    async team(...scopes: string[]): Promise<Team> {
      const id = `team-${names++}`
      const { id: group } = await scim.createGroup(id)
      const body = { directory: 'acme', server: 'notes', when: `groups.display eq "${id}"`, scopes }
      await admin.put(`/rules/${id}`, body)
      return { group, rule: { id, body } }
    },
    /** Joined over SCIM; nobody at Tenure does anything. */
    async hire(...teams: Team[]): Promise<Person> {
      const userName = `person-${names++}@acme.example`
      const externalId = `00u-${userName}`
      const { id } = await scim.createUser(userName, { externalId })
      for (const { group } of teams) await scim.addMembers(group, id)
      return { id, userName, externalId }
    },
    /** The person logs in, and their MCP client connects. */
    async agentOf({ externalId }: Person, options: Parameters<typeof startAgent>[2] = {}): Promise<Agent> {
      const agent = await startAgent(parts, await idp.logIn(externalId), options)
      agents.push(agent)
      return agent
    },
    /** An MCP client with a token that it cannot renew. @returns the status and challenge of a call of `whoami` */
    async callWith(token: string, tool = 'whoami') {
      const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool, arguments: {} } }
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      }
      const response = await fetch(mcp.url, { method: 'POST', headers, body: JSON.stringify(call) })
      return { status: response.status, challenge: response.headers.get('www-authenticate') }
    },
    /** Why each request for a token was refused, in order. */
    refusals(): string[] {
      return tenure.log.flatMap((line: Json) =>
        line.path === '/oauth2/token' && line.status !== 200 ? [line.reason ?? line.error] : [],
      )
    },
    /** An ID-JAG shown to Tenure by whoever holds it, and the client's secret. */
    redeem(assertion: string): Promise<Answer> {
      const { headers } = basic('claude', secret)
      return postForm(`${tenure.url}/oauth2/token`, { grant_type: jwtBearer, assertion }, headers)
    },
    async grantsOf({ id }: Person): Promise<Json[]> {
      return (await admin.get(`/grants?user=${id}`)).items
    },
    /** The second of the person's last cut, since 1970. */
    async secondOfCut({ id }: Person): Promise<number> {
      return Math.floor(Date.parse((await admin.get(`/users/${id}`)).notBefore) / 1_000)
    },
    /** Until an ID-JAG that is made now is from after the second of the person's last cut. */
    async waitForNextSecond(second: number): Promise<void> {
      await waitFor(() => Date.now() >= (second + 1) * 1_000, { what: 'the second of the cut to be over' })
    },
    async close() {
      for (const agent of agents) await agent.close()
      await mcp.close()
      await tenure.close()
      await idp.close()
      await owner.end()
    },
  }
}

export type Enterprise = Awaited<ReturnType<typeof startEnterprise>>
