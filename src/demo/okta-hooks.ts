import { randomUUID } from 'node:crypto'
import type { LogEvent } from './okta-events.ts'

/** An event hook as an admin of Okta sets it up. */
export interface EventHook {
  readonly id: string
  /** Of the org: `https://acme.okta.com`. */
  readonly orgUrl: string
  readonly uri: string
  /** The whole value of the `Authorization` header: the only thing that Okta proves itself with. */
  readonly secret: string
}

/** One call, as Okta saw it end. */
export interface HookAttempt {
  readonly eventId: string
  readonly uuids: readonly string[]
  /** `none`: no answer in time, or no connection. */
  readonly status: number | 'none'
  readonly ms: number
}

export interface HookOptions {
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

/** Within which an answer must be complete. */
const hookTimeoutMs = 3_000

/** The only GET that Okta ever sends: whether the challenge comes back as it asks for it. */
export async function verifyEventHook(
  { uri, secret }: EventHook,
  { timeoutMs = hookTimeoutMs, fetch = globalThis.fetch }: HookOptions = {},
): Promise<boolean> {
  const challenge = randomUUID()
  const headers = { authorization: secret, accept: 'application/json', 'x-okta-verification-challenge': challenge }
  const signal = AbortSignal.timeout(timeoutMs)
  const answer = await fetch(uri, { headers, redirect: 'manual', signal }).catch(() => undefined)
  if (answer?.status !== 200) return false
  const body = (await answer.json().catch(() => ({}))) as { verification?: unknown }
  return body.verification === challenge
}

/** One call with these events; at most one more when it timed out or was answered 5xx, and none after a 4xx. */
export async function deliverEvents(
  hook: EventHook,
  events: readonly LogEvent[],
  options: HookOptions = {},
): Promise<HookAttempt[]> {
  const eventId = randomUUID()
  const body = JSON.stringify({
    eventType: 'com.okta.event_hook',
    eventTypeVersion: '1.0',
    cloudEventsVersion: '0.1',
    source: `${hook.orgUrl}/api/v1/eventHooks/${hook.id}`,
    eventId,
    eventTime: new Date().toISOString(),
    contentType: 'application/json',
    data: { events },
  })
  const uuids = events.map(({ uuid }) => uuid)
  const attempts: HookAttempt[] = []
  do attempts.push({ eventId, uuids, ...(await post(hook, body, options)) })
  while (attempts.length < 2 && isRetried(attempts[0]!))
  return attempts
}

/** Whether Okta took it for delivered. */
export function isDelivered({ status }: HookAttempt): boolean {
  return typeof status === 'number' && status < 300
}

function isRetried({ status }: HookAttempt): boolean {
  return status === 'none' || status >= 500
}

async function post(
  { uri, secret }: EventHook,
  body: string,
  { timeoutMs = hookTimeoutMs, fetch = globalThis.fetch }: HookOptions,
): Promise<Pick<HookAttempt, 'status' | 'ms'>> {
  const headers = { authorization: secret, accept: '*/*', 'content-type': 'application/json' }
  const begun = performance.now()
  const status = await fetch(uri, {
    method: 'POST',
    headers,
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
    .then(async (answer) => {
      await answer.arrayBuffer()
      return answer.status
    })
    .catch(() => 'none' as const)
  return { status, ms: performance.now() - begun }
}
