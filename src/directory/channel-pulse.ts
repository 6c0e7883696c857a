import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import type { ChannelName } from './channel-name.ts'

/**
 * Of a channel `c`, the time of its last event before that time. The order is the whole key of the index, so that no other
 * index is taken: by the time alone, the events of a busy channel would all be read to find none of a quiet one.
 */
export function lastBefore(time: RawBuilder<unknown>): RawBuilder<Date | null> {
  return sql`(
    select p.received_at from (
      select directory_id, channel_kind, received_at from inbound_event
      where (directory_id, channel_kind, received_at) < (c.directory_id, c.kind, ${time})
      order by directory_id desc, channel_kind desc, received_at desc limit 1) p
    where p.directory_id = c.directory_id and p.channel_kind = c.kind)`
}

function firstFrom(time: RawBuilder<unknown>): RawBuilder<Date | null> {
  return sql`(
    select f.received_at from (
      select directory_id, channel_kind, received_at from inbound_event
      where (directory_id, channel_kind, received_at) >= (c.directory_id, c.kind, ${time})
      order by directory_id, channel_kind, received_at limit 1) f
    where f.directory_id = c.directory_id and f.channel_kind = c.kind)`
}

/** The time of the last event of a channel `c`. */
export const lastEvent = lastBefore(sql`'infinity'::timestamptz`)

/**
 * When a channel `c` was last heard, and by its own habit whether it should have been heard since: `last.at`, `pulse.habit`
 * (interval), `pulse.quiet_since`, and `pulse.silent_since` when that is too long ago. To stand in a `from` behind
 * `channel c`.
 *
 * The habit is the longest time without an event in the fortnight before the last one, so that what is quiet over every
 * weekend may be. Only the first event of each hour is looked up: a busy channel costs no more than 336 steps in the index.
 * Nobody says of a young channel what its habit is. A global token revocation comes when somebody is logged out, which
 * may be never.
 */
export const pulse = sql`
  cross join lateral (select ${lastEvent} as at) last
  cross join lateral (
    with recursive hour as (
      select ${firstFrom(sql`last.at - interval '14 days'`)} as at, null::interval as gap
      union all
      select next.at, next.at - ${lastBefore(sql`next.at`)}
      from hour cross join lateral (select ${firstFrom(sql`date_trunc('hour', hour.at) + interval '1 hour'`)} as at) next
      where next.at is not null
    )
    select case when c.kind = 'global-token-revocation' then null
      when min(hour.at) <= last.at - interval '7 days' then max(hour.gap)
      else greatest(max(hour.gap), interval '1 day') end as habit
    from hour) habitual
  cross join lateral (
    select habitual.habit, greatest(last.at, c.created_at) as quiet_since,
      case when habitual.habit is not null
          and clock_timestamp() - greatest(last.at, c.created_at) > greatest(habitual.habit * 1.5, interval '1 hour')
        then greatest(last.at, c.created_at) end as silent_since) pulse`

/** Channels that have been silent for longer than is their habit. */
export async function readSilent(
  executor: Executor,
): Promise<Array<ChannelName & { silentSince: Date; habitMs: number }>> {
  const { rows } = await sql<ChannelName & { silentSince: Date; habitMs: number }>`
    select c.directory_id as "directoryId", c.kind, pulse.silent_since as "silentSince",
      extract(epoch from pulse.habit)::float8 * 1000 as "habitMs"
    from (
      select c.* from channel c join directory d on d.id = c.directory_id and d.deleted_at is null
      -- Whoever was heard within the hour is not silent, whatever its habit.
      where coalesce(${lastEvent} < clock_timestamp() - interval '1 hour', true)) c ${pulse}
    where pulse.silent_since is not null order by 1, 2`.execute(executor)
  return rows
}
