import { Webhook } from 'standardwebhooks'
import { version } from '../../version.ts'
import type { Connector, ConnectorMessage, Outcome } from '../connector.ts'
import { type Egress, EgressRefused, type EgressResponse, EgressUnanswered, EgressUnsent } from '../egress.ts'
import { retryAfterMs } from './retry-after.ts'

const userAgent = `Tenure/${version}`

/**
 * Tells a server by a Standard Webhooks POST: a state under a generation, so that sending it again does no harm. The
 * answer's body is never looked at.
 */
export function createWebhookConnector({
  egress,
  timeoutMs = 10_000,
  now = () => new Date(),
}: {
  egress: Pick<Egress, 'request'>
  timeoutMs?: number
  now?: () => Date
}): Connector {
  return {
    kind: 'webhook',
    async send(target, message, signal) {
      const { url } = target.config
      if (typeof url !== 'string') throw new Error(`Connector ${target.connectorId} has no url`)
      const headers = signedHeaders(target.secrets, message, now())
      try {
        const response = await egress.request(url, { method: 'POST', headers, body: message.body, timeoutMs, signal })
        return outcomeOf(response, now())
      } catch (error) {
        return outcomeOfFailure(error, signal)
      }
    },
  }
}

/** While a secret is rotated, both sign: the receiver is content with any signature that it can verify. */
function signedHeaders(secrets: readonly string[], { id, body }: ConnectorMessage, at: Date): Record<string, string> {
  if (secrets.length === 0) throw new Error('A webhook without a signing secret would be sent unsigned')
  return {
    'content-type': 'application/json',
    'user-agent': userAgent,
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, at, body)).join(' '),
  }
}

function outcomeOf({ status, headers }: EgressResponse, now: Date): Outcome {
  if (status < 300) return { kind: 'applied', status }
  if (status < 400) return { kind: 'refused', status, reason: `answered ${status}; redirects are not followed` }
  if (status === 410) return { kind: 'refused', status, reason: 'answered 410: it is gone', gone: true }
  const reason = `answered ${status}`
  if (status < 500 && status !== 408 && status !== 425 && status !== 429) return { kind: 'refused', status, reason }
  const wait = retryAfterMs(headers['retry-after'], now)
  return { kind: 'unavailable', status, reason, ...(wait === undefined ? {} : { retryAfterMs: wait }) }
}

function outcomeOfFailure(error: unknown, signal: AbortSignal): Outcome {
  if (error instanceof EgressRefused) return { kind: 'refused', reason: error.message }
  // Aborted before it left is still unanswered: whoever aborts has lost the right to say what happened.
  if (error instanceof EgressUnanswered || (error instanceof EgressUnsent && signal.aborted)) {
    return { kind: 'unanswered', reason: error.message }
  }
  if (error instanceof EgressUnsent) return { kind: 'unavailable', reason: error.message }
  throw error
}
