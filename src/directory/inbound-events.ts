import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { ChannelKind, SignalEffect } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { Identifier, Signal } from '../lifecycle/signals.ts'
import type { ChannelName } from './channel-name.ts'
import { withFolded } from './identity.ts'
import type { Cause } from './state.ts'

/** For so long an event waits for a user whom it names to become known. */
const waitingDays = 7

/** A signal with its row. `waitedSince`: when it was received, if it had to wait. */
export interface Recorded extends Signal {
  readonly id: string
  readonly waitedSince?: Date
}

export interface Outcome {
  readonly id: string
  readonly dedupeKey: string
  readonly effect: SignalEffect
  readonly userId?: string
  /** The lifecycle event that it became, or that it confirms. */
  readonly eventId?: string | null
  /** While it waits. */
  readonly subject?: readonly Identifier[]
  /** It was weighed under its user's lock. */
  readonly isReceivedNow?: boolean
  /** The sender is to be asked how the user stands. */
  readonly asks?: boolean
  /** Of what was cut. */
  readonly cause?: Cause
}

/**
 * Writes down what is new of these, and nothing else counts. In the order of their keys, so that two calls with the same
 * events wait for each other and never in a circle.
 */
export async function record(trx: Transaction, channel: ChannelName, signals: readonly Signal[]): Promise<Recorded[]> {
  const byHash = new Map(signals.toReversed().map((signal) => [hashOf(signal.dedupeKey), signal]))
  if (byHash.size === 0) return []
  const rows = [...byHash]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([hash, signal]) => ({ hash, signal, id: newId('inb') }))
  const column = <T>(pick: (row: (typeof rows)[number]) => T) => rows.map(pick)
  const { rows: fresh } = await sql<{ id: string }>`${prepared}
    insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, occurred_at, effect, detail)
    select id, ${channel.directoryId}, ${channel.kind}, decode(hash, 'hex'), type, kind, occurred_at, 'recorded', detail
    from unnest(${column(({ id }) => id)}::text[], ${column(({ hash }) => hash)}::text[], ${column(({ signal }) => signal.type)}::text[],
      ${column(({ signal }) => signal.kind)}::text[], ${column(({ signal }) => signal.occurredAt?.toISOString() ?? null)}::timestamptz[],
      ${column(({ signal }) => JSON.stringify(signal.detail ?? {}))}::jsonb[])
      as given (id, hash, type, kind, occurred_at, detail)
    on conflict (directory_id, channel_kind, dedupe_hash) do nothing
    returning id`.execute(trx)
  const isFresh = new Set(fresh.map(({ id }) => id))
  return rows.filter(({ id }) => isFresh.has(id)).map(({ signal, id }) => ({ ...signal, id }))
}

/** What became of an event that was told before, with the ids that came with it. */
export async function readRecorded(
  db: Database,
  { directoryId, kind }: ChannelName,
  dedupeKey: string,
): Promise<{ effect: SignalEffect; detail: Readonly<Record<string, string>> } | undefined> {
  const { rows } = await sql<{ effect: SignalEffect; detail: Record<string, string> }>`
    select effect, detail from inbound_event
    where directory_id = ${directoryId} and channel_kind = ${kind} and dedupe_hash = decode(${hashOf(dedupeKey)}, 'hex')`.execute(
    db,
  )
  return rows[0]
}

function hashOf(dedupeKey: string): string {
  return createHash('sha256').update(dedupeKey).digest('hex')
}

/** What became of each. */
export async function settle(trx: Transaction, outcomes: readonly Outcome[]): Promise<void> {
  const told = outcomes.filter(({ effect, userId }) => effect !== 'recorded' || userId !== undefined)
  if (told.length === 0) return
  const column = <T>(pick: (outcome: Outcome) => T) => told.map(pick)
  await sql`${prepared}
    update inbound_event e set effect = t.effect, user_id = t.user_id, event_id = t.event_id, subject = t.subject::jsonb,
      waits_until = case when t.effect = 'waiting' then e.received_at + make_interval(days => ${waitingDays}) end,
      received_at = case when t.is_received_now then clock_timestamp() else e.received_at end,
      ask_due_at = case when t.asks then clock_timestamp() end
    from unnest(${column(({ id }) => id)}::text[], ${column(({ effect }) => effect)}::text[], ${column(({ userId }) => userId ?? null)}::uuid[],
      ${column(({ eventId }) => eventId ?? null)}::text[], ${column(({ subject }) => (subject ? JSON.stringify(subject.map(withFolded)) : null))}::text[],
      ${column(({ isReceivedNow }) => isReceivedNow ?? false)}::boolean[], ${column(({ asks }) => asks ?? false)}::boolean[])
      as t (id, effect, user_id, event_id, subject, is_received_now, asks)
    where e.id = t.id`.execute(trx)
}

/** Undefined: it waits no more, or somebody else is at it. */
export async function lockWaiting(
  trx: Transaction,
  id: string,
): Promise<{ channel: ChannelName; signal: Recorded } | undefined> {
  const { rows } = await sql<{
    directoryId: string
    channelKind: ChannelKind
    type: string
    kind: Signal['kind']
    occurredAt: Date | null
    waitedSince: Date
    subject: Identifier[]
  }>`
    select directory_id as "directoryId", channel_kind as "channelKind", type, kind, occurred_at as "occurredAt",
      received_at as "waitedSince", subject
    from inbound_event where id = ${id} and waits_until is not null for no key update skip locked`.execute(trx)
  if (!rows[0]) return undefined
  const { directoryId, channelKind, occurredAt, ...rest } = rows[0]
  return {
    channel: { directoryId, kind: channelKind },
    signal: { ...rest, id, dedupeKey: id, ...(occurredAt && { occurredAt }) },
  }
}

/** Of those that have waited too long: nobody became known. */
export async function endWaiting(db: Database): Promise<void> {
  await sql`
    update inbound_event set effect = 'unmatched', waits_until = null, subject = null
    where id = any(array(
      select id from inbound_event where waits_until < statement_timestamp() for no key update skip locked))`.execute(
    db,
  )
}
