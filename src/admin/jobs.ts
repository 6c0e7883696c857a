import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { type ReplayCounts, replayDeliveries } from '../delivery/replay.ts'
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

const kind = z.enum(['delivery', 'user'])
const state = z.enum(['failing', 'parked'])

const job = z
  .object({
    id: z.string(),
    kind,
    state,
    user: z.string(),
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
    requeued: z.int().meta({ description: 'Due now because of this call: deliveries and users together' }),
    deliveries: z.int(),
    users: z.int(),
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
  from user_state s where s.converge_error is not null`

/** `/jobs`: what failed, and having it done again. */
export function jobOperations({
  db,
  hint,
}: {
  db: Database
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
          kind === 'user' ? noDeliveries : await replayDeliveries(db, { serverId: server, since, dryRun })
        const ofUsers = kind !== 'delivery' && server === undefined
        const users = ofUsers ? await replayUsers(db, { since, dryRun }) : noUsers
        return answer(deliveries, users, dryRun)
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
          return answer(noDeliveries, users, dryRun)
        }
        const deliveries = await replayDeliveries(db, { deliveryId: id, dryRun })
        const { inFlight, delivered, alreadyDue } = deliveries.skipped
        if (deliveries.requeued + inFlight + delivered + alreadyDue === 0) throw new NotFound(`Job "${id}" not found`)
        return answer(deliveries, noUsers, dryRun)
      },
    }),
  ]

  function answer(deliveries: ReplayCounts, users: ReplayedUsers, dryRun: boolean): z.input<typeof replayed> {
    if (!dryRun) {
      for (const { serverId, lane } of deliveries.servers) hint('deliver', lane, serverId)
      for (const { userId, lane } of users.requeued) hint('converge', lane, userId)
    }
    return {
      dryRun,
      requeued: deliveries.requeued + users.requeued.length,
      deliveries: deliveries.requeued,
      users: users.requeued.length,
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
