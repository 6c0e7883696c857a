import { type Egress, EgressRefused, type EgressResponse } from '../connectors/egress.ts'
import { Unavailable } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { McpClient } from './clients.ts'
import { parseObject } from './json-object.ts'

export interface ClientDocumentsParts {
  readonly egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>
  readonly log: Pick<Logger, 'info'>
  /** Of a client that nobody registered. */
  readonly tokenRequestsPerMinute: number
  /** In milliseconds, monotonic. */
  readonly now?: () => number
  /** How many documents are kept; beyond, the one that was asked for longest ago is forgotten. */
  readonly most?: number
}

const goodForMs = 10 * 60_000
/** Also of what is no document: a wrong URL is not asked for at every request. */
const badForMs = 60_000
/** While it cannot be fetched anew, a document that was good is used on for so long. */
const usableMs = 24 * 60 * 60_000
const timeoutMs = 5_000
const mostBytes = 16_384
const longestUrl = 2_000
/** Whoever knows no secret can name any URL: that many are asked at once, and no more. */
const mostAtOnce = 16

const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

interface Kept {
  readonly client: McpClient | undefined
  readonly fetchedAt: number
  /** Asked again from here on. */
  readonly until: number
}

/**
 * MCP clients that nobody registered: the client id is the URL of a document that describes the client (Client ID
 * Metadata Documents). Fetched through the egress guard, without redirects, and kept for a while, the refusals too.
 */
export function createClientDocuments({
  egress,
  log,
  tokenRequestsPerMinute,
  now = () => performance.now(),
  most = 1_000,
}: ClientDocumentsParts) {
  const kept = new Map<string, Kept>()
  const inFlight = new Map<string, Promise<McpClient | undefined>>()

  return {
    /**
     * What the document at this URL says, if it is one and can be used.
     *
     * @throws Unavailable when it cannot be had at the moment
     */
    async find(url: string): Promise<McpClient | undefined> {
      if (!isDocumentUrl(url)) return undefined
      const known = kept.get(url)
      if (known && now() < known.until) {
        keep(url, known)
        return known.client
      }
      const asked = inFlight.get(url)
      if (asked) return asked
      if (inFlight.size >= mostAtOnce) {
        if (known && isUsable(known)) return known.client
        throw new Unavailable('Too many client metadata documents are asked for at once')
      }
      const asking = ask(url, known).finally(() => inFlight.delete(url))
      inFlight.set(url, asking)
      return asking
    },
  }

  /** https with a path, as it is compared: one spelling only, without dot segments. */
  function isDocumentUrl(url: string): boolean {
    if (url.length > longestUrl || !/^https?:\/\//.test(url)) return false
    try {
      const { href, pathname } = egress.checkConfiguredUrl(url)
      return href === url && pathname !== '/'
    } catch {
      return false
    }
  }

  async function ask(url: string, known: Kept | undefined): Promise<McpClient | undefined> {
    let answer: EgressResponse
    try {
      answer = await egress.request(url, {
        headers: { accept: 'application/json' },
        timeoutMs,
        maxResponseBytes: mostBytes,
      })
    } catch (error) {
      if (error instanceof EgressRefused) return refuse(url, 'its address is not allowed')
      return unreachable(url, known, error as Error)
    }
    if (answer.status === 429 || answer.status >= 500)
      return unreachable(url, known, new Error(`it answered ${answer.status}`))
    const read = readDocument(url, answer)
    if (typeof read === 'string') return refuse(url, read)
    const client = { ...read, id: url, isDocument: true, tokenRequestsPerMinute }
    keep(url, { client, fetchedAt: now(), until: now() + goodForMs })
    return client
  }

  function unreachable(url: string, known: Kept | undefined, cause: Error): McpClient | undefined {
    if (!known || !isUsable(known)) {
      log.info({ host: hostOf(url), reason: cause.message }, 'client_document.unreachable')
      throw new Unavailable('The client metadata document cannot be had', { cause })
    }
    keep(url, { ...known, until: now() + badForMs })
    return known.client
  }

  function isUsable({ client, fetchedAt }: Kept): boolean {
    return client !== undefined && now() - fetchedAt <= usableMs
  }

  function refuse(url: string, reason: string): undefined {
    log.info({ host: hostOf(url), reason }, 'client_document.refused')
    keep(url, { client: undefined, fetchedAt: now(), until: now() + badForMs })
  }

  /** Last in the order of being forgotten. */
  function keep(url: string, entry: Kept): void {
    kept.delete(url)
    kept.set(url, entry)
    if (kept.size > most) kept.delete(kept.keys().next().value!)
  }
}

export type ClientDocuments = ReturnType<typeof createClientDocuments>

/** @returns why it cannot be used, in words, or what it says */
function readDocument(
  url: string,
  { status, body, truncated }: EgressResponse,
): string | Pick<McpClient, 'name' | 'auth' | 'jwksUri' | 'mayUseJwtBearer'> {
  if (status !== 200) return `it answered ${status}; a pinned copy can be registered`
  if (truncated) return `it is larger than ${mostBytes} bytes`
  const document = parseObject(body)
  if (document === undefined) return 'it is no JSON object'
  if (document.client_id !== url) return 'its client_id is another'
  const { client_name: name, token_endpoint_auth_method: auth, jwks_uri: jwksUri, grant_types: grantTypes } = document
  const mayUseJwtBearer = Array.isArray(grantTypes) && grantTypes.includes(jwtBearer)
  const given = { name: typeof name === 'string' && name !== '' ? name.slice(0, 200) : url, mayUseJwtBearer }
  if (auth === 'none') return { ...given, auth, jwksUri: null }
  if (auth !== 'private_key_jwt') return 'a document can have no secret: its way to authenticate cannot be used'
  return typeof jwksUri === 'string' ? { ...given, auth, jwksUri } : 'it has no jwks_uri'
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? 'an address'
}
