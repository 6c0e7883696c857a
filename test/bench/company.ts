import type pg from 'pg'
import { groupSchema } from '../support/clients.ts'
import { insertPeople, type Person } from '../support/people.ts'
import type { IdentityProvider } from './identity-provider.ts'
import { adminKey, type Call, caller } from './processes.ts'

export const resource = 'https://linear.example/mcp'
export const scope = 'read'
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** The directory `acme`, its identity provider, the MCP client `claude` and the server `linear`, as operators register them. */
export interface Company {
  readonly scimToken: string
  /** As whom the server asks about tokens. */
  readonly server: { readonly clientId: string; readonly clientSecret: string }
  /** How the MCP client asks for a token, and how the server asks about one: `Authorization`, form. */
  tokenForm(assertion: string): Form
  introspectionForm(token: string): Form
  /** Of this person, for that MCP client and that server. */
  mint(person: Person, claims?: { iat: number }): Promise<string>
  /** People of one new group, for whom the rule gives the scope. Those of SQL: nobody has told the server yet. */
  hire(sql: pg.Client, name: string, count: number): Promise<{ group: string; people: Person[] }>
}

export interface Form {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** @param tenure its `issuer` is what ID-JAGs are for */
export async function registerCompany(
  { url, issuer }: { url: string; issuer: string },
  { idp, connectors = [] }: { idp: IdentityProvider; connectors?: readonly object[] },
): Promise<Company> {
  const admin = caller(`${url}/admin/v1`, { authorization: `Bearer ${adminKey}` })
  await admin('POST', '/directories', { id: 'acme', provider: 'okta' })
  const { token } = (await admin('POST', '/directories/acme/tokens', {})) as { token: string }
  const scim: Call = caller(`${url}/directories/acme/scim/v2`, { authorization: `Bearer ${token}` })
  const trusted = { issuer: idp.issuer, jwksUri: idp.jwksUri, subject: 'externalId' }
  await admin('PUT', '/directories/acme/issuer', trusted)
  const { secret } = (await admin('POST', '/clients', {
    id: 'claude',
    auth: 'client_secret_basic',
    tokenRequestsPerMinute: 1_000_000,
  })) as { secret: string }
  await admin('POST', '/servers', { id: 'linear', name: 'linear', resource, connectors })
  await admin('PUT', '/rules/engineering', {
    server: 'linear',
    when: 'groups.display sw "Engineering"',
    scopes: [scope],
  })
  const server = (await admin('POST', '/servers/linear/credentials', {})) as Company['server']
  const asClient = headersOf('claude', secret)
  const asServer = headersOf(server.clientId, server.clientSecret)

  return {
    scimToken: token,
    server,
    tokenForm: (assertion) => ({ headers: asClient, body: form({ grant_type: jwtBearer, assertion }) }),
    introspectionForm: (token) => ({ headers: asServer, body: form({ token }) }),
    mint: ({ userName }, claims) =>
      idp.mint({ sub: `ext-${userName}`, aud: issuer, client_id: 'claude', resource, scope, ...claims }),
    async hire(sql, name, count) {
      const displayName = `Engineering ${name}`
      const { id } = (await scim('POST', '/Groups', { schemas: [groupSchema], displayName })) as { id: string }
      return { group: id, people: await insertPeople(sql, { directory: 'acme', prefix: name, count, group: id }) }
    },
  }
}

function headersOf(id: string, secret: string): Form['headers'] {
  return {
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
  }
}

function form(fields: Readonly<Record<string, string>>): string {
  return new URLSearchParams(fields).toString()
}
