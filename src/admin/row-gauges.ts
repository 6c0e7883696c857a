import { sql } from 'kysely'
import { Counter, Gauge, Registry } from 'prom-client'
import type { Database } from '../db/pool.ts'
import { lastEvent } from '../directory/channel-pulse.ts'
import { countGrants, countUsers } from './stats.ts'

export interface OpenAlarm {
  readonly kind: string
  readonly severity: string
}

/**
 * What the rows say, in Prometheus' text format: read for each scrape anew, and the same from every process, so one asks
 * any of them and adds nothing up. `alarms` reads those that are open.
 *
 * Rejects when the database does not answer: what was true a while ago must not look as if it still were.
 */
export async function readRowGauges({
  db,
  alarms,
}: {
  db: Database
  alarms?: (() => Promise<readonly OpenAlarm[]>) | undefined
}): Promise<string> {
  const [users, grants, lanes, channels, raised] = await Promise.all([
    countUsers(db),
    countGrants(db),
    readLanes(db),
    readChannels(db),
    alarms?.() ?? [],
  ])
  const registry = new Registry()
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge<Label>({ registers: [registry], name, help, labelNames })

  gauge('tenure_users_active', 'Users whom their identity provider says are active').set(users.active)
  gauge('tenure_users_behind', 'Users of whom something has yet to be decided').set(users.behind)
  gauge('tenure_users_held', 'Users cut by an event that SCIM has not confirmed').set(users.held)
  gauge('tenure_grants_open', 'Grants that are neither closed nor expired').set(grants.open)

  const perLane = ['server', 'lane'] as const
  const pending = gauge('tenure_deliveries_pending', 'Deliveries yet to arrive, parked ones left out', perLane)
  const due = gauge(
    'tenure_deliveries_due',
    'Pending deliveries whose time has come and that nobody is sending',
    perLane,
  )
  const inFlight = gauge('tenure_deliveries_in_flight', 'Deliveries being sent', perLane)
  const parked = gauge('tenure_deliveries_parked', 'Deliveries whose retries are used up', perLane)
  const oldest = gauge(
    'tenure_deliveries_oldest_undelivered_seconds',
    'For how long the change that has waited longest has waited; 0: none waits',
    perLane,
  )
  const paused = gauge('tenure_server_paused', '1 while only revocations are sent', ['server'])
  const failures = gauge('tenure_server_failures_in_a_row', 'Sends since the last answer', ['server'])
  for (const { server, lane, ...row } of lanes) {
    pending.set({ server, lane }, row.pending)
    due.set({ server, lane }, row.due)
    inFlight.set({ server, lane }, row.inFlight)
    parked.set({ server, lane }, row.parked)
    oldest.set({ server, lane }, row.oldest)
    paused.set({ server }, row.paused ? 1 : 0)
    failures.set({ server }, row.failures)
  }

  const perChannel = ['directory', 'channel'] as const
  const lastEvent = gauge('tenure_channel_last_event_age_seconds', 'Since something came over the channel', perChannel)
  const waiting = gauge(
    'tenure_channel_events_waiting',
    'Events that would cut somebody whom SCIM has not told of',
    perChannel,
  )
  const refusals = new Counter({
    registers: [registry],
    name: 'tenure_channel_refusals_total',
    help: 'Calls to a channel that were turned away',
    labelNames: [...perChannel, 'reason'],
  })
  for (const { directory, channel, ...row } of channels) {
    if (row.lastEventAge !== null) lastEvent.set({ directory, channel }, row.lastEventAge)
    waiting.set({ directory, channel }, row.waiting)
    for (const [reason, count] of Object.entries(row.refusals)) refusals.inc({ directory, channel, reason }, count)
  }

  const open = gauge('tenure_alarms', 'Alarms that are open', ['kind', 'severity'])
  for (const { kind, severity } of raised) open.inc({ kind, severity })
  return registry.metrics()
}

interface LaneRow {
  server: string
  lane: 'urgent' | 'normal'
  paused: boolean
  failures: number
  pending: number
  due: number
  inFlight: number
  parked: number
  oldest: number
}

/** Every living server with both lanes, so that a series is there before something waits; deleted ones while they have yet to hear of it. */
async function readLanes(db: Database): Promise<LaneRow[]> {
  const { rows } = await sql<LaneRow>`
    select s.id as server, l.lane, s.paused_at is not null as paused, s.failures_in_a_row as failures,
      count(*) filter (where d.due_at is not null and d.parked_at is null) as pending,
      count(*) filter (where d.due_at <= clock_timestamp() and d.parked_at is null
        and (d.leased_until is null or d.leased_until <= clock_timestamp())) as due,
      count(*) filter (where d.leased_until > clock_timestamp()) as "inFlight",
      count(*) filter (where d.parked_at is not null) as parked,
      coalesce(extract(epoch from clock_timestamp() - min(d.behind_since)), 0)::float8 as oldest
    from server s cross join (values ('urgent', true), ('normal', false)) as l (lane, urgent)
      left join delivery d on d.server_id = s.id and d.urgent = l.urgent
        and (d.due_at is not null or d.parked_at is not null or d.leased_until is not null)
    where s.deleted_at is null or d.id is not null
    group by s.id, l.lane`.execute(db)
  return rows
}

interface ChannelRow {
  directory: string
  channel: string
  /** In seconds. */
  lastEventAge: number | null
  waiting: number
  refusals: Record<string, number>
}

async function readChannels(db: Database): Promise<ChannelRow[]> {
  const { rows } = await sql<ChannelRow>`
    select c.directory_id as directory, c.kind as channel,
      extract(epoch from clock_timestamp() - ${lastEvent})::float8 as "lastEventAge",
      (select count(*) from inbound_event e
       where e.waits_until is not null and e.directory_id = c.directory_id and e.channel_kind = c.kind) as waiting,
      (select coalesce(jsonb_object_agg(r.reason, r.count), '{}') from channel_refusal r
       where r.directory_id = c.directory_id and r.channel_kind = c.kind) as refusals
    from channel c join directory d on d.id = c.directory_id and d.deleted_at is null`.execute(db)
  return rows
}
