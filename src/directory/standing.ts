import { sql } from 'kysely'
import type { Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { Standing } from '../lifecycle/signals.ts'

export interface Stands extends Standing {
  /** The database's time, under the lock. */
  readonly now: Date
  /** Id of the latest lifecycle event that cut. */
  readonly lastCut: string | null
}

/** How a user stands whose lock the caller holds. */
export async function readStanding(trx: Transaction, userId: string): Promise<Stands> {
  const { rows } = await sql<{
    isActive: boolean
    isDeleted: boolean
    isHeld: boolean
    statedActiveAt: Date | null
    lastCutOccurredAt: Date | null
    lastLeaveOccurredAt: Date | null
    lastCut: string | null
    now: Date
  }>`${prepared}
    select u.active as "isActive", u.deleted_at is not null as "isDeleted", s.hold_at is not null as "isHeld",
      s.stated_active_at as "statedActiveAt", past."lastCutOccurredAt", past."lastLeaveOccurredAt", past."lastCut", clock_timestamp() as now
    from user_state s join scim_user u on u.id = s.user_id
    cross join lateral (
      select max(e.occurred_at) filter (where e.epoch is not null) as "lastCutOccurredAt",
        max(e.occurred_at) filter (where e.kind in ('left', 'suspended')) as "lastLeaveOccurredAt",
        (array_agg(e.id order by e.seq desc) filter (where e.epoch is not null))[1] as "lastCut"
      from lifecycle_event e
      where e.user_id = s.user_id and (e.epoch is not null or e.kind in ('left', 'suspended'))) past
    where s.user_id = ${userId}::uuid`.execute(trx)
  const { statedActiveAt, lastCutOccurredAt, lastLeaveOccurredAt, ...rest } = rows[0]!
  return {
    ...rest,
    statedActiveAt: statedActiveAt ?? undefined,
    lastCutOccurredAt: lastCutOccurredAt ?? undefined,
    lastLeaveOccurredAt: lastLeaveOccurredAt ?? undefined,
  }
}
