import type { SsfConfig } from '../../directory/channel-config.ts'
import type { StreamSecret } from '../../directory/stream-secret.ts'
import { isObject, type Json } from '../../trust/json-object.ts'
import { usefulEventTypes } from './events.ts'
import type { Failed, TransmitterApi } from './transmitter-api.ts'

/** What is kept of a stream that was set up at a transmitter. Times are RFC 3339. */
export interface KeptStream {
  readonly id: string
  /** As the transmitter has it: `enabled`, `paused`, `disabled`. */
  readonly status: string
  /** When its status was last read. */
  readonly checkedAt?: string
  readonly setUpAt: string
  readonly verifiedAt?: string
  /** A verification that was asked for is missing, until one comes. */
  readonly isUnverified?: boolean
  /** So often at most a verification may be asked for. */
  readonly verifyEverySeconds: number
  /** Which events it says that it sends. */
  readonly events: readonly string[]
  /** Where SETs are pushed to, and which secret is shown with them, by its id. */
  readonly pushedTo?: string
  readonly secretId?: string
  /** Where SETs are polled. */
  readonly pollUrl?: string
  /** When it was last told to go on although it had stopped. */
  readonly resumedAt?: string
}

export const deliveryMethods = { push: 'urn:ietf:rfc:8935', poll: 'urn:ietf:rfc:8936' } as const

export interface Wanted {
  readonly config: SsfConfig
  /** Where a stream that is pushed goes. */
  readonly pushUrl: string
  /** Undefined: it is polled. */
  readonly secret: StreamSecret | undefined
}

/** Whether a stream is still as it is to be. */
export function isAsWanted(stream: KeptStream, { pushUrl, secret }: Wanted): boolean {
  return secret === undefined || (stream.pushedTo === pushUrl && stream.secretId === secret.id)
}

/**
 * Has a transmitter send to this channel (SSF 1.0 §8.1.1): changes the stream that is known or whose answer was lost,
 * otherwise creates one. A transmitter that allows no other is left with the one that it has, changed. Only by PATCH:
 * a PUT would delete whatever it leaves out (P44).
 */
export async function setUpStream(
  known: KeptStream | undefined,
  wanted: Wanted,
  api: TransmitterApi,
): Promise<KeptStream | Failed> {
  if (known !== undefined) return change(known.id, wanted, api)
  const url = endpointOf(wanted)
  const listed = await api({ method: 'GET', url, knows: [400, 404, 405] })
  if (listed.kind === 'failed') return listed
  const streams = listed.status === 200 ? [listed.body].flat().filter(isStream) : []
  const ours = streams.find((stream) => isOurs(stream, wanted))
  if (ours) return change(ours.stream_id, wanted, api)
  const body = { ...changes(wanted), description: descriptionOf(wanted) }
  const created = await api({ method: 'POST', url, body, knows: [400, 409] })
  if (created.kind === 'failed') return created
  if (created.status === 400)
    return failed(
      'The transmitter does not create the stream as it is asked for (400): `stream.events` may name what it does not have',
    )
  if (created.status !== 409) return read(created.body, wanted)
  const [only, ...others] = streams
  if (!only || others.length > 0)
    return failed(
      'The transmitter allows no further stream (409), and it is not clear which of its own to change: delete one there',
    )
  return change(only.stream_id, wanted, api)
}

/** The stream is not there any more: another is created in the next turn. */
export const gone: Failed = {
  kind: 'failed',
  reason: 'The transmitter no longer has the stream (404)',
  againMs: 0,
  isGone: true,
}

async function change(id: string, wanted: Wanted, api: TransmitterApi): Promise<KeptStream | Failed> {
  const url = endpointOf(wanted)
  const patched = await api({ method: 'PATCH', url, body: { stream_id: id, ...changes(wanted) }, knows: [404] })
  if (patched.kind === 'failed') return patched
  if (patched.status === 404) return gone
  if (isStream(patched.body)) return read(patched.body, wanted)
  const shown = await api({ method: 'GET', url: withStreamId(url, id) })
  return shown.kind === 'failed' ? shown : read(shown.body, wanted)
}

/** A question about one stream. */
export function withStreamId(endpoint: string, id: string): string {
  const url = new URL(endpoint)
  url.searchParams.set('stream_id', id)
  return url.href
}

function endpointOf({ config }: Wanted): string {
  return config.stream!.configurationEndpoint
}

function changes({ config, pushUrl, secret }: Wanted) {
  const delivery = secret
    ? { method: deliveryMethods.push, endpoint_url: pushUrl, authorization_header: secret.value }
    : { method: deliveryMethods.poll }
  return { delivery, events_requested: config.stream!.events ?? usefulEventTypes }
}

/** Also tells the operators of the transmitter where it leads to. */
function descriptionOf({ pushUrl }: Wanted): string {
  return `Tenure, ${pushUrl}`
}

type Stream = Json & { readonly stream_id: string }

function isStream(value: unknown): value is Stream {
  return isObject(value) && isShort(value.stream_id)
}

function isOurs({ description, delivery }: Stream, wanted: Wanted): boolean {
  return description === descriptionOf(wanted) || (isObject(delivery) && delivery.endpoint_url === wanted.pushUrl)
}

/** What a stream says of itself must be what the channel believes: anything else would be refused for good, one by one. */
function read(body: unknown, { config, pushUrl, secret }: Wanted): KeptStream | Failed {
  if (!isStream(body)) return failed('What the transmitter answered is no stream')
  const audience = [body.aud].flat()
  if (body.iss !== config.issuer) return failed('The stream is of another issuer than the one that is set up here')
  if (!audience.some((each) => config.audience.includes(each as string)))
    return failed(`The stream is for another audience than the ones that are set up here${named(audience)}`)
  const stream = {
    id: body.stream_id,
    status: 'enabled',
    setUpAt: new Date().toISOString(),
    verifyEverySeconds: secondsOf(body.min_verification_interval),
    events: Array.isArray(body.events_delivered) ? body.events_delivered.filter(isShort).slice(0, 200) : [],
  }
  if (secret) return { ...stream, pushedTo: pushUrl, secretId: secret.id }
  const pollUrl = isObject(body.delivery) ? body.delivery.endpoint_url : undefined
  return isShort(pollUrl) && URL.canParse(pollUrl)
    ? { ...stream, pollUrl }
    : failed('The transmitter does not say where its stream is to be polled')
}

/** Whoever sets up the channel has to copy it. */
function named(audience: readonly unknown[]): string {
  const shown = audience.find((each) => typeof each === 'string' && /^[!-~]{1,300}$/.test(each))
  return shown === undefined ? '' : `: ${shown}`
}

function secondsOf(value: unknown): number {
  return typeof value === 'number' && value > 0 && value < 7 * 86_400 ? value : 0
}

function isShort(value: unknown): value is string {
  return (
    typeof value === 'string' && value !== '' && value.length <= 2_000 && value.isWellFormed() && !value.includes('\0')
  )
}

function failed(reason: string): Failed {
  return { kind: 'failed', reason }
}
