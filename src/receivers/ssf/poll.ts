import type { SsfConfig } from '../../directory/channel-config.ts'
import type { Channel } from '../../directory/channels.ts'
import { isObject, type Json } from '../../trust/json-object.ts'
import { KeySetUnreachable, UnknownKey } from '../../trust/key-sets.ts'
import { asUnavailable } from '../../unreachable.ts'
import type { ChannelWorkParts } from '../receiver.ts'
import { type SetErrorCode, SetRefusal } from './refusal.ts'
import { takeSet } from './take.ts'
import type { Answer, Failed, TransmitterApi } from './transmitter-api.ts'

/** What the transmitter is still to be told of SETs that it gave (RFC 8936 §2.4), by their jti. */
export interface Answers {
  /** Committed, so that it may forget them (P3). */
  readonly ack: readonly string[]
  readonly setErrs: Readonly<Record<string, { readonly err: SetErrorCode; readonly description: string }>>
}

export interface Polled {
  readonly answers: Answers
  readonly failures: readonly Failed[]
  /** There is more, for which this turn has no time. */
  readonly isMore: boolean
}

/** Between two turns, when there is nothing more. */
export const pollEveryMs = 5_000

export const noAnswers: Answers = { ack: [], setErrs: {} }

const perPoll = 25
/** Of those that cannot be taken for now and would otherwise stand in the way of what comes behind them. */
const mostLeft = 100
/** That many SETs of the largest size, and some air. */
const mostBytes = 16 * 1024 * 1024
/** Then others have their turns. */
const longestTurnMs = 20_000
const longestJti = 512

/**
 * Fetches what the transmitter holds (RFC 8936), without its waiting for anything to happen. What was committed is said
 * back with the next question: whoever dies in between is given it again, and each event counts once. What cannot be
 * taken for now is not answered, and so comes again; it keeps nothing else from being taken.
 */
export async function poll(
  channel: Channel<SsfConfig>,
  url: string,
  { parts, api, signal }: { parts: ChannelWorkParts; api: TransmitterApi; signal: AbortSignal },
  owed: Answers,
): Promise<Polled> {
  const endsAt = performance.now() + longestTurnMs
  const left = new Map<string, Failed>()
  const answered = new Set<string>()
  const ended = (answers: Answers, failure?: Failed): Polled => {
    const failures = new Map([...left.values(), ...(failure ? [failure] : [])].map((each) => [each.reason, each]))
    return { answers, failures: [...failures.values()], isMore: false }
  }
  for (let answers = owed; ; ) {
    const maxEvents = perPoll + left.size
    const body = { maxEvents, returnImmediately: true, ...spoken(answers) }
    const page = await api({ method: 'POST', url, body, mostBytes, knows: [400] })
    if (page.kind === 'failed') return ended(answers, page)
    // It may be an answer that it does not understand; without it, what it is about comes again.
    if (page.status === 400) return ended(noAnswers, failed('The transmitter answered 400'))
    const given = setsIn(page)
    if (given === undefined) return ended(noAnswers, failed('What the transmitter answered is no list of SETs'))
    const before = { left: left.size, answered: answered.size }
    answers = await takeAll(channel, given, { left, answered }, parts)
    const isBehind = hasMore(page) && left.size > before.left && left.size <= mostLeft
    // A transmitter that gives again what was answered is not asked again and again.
    if (answered.size === before.answered && !isBehind) return ended(answers)
    if (performance.now() > endsAt || signal.aborted) return { ...ended(answers), isMore: true }
  }
}

/** An empty list is left out. */
function spoken({ ack, setErrs }: Answers): Partial<Answers> {
  return { ...(ack.length > 0 && { ack }), ...(Object.keys(setErrs).length > 0 && { setErrs }) }
}

type Page = Extract<Answer, { kind: 'answered' }>

/** Where there are none, an answer may be empty. */
function setsIn({ status, body }: Page): Json | undefined {
  if (!isObject(body)) return body === undefined && status !== 200 ? {} : undefined
  const { sets = {} } = body
  return isObject(sets) ? sets : undefined
}

function hasMore({ body }: Page): boolean {
  return isObject(body) && body.moreAvailable === true
}

/**
 * One after the other. `left`: what is not taken for now, by its jti, and why; not tried again in this turn. `answered`:
 * every jti that was.
 */
async function takeAll(
  channel: Channel<SsfConfig>,
  sets: Json,
  { left, answered }: { left: Map<string, Failed>; answered: Set<string> },
  parts: ChannelWorkParts,
): Promise<Answers> {
  const ack: string[] = []
  const setErrs: Array<[string, Answers['setErrs'][string]]> = []
  for (const [jti, set] of Object.entries(sets)) {
    if (left.has(jti)) continue
    const outcome = isJti(jti)
      ? await take(channel, String(set), parts)
      : later('A SET of the transmitter has no usable jti')
    if (outcome === 'taken') ack.push(jti)
    else if (outcome.kind === 'refused')
      setErrs.push([jti, { err: outcome.err, description: 'The SET is not accepted' }])
    else left.set(jti, outcome)
    if (!left.has(jti)) answered.add(jti)
  }
  return { ack, setErrs: Object.fromEntries(setErrs) }
}

/** The database going away ends the turn; everything else is a matter of this SET alone. */
async function take(
  channel: Channel<SsfConfig>,
  set: string,
  parts: ChannelWorkParts,
): Promise<'taken' | { kind: 'refused'; err: SetErrorCode } | Failed> {
  try {
    await takeSet(parts, channel, set)
    return 'taken'
  } catch (error) {
    if (error instanceof SetRefusal) {
      parts.refusals.note(channel, error.reason)
      return { kind: 'refused', err: error.err }
    }
    if (error instanceof UnknownKey)
      return later('The key set of the transmitter has no key for a SET, which is tried again')
    if (error instanceof KeySetUnreachable) return later('The key set of the transmitter cannot be had')
    if (asUnavailable(error)) throw error
    parts.log.error({ directoryId: channel.directoryId, channel: channel.kind, error }, 'channel.set_not_taken')
    return later('A SET could not be taken, by a mistake of ours: see the log')
  }
}

/** It is kept, and said back. */
function isJti(jti: string): boolean {
  return jti !== '' && jti.length <= longestJti && jti.isWellFormed() && !jti.includes('\0')
}

/** It does not slow down what else is polled. */
function later(reason: string): Failed {
  return { ...failed(reason), againMs: pollEveryMs }
}

function failed(reason: string): Failed {
  return { kind: 'failed', reason }
}
