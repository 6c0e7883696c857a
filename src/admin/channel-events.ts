import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import type { Directories } from '../directory/directories.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'

const effect = z.enum(['cut', 'confirmed', 'overtaken', 'recorded', 'waiting', 'unmatched', 'ambiguous']).meta({
  description: `What came of it. \`cut\`: access ended. \`confirmed\`: it had ended. \`overtaken\`: SCIM has stated \`active: true\` since, so only
what was issued before has ended. \`recorded\`: nothing by itself. \`waiting\`: for its user to become known; \`unmatched\`: nobody was.
\`ambiguous\`: it names several, so nothing was done.`,
})

const inboundEvent = z
  .object({
    id: z.string(),
    type: z.string().meta({ description: "The sender's name of it", example: 'user.lifecycle.deactivate' }),
    kind: z.enum(['left', 'suspended', 'sessions_revoked', 'enabled', 'changed', 'noted']),
    effect,
    occurredAt: instant.nullable().meta({ description: "By the sender's clock" }),
    receivedAt: instant,
    lagMs: z.number().nullable().meta({ description: 'From the one to the other' }),
    user: z.string().nullable(),
    event: z.string().nullable().meta({ description: 'The lifecycle event that it became, or that it confirms' }),
    names: z
      .array(z.object({ by: z.string(), value: z.string() }))
      .nullable()
      .meta({ description: 'By what it names its user, while it waits' }),
  })
  .meta({ id: 'InboundEvent' })

/** In milliseconds, of an inbound event `e`; a clock that is ahead of ours makes none early. */
export const lagOf = sql<number | null>`
  case when e.occurred_at is not null then round(extract(epoch from greatest(e.received_at - e.occurred_at, interval '0')) * 1000)::float8 end`

/** `…/events`: what came over one channel, also one that was removed since. */
export function channelEventOperation(
  { db, directories }: { db: Database; directories: Pick<Directories, 'get'> },
  kind: string,
  name: string,
  path: '/directories/{id}/channels/okta',
  tag: string,
): Operation {
  return operation({
    method: 'get',
    path: `${path}/events` as '/directories/{id}/channels/okta/events',
    operationId: `list${name}Events`,
    summary: 'List what came over the channel, newest first',
    tag,
    query: pageQuery.extend({ effect: effect.optional() }),
    answers: { 200: pageOf(inboundEvent) },
    async handle({ params: { id }, query: { effect, limit, cursor } }) {
      const before = cursorKey(cursor, /^\d{1,15}$/)
      await directories.get(id)
      const { rows } = await sql<z.input<typeof inboundEvent> & { seq: number }>`
        select e.seq, e.id, e.type, e.kind, e.effect, e.occurred_at as "occurredAt", e.received_at as "receivedAt", ${lagOf} as "lagMs",
          e.user_id as "user", e.event_id as event,
          (select jsonb_agg(jsonb_build_object('by', coalesce(i.attribute, i.by), 'value', i.value))
           from jsonb_to_recordset(e.subject) as i (by text, value text, attribute text)) as names
        from inbound_event e
        where (e.directory_id, e.channel_kind) between (${id}, ${kind}) and (${id}, ${kind})
          and ${effect === undefined ? sql`true` : sql`e.effect = ${effect}`}
          and ${before === undefined ? sql`true` : sql`(e.received_at, e.seq) < (select received_at, seq from inbound_event where seq = ${Number(before)})`}
        -- In the order of the whole key, so that no other index is taken: see channel-pulse.ts.
        order by e.directory_id desc, e.channel_kind desc, e.received_at desc, e.seq desc limit ${limit}`.execute(db)
      const { next } = listed(rows, limit, ({ seq }) => String(seq))
      return { items: rows.map(({ seq: _, ...event }) => event), next }
    },
  })
}
