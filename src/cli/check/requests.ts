import { promises as dns, type LookupAddress } from 'node:dns'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import { createReach } from '../../addresses.ts'
import type { PrivateTargets } from '../../private-targets.ts'
import { version } from '../../version.ts'
import { type Doubt, doubt } from './findings.ts'

export interface Answer {
  readonly status: number
  /** Names in lower case; repeated ones joined by a comma. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The body was larger than is read. */
  readonly truncated: boolean
}

export interface Asking {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/**
 * How the check asks: nothing that is not public unless it was listed, judged by the address that is dialled; redirects
 * are read and never followed; an answer has a time and a size.
 */
export interface Requests {
  /** Any status but a redirect is an answer; what keeps one from being had is a doubt. */
  ask(url: string, asking?: Asking): Promise<Answer | Doubt>
  /** What is wrong with a URL as it stands, its name resolved; nothing is sent there. */
  weigh(url: string): Promise<Doubt | undefined>
}

export interface RequestsOptions {
  readonly allowPrivate: PrivateTargets
  /** For everything about one request: name, connection, headers and body. */
  readonly timeoutMs: number
  /** All addresses of a name. */
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>
}

export const largestBody = 65_536

/** Node's own fetch has no place at which to judge the address that is dialled. */
export function createRequests({ allowPrivate, timeoutMs, resolve = resolveAll }: RequestsOptions): Requests {
  const reach = createReach(allowPrivate)

  function judge(text: string): URL | Doubt {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol) || /[\s\\]/.test(text))
      return doubt('not-https', `"${text}" is not an https URL`)
    if (url.username !== '' || url.password !== '')
      return doubt('not-https', `a URL of ${url.host} carries credentials`)
    const why = reach.refuseHost(url.hostname)
    if (why !== undefined) return doubt('private-address', `${url.href}: ${why}`)
    if (url.protocol === 'http:' && !reach.lists(url.hostname)) return doubt('not-https', text)
    return url
  }

  async function judgeName(url: URL): Promise<Doubt | undefined> {
    if (/^[\d.]+$|^\[/.test(url.hostname)) return undefined
    try {
      const addresses = await withTime(resolve(url.hostname), timeoutMs)
      const why = addresses.map(({ address }) => reach.refuseAddress(url.hostname, address)).find(Boolean)
      return why === undefined ? undefined : doubt('private-address', `${url.href}: ${why}`)
    } catch (error) {
      return doubt('unreachable', `${url.href}: ${whyUnreached(error)}`)
    }
  }

  /** Runs inside the connect, so the address judged is the address dialled. Not called for IP literals. */
  const guardedLookup: LookupFunction = (hostname, { all }, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses
        if (first === undefined) return callback(Object.assign(new Error('No address'), { code: 'ENOTFOUND' }), '')
        const why = addresses.map(({ address }) => reach.refuseAddress(hostname, address)).find(Boolean)
        if (why !== undefined) return callback(new PrivateAddress(why), '')
        if (all) callback(null, [...addresses])
        else callback(null, first.address, first.family)
      },
      (error) => callback(error, ''),
    )
  }

  async function redirected(url: URL, status: number, location: string): Promise<Doubt> {
    const target = URL.parse(location, url.href)
    const seen = `${url.href} answers ${status} with location ${target?.href ?? location}`
    const judged = target === null ? undefined : judge(target.href)
    const refused = judged instanceof URL ? await judgeName(judged) : judged
    return doubt(refused?.id === 'private-address' ? 'redirect-to-private' : 'redirect', seen)
  }

  return {
    async ask(text, asking = {}) {
      const url = judge(text)
      if (!(url instanceof URL)) return url
      try {
        const answer = await exchange(url, asking, guardedLookup, timeoutMs)
        const { location } = answer.headers
        return answer.status >= 300 && answer.status < 400 && location !== undefined
          ? await redirected(url, answer.status, location)
          : answer
      } catch (error) {
        if (error instanceof PrivateAddress) return doubt('private-address', `${url.href}: ${error.message}`)
        if (isTimeout(error)) return doubt('timeout', `no whole answer from ${url.href} within ${timeoutMs / 1_000} s`)
        return doubt('unreachable', `${url.href}: ${whyUnreached(error)}`)
      }
    },

    async weigh(text) {
      const url = judge(text)
      if (!(url instanceof URL)) return url
      if (url.protocol === 'http:' && !isLoopback(url.hostname)) return doubt('not-https', text)
      return judgeName(url)
    },
  }
}

class PrivateAddress extends Error {}

function exchange(url: URL, asking: Asking, lookup: LookupFunction, timeoutMs: number): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url.href, {
    method: asking.method ?? 'GET',
    headers: {
      'user-agent': `tenure-check/${version}`,
      ...asking.headers,
      ...(asking.body === undefined ? {} : { 'content-length': Buffer.byteLength(asking.body) }),
    },
    agent: false,
    lookup,
    signal: AbortSignal.timeout(timeoutMs),
  })
  request.on('error', reject)
  request.on('response', (response) => {
    const headers = Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)]))
    const isStream = headers['content-type']?.startsWith('text/event-stream') === true
    const chunks: Buffer[] = []
    let size = 0
    const finish = (truncated: boolean) => {
      const body = Buffer.concat(chunks).subarray(0, largestBody).toString()
      resolve({ status: response.statusCode ?? 0, headers, body, truncated })
      request.destroy()
    }
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > largestBody) finish(true)
      // A stream may stay open for as long as the server likes; its first message is the answer.
      else if (isStream && firstMessage.test(Buffer.concat(chunks).toString())) finish(false)
    })
    response.on('end', () => finish(false))
    response.on('error', reject)
  })
  request.end(asking.body)
  return promise
}

const firstMessage = /^data: ?\{.*\r?\n\r?\n/ms

/** Where MCP clients take http too. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '127.0.0.1' || host === '[::1]'
}

function resolveAll(hostname: string): Promise<readonly LookupAddress[]> {
  return dns.lookup(hostname, { all: true })
}

async function withTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('too slow'), { code: 'ETIMEOUT' })), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || isTimeout(error.cause))
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was closed',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be resolved now',
  ETIMEOUT: 'its name takes too long to resolve',
  ETIMEDOUT: 'the connection timed out',
  EPROTO: 'it does not speak TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is from an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate cannot be verified: an intermediate one is missing',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is from an authority that is not trusted here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

/** By code, never by message: a parser's message or a certificate's names are the far side's words. */
function whyUnreached(error: unknown): string {
  const reason = error instanceof AggregateError ? error.errors[0] : error
  const code = reason instanceof Error && 'code' in reason ? String(reason.code) : undefined
  return code === undefined ? 'the connection failed' : (words[code] ?? `the connection failed (${code})`)
}
