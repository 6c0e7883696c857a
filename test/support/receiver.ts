import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import type { Json } from './clients.ts'
import { record } from './secret-setup.ts'

/** A downstream MCP server that takes webhooks on 127.0.0.1 as a good one would, until it is told to behave otherwise. */
export interface Receiver {
  readonly url: string
  readonly port: number
  /** Every request read to its end, in that order. */
  readonly requests: readonly ReceivedRequest[]
  /** By `user.id`, the state with the highest generation; only from requests with a valid signature. */
  readonly users: ReadonlyMap<string, AccessState>
  /** The secrets it verifies with from now on; any one that fits will do. */
  trust(...secrets: string[]): void
  /** From now on, until told otherwise or `times` requests have had it. Nothing given: good again. */
  behave(behaviour?: Behaviour | ((request: ReceivedRequest) => Behaviour | undefined)): void
  /** Requests without an answer, on connections that are still open. */
  readonly open: ReadonlySet<ReceivedRequest>
  /** Answers what hangs, by its `status`. */
  release(): void
  waitForRequests(count: number, timeoutMs?: number): Promise<readonly ReceivedRequest[]>
  /** The first request for which this holds, whether it has come already or is yet to come. */
  waitFor(predicate: (request: ReceivedRequest) => boolean, timeoutMs?: number): Promise<ReceivedRequest>
  close(): Promise<void>
}

export interface Behaviour {
  /** Default 200, or 302 with `redirect`. */
  status?: number
  headers?: Record<string, string>
  body?: string
  /** Keeps the answer back until `release()`. */
  hang?: boolean
  /** Breaks the connection once the request is read. */
  drop?: boolean
  delayMs?: number
  redirect?: string
  /** Whether the state is kept; default: when the answer says 2xx. `true` with `drop` is a reply lost on its way. */
  apply?: boolean
  times?: number
}

export interface ReceivedRequest {
  readonly index: number
  /** By when its first bytes came; `index` goes by the last. */
  readonly begun: number
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** The body as JSON; undefined if it is none. Tests say what they expect of it. */
  readonly message: Json
  /** When its last byte was read: wall clock, and `performance.now()` for intervals. */
  readonly receivedAt: Date
  readonly receivedAtMs: number
  readonly signatureValid: boolean
  /** `behind`: a higher generation of that user had been kept. */
  kept: 'kept' | 'behind' | 'no'
}

export interface WebhookMessage {
  type: string
  timestamp: string
  data: AccessState
}

export interface AccessState {
  generation: number
  active: boolean
  scopes: string[]
  notBefore?: string
  user: { id: string; [field: string]: unknown }
  [field: string]: unknown
}

interface Waiter {
  done(): boolean
  settle(error?: Error): void
}

export async function startReceiver({ secrets = [] }: { secrets?: readonly string[] } = {}): Promise<Receiver> {
  let verifiers = secrets.map((secret) => new Webhook(secret))
  let choose: (request: ReceivedRequest) => Behaviour | undefined = () => undefined
  const requests: ReceivedRequest[] = []
  const users = new Map<string, AccessState>()
  const waiters = new Set<Waiter>()
  const hanging = new Set<() => void>()
  const open = new Set<ReceivedRequest>()
  let seen = 0

  const server = createServer((req, res) => {
    const begun = seen++
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('error', () => {})
    req.on('end', () => {
      const request = read(req, Buffer.concat(chunks).toString(), { index: requests.length, begun }, verifiers)
      const behaviour = choose(request) ?? {}
      const status = behaviour.status ?? (behaviour.redirect === undefined ? 200 : 302)
      const says2xx = status < 300 && behaviour.hang !== true && behaviour.drop !== true
      if (request.signatureValid && (behaviour.apply ?? says2xx)) request.kept = keep(users, request)
      requests.push(request)
      record.output('a webhook', `${JSON.stringify(request.headers)}\n${request.body}`)
      open.add(request)
      res.once('close', () => open.delete(request))
      reply(res, request.signatureValid ? status : 401, behaviour)
      for (const waiter of waiters) if (waiter.done()) waiter.settle()
    })
  })

  function reply(res: ServerResponse, status: number, behaviour: Behaviour): void {
    if (behaviour.drop) return void res.socket?.destroy()
    const location = behaviour.redirect === undefined ? {} : { location: behaviour.redirect }
    const answer = (): void => {
      hanging.delete(answer)
      if (!res.destroyed) res.writeHead(status, { ...location, ...behaviour.headers }).end(behaviour.body)
    }
    if (behaviour.hang) hanging.add(answer)
    else if (behaviour.delayMs !== undefined) setTimeout(answer, behaviour.delayMs)
    else answer()
  }

  function wait(done: () => boolean, what: string, timeoutMs: number): Promise<void> {
    if (done()) return Promise.resolve()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = {
      done,
      settle(error) {
        clearTimeout(timer)
        waiters.delete(waiter)
        if (error === undefined) resolve()
        else reject(error)
      },
    }
    const timer = setTimeout(() => {
      waiter.settle(new Error(`The receiver waited ${timeoutMs} ms for ${what}; it has ${summary(requests)}`))
    }, timeoutMs)
    waiters.add(waiter)
    return promise
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}/webhooks`,
    port,
    requests,
    users,
    open,
    trust(...trusted) {
      verifiers = trusted.map((secret) => new Webhook(secret))
    },
    behave(behaviour = {}) {
      if (typeof behaviour === 'function') {
        choose = behaviour
        return
      }
      let left = behaviour.times ?? Number.POSITIVE_INFINITY
      choose = () => (left-- > 0 ? behaviour : undefined)
    },
    release() {
      for (const answer of hanging) answer()
    },
    async waitForRequests(count, timeoutMs = 10_000) {
      await wait(() => requests.length >= count, `${count} requests`, timeoutMs)
      return requests.slice(0, count)
    },
    async waitFor(predicate, timeoutMs = 10_000) {
      await wait(() => requests.some(predicate), 'a request of its kind', timeoutMs)
      return requests.find(predicate)!
    },
    async close() {
      for (const waiter of waiters) waiter.settle(new Error('The receiver was closed'))
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function read(
  req: IncomingMessage,
  body: string,
  place: Pick<ReceivedRequest, 'index' | 'begun'>,
  verifiers: readonly Webhook[],
): ReceivedRequest {
  const headers = req.headers
  return {
    ...place,
    method: req.method ?? '',
    path: req.url ?? '',
    headers,
    body,
    message: parse(body),
    receivedAt: new Date(),
    receivedAtMs: performance.now(),
    signatureValid: verifiers.some((verifier) => verifies(verifier, body, headers)),
    kept: 'no',
  }
}

function verifies(verifier: Webhook, body: string, headers: IncomingHttpHeaders): boolean {
  try {
    verifier.verify(body, headers as Record<string, string>, { jsonParse: false })
    return true
  } catch {
    return false
  }
}

function keep(users: Map<string, AccessState>, { message }: ReceivedRequest): 'kept' | 'behind' | 'no' {
  const state = message?.data
  if (state?.user?.id === undefined) return 'no'
  const before = users.get(state.user.id)
  if (before !== undefined && before.generation >= state.generation) return 'behind'
  users.set(state.user.id, state)
  return 'kept'
}

function parse(body: string): WebhookMessage | undefined {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function summary(requests: readonly ReceivedRequest[]): string {
  const last = requests.slice(-5).map((request) => {
    const { type = 'no JSON', data } = request.message ?? {}
    return `${type} of ${data?.user?.id} at ${data?.generation}${request.signatureValid ? '' : ' (bad signature)'}`
  })
  return `${requests.length} requests${last.length === 0 ? '' : `, the last: ${last.join(', ')}`}`
}
