import type { SsfConfig } from '../../directory/channel-config.ts'
import type { Channel, Turn, TurnResult } from '../../directory/channels.ts'
import type { ChannelWork, ChannelWorkParts } from '../receiver.ts'
import { type Answers, noAnswers, poll, pollEveryMs } from './poll.ts'
import { isAsWanted, type KeptStream, setUpStream, type Wanted } from './stream.ts'
import type { StreamState } from './take.ts'
import { createTransmitterApi, type Failed, type TransmitterApi } from './transmitter-api.ts'
import { readStatus, verifyStream } from './watch.ts'

/** What the channel remembers, beside what it is told. */
interface SsfState extends StreamState {
  readonly stream?: KeptStream
  /** What the transmitter is still to be told of SETs that were polled. */
  readonly answers?: Answers
  /** What was wrong with the stream, and when it is to be looked at again. */
  readonly trouble?: { readonly until: string; readonly reasons: readonly string[] }
}

interface Step {
  readonly state: SsfState
  readonly failures: readonly Failed[]
}

const lookEveryMs = 5 * 60_000
/** While a verification is awaited. */
const awaitEveryMs = 15_000
const failedAgainMs = 30_000

/**
 * What is asked of an SSF transmitter: that it sends its stream here, proves now and then that it does, and goes on
 * doing so; and, of a channel that is polled, what it holds. A stream that cannot be looked after is polled all the same.
 */
export function ssfWork(parts: ChannelWorkParts): ChannelWork {
  return async (turn, keep, signal) => {
    const { stream, delivery, pollUrl } = turn.config as unknown as SsfConfig
    if (stream !== undefined && turn.token === undefined)
      return { state: turn.state, againMs: undefined, error: 'The stream cannot be set up without a token' }
    const api = createTransmitterApi({ egress: parts.egress, token: turn.token, keep, signal })
    const looked = await look(turn, api, parts)
    const from = looked.state.stream?.pollUrl ?? pollUrl
    if (delivery !== 'poll' || from === undefined)
      return resultOf(looked, againMs(looked.failures, restMs(looked.state)))
    const { state } = looked
    const channel = { ...turn, state: { ...state } } as unknown as Channel<SsfConfig>
    const { answers, failures, isMore } = await poll(channel, from, { parts, api, signal }, state.answers ?? noAnswers)
    const step = { state: { ...state, answers }, failures: [...looked.failures, ...failures] }
    return resultOf(step, isMore ? 0 : againMs(failures, pollEveryMs))
  }
}

function restMs({ verification, verified }: SsfState): number {
  return verification !== undefined && verified?.state !== verification.state ? awaitEveryMs : lookEveryMs
}

function againMs(failures: readonly Failed[], otherwise: number): number {
  return failures.length === 0 ? otherwise : Math.max(...failures.map((failure) => failure.againMs ?? failedAgainMs))
}

function resultOf({ state, failures }: Step, againMs: number): TurnResult {
  const error = [...new Set(failures.map(({ reason }) => reason))].join('; ')
  return { state: { ...state }, againMs, ...(error !== '' && { error }) }
}

/** A channel that is polled has many turns: what is wrong with its stream is not looked at again in each. */
async function look(turn: Turn, api: TransmitterApi, parts: ChannelWorkParts): Promise<Step> {
  const { trouble, ...before } = turn.state as SsfState
  const { stream } = turn.config as unknown as SsfConfig
  if (stream === undefined) return { state: before, failures: [] }
  if (before.stream?.pollUrl !== undefined && trouble !== undefined && Date.parse(trouble.until) > Date.now())
    return { state: { ...before, trouble }, failures: trouble.reasons.map((reason) => ({ kind: 'failed', reason })) }
  const { state, failures } = await lookAfter(turn, before, api, parts)
  if (failures.length === 0) return { state, failures }
  const until = new Date(Date.now() + againMs(failures, 0)).toISOString()
  return { state: { ...state, trouble: { until, reasons: failures.map(({ reason }) => reason) } }, failures }
}

/** Sets the stream up where it is not as it is to be, and then sees how it is. */
async function lookAfter(turn: Turn, before: SsfState, api: TransmitterApi, parts: ChannelWorkParts): Promise<Step> {
  const { channels, log } = parts
  const config = turn.config as unknown as SsfConfig
  const now = new Date()
  const settled = await settle(turn, config, before, api, parts)
  if ('kind' in settled) return { state: withoutGone(before, [settled]), failures: [settled] }
  const { state, stream } = settled
  const stands = await readStatus(stream, { config, heard: state.streamStatus, api, now })
  const note = (verification: StreamState['verification']) => channels.noteState(turn, { verification })
  const proven = await verifyStream(stands.stream, { config, state, api, note, now })
  const names = { directoryId: turn.directoryId, channel: turn.kind, stream: stream.id }
  if (proven.stream.resumedAt !== stream.resumedAt) log.warn(names, 'channel.stream_resumed')
  const failures = [...stands.failures, ...proven.failures]
  const { verification: _, ...others } = state
  const after = { ...others, stream: proven.stream, ...(proven.verification && { verification: proven.verification }) }
  return { state: withoutGone(after, failures), failures }
}

/** A stream that was changed has to prove itself anew. */
async function settle(
  turn: Turn,
  config: SsfConfig,
  before: SsfState,
  api: TransmitterApi,
  { channels, publicUrl, log }: ChannelWorkParts,
): Promise<{ state: SsfState; stream: KeptStream } | Failed> {
  const pushUrl = `${publicUrl()}/directories/${turn.directoryId}/events/ssf`
  const secret = config.delivery === 'push' ? await channels.streamSecret(turn) : undefined
  const wanted: Wanted = { config, pushUrl, secret }
  if (before.stream !== undefined && isAsWanted(before.stream, wanted)) return { state: before, stream: before.stream }
  const made = await setUpStream(before.stream, wanted, api)
  if ('kind' in made) return made
  const { verification: _, ...others } = before
  const stream = { ...before.stream, ...made }
  await channels.noteState(turn, { stream })
  log.info({ directoryId: turn.directoryId, channel: turn.kind, stream: stream.id }, 'channel.stream_set_up')
  return { state: { ...others, stream }, stream }
}

function withoutGone(state: SsfState, failures: readonly Failed[]): SsfState {
  if (!failures.some(({ isGone }) => isGone)) return state
  const { stream: _, verification: __, ...others } = state
  return others
}
