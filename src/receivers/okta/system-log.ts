import { createHash } from 'node:crypto'
import type { OktaConfig } from '../../directory/channel-config.ts'
import type { Turn } from '../../directory/channels.ts'
import { isObject, type Json } from '../../trust/json-object.ts'
import type { ChannelWorkParts } from '../receiver.ts'
import type { OktaAnswer, OktaApi } from './api.ts'
import { translate, typesThatAct } from './events.ts'
import { idJagGranted, type RecordIdJag } from './id-jag.ts'

/** What the channel remembers of the log, and of what the log says of the org's hooks. */
export interface LogState {
  /** The address of the next page, as Okta gave it. */
  readonly cursor?: string
  /** What was asked for when the cursor was given. */
  readonly asked?: string
  /** Whatever was written down before has been read; where to begin without a cursor. */
  readonly since: string
  /** The last call that Okta gave up, and of which hook of the org (P30). */
  readonly hookFailure?: { readonly at: string; readonly hook?: string }
}

/** How far a turn came. `againMs`: when to go on, if not as usual. */
export interface LogTurn {
  readonly state: LogState
  readonly againMs?: number
  readonly error?: string
}

const perPage = 200
/** Read again where the cursor is lost; and before the first turn, so that nothing falls between the hook and this. */
const overlapMs = 60 * 60_000
/** Then others have their turns. */
const longestTurnMs = 20_000

const hookDelivery = 'event_hook.delivery'
/** In no hook (P31), and few: tokens that Okta took back, apps that act for people. */
const onlyInTheLog = [
  ...['', '.implicit.as', '.implicit.client', '.implicit.user'].map((how) => `app.oauth2.token.revoke${how}`),
  'app.oauth2.as.token.revoke',
  ...['create', 'update', 'delete'].map((what) => `app.cross_app_access.connection.${what}`),
]

/**
 * Reads on in the System Log, which has what a hook lost (P30) and what no hook carries (P31), in polling mode: in the
 * order of writing down, so that an event that is late by its own time is still met. A page is taken before the cursor
 * moves: whoever dies in between reads it again, and each event counts once (P3).
 */
export function createLogReader({
  channels,
  intake,
  log,
  recordIdJag,
}: Pick<ChannelWorkParts, 'channels' | 'intake' | 'log'> & { recordIdJag: RecordIdJag }) {
  return async function readOn(
    turn: Turn,
    api: OktaApi,
    keep: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<LogTurn> {
    const endsAt = performance.now() + longestTurnMs
    const filter = filterOf(turn.config)
    let state: LogState = { since: hourBefore(Date.now()), ...turn.state }
    while (true) {
      const askedAt = Date.now()
      const address = addressOf(state, filter, api)
      const answer = await api.get(address, 'okta.logs.read', signal)
      const page = pageOf(answer)
      if ('error' in page) return { ...page, state: page.isLost ? withoutCursor(state) : state }
      if (!(await keep())) return { state }
      const failure = await take(turn, page.entries)
      const deadEnd = deadEndOf(page, address, api)
      if (deadEnd) return { state: withoutCursor(state), error: deadEnd }
      const isRead = page.entries.length === 0
      state = {
        ...state,
        ...(page.next !== undefined && { cursor: page.next }),
        asked: nameOf(filter),
        ...(isRead && { since: hourBefore(askedAt) }),
        ...(failure && { hookFailure: failure }),
      }
      if (isRead) return { state }
      await channels.noteState(turn, { ...state })
      if (page.restMs > 0) return { state, againMs: page.restMs }
      if (performance.now() > endsAt || signal.aborted) return { state, againMs: 0 }
    }
  }

  /** @returns the last failure of a hook that is told there */
  async function take(turn: Turn, entries: readonly unknown[]): Promise<LogState['hookFailure']> {
    const events = entries.filter((entry) => !isDelivered(entry))
    const signals = events.flatMap((event) => translate(event, turn.config) ?? [])
    await intake.receive(turn, signals)
    if (signals.length < events.length) {
      const { directoryId, kind } = turn
      log.warn({ directoryId, channel: kind, events: events.length - signals.length }, 'channel.events_unusable')
    }
    for (const event of events) if (isOf(event, idJagGranted)) await recordIdJag(turn, event)
    return events
      .filter((event) => isOf(event, hookDelivery))
      .map(failureOf)
      .at(-1)
  }
}

function failureOf({ published, target }: Json): NonNullable<LogState['hookFailure']> {
  const hook = [target].flat().find((party) => isObject(party) && isId(party.id)) as { id: string } | undefined
  return { at: isId(published) ? published : new Date().toISOString(), ...(hook && { hook: hook.id }) }
}

/** Nothing but an id, or a time. */
function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.:-]{1,64}$/.test(value)
}

interface Page {
  readonly entries: readonly unknown[]
  readonly next: string | undefined
  readonly restMs: number
}

interface Failure {
  readonly error: string
  readonly againMs?: number
  /** Okta keeps its log for 90 days, and a place in it for no time that it names. */
  readonly isLost?: boolean
}

function pageOf(answer: OktaAnswer): Page | Failure {
  if (answer.kind === 'absent') return { error: 'There is no System Log at this address (404)' }
  if (answer.kind === 'failed') {
    const { status, againMs, reason: error } = answer
    return { error, isLost: status === 400, ...(againMs !== undefined && { againMs }) }
  }
  const { body: entries, next, restMs } = answer
  return Array.isArray(entries) ? { entries, next, restMs } : { error: 'What Okta answered is no list of events' }
}

/** Why one cannot go on from this page, if so. */
function deadEndOf({ entries, next }: Page, address: URL, api: OktaApi): string | undefined {
  if (next === undefined || !api.isOwn(next)) return 'Okta does not say where in its log to go on'
  if (entries.length > 0 && next === address.href) return 'Okta gives the same page of its log again'
  return undefined
}

/** Where the cursor leads; from `since` when there is none, or it was given for another question. */
function addressOf({ cursor, asked, since }: LogState, filter: string, api: OktaApi): URL {
  if (cursor !== undefined && asked === nameOf(filter) && api.isOwn(cursor)) return new URL(cursor)
  const query = new URLSearchParams({ since, sortOrder: 'ASCENDING', limit: String(perPage), filter })
  return api.address(`/api/v1/logs?${query}`)
}

function withoutCursor({ cursor: _, ...state }: LogState): LogState {
  return state
}

/**
 * Most of a log is sign-ins, policies and tokens, many for each person and hour. Asked for is what can take access away
 * or be a reason to ask, and what only the log has; changes of people and groups come by SCIM.
 */
function filterOf(config: OktaConfig): string {
  const types = [...typesThatAct(config), ...onlyInTheLog, hookDelivery, ...(config.idJag ? [idJagGranted] : [])]
  return [...new Set(types)].map((type) => `eventType eq "${type}"`).join(' or ')
}

function nameOf(filter: string): string {
  return createHash('sha256').update(filter).digest('base64url').slice(0, 12)
}

function isOf(entry: unknown, type: string): entry is Json {
  return isObject(entry) && entry.eventType === type
}

function isDelivered(entry: unknown): boolean {
  return isOf(entry, hookDelivery) && isObject(entry.outcome) && entry.outcome.result === 'SUCCESS'
}

function hourBefore(ms: number): string {
  return new Date(ms - overlapMs).toISOString()
}
