import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { Pool } from 'undici'
import { DemoFailure } from './failure.ts'

/** What an MCP server heard of one person, when its last byte was read. */
export interface Heard {
  /** `performance.now()` */
  readonly at: number
  readonly type: string
  readonly userId: string
  readonly userName: string
  readonly generation: number
  readonly active: boolean
  readonly scopes: readonly string[]
  /** What it answered; undefined while it hangs. */
  status: number | undefined
}

/**
 * A downstream MCP server on 127.0.0.1: believes webhooks that are signed as Standard Webhooks has it, keeps the highest
 * generation of each person, reports the tokens that it issues and asks whether they are still good.
 */
export interface McpServer {
  readonly id: string
  readonly name: string
  readonly webhookUrl: string
  /** What it keeps of each person, by id. */
  readonly people: ReadonlyMap<string, Heard>
  /** Requests answered 2xx. */
  readonly accepted: number
  /** Requests whose signature did not hold. */
  readonly forged: number
  /** Requests that are waiting for its answer. */
  readonly open: number
  /** Once registered, it has what Tenure gave it. */
  register(tenure: { url: string; signingSecret: string; clientId: string; clientSecret: string }): void
  /** The first message from now on for which this holds. */
  hears(predicate: (heard: Heard) => boolean, timeoutMs?: number): Promise<Heard>
  /** A token of its own authorization server, reported to Tenure. */
  issueToken(grant: { directory: string; userName: string; scopes: readonly string[] }): Promise<string>
  /** Whether Tenure still calls the token good. */
  isActive(token: string): Promise<boolean>
  /** From now on: answers, says 500, or keeps everybody waiting. */
  behave(mode: 'well' | 'failing' | 'hanging'): void
  /** Behaves well again, and answers those who have been waiting. */
  release(): void
  close(): Promise<void>
}

const mcpClient = 'claude'
const tokenLifeMs = 3_600_000
const patienceMs = 15_000

interface Waiter {
  fits(heard: Heard): boolean
  settle(heard: Heard | Error): void
}

export async function startMcpServer(id: string, name: string): Promise<McpServer> {
  const people = new Map<string, Heard>()
  const waiters = new Set<Waiter>()
  const held = new Set<() => void>()
  let mode: 'well' | 'failing' | 'hanging' = 'well'
  let accepted = 0
  let forged = 0
  let verifier: Webhook | undefined
  let tenure: { pool: Pool; authorization: string } | undefined

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
    const { type, data } = message
    const { generation, active, scopes, user } = data
    const heard: Heard = {
      at,
      type,
      userId: user.id,
      userName: user.userName,
      generation,
      active,
      scopes,
      status: undefined,
    }
    const answer = (status: number) => {
      heard.status = status
      if (status < 300) {
        accepted++
        if (generation > (people.get(heard.userId)?.generation ?? 0)) people.set(heard.userId, heard)
      }
      if (!res.destroyed) res.writeHead(status).end()
    }
    if (mode === 'hanging') hold(res, () => answer(200))
    else answer(mode === 'failing' ? 500 : 200)
    for (const waiter of waiters) if (waiter.fits(heard)) waiter.settle(heard)
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

  async function ask(path: string, contentType: string, body: string) {
    const { pool, authorization } = tenure!
    const headers = { authorization, 'content-type': contentType }
    const response = await pool.request({ method: 'POST', path, headers, body })
    const text = await response.body.text()
    if (response.statusCode >= 300)
      throw new DemoFailure(`${name}'s ${path} was answered ${response.statusCode}: ${text}`)
    return JSON.parse(text)
  }

  return {
    id,
    name,
    webhookUrl: `http://127.0.0.1:${port}/webhooks`,
    people,
    get accepted() {
      return accepted
    },
    get forged() {
      return forged
    },
    get open() {
      return held.size
    },
    register({ url, signingSecret, clientId, clientSecret }) {
      verifier = new Webhook(signingSecret)
      const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
      tenure = { pool: new Pool(url, { connections: 2 }), authorization }
    },
    hears(predicate, timeoutMs = patienceMs) {
      const { promise, resolve, reject } = Promise.withResolvers<Heard>()
      const late = () => waiter.settle(new DemoFailure(`${name} was not told within ${timeoutMs / 1000} s`))
      const timer = setTimeout(late, timeoutMs)
      const waiter: Waiter = {
        fits: predicate,
        settle(heard) {
          clearTimeout(timer)
          waiters.delete(waiter)
          if (heard instanceof Error) reject(heard)
          else resolve(heard)
        },
      }
      waiters.add(waiter)
      promise.catch(() => {}) // it may be waited for later than it fails
      return promise
    },
    async issueToken({ directory, userName, scopes }) {
      const token = `${id}-${randomBytes(24).toString('base64url')}`
      const expiresAt = new Date(Date.now() + tokenLifeMs).toISOString()
      const grant = { directory, user: { userName }, server: id, client: mcpClient, scopes, token, expiresAt }
      await ask('/admin/v1/grants', 'application/json', JSON.stringify(grant))
      return token
    },
    async isActive(token) {
      const form = new URLSearchParams({ token }).toString()
      const { active } = await ask('/oauth2/introspect', 'application/x-www-form-urlencoded', form)
      return active
    },
    behave(next) {
      mode = next
    },
    release() {
      mode = 'well'
      for (const answer of held) answer()
    },
    async close() {
      for (const waiter of waiters) waiter.settle(new DemoFailure('The demo is over'))
      await tenure?.pool.destroy()
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

interface WebhookMessage {
  type: string
  data: { generation: number; active: boolean; scopes: string[]; user: { id: string; userName: string } }
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
