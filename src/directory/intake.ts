import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import type { SignalEffect } from '../db/tables.ts'
import { StartOver, transaction } from '../db/transaction.ts'
import { cuts, decide, holds, type Signal, type Standing } from '../lifecycle/signals.ts'
import { type ChannelName, sourceOf } from './channel-name.ts'
import { forgetLinks, learn, type Named, type Pair, resolveUser, waitingKnown } from './identity.ts'
import { endWaiting, lockWaiting, type Outcome, type Recorded, readRecorded, record, settle } from './inbound-events.ts'
import { lockUsers } from './locks.ts'
import { createQuestions } from './questions.ts'
import { readStanding } from './standing.ts'
import { type Cause, touchUsers, voidMeanwhile } from './state.ts'
import type { HintUser } from './users.ts'

export type { ChannelName }

/** What became of one signal; `duplicate`: it is known, and whatever it does was done. */
export interface Received {
  readonly dedupeKey: string
  readonly effect: SignalEffect | 'duplicate'
  readonly userId?: string
}

/** In one sweep; the next goes on behind them. */
const mostLookedAt = 10_000
const mostJoined = 500

/**
 * The one way in for what event channels say. Each event counts once: it is recorded with its key, and does what it
 * does, in one transaction, and only then may the sender be told that it arrived.
 */
export function createIntake({
  db,
  hintUser,
  onReceived,
}: {
  db: Database
  hintUser: HintUser
  /** For each signal that was taken, once that is committed. */
  onReceived?: (channel: ChannelName, signal: Signal, effect: Received['effect']) => void
}) {
  let lookedAt = 0

  return {
    /**
     * Takes the signals of one call, all or none, each once however often it comes. After it returns nothing checks out
     * any more that a signal cut, and none of them is lost.
     *
     * Whoever is not known yet may be so later: a signal that cuts waits for seven days, unless the sender is told that
     * there is no such user (`waits: false`).
     *
     * @returns one for each signal, in order
     */
    async receive(channel: ChannelName, signals: readonly Signal[], { waits = true } = {}): Promise<Received[]> {
      const outcomes = await transaction(db, async (trx) =>
        take(trx, channel, await record(trx, channel, signals), waits),
      )
      hint(outcomes)
      const byKey = new Map(outcomes.map((outcome) => [outcome.dedupeKey, outcome]))
      return signals.map((signal) => {
        const { dedupeKey } = signal
        const { effect = 'duplicate', userId } = byKey.get(dedupeKey) ?? {}
        onReceived?.(channel, signal, effect)
        return { dedupeKey, effect, ...(userId && { userId }) }
      })
    },

    /** What became of a duplicate when it came first, and the ids that came with it. */
    recall(channel: ChannelName, dedupeKey: string): ReturnType<typeof readRecorded> {
      return readRecorded(db, channel, dedupeKey)
    },

    /**
     * One sweep over what waits: whoever is known now is cut, and held unless SCIM has stated `active: true` since; what
     * has waited too long ends.
     *
     * @returns how many found their user
     * @throws what the first of them failed with, once all the others had their turn
     */
    async joinWaiting(): Promise<number> {
      const { known, last } = await transaction(db, (trx) =>
        waitingKnown(trx, { after: lookedAt, limit: mostLookedAt }),
      )
      const now = known.slice(0, mostJoined)
      lookedAt = known.length > now.length ? now.at(-1)!.seq : (last ?? 0)
      const failures: unknown[] = []
      let joined = 0
      for (const { id } of now) {
        const outcomes = await transaction(db, (trx) => join(trx, id)).catch((error) => {
          failures.push(error)
          return []
        })
        hint(outcomes)
        joined += outcomes.filter(({ effect }) => effect !== 'waiting').length
      }
      await endWaiting(db)
      if (failures.length > 0) throw failures[0]
      return joined
    },

    ...createQuestions({ db, hintUser }),

    /** The database's time, which dates holds: to be read before a question is asked. */
    async now(): Promise<Date> {
      const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db)
      return rows[0]!.now
    },
  }

  function hint(outcomes: readonly Outcome[]): void {
    const causes = new Map(outcomes.flatMap(({ userId, cause }) => (userId && cause ? [[userId, cause] as const] : [])))
    for (const [userId, cause] of causes) hintUser(userId, 'urgent', cause)
  }
}

export type Intake = ReturnType<typeof createIntake>

/** An event that waited, once more: its user may be known now. */
async function join(trx: Transaction, id: string): Promise<Outcome[]> {
  const event = await lockWaiting(trx, id)
  return event ? take(trx, event.channel, [event.signal], true) : []
}

/**
 * Oldest first by the sender's clock, whatever the order in the call. The locks are of those only to whom something may
 * happen: a crowd of notes must not keep SCIM waiting.
 */
async function take(
  trx: Transaction,
  channel: ChannelName,
  signals: readonly Recorded[],
  waits: boolean,
): Promise<Outcome[]> {
  const named = await resolveAll(trx, channel.directoryId, signals)
  const users = new Set(named.filter(({ signal }) => isWeighty(signal)).flatMap(({ who }) => userOf(who)))
  const locked = await lockUsers(trx, channel.directoryId, [...users])
  // Somebody's rows have been purged meanwhile.
  if (locked.length < users.size) throw new StartOver()
  const outcomes: Outcome[] = []
  for (const { signal, who } of named.toSorted((a, b) => timeOf(a.signal) - timeOf(b.signal))) {
    const { id, dedupeKey } = signal
    if (typeof who === 'string') outcomes.push({ id, dedupeKey, ...leave(signal, who, waits) })
    else if (isWeighty(signal)) outcomes.push(await apply(trx, channel, signal, who.userId))
    else outcomes.push({ id, dedupeKey, effect: 'recorded', userId: who.userId })
  }
  await settle(trx, outcomes)
  return outcomes
}

async function resolveAll(
  trx: Transaction,
  directoryId: string,
  signals: readonly Recorded[],
): Promise<Array<{ signal: Recorded; who: Named }>> {
  const named: Array<{ signal: Recorded; who: Named }> = []
  const learned: Array<Pair & { userId: string }> = []
  for (const signal of signals) {
    const who = await resolveUser(trx, directoryId, signal.subject)
    if (typeof who === 'object')
      learned.push(...who.learns.map(({ issuer, value }) => ({ issuer, value, userId: who.userId })))
    named.push({ signal, who })
  }
  await learn(trx, directoryId, learned)
  for (const { signal, who } of named)
    if (signal.isRecycled && typeof who === 'object') await forgetLinks(trx, who.userId, { isSame: true })
  return named
}

function userOf(who: Named): string[] {
  return typeof who === 'object' ? [who.userId] : []
}

/** Whether it has to be weighed against how its user stands: all else is only written down. */
function isWeighty(signal: Signal): boolean {
  return cuts(signal) || signal.kind === 'enabled'
}

function timeOf({ occurredAt }: Signal): number {
  return occurredAt?.getTime() ?? Number.MAX_SAFE_INTEGER
}

/** A signal of nobody that is known. */
function leave(signal: Recorded, who: 'nobody' | 'several', waits: boolean): Pick<Outcome, 'effect' | 'subject'> {
  if (signal.subject.length === 0) return { effect: 'recorded' }
  if (who === 'several') return { effect: 'ambiguous' }
  return waits && cuts(signal) ? { effect: 'waiting', subject: signal.subject } : { effect: 'unmatched' }
}

/** Under the user's lock. An event is received now, after whatever the lock was waited for, but one that had to wait. */
async function apply(
  trx: Transaction,
  channel: ChannelName,
  { waitedSince, ...signal }: Recorded,
  userId: string,
): Promise<Outcome> {
  const { now, lastCut, ...standing } = await readStanding(trx, userId)
  const { occurredAt: claimed, ...rest } = signal
  // A clock that is ahead of ours makes nothing happen later than now.
  const occurredAt = claimed && claimed < now ? claimed : undefined
  const effect = decide({ ...rest, ...(occurredAt && { occurredAt }) }, standing, waitedSince ?? now)
  const outcome = {
    id: signal.id,
    dedupeKey: signal.dedupeKey,
    effect,
    userId,
    isReceivedNow: waitedSince === undefined,
  }
  if (effect === 'confirmed') {
    if (standing.isHeld || !standing.isActive) await voidMeanwhile(trx, userId)
    return { ...outcome, eventId: lastCut }
  }
  if (effect === 'recorded') return { ...outcome, asks: signal.kind === 'enabled' && standing.isHeld }

  const hold = effect === 'cut' && holds(signal.kind)
  const cause: Cause = { source: sourceOf(channel.kind), actor: channel.kind, ...(occurredAt && { occurredAt }) }
  const [eventId] = await touchUsers(
    trx,
    [userId],
    {
      // What was overtaken took nothing from the person but what was issued before.
      kind: hold && holds(signal.kind) ? signal.kind : 'sessions_revoked',
      cut: true,
      hold,
      urgent: true,
      detail: { operation: signal.type, signal: signal.id, effect },
    },
    cause,
  )
  if (hold && occurredAt) await askAfterwards(trx, userId, occurredAt)
  return { ...outcome, eventId: eventId!, cause, asks: hold && isOldNews(occurredAt, standing) }
}

/** A statement of SCIM's may have been rendered so long before it was sent, and clocks differ. */
const oldByMs = 5 * 60_000

/** A catch-up may replay a leave that has been undone: whoever can be asked is. */
function isOldNews(occurredAt: Date | undefined, { statedActiveAt }: Standing): boolean {
  return (
    occurredAt !== undefined &&
    statedActiveAt !== undefined &&
    occurredAt.getTime() + oldByMs < statedActiveAt.getTime()
  )
}

/** An "enabled" that overtook this event on its way ended no hold, for there was none: now there is something to ask. */
async function askAfterwards(trx: Transaction, userId: string, occurredAt: Date): Promise<void> {
  await sql`
    update inbound_event set ask_due_at = clock_timestamp()
    where user_id = ${userId}::uuid and kind = 'enabled' and occurred_at > ${occurredAt}`.execute(trx)
}
