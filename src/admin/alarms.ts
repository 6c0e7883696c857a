import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { goneReason } from '../delivery/settle.ts'
import { parseFilter } from '../filter/parse.ts'
import { countSealed } from '../housekeeping/reseal.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { userResourceType } from '../schemas/user.ts'
import { readChannelAlarms } from './channel-alarms.ts'

const alarm = z
  .object({
    kind: z.enum([
      'server_down',
      'server_gone',
      'work_parked',
      'revocation_overdue',
      'directory_silent',
      'issuer_keys_unreachable',
      'user_unconverged',
      'rule_unreadable',
      'secrets_under_older_key',
      'channel_silent',
      'channel_failing',
      'channel_old_secret',
      'channel_refusing',
      'event_ambiguous',
      'events_waiting',
    ]),
    severity: z.enum(['critical', 'warning']),
    subject: z
      .object({
        server: z.string().optional(),
        directory: z.string().optional(),
        channel: z.string().optional(),
        rule: z.string().optional(),
      })
      .meta({ description: 'Whom it is about: at most one of these; an event channel with its directory' }),
    since: instant,
    count: z.int(),
    message: z.string(),
  })
  .meta({ id: 'Alarm' })

/** Something that an operator must know of: open while it is so, and gone by itself when it no longer is. */
export type Alarm = z.input<typeof alarm>

/** A revocation that a server has not taken after so long is critical, whatever the reason. */
const overdueSeconds = 300

/** A key set is used on for an hour while it cannot be had; time enough to mend it is left. */
const keysOverdueSeconds = 600
/** While tokens are asked for it is tried again and again; where nobody does, nobody knows. */
const keysForgottenSeconds = 3_600

interface Found {
  readonly subject: string
  readonly since: Date
  readonly count: number
}

/**
 * The alarms that are open, out of the rows: the same whoever asks, right at once, with nothing to acknowledge or to
 * forget. Critical ones first, the longest open first among them.
 *
 * @param sealedUnder `kid` of the first key of `TENURE_SECRET_KEY`
 */
export async function readAlarms(db: Database, sealedUnder: string): Promise<Alarm[]> {
  const found = await Promise.all([
    each(
      sql`select id as subject, coalesce(failing_since, probe_at) as since, failures_in_a_row as count from server
        where probe_at is not null and (deleted_at is null or purged_at is null)`,
      (row) => ({
        kind: 'server_down',
        severity: 'critical',
        subject: { server: row.subject },
        message: `${row.subject} has not answered ${row.count} times in a row; it is probed, and revocations go on`,
      }),
    ),
    each(
      sql`select id as subject, paused_at as since, 1 as count from server where paused_reason = ${goneReason} and deleted_at is null`,
      (row) => ({
        kind: 'server_gone',
        severity: 'critical',
        subject: { server: row.subject },
        message: `${row.subject} answered 410 Gone; only revocations are still sent, until it is resumed`,
      }),
    ),
    each(
      sql`select server_id as subject, min(parked_at) as since, count(*)::int as count from delivery
        where parked_at is not null group by server_id`,
      (row) => ({
        kind: 'work_parked',
        severity: 'warning',
        subject: { server: row.subject },
        message: `${row.count} parked at ${row.subject}: see its failed jobs, mend the cause, replay`,
      }),
    ),
    each(
      sql`select server_id as subject, min(behind_since) as since, count(*)::int as count from delivery
        where urgent and wanted_generation is distinct from delivered_generation
          and behind_since < clock_timestamp() - make_interval(secs => ${overdueSeconds}) group by server_id`,
      (row) => ({
        kind: 'revocation_overdue',
        severity: 'critical',
        subject: { server: row.subject },
        message: `${row.subject} has not taken ${row.count} revocation${row.count === 1 ? '' : 's'} for over ${overdueSeconds / 60} minutes`,
      }),
    ),
    each(
      sql`select id as subject, coalesce(last_seen_at, created_at) as since, 1 as count from directory
        where deleted_at is null and coalesce(last_seen_at, created_at) < clock_timestamp() - make_interval(hours => silent_after_hours)`,
      (row) => ({
        kind: 'directory_silent',
        severity: 'warning',
        subject: { directory: row.subject },
        message: `The identity provider of ${row.subject} has not called; leavers may go unnoticed`,
      }),
    ),
    each(
      sql`select directory_id as subject, min(converge_failed_at) as since, count(*)::int as count from user_state
        where converge_error is not null group by directory_id`,
      (row) => ({
        kind: 'user_unconverged',
        severity: 'critical',
        subject: { directory: row.subject },
        message: `For ${row.count} of ${row.subject} it could not be decided what servers must be told: see failed jobs of kind user`,
      }),
    ),
    each(
      sql`select directory_id as subject, min(keys_failing_since) as since, count(*)::int as count from trusted_issuer
        where keys_failing_since < clock_timestamp() - make_interval(secs => ${keysOverdueSeconds})
          and keys_failed_at > clock_timestamp() - make_interval(secs => ${keysForgottenSeconds}) group by directory_id`,
      (row) => ({
        kind: 'issuer_keys_unreachable',
        severity: 'critical',
        subject: { directory: row.subject },
        message: `The key set of ${row.count} trusted issuer${row.count === 1 ? '' : 's'} of ${row.subject} cannot be had: an hour after the last success nobody of it gets a token`,
      }),
    ),
    secretsUnderOlderKeys(db, sealedUnder),
    unreadableRules(db),
    readChannelAlarms(db),
  ])
  return found
    .flat()
    .toSorted(
      (a, b) =>
        Number(b.severity === 'critical') - Number(a.severity === 'critical') || a.since.getTime() - b.since.getTime(),
    )

  async function each(
    query: ReturnType<typeof sql>,
    describe: (row: Found) => Omit<Alarm, 'since' | 'count'>,
  ): Promise<Alarm[]> {
    const { rows } = await (query as ReturnType<typeof sql<Found>>).execute(db)
    return rows.map((row) => ({ ...describe(row), since: row.since, count: row.count }))
  }
}

async function secretsUnderOlderKeys(db: Database, sealedUnder: string): Promise<Alarm[]> {
  const { underOlderKeys: count } = await countSealed(db, sealedUnder)
  if (count === 0) return []
  const { created_at: since } = await db.selectFrom('installation').select('created_at').executeTakeFirstOrThrow()
  const message = `${count} stored secrets still lie under an older key of TENURE_SECRET_KEY: do not drop it yet`
  return [{ kind: 'secrets_under_older_key', severity: 'warning', subject: {}, since, count, message }]
}

/** A filter that an earlier version could read gives nobody anything. */
async function unreadableRules(db: Database): Promise<Alarm[]> {
  const { rows } = await sql<{ id: string; filter: string; since: Date }>`
    select r.id, r.filter, r.changed_at as since from rule r join server s on s.id = r.server_id and s.deleted_at is null`.execute(
    db,
  )
  return rows.flatMap(({ id, filter, since }) => {
    try {
      parseFilter(filter, userResourceType)
      return []
    } catch {
      return {
        kind: 'rule_unreadable' as const,
        severity: 'critical' as const,
        subject: { rule: id },
        since,
        count: 1,
        message: `The filter of rule ${id} cannot be read, so it gives nobody anything`,
      }
    }
  })
}

/** `/alarms`: what is wrong now. */
export function alarmOperations({ db, sealedUnder }: { db: Database; sealedUnder: string }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/alarms',
      operationId: 'listAlarms',
      summary: 'List open alarms, critical ones first',
      tag: 'Health',
      answers: { 200: pageOf(alarm) },
      handle: async () => ({ items: await readAlarms(db, sealedUnder), next: null }),
    }),
  ]
}
