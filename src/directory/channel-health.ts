import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import type { ChannelName } from './channel-name.ts'
import { pulse } from './channel-pulse.ts'
import type { Refusal } from './refusals.ts'

/** How a channel is doing, out of what it told. */
export interface ChannelHealth {
  readonly lastEventAt: Date | null
  /** From when something happened, by the sender's clock, to its receipt: of the last day, at most the last thousand. */
  readonly lagMs: { readonly count: number; readonly p50: number | null; readonly p99: number | null }
  readonly firstSignal: FirstSignal
  /** Events that wait for their user to become known. */
  readonly waiting: number
  /** Calls that were turned away, since the channel's directory is there. */
  readonly refusals: Refusal[]
  /** The longest that it is silent when all is well; null: it has no habit. */
  readonly habitMs: number | null
  /** Since when nothing has come, when that is longer than its habit. */
  readonly silentSince: Date | null
}

/** Who tells first of what cuts somebody: this channel, another one or SCIM. Of the last 30 days. */
export interface FirstSignal {
  /** Cuts that this channel told first. */
  readonly first: number
  /** Of those, how many somebody else confirmed within a day, and by how much this channel was ahead of the next. */
  readonly confirmed: number
  readonly medianLeadMs: number | null
  /** Cuts that somebody else had told within the day before, and by how much this channel came behind. */
  readonly later: number
  readonly medianBehindMs: number | null
}

/** Of every channel that is set up, or of those of one directory, or of one. */
export async function readChannelHealth(
  executor: Executor,
  of: { readonly directoryId?: string; readonly kind?: string } = {},
): Promise<Array<ChannelName & ChannelHealth>> {
  const { rows } = await sql<ChannelName & Omit<ChannelHealth, 'refusals'> & { refusals: StoredRefusal[] }>`
    select c.directory_id as "directoryId", c.kind, last.at as "lastEventAt",
      ${ms(sql`pulse.habit`)} as "habitMs", pulse.silent_since as "silentSince",
      lag.summary as "lagMs", refused.list as refusals,
      jsonb_build_object('first', ahead.first, 'confirmed', ahead.confirmed, 'medianLeadMs', ahead.median,
        'later', behind.later, 'medianBehindMs', behind.median) as "firstSignal",
      (select count(*) from inbound_event e
       where e.waits_until is not null and e.directory_id = c.directory_id and e.channel_kind = c.kind) as waiting
    from channel c join directory d on d.id = c.directory_id and d.deleted_at is null
    ${pulse} ${lag} ${ahead} ${behind} ${refused}
    where ${of.directoryId === undefined ? sql`true` : sql`c.directory_id = ${of.directoryId}`}
      and ${of.kind === undefined ? sql`true` : sql`c.kind = ${of.kind}`}
    order by c.directory_id, c.kind`.execute(executor)
  return rows.map((row) => ({
    ...row,
    refusals: row.refusals.map(({ firstAt, lastAt, ...refusal }) => ({
      ...refusal,
      firstAt: new Date(firstAt),
      lastAt: new Date(lastAt),
    })),
  }))
}

type StoredRefusal = Omit<Refusal, 'firstAt' | 'lastAt'> & { firstAt: string; lastAt: string }

function ms(interval: RawBuilder<unknown>): RawBuilder<number | null> {
  return sql`round(extract(epoch from ${interval}) * 1000)::float8`
}

function percentile(fraction: number, interval: RawBuilder<unknown>): RawBuilder<number | null> {
  return ms(sql`percentile_cont(${sql.lit(fraction)}) within group (order by ${interval})`)
}

/** A clock that is ahead of ours makes no event early. */
const lag = sql`
  cross join lateral (
    select jsonb_build_object('count', count(*), 'p50', ${percentile(0.5, sql`late`)}, 'p99', ${percentile(0.99, sql`late`)}) as summary
    from (
      select greatest(e.received_at - e.occurred_at, interval '0') as late from (
        -- In the order of the whole key: see channel-pulse.ts.
        select received_at, occurred_at from inbound_event
        where (directory_id, channel_kind, received_at) > (c.directory_id, c.kind, clock_timestamp() - interval '1 day')
          and (directory_id, channel_kind, received_at) < (c.directory_id, c.kind, 'infinity'::timestamptz)
        order by directory_id desc, channel_kind desc, received_at desc limit 1000) e
      where e.occurred_at is not null) e) lag`

/** Cuts that it made, each with whoever confirmed it next: another channel, or SCIM, whose `left` of a held user cuts nothing. */
const ahead = sql`
  cross join lateral (
    select count(*) as first, count(lead) as confirmed, ${percentile(0.5, sql`lead`)} as median from (
      select case when next.at < cut.recorded_at + interval '1 day' then next.at - cut.recorded_at end as lead
      from inbound_event e join lifecycle_event cut on cut.id = e.event_id
      cross join lateral (select least(
        (select min(o.received_at) from inbound_event o
         where o.user_id = e.user_id and o.event_id = e.event_id and o.effect = 'confirmed' and o.channel_kind <> e.channel_kind),
        (select min(s.recorded_at) from lifecycle_event s
         where s.user_id = e.user_id and s.seq > cut.seq and s.source = 'scim' and s.kind = 'left' and s.epoch is null)) as at) next
      where e.directory_id = c.directory_id and e.channel_kind = c.kind and e.effect = 'cut'
        and e.received_at > clock_timestamp() - interval '30 days') e) ahead`

const behind = sql`
  cross join lateral (
    select count(*) as later, ${percentile(0.5, sql`late`)} as median from (
      select distinct on (e.event_id) e.received_at - cut.recorded_at as late
      from inbound_event e join lifecycle_event cut on cut.id = e.event_id
      where e.directory_id = c.directory_id and e.channel_kind = c.kind and e.effect = 'confirmed'
        and e.received_at > clock_timestamp() - interval '30 days'
        and e.received_at < cut.recorded_at + interval '1 day' and cut.source <> 'admin'
        and not exists (select from inbound_event o where o.user_id = e.user_id and o.event_id = e.event_id
          and o.effect = 'cut' and o.channel_kind = e.channel_kind)
      order by e.event_id, e.received_at) e) behind`

const refused = sql`
  cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('reason', r.reason, 'count', r.count, 'firstAt', r.first_at, 'lastAt', r.last_at)
      order by r.reason), '[]') as list
    from channel_refusal r where r.directory_id = c.directory_id and r.channel_kind = c.kind) refused`
