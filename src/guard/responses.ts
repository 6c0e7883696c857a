import type { IncomingMessage, ServerResponse } from 'node:http'

/** A refusal as RFC 6750 §3 has it. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 503
  readonly error: string
  readonly description: string
  /** What the challenge carries beside error and description; none without a challenge. */
  readonly challenge?: Readonly<Record<string, string>>
  readonly retryAfterSeconds?: number
}

const lingerMs = 1_000
/** JSON-RPC's first code for a server's own errors. */
const rpcError = -32_000

export function refuse(
  res: ServerResponse,
  { status, error, description, challenge, retryAfterSeconds }: Refusal,
): void {
  if (challenge) res.setHeader('WWW-Authenticate', `Bearer ${parameters(challenge)}`)
  if (retryAfterSeconds !== undefined) res.setHeader('Retry-After', String(retryAfterSeconds))
  res.setHeader('Cache-Control', 'no-store')
  sendJson(res, status, { error, error_description: description })
}

export function sendJson(res: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  res.setHeader('Content-Type', 'application/json')
  res.setHeader('Content-Length', Buffer.byteLength(text))
  res.statusCode = status
  res.end(text)
}

/**
 * Ends a call that is being answered: with the refusal, if nothing was said yet; by breaking the connection, if something
 * was; and an MCP stream with an error for each request that waits on it, since a client would otherwise wait for its
 * own timeout. Whatever the handler still has to say is not heard.
 */
export function endCall(req: IncomingMessage & { body?: unknown }, res: ServerResponse, refusal: Refusal): void {
  if (res.writableEnded && res.writableFinished) return
  if (!res.headersSent) {
    res.removeHeader('Content-Encoding')
    refuse(res, refusal)
  } else if (!res.writableEnded && isEventStream(res) && res.writableLength === 0)
    res.end(lastEvents(req.body, refusal))
  else res.destroy()
  silence(res)
  // Whoever does not read keeps the connection no longer.
  setTimeout(() => res.closed || res.destroy(), lingerMs).unref()
}

function isEventStream(res: ServerResponse): boolean {
  return String(res.getHeader('content-type') ?? '').startsWith('text/event-stream')
}

function lastEvents(body: unknown, { description }: Refusal): string {
  const ids = (Array.isArray(body) ? body : [body]).flatMap((message) =>
    typeof message?.method === 'string' && ['string', 'number'].includes(typeof message.id) ? [message.id] : [],
  )
  // The first line ends whatever event the handler was in the midst of.
  return `\n\n${ids.map((id) => `event: message\ndata: ${JSON.stringify(errorFor(id, description))}\n\n`).join('')}`
}

function errorFor(id: string | number, message: string): object {
  return { jsonrpc: '2.0', id, error: { code: rpcError, message } }
}

/** A handler that does not know it was ended must not fail over a header that was sent. */
function silence(res: ServerResponse): void {
  const nothing = () => res
  Object.assign(res, {
    writeHead: nothing,
    setHeader: nothing,
    setHeaders: nothing,
    appendHeader: nothing,
    removeHeader: nothing,
    flushHeaders: nothing,
    writeContinue: nothing,
    write: (...given: unknown[]) => {
      called(given)
      return true
    },
    end: (...given: unknown[]) => {
      called(given)
      return res
    },
  })
}

function called(given: readonly unknown[]): void {
  const last = given.at(-1)
  if (typeof last === 'function') process.nextTick(last as () => void)
}

/** Quoted strings (RFC 9110 §5.6.4). */
function parameters(given: Readonly<Record<string, string>>): string {
  return Object.entries(given)
    .map(([name, value]) => `${name}="${value.replaceAll(/["\\]/g, '\\$&')}"`)
    .join(', ')
}
