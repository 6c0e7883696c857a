import { type RawBuilder, sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { type Access, allows, flatten } from '../lifecycle/access.ts'
import { identityOf } from '../lifecycle/identity.ts'
import { type Change, type Held, type Identity, planChanges } from '../lifecycle/plan.ts'
import type { Wanted } from '../lifecycle/rules.ts'
import type { Lane } from '../queue/catalog.ts'
import { causingEvent } from './cause.ts'
import type { PolicyCache } from './policy.ts'
import { type SubjectRow, subjectColumns, wantedFor } from './subject.ts'

export interface Convergence {
  readonly userId: string
  readonly changed: ReadonlyArray<{ readonly serverId: string; readonly lane: Lane }>
  /** From the first change that was not accounted for to this commit; null when it was a policy that changed, or nothing. */
  readonly lagSeconds: number | null
}

/**
 * Makes what is match what should be, for one user, in one transaction: entitlements get new generations, grants that
 * are no longer earned are closed, deliveries are opened, the user is marked as converged at the values that were read.
 *
 * Level-triggered: it compares states and replays nothing, so it may run at any time, twice, or after a hint was lost.
 */
export function createConverge({ db, policies }: { db: Database; policies: PolicyCache }) {
  return async function converge(userId: string): Promise<Convergence> {
    const { behindSeconds, readAt, ...done } = await transaction(db, async (trx) => {
      await sql`select 1 from user_state where user_id = ${userId} for no key update`.execute(trx)
      const read = await policies.read(trx, () => readState(trx, userId))
      const readAt = performance.now()
      if (!read) return { userId, changed: [], behindSeconds: null, readAt }
      const { snapshot, policy } = read
      const wanted = wantedFor(snapshot, policy)
      const held = new Map(snapshot.held.map((row) => [row.serverId, row]))
      const closing = snapshot.grants.filter((grant) => !isEarned(grant, snapshot.epoch, wanted))
      const voided = new Set([...closing, ...snapshot.revoked].map(({ serverId }) => serverId))
      const changes = planChanges(held, wanted, identityOf(snapshot.document), snapshot.epoch, voided)
      await settle(trx, snapshot, changes, closing)
      const told = new Set(changes.map(({ serverId }) => serverId))
      const unheard = snapshot.unheard.filter((serverId) => !told.has(serverId))
      if (unheard.length > 0) await openMissing(trx, userId, unheard)
      return {
        userId,
        changed: [
          ...changes.map(({ serverId, narrows }) => ({
            serverId,
            lane: narrows ? ('urgent' as const) : ('normal' as const),
          })),
          ...unheard.map((serverId) => ({ serverId, lane: 'normal' as const })),
        ],
        behindSeconds: snapshot.behindSeconds,
        readAt,
      }
    })
    const lagSeconds = behindSeconds === null ? null : behindSeconds + (performance.now() - readAt) / 1_000
    return { ...done, lagSeconds }
  }
}

export type Converge = ReturnType<typeof createConverge>

/** A user that cannot be converged waits longer each time, is listed among the failing jobs, and is never given up. */
export async function recordConvergeFailure(db: Database, userId: string, error: unknown): Promise<void> {
  const message = error instanceof Error ? error.message : String(error)
  await sql`
    update user_state set
      converge_attempts = converge_attempts + 1, converge_error = ${message.slice(0, 500)}, converge_failed_at = clock_timestamp(),
      converge_due_at = clock_timestamp() + make_interval(secs => least(900, 2 ^ least(converge_attempts, 10)))
    where user_id = ${userId}
      -- One who is not behind has nothing to be done again, and nothing would ever clear the failure.
      and (version > converged_version or converged_policy_version < (select policy_version from directory where id = directory_id))`.execute(
    db,
  )
}

interface OpenGrant {
  id: string
  serverId: string
  client: string
  scopes: string[]
  epoch: number
}

interface StateRow extends SubjectRow {
  version: number
  eventId: string | null
  behindSeconds: number | null
  held: Array<Held & { serverId: string }>
  grants: OpenGrant[]
  /** Closed by an operator and not yet part of a generation. */
  revoked: Array<{ id: string; serverId: string }>
  /** Servers with a connector that was added since this user was given access. */
  unheard: string[]
}

function isEarned({ serverId, client, scopes, epoch }: OpenGrant, now: number, wanted: Map<string, Wanted>): boolean {
  const access = wanted.get(serverId)?.access
  return epoch === now && access !== undefined && allows(access, client, scopes)
}

async function readState(trx: Transaction, userId: string): Promise<StateRow | undefined> {
  const { rows } = await sql<StateRow>`
    select ${subjectColumns}, s.version, ${causingEvent} as "eventId", extract(epoch from clock_timestamp() - s.behind_since)::float8 as "behindSeconds",
      (select coalesce(jsonb_agg(jsonb_build_object(
         'serverId', e.server_id, 'active', e.active, 'epoch', e.epoch, 'access', e.access, 'identity', e.identity)), '[]')
       from entitlement e where e.user_id = u.id) as held,
      (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'serverId', g.server_id, 'client', g.client, 'scopes', g.scopes, 'epoch', g.epoch)), '[]')
       from access_grant g where g.user_id = u.id and g.closed_at is null and g.expires_at > clock_timestamp()) as grants,
      (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'serverId', g.server_id)), '[]')
       from access_grant g where g.user_id = u.id and g.closed_at is not null and g.closed_generation is null) as revoked,
      (select coalesce(jsonb_agg(distinct e.server_id), '[]')
       from entitlement e join connector c on c.server_id = e.server_id and c.deleted_at is null
       where e.user_id = u.id and e.active
         and not exists (select from delivery d where d.connector_id = c.id and d.user_id = u.id)) as unheard
    from scim_user u join user_state s on s.user_id = u.id join directory d on d.id = u.directory_id
    where u.id = ${userId}`.execute(trx)
  return rows[0]
}

/** A connector that is new hears of those who have access already, in the generation that the others know. */
async function openMissing(trx: Transaction, userId: string, serverIds: readonly string[]): Promise<void> {
  await sql`
    insert into delivery (id, connector_id, server_id, user_id, wanted_generation, urgent, behind_since, due_at)
    select 'dlv_' || replace(gen_random_uuid()::text, '-', ''), c.id, c.server_id, e.user_id, e.generation, false, clock_timestamp(), clock_timestamp()
    from entitlement e join connector c on c.server_id = e.server_id and c.deleted_at is null
    where e.user_id = ${userId} and e.server_id = any(${serverIds}) and e.active
    order by c.server_id, c.id
    on conflict (connector_id, user_id) do nothing`.execute(trx)
}

/** A change as it is written; the generation is drawn in the statement that writes it. */
interface ChangeRow {
  server_id: string
  active: boolean
  access: Access
  identity: Identity
  rules: readonly string[]
  narrows: boolean
  told: { active: boolean; scopes: string[]; clients: string[] }
}

async function settle(
  trx: Transaction,
  state: StateRow,
  changes: readonly Change[],
  closing: readonly OpenGrant[],
): Promise<void> {
  const marks = sql`
    update user_state set
      converged_version = ${state.version}, converged_policy_version = ${state.policyVersion},
      urgent = false, behind_since = null, converge_due_at = null, converge_attempts = 0, converge_error = null, converge_failed_at = null
    where user_id = ${state.userId}`
  if (changes.length === 0) await marks.execute(trx)
  else await writeChanges(trx, state, changes, closing, marks)
}

/** Everything in one statement: a round trip costs more than what it carries. */
async function writeChanges(
  trx: Transaction,
  state: StateRow,
  changes: readonly Change[],
  closing: readonly OpenGrant[],
  marks: RawBuilder<unknown>,
): Promise<void> {
  const rows: ChangeRow[] = changes.map((change) => ({
    server_id: change.serverId,
    active: change.active,
    access: change.access,
    identity: change.identity,
    rules: change.rules,
    narrows: change.narrows,
    told: { active: change.active, ...flatten(change.access) },
  }))

  await sql`
    with change as materialized (
      select c.*, nextval('generation') as generation
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as c (server_id text, active boolean, access jsonb, identity jsonb, rules jsonb, narrows boolean, told jsonb)
    ), entitled as (
      insert into entitlement (user_id, server_id, generation, epoch, active, access, identity, rules)
      select ${state.userId}, server_id, generation, ${state.epoch}, active, access, identity, array(select jsonb_array_elements_text(rules)) from change
      on conflict (user_id, server_id) do update set
        generation = excluded.generation, epoch = excluded.epoch, active = excluded.active, access = excluded.access,
        identity = excluded.identity, rules = excluded.rules, changed_at = clock_timestamp()
    ), opened as (
      insert into delivery (id, connector_id, server_id, user_id, wanted_generation, urgent, behind_since, due_at)
      select 'dlv_' || replace(gen_random_uuid()::text, '-', ''), c.id, c.server_id, ${state.userId}, change.generation, change.narrows,
        (select coalesce(behind_since, clock_timestamp()) from user_state where user_id = ${state.userId}), clock_timestamp()
      from change
        join connector c on c.server_id = change.server_id and c.deleted_at is null
      order by c.server_id, c.id -- the order in which deliveries are locked
      on conflict (connector_id, user_id) do update set
        wanted_generation = excluded.wanted_generation,
        urgent = excluded.urgent or (delivery.urgent and delivery.wanted_generation is distinct from delivery.delivered_generation),
        behind_since = coalesce(delivery.behind_since, excluded.behind_since),
        due_at = excluded.due_at, attempts = 0, parked_at = null
    ), closed as (
      update access_grant g set
        closed_at = coalesce(g.closed_at, cut.recorded_at, clock_timestamp()),
        closed_reason = coalesce(g.closed_reason, case when cut.id is null then 'access' else 'cut' end),
        closed_generation = change.generation
      from change, access_grant old left join ledger_entry cut on cut.user_id = old.user_id and cut.kind = 'cut' and cut.epoch = old.epoch + 1
      where g.id = any(${[...closing, ...state.revoked].map(({ id }) => id)}) and old.id = g.id and change.server_id = g.server_id
      returning g.id, g.server_id, g.closed_at, g.closed_reason, g.closed_generation, g.epoch, old.closed_at is null as is_new
    ), marked as (${marks})
    insert into ledger_entry (kind, directory_id, user_id, server_id, event_id, grant_id, generation, epoch, detail)
    select 'entitled', ${state.directoryId}, ${state.userId}::uuid, server_id, ${state.eventId}::text, null, generation, ${state.epoch}::bigint, told || jsonb_build_object('rules', rules) from change
    union all
    select 'closed', ${state.directoryId}, ${state.userId}::uuid, server_id, null, id, closed_generation, epoch,
      jsonb_build_object('reason', closed_reason, 'closedAt', closed_at) from closed where is_new`.execute(trx)
}
