import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { type Asking, createAsking, type Registration } from './asking.ts'
import { createInbox, type Inbox, type WebhookMessage } from './inbox.ts'

/** A downstream MCP server on 127.0.0.1, as far as the lifecycle goes: it is told of people, and asks about tokens. */
export interface McpServer extends Pick<Inbox, 'people' | 'accepted' | 'hears'> {
  readonly id: string
  readonly name: string
  /** RFC 9728 resource identifier. */
  readonly resource: string
  readonly webhookUrl: string
  /** Requests whose signature did not hold. */
  readonly forged: number
  /** Once registered, it has what Tenure gave it. */
  register(given: Registration): void
  /** Whether Tenure still calls the token good. */
  isActive(token: string): Promise<boolean>
  close(): Promise<void>
}

/**
 * A vendor's: believes webhooks that are signed as Standard Webhooks has it, keeps the highest generation of each person,
 * and reports the tokens that its own authorization server issues.
 */
export interface Vendor extends McpServer {
  /** Requests that are waiting for its answer. */
  readonly open: number
  /** A token of its own authorization server, reported to Tenure. */
  issueToken(grant: { directory: string; userName: string; scopes: readonly string[] }): Promise<string>
  /** From now on: answers, says 500, or keeps everybody waiting. */
  behave(mode: 'well' | 'failing' | 'hanging'): void
  /** Behaves well again, and answers those who have been waiting. */
  release(): void
}

const tokenLifeMs = 3_600_000

/** @param mcpClient for which it issues tokens */
export async function startVendor(id: string, name: string, mcpClient: string): Promise<Vendor> {
  const inbox = createInbox(name)
  const held = new Set<() => void>()
  let mode: 'well' | 'failing' | 'hanging' = 'well'
  let forged = 0
  let verifier: Webhook | undefined
  let asking: Asking | undefined

  const http = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    readBody(req).then(
      (body) => receive(req, res, body),
      () => res.destroy(),
    )
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo

  function receive(req: IncomingMessage, res: ServerResponse, body: string): void {
    const at = performance.now()
    const message = verified(req, body)
    if (message === undefined) {
      forged++
      res.writeHead(401).end()
      return
    }
    const heard = inbox.take(message, at)
    const answer = (status: number) => {
      inbox.settle(heard, status)
      if (!res.destroyed) res.writeHead(status).end()
    }
    if (mode === 'hanging') hold(res, () => answer(200))
    else answer(mode === 'failing' ? 500 : 200)
  }

  /** Until it is released or the other side has waited long enough. */
  function hold(res: ServerResponse, answer: () => void): void {
    held.add(answer)
    res.once('close', () => held.delete(answer))
  }

  function verified(req: IncomingMessage, body: string): WebhookMessage | undefined {
    try {
      return verifier?.verify(body, req.headers as Record<string, string>) as WebhookMessage | undefined
    } catch {
      return undefined
    }
  }

  return {
    id,
    name,
    resource: `https://mcp.${id}.example/mcp`,
    webhookUrl: `http://127.0.0.1:${port}/webhooks`,
    people: inbox.people,
    get accepted() {
      return inbox.accepted
    },
    hears: inbox.hears,
    get forged() {
      return forged
    },
    get open() {
      return held.size
    },
    register(given) {
      verifier = new Webhook(given.signingSecret)
      asking = createAsking(name, given)
    },
    async issueToken({ directory, userName, scopes }) {
      const token = `${id}-${randomBytes(24).toString('base64url')}`
      const expiresAt = new Date(Date.now() + tokenLifeMs).toISOString()
      await asking!.recordGrant({
        directory,
        user: { userName },
        server: id,
        client: mcpClient,
        scopes,
        token,
        expiresAt,
      })
      return token
    },
    isActive: (token) => asking!.isActive(token),
    behave(next) {
      mode = next
    },
    release() {
      mode = 'well'
      for (const answer of held) answer()
    },
    async close() {
      inbox.close()
      await asking?.close()
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
