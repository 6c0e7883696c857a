import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMcpExpressApp } from '@modelcontextprotocol/express'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer as McpTools } from '@modelcontextprotocol/server'
import type { RequestHandler } from 'express'
import { z } from 'zod'
import { createGuard } from '../guard/guard.ts'
import { type Asking, createAsking } from './asking.ts'
import { inHouse } from './company.ts'
import { createInbox } from './inbox.ts'
import type { McpServer } from './servers.ts'

/** The company's own MCP server, made as docs/mcp-server.md tells: the official packages, with the guard in front. */
export interface Warehouse extends McpServer {
  /** How many calls of `query` are running. */
  readonly queries: number
}

const queryMs = 600_000

export async function startWarehouse(directFetch: typeof fetch): Promise<Warehouse> {
  const { id, name, scopes } = inHouse
  const inbox = createInbox(name)
  let queries = 0
  let forged = 0
  let asking: Asking | undefined

  const handler = createMcpHandler(() => {
    const tools = new McpTools({ name: id, version: '1.0.0' })
    tools.registerTool('whoami', { inputSchema: z.object({}) }, (_input, ctx) => ({
      content: [{ type: 'text', text: String(ctx.http?.authInfo?.extra?.userId) }],
    }))
    tools.registerTool('query', { inputSchema: z.object({}) }, async (_input, { mcpReq }) => {
      queries++
      try {
        const progressToken = mcpReq._meta?.progressToken
        if (progressToken !== undefined)
          await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
        await sleep(queryMs, undefined, { signal: mcpReq.signal })
        return { content: [{ type: 'text', text: 'all of it' }] }
      } finally {
        queries--
      }
    })
    return tools
  })
  const mcp = toNodeHandler(handler)

  const app = createMcpExpressApp()
  const http = createServer({ keepAliveTimeout: 60_000 }, app)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  /** The guard takes the message; what it answers is noted. */
  const noted: RequestHandler = (req, res, next) => {
    const at = performance.now()
    res.once('finish', () => {
      if (res.statusCode < 300) inbox.settle(inbox.take(req.body, at), res.statusCode)
      else if (res.statusCode === 401) forged++
    })
    next()
  }

  return {
    id,
    name,
    resource: `${url}/mcp`,
    webhookUrl: `${url}/tenure`,
    people: inbox.people,
    get accepted() {
      return inbox.accepted
    },
    hears: inbox.hears,
    get forged() {
      return forged
    },
    get queries() {
      return queries
    },
    register(given) {
      asking = createAsking(name, given)
      const { url: tenure, signingSecret: webhookSecret, clientId, clientSecret } = given
      const resource = `${url}/mcp`
      const guard = createGuard({ tenure, resource, clientId, clientSecret, webhookSecret, scopes, fetch: directFetch })
      app.use(guard.metadata())
      app.post('/tenure', noted, guard.webhook())
      app.all('/mcp', guard.protect(), (req, res) => mcp(req, res, req.body))
    },
    isActive: (token) => asking!.isActive(token),
    async close() {
      inbox.close()
      await asking?.close()
      await handler.close()
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}
