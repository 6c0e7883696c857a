import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import express from 'express'
import { createGuard, type GuardError, type GuardedRequest, type GuardOptions } from '../../src/guard/guard.ts'
import type { Json } from '../support/clients.ts'
import { record } from '../support/secret-setup.ts'
import { streamingFetch } from './mcp-server.ts'

export interface GuardedApp {
  readonly url: string
  readonly webhookUrl: string
  readonly errors: readonly GuardError[]
  /** Calls that were let in and are not over. */
  readonly open: number
  /** Calls of `hold`, `stream` and `download` that were let in. */
  readonly runs: readonly { signal: AbortSignal; answer(): void }[]
  /** The app's own work, and failures that nobody took. */
  readonly failures: readonly unknown[]
  /** `GET /mcp`: who was let in. Other headers than the token's may be given. */
  get(token?: string, headers?: Record<string, string>, query?: string): Promise<GuardedAnswer>
  /** Runs until it is ended: nothing said yet, an event stream begun, or half a file sent. */
  run(what: 'hold' | 'stream' | 'download', token: string, signal?: AbortSignal): Promise<Response>
  close(): Promise<void>
}

export interface GuardedAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: Json
}

/** An Express app of somebody's, behind a guard. */
export async function startGuardedApp(
  options: GuardOptions,
  { parsers = [], scopes }: { parsers?: readonly express.RequestHandler[]; scopes?: readonly string[] } = {},
): Promise<GuardedApp> {
  const errors: GuardError[] = []
  const failures: unknown[] = []
  const runs: { signal: AbortSignal; answer(): void }[] = []
  const guard = createGuard({
    ...options,
    onError(error) {
      errors.push(error)
      record.output('an error of the guard', inspect(error, { depth: 9 }))
    },
  })

  let open = 0
  const app = express()
  app.disable('x-powered-by')
  for (const parser of parsers) app.use(parser)
  app.use(guard.metadata())
  if (options.webhookSecret !== undefined) app.post('/tenure', guard.webhook())
  app.all('/mcp', guard.protect(scopes ? { scopes } : {}), (req, res) => {
    const { token: _, extra, ...auth } = (req as GuardedRequest).auth!
    const what = req.query.do
    open++
    res.once('close', () => open--)
    if (what === undefined) return void res.json({ ...auth, userId: extra.userId })
    if (what === 'stream') res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: begun\n\n')
    if (what === 'download') res.writeHead(200, { 'content-type': 'text/plain' }).write('half')
    runs.push({ signal: extra.signal, answer: () => res.set('X-Late', 'yes').status(200).json({ late: true }) })
  })
  app.use(((error, _req, res, _next) => {
    failures.push(error)
    res.status(500).json({ error: 'failed' })
  }) satisfies express.ErrorRequestHandler)
  const http = createServer(app)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  return {
    url,
    webhookUrl: `${url}/tenure`,
    errors,
    get open() {
      return open
    },
    runs,
    failures,
    async get(token, headers = {}, query = '') {
      const given = token === undefined ? headers : { authorization: `Bearer ${token}`, ...headers }
      const response = await fetch(`${url}/mcp${query}`, { headers: given })
      return { status: response.status, headers: response.headers, body: await response.json() }
    },
    run: (what, token, signal) =>
      streamingFetch(`${url}/mcp?do=${what}`, {
        headers: { authorization: `Bearer ${token}` },
        ...(signal ? { signal } : {}),
      }),
    async close() {
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}
