import { type RawBuilder, sql } from 'kysely'
import type { Transaction } from '../db/pool.ts'
import { type Cause, touchUsers } from '../directory/state.ts'

/**
 * Closes every good grant `g` that `where` selects, for ever, each with its ledger entry; converge then puts them into a
 * new generation, so that their servers are told. Its users keep what the rules give.
 *
 * Takes the locks of the users; the caller holds none that come after (src/directory/locks.ts).
 *
 * @param detail of the lifecycle event: ids only
 * @returns the users whose grants were closed, for their hints after the commit
 */
export async function closeGrants(
  trx: Transaction,
  where: RawBuilder<unknown>,
  detail: Readonly<Record<string, string>>,
  cause: Cause,
): Promise<string[]> {
  await sql`
    select 1 from user_state
    where user_id in (select g.user_id from access_grant g where g.closed_at is null and ${where})
    order by user_id for no key update`.execute(trx)
  const { rows } = await sql<{ user_id: string }>`
    with closed as (
      update access_grant g set closed_at = clock_timestamp(), closed_reason = 'revoked'
      from user_state s
      where s.user_id = g.user_id and g.closed_at is null and g.epoch = s.epoch and g.expires_at > clock_timestamp()
        and ${where}
      returning g.*
    ), entry as (
      insert into ledger_entry (kind, directory_id, user_id, server_id, grant_id, epoch, detail)
      select 'closed', directory_id, user_id, server_id, id, epoch,
        jsonb_build_object('reason', closed_reason, 'closedAt', closed_at, 'actor', ${cause.actor}::text)
      from closed
    )
    select distinct user_id from closed`.execute(trx)
  const users = rows.map(({ user_id }) => user_id)
  await touchUsers(trx, users, { kind: 'changed', cut: false, urgent: true, detail }, cause)
  return users
}
