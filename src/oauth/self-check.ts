import type { Egress } from '../connectors/egress.ts'
import type { Logger } from '../log.ts'
import { parseObject } from '../trust/json-object.ts'

const timeoutMs = 10_000
/** Of what somebody else calls their issuer, in our log. */
const longestShown = 300

export interface SelfCheckParts {
  readonly egress: Pick<Egress, 'request'>
  /** Our issuer identifier, as it was configured. */
  readonly issuer: string
  readonly log: Logger
  /** Resolves when our own metadata is served. */
  readonly ready: Promise<void>
}

/**
 * Whether those who follow our issuer identifier come to us: its metadata (RFC 8414 §3.1), asked for once as they would,
 * must name it byte for byte (§3.3). The log is told and nothing else: where our own machine may not call our public
 * address, all may be well.
 *
 * @returns gives up what is under way, without a word
 */
export function startSelfCheck({ egress, issuer, log, ready }: SelfCheckParts): () => Promise<void> {
  const stop = new AbortController()
  let running: Promise<void> | undefined
  ready.then(() => {
    running = check(stop.signal)
  })
  return async () => {
    stop.abort()
    await running
  }

  async function check(signal: AbortSignal): Promise<void> {
    const url = metadataUrl(issuer)
    const found = await readIssuer(egress, url, signal)
    if (signal.aborted) return
    if ('why' in found) log.warn({ url, reason: found.why }, 'public_url.unreachable')
    else if (found.issuer !== issuer)
      log.warn({ url, issuerThere: found.issuer.slice(0, longestShown), issuerHere: issuer }, 'public_url.differs')
    else log.info({ url }, 'public_url.checked')
  }
}

function metadataUrl(issuer: string): string {
  const { origin } = new URL(issuer)
  return `${origin}/.well-known/oauth-authorization-server${issuer.slice(origin.length)}`
}

async function readIssuer(
  egress: Pick<Egress, 'request'>,
  url: string,
  signal: AbortSignal,
): Promise<{ issuer: string } | { why: string }> {
  try {
    const { status, body } = await egress.request(url, { headers: { accept: 'application/json' }, timeoutMs, signal })
    if (status !== 200) return { why: `It answered ${status}` }
    const issuer = parseObject(body)?.issuer
    return typeof issuer === 'string' ? { issuer } : { why: 'What it answered is no metadata' }
  } catch (error) {
    return { why: (error as Error).message }
  }
}
