import { promises as dns, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { type Dispatcher, Pool } from 'undici'
import { createReach } from '../addresses.ts'
import { Invalid, TenureError } from '../errors.ts'
import type { PrivateTargets } from '../private-targets.ts'

/**
 * The one door for outbound HTTP: private targets are refused unless listed, redirects are never followed, and
 * everything has a bound. Proxies of the environment are not used.
 */
export interface Egress {
  /**
   * Any status is an answer. HTTP/1.1, one request at a time on a connection.
   *
   * @throws EgressRefused, EgressUnsent, EgressUnanswered
   */
  request(url: string | URL, options: EgressRequest): Promise<EgressResponse>
  /**
   * Whether a URL may be configured: https (http exactly for listed hosts), no credentials, no fragment, no private
   * host. A name is not resolved here: what it resolves to is judged at each connect.
   *
   * @throws Invalid, its one problem under `field` (default `url`)
   */
  checkConfiguredUrl(url: string, field?: string): URL
  /** Ends what is still in flight, as `EgressUnanswered` if it was sent. */
  close(): Promise<void>
}

export interface EgressRequest {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** For everything: name, connection, headers and body. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Default 64 KiB. What is beyond is cut and its connection closed. */
  readonly maxResponseBytes?: number
}

export interface EgressResponse {
  readonly status: number
  /** Names in lower case; repeated ones joined by a comma. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly truncated: boolean
}

/** The policy forbids this target; nothing left this machine. Messages name the host, never path, query, headers or body. */
export class EgressRefused extends TenureError {
  readonly host: string

  constructor(host: string, why: string) {
    super('ERR_EGRESS_REFUSED', `Calls to ${host} are not allowed: ${why}`)
    this.host = host
  }
}

/** No connection came about (name, address, TLS, time): the far side has seen nothing of the request. */
export class EgressUnsent extends TenureError {
  readonly host: string

  constructor(host: string, why: string) {
    super('ERR_EGRESS_UNSENT', `Could not connect to ${host}: ${why}`)
    this.host = host
  }
}

/** The request left and no whole answer came back: timed out, aborted, or the connection broke. It may have arrived. */
export class EgressUnanswered extends TenureError {
  readonly host: string

  constructor(host: string, why: string) {
    super('ERR_EGRESS_UNANSWERED', `No answer from ${host}: ${why}`)
    this.host = host
  }
}

export interface EgressOptions {
  readonly allowPrivateTargets: PrivateTargets
  readonly connectTimeoutMs?: number
  /** Origins whose connections are kept. Those in use are never closed, so more can be open for a while. */
  readonly maxPools?: number
  /** All addresses of a name; rejects when there are none. */
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>
}

export function createEgress(options: EgressOptions): Egress {
  const reach = createReach(options.allowPrivateTargets)
  const resolve = shareInFlight(options.resolve ?? ((hostname) => dns.lookup(hostname, { all: true })))
  const pools = createPools(
    options.maxPools ?? 256,
    (origin) =>
      new Pool(origin, {
        pipelining: 1,
        allowH2: false,
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: { timeout: options.connectTimeoutMs ?? 5_000, lookup: guardedLookup },
      }),
  )

  /** Runs inside the connect, so the address judged is the address dialled. Not called for IP literals. */
  function guardedLookup(...[hostname, { all }, callback]: Parameters<LookupFunction>): void {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses
        if (first === undefined) return callback(Object.assign(new Error('No address'), { code: 'ENOTFOUND' }), '')
        const why = addresses.map(({ address }) => reach.refuseAddress(hostname, address)).find(Boolean)
        if (why !== undefined) return callback(new EgressRefused(hostname, why), '')
        if (all) callback(null, [...addresses])
        else callback(null, first.address, first.family)
      },
      (error) => callback(error, ''),
    )
  }

  /** What is wrong with it in words that fit after the field's name; otherwise the URL. */
  function judge(text: string): URL | string {
    // A URL parser drops or turns these; whoever reads the text with another parser would see another host.
    if (/[\s\\\p{Cc}]/u.test(text)) return 'must not contain spaces, control characters or backslashes'
    const url = URL.parse(text)
    if (url === null || url.hostname === '') return 'must be an absolute URL'
    if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an https URL'
    if (url.username !== '' || url.password !== '') return 'must not contain credentials'
    if (text.includes('#')) return 'must not have a fragment'
    const why = reach.refuseHost(url.hostname)
    if (why !== undefined)
      return `must not lead to ${url.hostname}: ${why}, and TENURE_ALLOW_PRIVATE_TARGETS does not list it`
    if (url.protocol === 'http:' && !reach.lists(url.hostname)) {
      return 'must be an https URL; http is for hosts that TENURE_ALLOW_PRIVATE_TARGETS lists'
    }
    return url
  }

  return {
    async request(target, request) {
      const url = judge(String(target))
      if (typeof url === 'string') throw new EgressRefused(URL.parse(String(target))?.host || 'this URL', `it ${url}`)
      if (request.signal?.aborted) throw new EgressUnsent(url.host, 'aborted')
      const pool = pools.take(url.origin)
      if (pool === undefined) throw new EgressUnsent(url.host, 'shutting down')
      try {
        return await exchange(pool, url, request)
      } finally {
        pools.release(url.origin)
      }
    },

    checkConfiguredUrl(text, field = 'url') {
      const url = judge(text)
      if (typeof url === 'string') throw new Invalid(`${field} ${url}`, [{ field, message: url }])
      return url
    },

    close: () => pools.close(),
  }
}

/**
 * One request through undici's own handler: it is told the moment before the first byte leaves, which is what tells
 * `EgressUnsent` from `EgressUnanswered`. A request that was given up before then is stopped at that moment.
 */
function exchange(pool: Pool, url: URL, request: EgressRequest): Promise<EgressResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<EgressResponse>()
  const { signal, timeoutMs, maxResponseBytes = 65_536 } = request
  const chunks: Buffer[] = []
  let room = maxResponseBytes
  let answer: Pick<EgressResponse, 'status' | 'headers'> = { status: 0, headers: {} }
  let sent: Dispatcher.DispatchController | undefined
  let settled = false

  const settle = (done: () => void): void => {
    if (settled) return
    settled = true
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
    done()
  }
  const finish = (truncated: boolean): EgressResponse => ({ ...answer, body: Buffer.concat(chunks), truncated })
  const fail = (why: string) =>
    settle(() => reject(sent === undefined ? new EgressUnsent(url.host, why) : new EgressUnanswered(url.host, why)))
  const giveUp = (why: string): void => {
    fail(why)
    sent?.abort(new Error(why))
  }
  const onAbort = (): void => giveUp('aborted')
  const timer = setTimeout(() => giveUp(`timed out after ${timeoutMs} ms`), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })

  pool.dispatch(
    {
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method ?? 'GET',
      headers: { ...request.headers },
      body: request.body ?? null,
    },
    {
      onRequestStart(controller) {
        if (settled) controller.abort(new Error('given up'))
        else sent = controller
      },
      onResponseStart(_controller, status, headers) {
        if (status >= 200) answer = { status, headers: joinRepeated(headers) }
      },
      onResponseData(controller, chunk) {
        if (chunk.length <= room) {
          room -= chunk.length
          chunks.push(chunk)
          return
        }
        chunks.push(chunk.subarray(0, room))
        settle(() => resolve(finish(true)))
        controller.abort(new Error('the rest of the body is not wanted'))
      },
      onResponseEnd() {
        // undici frees the connection one turn from now; a caller that went on at once would open another one.
        settle(() => queueMicrotask(() => setImmediate(resolve, finish(false))))
      },
      onResponseError(_controller, error) {
        // Refused by the lookup, or a request that undici cannot spell (a bug of the caller's): both as they are.
        if (error instanceof EgressRefused || codeOf(error) === 'UND_ERR_INVALID_ARG') settle(() => reject(error))
        else fail(describe(error))
      },
    },
  )
  return promise
}

interface Pools {
  /** Undefined once closed. Every `take` has its `release`. */
  take(origin: string): Pool | undefined
  release(origin: string): void
  close(): Promise<void>
}

/** One pool per origin, the least recently used idle ones closed when there are too many. */
function createPools(max: number, open: (origin: string) => Pool): Pools {
  const entries = new Map<string, { pool: Pool; inFlight: number }>()
  let closed = false

  function evict(): void {
    for (const [origin, { pool, inFlight }] of entries) {
      if (entries.size <= max) return
      if (inFlight > 0) continue
      entries.delete(origin)
      void pool.destroy()
    }
  }

  return {
    take(origin) {
      if (closed) return undefined
      const entry = entries.get(origin) ?? { pool: open(origin), inFlight: 0 }
      entry.inFlight += 1
      entries.delete(origin)
      entries.set(origin, entry)
      evict()
      return entry.pool
    },
    release(origin) {
      const entry = entries.get(origin)
      if (entry !== undefined) entry.inFlight -= 1
      evict()
    },
    async close() {
      closed = true
      const all = [...entries.values()]
      entries.clear()
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
  }
}

/**
 * Asks once for a name that several connections wait for. Node resolves names on few threads; the slow name server of
 * one target must not take them all.
 */
function shareInFlight<T>(ask: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const asked = new Map<string, Promise<T>>()
  return (name) => {
    const earlier = asked.get(name)
    if (earlier !== undefined) return earlier
    const answer = ask(name).finally(() => asked.delete(name))
    asked.set(name, answer)
    return answer
  }
}

function joinRepeated(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value ?? '')]))
}

const words: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_DESTROYED: 'shutting down',
}

/** By its code, never its message: a parser's message or a certificate's names are the far side's words. */
function describe(error: Error): string {
  const code = codeOf(error)
  return code === undefined ? error.name : (words[code] ?? code)
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
