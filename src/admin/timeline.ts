import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { instant } from '../http/operation.ts'
import { expectedDeadBy } from '../ledger/grants.ts'
import { lagOf } from './channel-events.ts'

/** One thing that happened to a person. */
export const timelineItem = z
  .object({
    at: instant,
    kind: z
      .enum(['event', 'inbound', 'cut', 'entitled', 'granted', 'closed', 'attempt', 'delivered'])
      .meta({ description: '`inbound`: what an event channel told, when it took effect' }),
    ms: z.number().meta({ description: 'Since the item before' }),
    sinceEventMs: z.number().nullable().meta({ description: 'Since the last lifecycle event' }),
    server: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'TimelineItem' })

type TimelineItem = z.input<typeof timelineItem>

const mostItems = 1_000
/** Of what came over event channels and did nothing: every sign-in may be among it. */
const mostRecorded = 100

/** Events and how they came, cuts, entitlements, grants, attempts and deliveries of one person, in time order; the newest thousand. */
export async function readTimeline(db: Database, userId: string): Promise<TimelineItem[]> {
  const { rows } = await sql<Omit<TimelineItem, 'ms' | 'sinceEventMs'> & { us: number }>`
    select at, kind, server, detail, extract(epoch from at) * 1000 as us from (
      select recorded_at as at, 0 as rank, 'event' as kind, null as server, seq as tie,
        jsonb_build_object('id', id, 'kind', kind, 'source', source, 'occurredAt', occurred_at) || detail as detail
      from lifecycle_event where user_id = ${userId}
      union all
      select l.recorded_at, 1, l.kind, l.server_id, l.id,
        jsonb_strip_nulls(jsonb_build_object('event', l.event_id, 'grant', l.grant_id, 'delivery', l.delivery_id, 'generation', l.generation, 'epoch', l.epoch)) || l.detail
          || case when l.kind = 'closed' then jsonb_build_object('expectedDeadBy', ${expectedDeadBy}) else '{}' end
      from ledger_entry l left join access_grant g on l.kind = 'closed' and g.id = l.grant_id
      where l.user_id = ${userId}
      union all
      -- What ended access is told of after the event that it became.
      select coalesce(l.recorded_at, e.received_at), 1, 'inbound', null, 0,
        jsonb_build_object('id', e.id, 'channel', e.channel_kind, 'type', e.type, 'kind', e.kind, 'effect', e.effect,
          'occurredAt', e.occurred_at, 'receivedAt', e.received_at, 'lagMs', ${lagOf}, 'event', e.event_id)
      from inbound_event e left join lifecycle_event l on l.id = e.event_id and e.effect in ('cut', 'overtaken')
      where e.user_id = ${userId} and (e.effect <> 'recorded' or e.seq in (
        select seq from inbound_event where user_id = ${userId} and effect = 'recorded' order by seq desc limit ${mostRecorded}))
      union all
      select a.started_at, 2, 'attempt', d.server_id, 0,
        jsonb_build_object('delivery', d.id, 'generation', a.generation, 'ms', a.ms, 'outcome', a.outcome, 'status', a.status, 'error', a.error)
      from attempt a join delivery d on d.id = a.delivery_id where d.user_id = ${userId}
      order by at desc, rank desc, tie desc limit ${mostItems}
    ) items order by at, rank, tie`.execute(db)
  let lastEvent: number | undefined
  return rows.map(({ us, ...item }, index) => {
    const at = Number(us)
    if (item.kind === 'event') lastEvent = at
    const round = (ms: number) => Math.round(ms * 10) / 10
    return {
      ...item,
      ms: index === 0 ? 0 : round(at - Number(rows[index - 1]!.us)),
      sinceEventMs: lastEvent === undefined ? null : round(at - lastEvent),
    }
  })
}
