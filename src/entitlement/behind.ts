import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import type { Lane } from '../queue/catalog.ts'

export interface BehindUser {
  readonly userId: string
  readonly lane: Lane
}

/**
 * Users who are behind and whose hint is due again: changed ones first, leavers before all; then, behind on policy only,
 * those with open grants before the rest. No policy gives an inactive user anything, so a change of policy is none of
 * theirs. Taking one puts its next turn `againSeconds` off, so that a backlog is not hinted anew at every tick.
 */
export async function takeBehind(
  db: Database,
  options: { limit: number; againSeconds: number; directoryId?: string },
): Promise<BehindUser[]> {
  const only = options.directoryId === undefined ? sql`true` : sql`s.directory_id = ${options.directoryId}`
  const { rows } = await sql<BehindUser & { rank: number }>`
    with own as materialized (
      select s.user_id, 0 as rank from user_state s
      where s.version > s.converged_version and s.converge_due_at <= clock_timestamp() and ${only}
      order by s.urgent desc, s.converge_due_at limit ${options.limit}
    ), policy as materialized (
      select s.user_id, case when exists (
        select from access_grant g where g.user_id = s.user_id and g.closed_at is null and g.expires_at > clock_timestamp()) then 1 else 2 end as rank
      from directory d
        join user_state s on s.directory_id = d.id and s.converged_policy_version < d.policy_version
        join scim_user u on u.id = s.user_id and u.active and u.deleted_at is null
      where (s.converge_due_at is null or s.converge_due_at <= clock_timestamp()) and ${only}
      order by rank limit ${options.limit}
    ), taken as (
      select s.user_id, chosen.rank from user_state s
        join (select user_id, min(rank) as rank from (select * from own union all select * from policy) c group by user_id) chosen
          on chosen.user_id = s.user_id
      order by s.user_id for no key update of s skip locked
    )
    update user_state s set converge_due_at = clock_timestamp() + make_interval(secs => ${options.againSeconds})
    from taken where s.user_id = taken.user_id
    returning s.user_id as "userId", case when s.urgent then 'urgent' else 'normal' end as lane, taken.rank`.execute(db)
  return rows.toSorted((a, b) => a.rank - b.rank).map(({ userId, lane }) => ({ userId, lane }))
}

/** What a replay of users did, or would do. */
export interface ReplayedUsers {
  /** They have another turn now because of it. */
  readonly requeued: readonly BehindUser[]
  /** How many have one coming already: by an earlier replay, say. */
  readonly alreadyDue: number
  /** How many have nothing to be decided. */
  readonly converged: number
}

/**
 * Gives users that could not be converged another turn now: all of them, those that failed since a time, or one by its
 * id whatever its state. Of several replays at once, one counts a user as requeued. `dryRun` counts and changes nothing.
 */
export async function replayUsers(
  db: Database,
  query: { userId?: string; since?: Date; dryRun?: boolean },
): Promise<ReplayedUsers> {
  const selected = sql`
    select s.user_id as "userId", case when s.urgent then 'urgent' else 'normal' end as lane,
      case when s.converge_error is not null and s.converge_attempts > 0 then 'requeued'
           when s.converge_error is not null or s.version > s.converged_version
             or (u.active and u.deleted_at is null and s.converged_policy_version < d.policy_version) then 'alreadyDue'
           else 'converged' end as state
    from user_state s join scim_user u on u.id = s.user_id join directory d on d.id = s.directory_id
    where ${query.userId === undefined ? sql`s.converge_error is not null` : sql`s.user_id = ${query.userId}::uuid`}
      and ${query.since === undefined ? sql`true` : sql`s.converge_failed_at >= ${query.since}`}`
  const statement = sql<BehindUser & { state: 'requeued' | 'alreadyDue' | 'converged' }>`
    with chosen as materialized (
      ${selected} order by s.user_id for no key update of s -- the order in which users are locked
    ), requeued as (
      update user_state s set converge_due_at = clock_timestamp(), converge_attempts = 0
      from chosen c where s.user_id = c."userId" and c.state = 'requeued'
    )
    select "userId", lane, state from chosen`
  const { rows } = await (query.dryRun
    ? sql<BehindUser & { state: string }>`${selected}`.execute(db)
    : retrying(() => statement.execute(db)))
  return {
    requeued: rows.filter(({ state }) => state === 'requeued').map(({ userId, lane }) => ({ userId, lane })),
    alreadyDue: rows.filter(({ state }) => state === 'alreadyDue').length,
    converged: rows.filter(({ state }) => state === 'converged').length,
  }
}
