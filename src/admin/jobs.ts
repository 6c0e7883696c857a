import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { type ReplayCounts, replayDeliveries } from '../delivery/replay.ts'
import type { Intake } from '../directory/intake.ts'
import { type ReplayedUsers, replayUsers } from '../entitlement/behind.ts'
import { NotFound } from '../errors.ts'
import { givenInstant, instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { isResourceId } from '../ids.ts'
import type { Hop, Lane } from '../queue/catalog.ts'

/** What a cursor over jobs holds. */
const timeAndId = {
  test: (key: string) => /^\d{4}-[\dT:.-]+Z [\w-]+$/.test(key) && !Number.isNaN(Date.parse(key.split(' ', 1)[0]!)),
}

const kind = z.enum(['delivery', 'user', 'event'])
const state = z.enum(['failing', 'parked'])

const job = z
  .object({
    id: z.string(),
    kind,
    state,
    user: z.string().nullable().meta({ description: 'null: of an event whose user is not known yet' }),
    server: z.string().nullable(),
    error: z.string().nullable(),
    attempts: z.int(),
    nextTry: instant.nullable(),
    failedAt: instant,
  })
  .meta({ id: 'Job' })

const replayed = z
  .object({
    dryRun: z.boolean(),
    requeued: z.int().meta({ description: 'Due now because of this call: deliveries, users and events together' }),
    deliveries: z.int(),
    users: z.int(),
    events: z.int().meta({ description: 'Looked at anew: those whose user is known by now take effect' }),
    skipped: z
      .object({
        inFlight: z.int().meta({ description: 'Being sent at this moment' }),
        delivered: z
          .int()
          .meta({ description: 'Nothing left to do: the server knows already, or the user is decided' }),
        alreadyDue: z.int().meta({ description: 'Due already, by an earlier replay or something newer to be told' }),
      })
      .meta({ description: 'What was left alone, and why' }),
  })
  .meta({ id: 'Replayed' })

const dryRun = z.boolean().default(false).meta({ description: 'Counts, and changes nothing' })

const tag = 'Jobs'

const whatReplayDoes = `What is replayed starts over, with a fresh schedule, and what is sent is the newest state: never the one that failed, if it
is no longer wanted. Replaying twice does no harm, and counts what is still due as \`alreadyDue\`.

\`requeued\` means due, not sent. To a server that is paused, or that failed ten times in a row and is only probed, revocations
go out at once; the rest waits, and is listed as pending, until the server is resumed or answers a probe.`

/** Failed work, whatever it is, out of the rows: BullMQ's records say nothing that lasts. */
const jobs = sql`
  select d.id, 'delivery' as kind, case when d.parked_at is not null then 'parked' else 'failing' end as state, d.user_id as "user",
    d.server_id as server, coalesce(d.last_error, d.last_outcome) as error, d.attempts, d.due_at as "nextTry",
    coalesce(d.parked_at, (select max(a.started_at) from attempt a where a.delivery_id = d.id), d.created_at) as "failedAt"
  from delivery d
  where d.wanted_generation is distinct from d.delivered_generation and (d.parked_at is not null or d.attempts > 0)
  union all
  select s.user_id::text, 'user', 'failing', s.user_id, null, s.converge_error, s.converge_attempts, s.converge_due_at, s.converge_failed_at
  from user_state s where s.converge_error is not null
  union all
  select e.id, 'event', 'failing', null, null,
    format('%s over %s of %s: nobody of that name is known yet', e.type, e.channel_kind, e.directory_id), 0, null, e.received_at
  from inbound_event e where e.waits_until is not null`

/** `/jobs`: what failed, and having it done again. */
export function jobOperations({
  db,
  hint,
  intake,
}: {
  db: Database
  intake: Pick<Intake, 'joinWaiting'>
  hint: (hop: Hop, lane: Lane, id: string) => void
}): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/jobs',
      operationId: 'listJobs',
      summary: 'List failed work, newest first',
      tag,
      query: pageQuery.extend({ state: state.optional(), server: z.string().optional(), kind: kind.optional() }),
      answers: { 200: pageOf(job) },
      async handle({ query: { state, server, kind, limit, cursor } }) {
        const after = cursorKey(cursor, timeAndId)?.split(' ')
        const { rows } = await sql<z.input<typeof job>>`
          select * from (${jobs}) j
          where ${state === undefined ? sql`true` : sql`j.state = ${state}`}
            and ${server === undefined ? sql`true` : sql`j.server = ${server}`}
            and ${kind === undefined ? sql`true` : sql`j.kind = ${kind}`}
            and ${after ? sql`(date_trunc('milliseconds', j."failedAt"), j.id) < (${after[0]}::timestamptz, ${after[1]})` : sql`true`}
          order by date_trunc('milliseconds', j."failedAt") desc, j.id desc limit ${limit}`.execute(db)
        return listed(rows, limit, (row) => `${row.failedAt.toISOString()} ${row.id}`)
      },
    }),
    operation({
      method: 'post',
      path: '/jobs/replay',
      operationId: 'replayJobs',
      summary: 'Have failed work done again',
      description: whatReplayDoes,
      tag,
      body: z.strictObject({
        server: z.string().optional(),
        kind: kind.optional(),
        since: givenInstant.optional().meta({ description: 'Only what was tried since' }),
        dryRun,
      }),
      answers: { 200: replayed },
      async handle({ body: { server, kind, since, dryRun } }) {
        const deliveries =
          kind === 'user' || kind === 'event'
            ? noDeliveries
            : await replayDeliveries(db, { serverId: server, since, dryRun })
        const ofUsers = (kind === undefined || kind === 'user') && server === undefined
        const users = ofUsers ? await replayUsers(db, { since, dryRun }) : noUsers
        const ofEvents = (kind === undefined || kind === 'event') && server === undefined
        const events = ofEvents ? await replayEvents({ since, dryRun }) : 0
        return answer(deliveries, users, events, dryRun)
      },
    }),
    operation({
      method: 'post',
      path: '/jobs/{id}/replay',
      operationId: 'replayJob',
      summary: 'Have one piece of failed work done again',
      description: whatReplayDoes,
      tag,
      body: z.strictObject({ dryRun }),
      answers: { 200: replayed },
      async handle({ params: { id }, body: { dryRun } }) {
        if (isResourceId(id)) {
          const users = await replayUsers(db, { userId: id, dryRun })
          if (users.requeued.length + users.alreadyDue + users.converged === 0)
            throw new NotFound(`Job "${id}" not found`)
          return answer(noDeliveries, users, 0, dryRun)
        }
        if (id.startsWith('inb_')) {
          const events = await replayEvents({ id, dryRun })
          if (events === 0) throw new NotFound(`Job "${id}" not found`)
          return answer(noDeliveries, noUsers, events, dryRun)
        }
        const deliveries = await replayDeliveries(db, { deliveryId: id, dryRun })
        const { inFlight, delivered, alreadyDue } = deliveries.skipped
        if (deliveries.requeued + inFlight + delivered + alreadyDue === 0) throw new NotFound(`Job "${id}" not found`)
        return answer(deliveries, noUsers, 0, dryRun)
      },
    }),
  ]

  /** All that wait are looked at, as in every sweep: it costs nothing to look at more than was asked for. */
  async function replayEvents({ id, since, dryRun }: { id?: string; since?: Date | undefined; dryRun: boolean }) {
    const { rows } = await sql<{ count: number }>`
      select count(*) as count from inbound_event where waits_until is not null
        and ${id === undefined ? sql`true` : sql`id = ${id}`}
        and ${since === undefined ? sql`true` : sql`received_at >= ${since}`}`.execute(db)
    const { count } = rows[0]!
    if (count > 0 && !dryRun) await intake.joinWaiting()
    return count
  }

  function answer(
    deliveries: ReplayCounts,
    users: ReplayedUsers,
    events: number,
    dryRun: boolean,
  ): z.input<typeof replayed> {
    if (!dryRun) {
      for (const { serverId, lane } of deliveries.servers) hint('deliver', lane, serverId)
      for (const { userId, lane } of users.requeued) hint('converge', lane, userId)
    }
    return {
      dryRun,
      requeued: deliveries.requeued + users.requeued.length + events,
      deliveries: deliveries.requeued,
      users: users.requeued.length,
      events,
      skipped: {
        inFlight: deliveries.skipped.inFlight,
        delivered: deliveries.skipped.delivered + users.converged,
        alreadyDue: deliveries.skipped.alreadyDue + users.alreadyDue,
      },
    }
  }
}

const noDeliveries: ReplayCounts = { requeued: 0, skipped: { inFlight: 0, delivered: 0, alreadyDue: 0 }, servers: [] }
const noUsers: ReplayedUsers = { requeued: [], alreadyDue: 0, converged: 0 }
