import { sql } from 'kysely'
import type { Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { isAmong, isOf } from './by-key.ts'

/**
 * The order in which locks are taken, everywhere: an MCP client's row, the directory's membership lock, groups by id,
 * users by id, entitlements, deliveries, grants. Each lock is a statement of its own, and what it protects is read by a later one:
 * in READ COMMITTED a row that was waited for is read anew, and nothing joined to it is.
 */

/**
 * Held shared by every write of a membership, exclusively by whatever changes many users at a stroke: a nesting edge, a
 * rename or a deletion of a group. Taken first of all.
 */
export async function lockMemberships(
  trx: Transaction,
  directoryId: string,
  mode: 'shared' | 'exclusive',
): Promise<void> {
  const key = sql`hashtextextended(${`tenure memberships ${directoryId}`}, 0)`
  await (mode === 'shared'
    ? sql`${prepared} select pg_advisory_xact_lock_shared(${key})`
    : sql`select pg_advisory_xact_lock(${key})`
  ).execute(trx)
}

/** @returns those of `ids` that are living groups of the directory */
export async function lockGroups(trx: Transaction, directoryId: string, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`${prepared}
    select g.id from scim_group g
    where ${isAmong(ids, 'g.id')} and ${isOf(directoryId, 'g')} and g.deleted_at is null
    order by g.id for no key update`.execute(trx)
  return rows.map(({ id }) => id)
}

/** The lock of everything about these users. @returns those of `ids` that are users of the directory */
export async function lockUsers(trx: Transaction, directoryId: string, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ user_id: string }>`${prepared}
    select s.user_id from user_state s
    where ${isAmong(ids, 's.user_id')} and ${isOf(directoryId, 's')}
    order by s.user_id for no key update`.execute(trx)
  return rows.map(({ user_id }) => user_id)
}
