import {
  type AuthProvider,
  Client,
  type ClientOptions,
  CrossAppAccessProvider,
  discoverAndRequestJwtAuthGrant,
  discoverOAuthServerInfo,
  exchangeJwtAuthGrant,
  extractWWWAuthenticateParams,
  type FetchLike,
  type OAuthClientProvider,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { type GuardedMcp, type Run, streamingFetch } from '../guard/mcp-server.ts'
import type { Json } from './clients.ts'
import type { OidcProvider } from './idps/oidc-provider.ts'
import { waitFor } from './wait-for.ts'

/** How the SDK asks for a token: its provider sends scope and resource, its stand-alone helpers neither. */
export type Shape = 'provider' | 'helpers'

/** Which revision of MCP the client speaks: with a handshake, or without. */
export type Era = keyof typeof eras
export const eras = {
  legacy: {},
  modern: { versionNegotiation: { mode: 'auto' } },
} as const satisfies Record<string, ClientOptions>

export interface AgentParts {
  readonly idp: OidcProvider
  readonly mcp: GuardedMcp
  readonly tenure: { readonly url: string }
  /** As registered at Tenure. */
  readonly client: { readonly id: string; readonly secret: string }
}

/** Somebody's MCP client after their login: whatever it does to get a token, it does without them. */
export interface Agent {
  /** Every answer that it got: `mcp POST /mcp 401`. */
  readonly hops: readonly string[]
  /** How often it was asked for an ID-JAG on the way to a token. */
  readonly assertions: number
  /** The status of each request for a token. */
  readonly tokenAnswers: readonly number[]
  /** The parameters of the last one. */
  readonly tokenParameters: readonly string[]
  /** What it calls with now. */
  token(): Promise<string>
  /** An ID-JAG that it keeps for itself. */
  mint(): Promise<string>
  /** @returns the text of the tool's answer */
  call(tool: string): Promise<string>
  /** Calls a tool that does not answer by itself; ready when it runs. `outcome`: the error it ends with. */
  run(tool: string): Promise<{ run: Run; outcome: Promise<Json> }>
  close(): Promise<void>
}

/** @param scope what the helpers ask for instead of what the server's challenge says */
export async function startAgent(
  parts: AgentParts,
  idToken: string,
  { shape = 'provider', era = 'modern', scope }: { shape?: Shape; era?: Era; scope?: string } = {},
): Promise<Agent> {
  const { mcp, tenure } = parts
  const journey = startJourney(parts)
  const ask = exchanging(parts, idToken, journey.fetchFn)
  let assertions = 0
  const askFor: Ask = (wanted) => {
    assertions++
    return ask(wanted)
  }
  const authProvider =
    shape === 'provider'
      ? withProvider(parts, askFor, journey.fetchFn)
      : withHelpers(parts, (wanted) => askFor({ ...wanted, scope: scope ?? wanted.scope }), journey.fetchFn)
  const client = new Client({ name: 'agent', version: '1.0.0' }, eras[era])
  await client.connect(new StreamableHTTPClientTransport(new URL(mcp.url), { authProvider, fetch: journey.fetchFn }))

  return {
    hops: journey.hops,
    get assertions() {
      return assertions
    },
    get tokenAnswers() {
      return journey.hops.filter((hop) => hop.includes(tokenPath)).map((hop) => Number(hop.split(' ').at(-1)))
    },
    get tokenParameters() {
      return journey.tokenParameters
    },
    async token() {
      if ('tokens' in authProvider) return (await authProvider.tokens())!.access_token
      return (await authProvider.token!())!
    },
    mint: () => ask({ audience: tenure.url, resource: mcp.url, scope: 'read' }),
    async call(tool) {
      const { content } = await client.callTool({ name: tool, arguments: {} })
      return (content as Json)[0].text
    },
    async run(tool) {
      const before = mcp.runs.length
      const outcome = client.callTool({ name: tool, arguments: {} }, { onprogress: () => {} }).then(
        (answer) => new Error(`It was answered: ${JSON.stringify(answer)}`),
        (error) => error,
      )
      return { run: await waitFor(() => mcp.runs[before], { what: `${tool} to run` }), outcome }
    },
    close: () => client.close(),
  }
}

const tokenPath = '/oauth2/token'

/** A fetch that writes down where it has been. */
function startJourney({ idp, mcp, tenure }: AgentParts) {
  const hops: string[] = []
  const names = new Map([
    [new URL(mcp.url).origin, 'mcp'],
    [tenure.url, 'tenure'],
    [idp.issuer, 'idp'],
  ])
  const journey = { hops, tokenParameters: [] as string[], fetchFn }
  return journey

  async function fetchFn(...[input, init]: Parameters<FetchLike>): Promise<Response> {
    const { origin, pathname } = new URL(input)
    const name = names.get(origin)!
    // What Tenure says is recorded; the others may say an ID-JAG, or never end.
    const response = await (name === 'tenure' ? fetch : streamingFetch)(input, init)
    if (pathname === tokenPath) journey.tokenParameters = [...new URLSearchParams(String(init?.body)).keys()]
    hops.push(`${name} ${init?.method ?? 'GET'} ${pathname} ${response.status}`)
    return response
  }
}

/** Gets an ID-JAG for the ID token that it once got. */
type Ask = (wanted: { audience: string; resource: string; scope?: string | undefined }) => Promise<string>

function exchanging({ idp }: AgentParts, idToken: string, fetchFn: FetchLike): Ask {
  return async ({ audience, resource, scope }) => {
    const { jwtAuthGrant } = await discoverAndRequestJwtAuthGrant({
      audience,
      resource,
      ...(scope === undefined ? {} : { scope }),
      idpUrl: idp.issuer,
      idToken,
      clientId: idp.client.id,
      clientSecret: idp.client.secret,
      fetchFn,
    })
    return jwtAuthGrant
  }
}

function withProvider({ client, tenure }: AgentParts, ask: Ask, fetchFn: FetchLike): OAuthClientProvider {
  return new CrossAppAccessProvider({
    assertion: ({ authorizationServerUrl, resourceUrl, scope }) =>
      ask({ audience: authorizationServerUrl, resource: resourceUrl, scope }),
    clientId: client.id,
    clientSecret: client.secret,
    expectedIssuer: tenure.url,
    fetchFn,
  })
}

function withHelpers({ client }: AgentParts, ask: Ask, fetchFn: FetchLike): AuthProvider {
  let token: string | undefined
  return {
    token: async () => token,
    async onUnauthorized({ response, serverUrl }) {
      const { resourceMetadataUrl, scope } = extractWWWAuthenticateParams(response)
      const found = await discoverOAuthServerInfo(serverUrl, {
        ...(resourceMetadataUrl ? { resourceMetadataUrl } : {}),
        fetchFn,
      })
      const { issuer: audience, token_endpoint: tokenEndpoint } = found.authorizationServerMetadata!
      const jwtAuthGrant = await ask({ audience, resource: found.resourceMetadata!.resource, scope })
      const credentials = { clientId: client.id, clientSecret: client.secret }
      token = (await exchangeJwtAuthGrant({ tokenEndpoint, jwtAuthGrant, ...credentials, fetchFn })).access_token
    },
  }
}
