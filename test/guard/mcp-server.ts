import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createMcpExpressApp } from '@modelcontextprotocol/express'
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import type { RequestHandler } from 'express'
import { fetch as undiciFetch } from 'undici'
import { z } from 'zod'
import { createGuard, type Guard, type GuardOptions } from '../../src/guard/guard.ts'
import { record } from '../support/secret-setup.ts'

/** What became of a call of a tool that runs until it is stopped. */
export interface Run {
  readonly tool: string
  readonly era: string
  readonly userId: unknown
  /** `ctx.mcpReq.signal`, which the SDK aborts. */
  isStopped: boolean
  /** `ctx.http.authInfo.extra.signal`, which the guard aborts. */
  isEnded: boolean
}

export interface GuardedMcp {
  readonly url: string
  readonly webhookUrl: string
  readonly runs: readonly Run[]
  /** `GET` streams that are open. */
  readonly listening: number
  /** Rejections that nobody took. */
  readonly failures: readonly unknown[]
  close(): Promise<void>
}

/**
 * A real MCP server behind a guard: `whoami`, and two tools that run until they are stopped, one of them telling how far it is.
 *
 * @param given the guard's options, or what makes them of the server's URL
 */
export async function startGuardedMcp(
  given: GuardOptions | ((url: string) => Promise<GuardOptions>),
  {
    withSessions = false,
    protect = (guard) => guard.protect(),
  }: { withSessions?: boolean; protect?: (guard: Guard) => RequestHandler } = {},
): Promise<GuardedMcp> {
  const runs: Run[] = []
  const failures: unknown[] = []
  const app = createMcpExpressApp()
  const http = createServer(app)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const options = typeof given === 'function' ? await given(url) : given
  const guard = createGuard(options)

  const createServerFor = ({ era }: { era: string }) => {
    const server = new McpServer({ name: 'guarded', version: '1.0.0' })
    const runUntilStopped = (tool: string, ctx: ToolContext) => {
      const extra = ctx.http?.authInfo?.extra ?? {}
      const run: Run = { tool, era, userId: extra.userId, isStopped: false, isEnded: false }
      runs.push(run)
      ;(extra.signal as AbortSignal).addEventListener('abort', () => {
        run.isEnded = true
      })
      return new Promise<never>((_resolve, reject) => {
        ctx.mcpReq.signal.addEventListener('abort', () => {
          run.isStopped = true
          reject(new Error('stopped'))
        })
      })
    }
    server.registerTool('whoami', { inputSchema: z.object({}) }, (_input, ctx) => ({
      content: [{ type: 'text', text: String(ctx.http?.authInfo?.extra?.userId) }],
    }))
    server.registerTool('slow', { inputSchema: z.object({}) }, (_input, ctx) => runUntilStopped('slow', ctx))
    server.registerTool('streaming', { inputSchema: z.object({}) }, async (_input, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken
      if (progressToken !== undefined)
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
      return runUntilStopped('streaming', ctx)
    })
    return server
  }
  const handler = createMcpHandler(createServerFor)
  const mcp = withSessions ? await oneSession(createServerFor({ era: 'legacy' })) : toNodeHandler(handler)
  let listening = 0

  app.use(guard.metadata())
  if (options.webhookSecret !== undefined) app.post('/tenure', guard.webhook())
  app.all('/mcp', protect(guard), (req, res) => {
    if (req.method === 'GET') {
      listening++
      res.once('close', () => listening--)
    }
    mcp(req, res, req.body).catch((error) => failures.push(error))
  })

  return {
    url: `${url}/mcp`,
    webhookUrl: `${url}/tenure`,
    runs,
    get listening() {
      return listening
    },
    failures,
    async close() {
      await handler.close()
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

async function oneSession(server: McpServer) {
  const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: () => 'the-session' })
  await server.connect(transport)
  return (...given: Parameters<typeof transport.handleRequest>) => transport.handleRequest(...given)
}

type ToolContext = {
  http?: { authInfo?: { extra?: Record<string, unknown> } | undefined } | undefined
  mcpReq: { signal: AbortSignal }
}

/** Not the recording fetch of the tests, which reads an answer to its end before it hands it over. */
export const streamingFetch = (async (...given: Parameters<typeof fetch>) => {
  const response = await (undiciFetch as unknown as typeof fetch)(...given)
  record.output('the headers of an MCP server', JSON.stringify([...response.headers]))
  return response
}) as typeof fetch

/** A real MCP client with a token that it cannot renew. */
export async function connectMcp(url: string, token: string, options: ClientOptions = {}): Promise<Client> {
  const client = new Client({ name: 'tester', version: '1.0.0' }, options)
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    fetch: streamingFetch,
    authProvider: { token: async () => token },
  })
  await client.connect(transport)
  return client
}
