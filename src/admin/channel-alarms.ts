import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { readSilent } from '../directory/channel-pulse.ts'

/** Of its own work, which is tried again by itself: an hour's outage of a provider is not worth it. */
const failingSeconds = 600
const waitingSeconds = 3_600

/** As alarms.ts shows it. */
interface ChannelAlarm {
  readonly kind:
    | 'channel_silent'
    | 'channel_failing'
    | 'channel_refusing'
    | 'channel_old_secret'
    | 'event_ambiguous'
    | 'events_waiting'
  readonly severity: 'critical' | 'warning'
  readonly subject: { readonly directory: string; readonly channel: string }
  readonly since: Date
  readonly count: number
  readonly message: string
}

interface Found {
  readonly directory: string
  readonly channel: string
  readonly since: Date
  readonly count: number
  readonly detail?: string
}

/** What is wrong with event channels now. */
export async function readChannelAlarms(db: Database): Promise<ChannelAlarm[]> {
  const found = await Promise.all([silent(db), failing(db), refusing(db), oldSecrets(db), ambiguous(db), waiting(db)])
  return found.flat()
}

async function silent(db: Database): Promise<ChannelAlarm[]> {
  const rows = await readSilent(db)
  return rows.map(({ directoryId: directory, kind: channel, silentSince: since, habitMs }) => ({
    kind: 'channel_silent',
    severity: 'warning',
    subject: { directory, channel },
    since,
    count: 1,
    message: `Nothing has come over ${channel} of ${directory}, which is never silent for much over ${hours(habitMs)}: leavers may be told by SCIM alone`,
  }))
}

async function failing(db: Database): Promise<ChannelAlarm[]> {
  const rows = await read(
    db,
    sql`
      select c.directory_id as directory, c.kind as channel, 1 as count,
        coalesce(c.work_failing_since, (c.state #>> '{streamStatus,at}')::timestamptz, c.worked_at, c.changed_at) as since,
        case when stream.status in ('paused', 'disabled') then 'its stream is ' || stream.status else c.work_error end as detail
      from channel c join directory d on d.id = c.directory_id and d.deleted_at is null
        cross join lateral (
          select coalesce(c.state #>> '{streamStatus,status}', c.state #>> '{stream,status}') as status) stream
      where c.work_failing_since < clock_timestamp() - make_interval(secs => ${failingSeconds})
        or stream.status in ('paused', 'disabled')`,
  )
  return rows.map(({ directory, channel, since, count, detail }) => ({
    kind: 'channel_failing',
    severity: 'critical',
    subject: { directory, channel },
    since,
    count,
    message: `${channel} of ${directory} does not tell all that happens: ${detail}`,
  }))
}

/**
 * Whoever speaks is believed to be the sender, and all that was said since the last event was refused: a setting is wrong on
 * one side. Wrong credentials do not count, which anybody can show.
 */
async function refusing(db: Database): Promise<ChannelAlarm[]> {
  const rows = await read(
    db,
    sql`
      select r.directory_id as directory, r.channel_kind as channel, min(r.first_at) as since, sum(r.count)::int as count,
        string_agg(r.reason, ', ' order by r.reason) as detail
      from channel_refusal r join directory d on d.id = r.directory_id and d.deleted_at is null
      where r.reason <> 'credential' and r.last_at > clock_timestamp() - interval '1 day'
        and r.last_at > coalesce((
          select received_at from inbound_event e where e.directory_id = r.directory_id and e.channel_kind = r.channel_kind
          order by received_at desc limit 1), '-infinity')
      group by 1, 2`,
  )
  return rows.map(({ directory, channel, since, count, detail }) => ({
    kind: 'channel_refusing',
    severity: 'critical',
    subject: { directory, channel },
    since,
    count,
    message: `All that has come over ${channel} of ${directory} since its last event was refused (${detail}): its settings here and there differ`,
  }))
}

/** A secret that was to be replaced, and whose holder still is who speaks. */
async function oldSecrets(db: Database): Promise<ChannelAlarm[]> {
  const rows = await read(
    db,
    sql`
      select o.directory_id as directory, o.channel_kind as channel, min(n.created_at) as since, 1 as count
      from channel_secret o
        join channel_secret n on n.directory_id = o.directory_id and n.channel_kind = o.channel_kind and n.purpose = o.purpose and n.place < o.place
        join directory d on d.id = o.directory_id and d.deleted_at is null
      where o.purpose = 'inbound' and o.last_used_at > n.created_at and o.last_used_at > clock_timestamp() - interval '1 day'
      group by 1, 2`,
  )
  return rows.map(({ directory, channel, since, count }) => ({
    kind: 'channel_old_secret',
    severity: 'warning',
    subject: { directory, channel },
    since,
    count,
    message: `The sender of ${channel} of ${directory} still shows the older of two secrets: enter the new one there, then set it alone here`,
  }))
}

async function ambiguous(db: Database): Promise<ChannelAlarm[]> {
  const rows = await read(
    db,
    sql`
      select e.directory_id as directory, e.channel_kind as channel, min(e.received_at) as since, count(*)::int as count
      from directory d join inbound_event e on e.directory_id = d.id and e.effect = 'ambiguous'
        and e.received_at > clock_timestamp() - interval '7 days'
      where d.deleted_at is null group by 1, 2`,
  )
  return rows.map(({ directory, channel, since, count }) => ({
    kind: 'event_ambiguous',
    severity: 'warning',
    subject: { directory, channel },
    since,
    count,
    message: `${count} event${count === 1 ? '' : 's'} of ${channel} of ${directory} named several people in the last week, so nothing was done: look whom, and cut by hand`,
  }))
}

async function waiting(db: Database): Promise<ChannelAlarm[]> {
  const rows = await read(
    db,
    sql`
      select e.directory_id as directory, e.channel_kind as channel, min(e.received_at) as since, count(*)::int as count
      from inbound_event e join directory d on d.id = e.directory_id and d.deleted_at is null
      where e.waits_until is not null and e.received_at < clock_timestamp() - make_interval(secs => ${waitingSeconds}) group by 1, 2`,
  )
  return rows.map(({ directory, channel, since, count }) => ({
    kind: 'events_waiting',
    severity: 'warning',
    subject: { directory, channel },
    since,
    count,
    message: `${count} event${count === 1 ? '' : 's'} of ${channel} of ${directory} would cut somebody whom SCIM has not told of: see failed jobs of kind event`,
  }))
}

async function read(db: Database, query: ReturnType<typeof sql>): Promise<Found[]> {
  return (await (query as ReturnType<typeof sql<Found>>).execute(db)).rows
}

function hours(ms: number): string {
  const hours = Math.max(1, Math.round(ms / 3_600_000))
  return hours === 1 ? 'an hour' : `${hours} hours`
}
