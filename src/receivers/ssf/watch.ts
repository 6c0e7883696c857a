import { randomBytes } from 'node:crypto'
import type { SsfConfig } from '../../directory/channel-config.ts'
import { isObject } from '../../trust/json-object.ts'
import { gone, type KeptStream, withStreamId } from './stream.ts'
import type { StreamState } from './take.ts'
import type { Failed, TransmitterApi } from './transmitter-api.ts'

/** What was found out of a stream, and what is wrong with it. */
export interface Watched {
  readonly stream: KeptStream
  readonly failures: readonly Failed[]
}

/** Asking also keeps a stream from being stopped for want of interest (`inactivity_timeout`). */
const statusEveryMs = 5 * 60_000
const verifyEveryMs = 24 * 3_600_000
/** A verification event comes asynchronously, maybe after others (P45); beyond this it is missing. */
const answersWithinMs = 10 * 60_000
/** A stream that was told to go on and stops again is a matter for people. */
const resumeEveryMs = 24 * 3_600_000

/**
 * How a stream stands (SSF 1.0 §8.1.2). One that has stopped is told to go on, once in a while: whoever stopped it for a
 * reason stops it again. Without an endpoint to ask, what it told of itself last counts.
 */
export async function readStatus(
  stream: KeptStream,
  {
    config,
    heard,
    api,
    now,
  }: { config: SsfConfig; heard: StreamState['streamStatus']; api: TransmitterApi; now: Date },
): Promise<Watched> {
  const endpoint = config.stream?.statusEndpoint
  const news = heard !== undefined && heard.at > (stream.checkedAt ?? stream.setUpAt) ? heard.status : undefined
  if (endpoint === undefined) return judged({ ...stream, status: news ?? stream.status })
  const isNews = news !== undefined && news !== stream.status
  if (!isNews && since(stream.checkedAt, now) < statusEveryMs) return judged(stream)
  const asked = await api({ method: 'GET', url: withStreamId(endpoint, stream.id), knows: [404] })
  if (asked.kind === 'failed') return { stream, failures: [asked] }
  if (asked.status === 404) return { stream, failures: [gone] }
  const checked = { ...stream, status: statusIn(asked.body) ?? stream.status, checkedAt: now.toISOString() }
  if (checked.status === 'enabled' || since(stream.resumedAt, now) < resumeEveryMs) return judged(checked)
  const body = { stream_id: stream.id, status: 'enabled' }
  const told = await api({ method: 'POST', url: endpoint, body, knows: [400, 404, 405] })
  if (told.kind === 'failed') return { stream: checked, failures: [stopped(checked.status), told] }
  const resumed = { ...checked, resumedAt: now.toISOString() }
  return judged(told.status < 300 ? { ...resumed, status: statusIn(told.body) ?? checked.status } : resumed)
}

function judged(stream: KeptStream): Watched {
  return { stream, failures: stream.status === 'enabled' ? [] : [stopped(stream.status)] }
}

/** What happens meanwhile is kept by a transmitter that has paused, and lost by one that has disabled. */
function stopped(status: string): Failed {
  return { kind: 'failed', reason: `The transmitter has ${status} the stream: nothing comes` }
}

function statusIn(body: unknown): string | undefined {
  const status = isObject(body) ? body.status : undefined
  return ['enabled', 'paused', 'disabled'].find((each) => each === status)
}

export type Verification = NonNullable<StreamState['verification']>

/**
 * Asks a stream to prove that it comes through, once a day (SSF 1.0 §8.1.4). `note` writes down the `state` before it is
 * asked with: the answer may come before that of the call.
 */
export async function verifyStream(
  stream: KeptStream,
  {
    config,
    state: { verification, verified },
    api,
    note,
    now,
  }: {
    config: SsfConfig
    state: StreamState
    api: TransmitterApi
    note: (verification: Verification) => Promise<void>
    now: Date
  },
): Promise<Watched & { verification?: Verification | undefined }> {
  const url = config.stream?.verificationEndpoint
  if (url === undefined) return { stream, failures: [] }
  const isAnswered = verification !== undefined && verified?.state === verification.state
  const waitedMs = since(verification?.requestedAt, now)
  const isMissing = verification !== undefined && !isAnswered && waitedMs >= answersWithinMs
  const known = {
    ...stream,
    ...(isAnswered && { verifiedAt: verified.at }),
    isUnverified: !isAnswered && (isMissing || stream.isUnverified === true),
  }
  const failures = known.isUnverified ? [unverified] : []
  const pauseMs = Math.max(isAnswered ? verifyEveryMs : answersWithinMs, stream.verifyEverySeconds * 1_000)
  if (waitedMs < pauseMs) return { stream: known, failures, verification }
  const asking = { state: randomBytes(32).toString('base64url'), requestedAt: now.toISOString() }
  await note(asking)
  const asked = await api({
    method: 'POST',
    url,
    body: { stream_id: stream.id, state: asking.state },
    knows: [404, 429],
  })
  // Its answer may still come, and counts; that it did not take the question does not keep it from being asked again.
  if (asked.kind === 'failed')
    return {
      stream: known,
      failures: [...failures, asked],
      verification: { ...asking, requestedAt: verification?.requestedAt ?? new Date(0).toISOString() },
    }
  if (asked.status === 429) return { stream: known, failures, verification }
  if (asked.status === 404) return { stream: known, failures: [gone] }
  return { stream: known, failures, verification: asking }
}

const unverified: Failed = {
  kind: 'failed',
  reason: 'The verification event that was asked for has not come: what the transmitter sends may not come through',
}

function since(time: string | undefined, now: Date): number {
  return time === undefined ? Number.POSITIVE_INFINITY : now.getTime() - Date.parse(time)
}
