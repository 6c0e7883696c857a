import { type RawBuilder, sql } from 'kysely'
import type { Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { EventKind, EventSource } from '../db/tables.ts'
import { newId } from '../ids.ts'

/** Who or what brought a change in: recorded with the lifecycle event, ids only. */
export interface Cause {
  readonly source: EventSource
  /** A token's id, an admin key's name. */
  readonly actor: string
  readonly requestId?: string
  /** When it happened by the source's own clock; absent: now. */
  readonly occurredAt?: Date
}

export interface Touch {
  readonly kind: EventKind
  /** Raises the epoch: every grant issued before is void from this commit on. */
  readonly cut: boolean
  /** Whoever is cut holds nothing from then on until SCIM speaks: only with `cut`. */
  readonly hold?: boolean
  /** Something may be lost: the urgent lane at both hops. */
  readonly urgent: boolean
  /** Ids only: the operation, the group. */
  readonly detail: Readonly<Record<string, string>>
}

/** How long a hint may take before the sweep gives it again. */
const graceSeconds = 5

/**
 * Marks users as changed: version, epoch, lifecycle event and, for a cut, its ledger entry, in one statement. The only
 * writer of `user_state` besides converge's marks.
 *
 * The caller holds the users' locks, so `clock_timestamp()` is later than anything done to them before.
 *
 * @returns the ids of the lifecycle events, in the order of `userIds`
 */
export async function touchUsers(
  trx: Transaction,
  userIds: readonly string[],
  touch: Touch,
  cause: Cause,
): Promise<string[]> {
  if (userIds.length === 0) return []
  const events = userIds.map(() => newId('evt'))
  const given =
    userIds.length === 1
      ? sql`(values (${userIds[0]}::uuid, ${events[0]}::text))`
      : sql`unnest(${userIds}::uuid[], ${events}::text[])`
  await sql`${prepared}
    with touched as (
      update user_state s set
        version = s.version + 1,
        ${raiseEpoch(touch.cut)} ${beginHold(touch.hold ?? false, cause)}
        urgent = s.urgent or ${touch.urgent},
        behind_since = coalesce(s.behind_since, clock_timestamp()),
        converge_due_at = least(s.converge_due_at, clock_timestamp() + make_interval(secs => ${graceSeconds}))
      from ${given} as given (user_id, event_id)
      where s.user_id = given.user_id
      returning s.user_id, s.directory_id, s.epoch, s.not_before, given.event_id
    ), event as (
      insert into lifecycle_event (id, directory_id, user_id, kind, source, occurred_at, recorded_at, epoch, detail)
      select event_id, directory_id, user_id, ${touch.kind}, ${cause.source},
        coalesce(${cause.occurredAt ?? null}::timestamptz, clock_timestamp()),
        ${touch.cut ? sql`not_before` : sql`clock_timestamp()`},
        ${touch.cut ? sql`epoch` : sql`null`}, ${JSON.stringify(detailOf(touch, cause))}::jsonb
      from touched
    )
    insert into ledger_entry (kind, directory_id, user_id, event_id, epoch, recorded_at)
    select 'cut', directory_id, user_id, event_id, epoch, not_before from touched where ${touch.cut}`.execute(trx)
  return events
}

/**
 * Voids what was issued to somebody after the cut that left them nothing: a token that its server tells of late, an ID-JAG
 * that is yet to be used. It counts once they are taken back. No epoch, since nothing is open. The caller holds the user's
 * lock.
 */
export async function voidMeanwhile(trx: Transaction, userId: string): Promise<void> {
  await sql`${prepared} update user_state set not_before = clock_timestamp() where user_id = ${userId}::uuid`.execute(
    trx,
  )
}

function raiseEpoch(cut: boolean): RawBuilder<unknown> {
  return cut ? sql`epoch = s.epoch + 1, not_before = clock_timestamp(),` : sql``
}

function beginHold(hold: boolean, { source }: Cause): RawBuilder<unknown> {
  return hold ? sql`hold_source = ${source}, hold_at = clock_timestamp(),` : sql``
}

/** The event as it is kept: operation, actor and request beside what the caller gave. */
export function detailOf(touch: Pick<Touch, 'detail'>, cause: Cause): Record<string, string> {
  return { ...touch.detail, actor: cause.actor, ...(cause.requestId ? { request: cause.requestId } : {}) }
}
