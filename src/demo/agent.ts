import {
  Client,
  CrossAppAccessProvider,
  discoverAndRequestJwtAuthGrant,
  type FetchLike,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import type { IdentityProvider } from './identity-provider.ts'

/** One answer that the agent got. */
export interface Hop {
  /** `performance.now()`, when its headers were there */
  readonly at: number
  /** `POST /mcp` */
  readonly request: string
  readonly origin: string
  readonly status: number
}

/** Somebody's agent after their login: the MCP client of the official package, left to itself. */
export interface Agent {
  readonly hops: readonly Hop[]
  /** What it calls with now. */
  readonly token: string
  connect(): Promise<void>
  /** @returns the text of the tool's answer */
  call(tool: string): Promise<string>
  /** Calls a tool that goes on until it is stopped; ready when the tool has said that it runs. */
  begin(tool: string): Promise<{ ended: Promise<Ending> }>
  close(): Promise<void>
}

/** How a call ended that was to go on. */
export interface Ending {
  readonly at: number
  /** Undefined: it was answered. */
  readonly error: Error | undefined
}

export interface AgentParts {
  readonly mcpUrl: string
  readonly identityProvider: IdentityProvider
  /** The authorization server at which `client` is registered; its secret is shown to no other. */
  readonly issuer: string
  readonly client: { readonly id: string; readonly secret: string }
  readonly fetch: typeof fetch
}

export function createAgent({ mcpUrl, identityProvider, issuer, client, fetch }: AgentParts, idToken: string): Agent {
  const hops: Hop[] = []
  const fetchFn: FetchLike = async (input, init) => {
    const { origin, pathname } = new URL(input)
    const response = await fetch(input, init)
    hops.push({
      at: performance.now(),
      request: `${init?.method ?? 'GET'} ${pathname}`,
      origin,
      status: response.status,
    })
    return response
  }
  const provider = new CrossAppAccessProvider({
    async assertion({ authorizationServerUrl: audience, resourceUrl: resource, scope }) {
      const { jwtAuthGrant } = await discoverAndRequestJwtAuthGrant({
        idpUrl: identityProvider.issuer,
        audience,
        resource,
        ...(scope === undefined ? {} : { scope }),
        idToken,
        clientId: identityProvider.client.id,
        clientSecret: identityProvider.client.secret,
        fetchFn,
      })
      return jwtAuthGrant
    },
    clientId: client.id,
    clientSecret: client.secret,
    expectedIssuer: issuer,
    fetchFn,
  })
  const mcp = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })

  return {
    hops,
    get token() {
      return provider.tokens()?.access_token ?? ''
    },
    connect: () =>
      mcp.connect(new StreamableHTTPClientTransport(new URL(mcpUrl), { authProvider: provider, fetch: fetchFn })),
    async call(tool) {
      const { content } = await quietly(() => mcp.callTool({ name: tool, arguments: {} }))
      const [first] = content
      return first?.type === 'text' ? first.text : ''
    },
    async begin(tool) {
      const { promise: running, resolve } = Promise.withResolvers<void>()
      const over = (error?: Error): Ending => ({ at: performance.now(), error })
      const call = mcp.callTool({ name: tool, arguments: {} }, { onprogress: () => resolve() })
      const ended = call.then(() => over(), over)
      await Promise.race([running, call])
      return { ended }
    },
    close: () => mcp.close(),
  }
}

/** The SDK says on the console that it tries again, whatever its provider can do; here it is told among the figures. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { warn } = console
  Object.assign(console, { warn: () => {} })
  try {
    return await work()
  } finally {
    Object.assign(console, { warn })
  }
}
