import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { forgetConnectors, handOver } from '../delivery/connector-rows.ts'

/** Users whose rows go in one transaction. */
const batch = 500
/** Of a turn: whoever asks a process to end waits for it, and the lock of the house is not held for longer than 10 s. */
const turnMs = 3_000

/**
 * Takes the rows of deleted directories and servers once the last of their people's revocations has settled, and those
 * of users that were deleted `tombstoneDays` ago. The ledger stays: it holds ids, and outlives what it speaks of.
 *
 * @returns how many users went
 */
export async function purgeLeft(
  db: Database,
  { tombstoneDays }: { tombstoneDays: number | undefined },
): Promise<number> {
  const until = performance.now() + turnMs
  let users = 0
  for (const directoryId of await directoriesToldEverywhere(db)) {
    await inBatches(until, () => forgetEvents(db, directoryId))
    users += await inBatches(until, () => purgeDirectory(db, directoryId))
  }
  if (tombstoneDays !== undefined) users += await inBatches(until, () => purgeTombstones(db, tombstoneDays))
  for (const serverId of await serversToldOut(db)) await purgeServer(db, serverId)
  await forgetOrphans(db)
  return users
}

/** One after the other, so that nobody waits long for a lock; what is left after a while is the next turn's. */
async function inBatches(until: number, purge: () => Promise<number>): Promise<number> {
  let gone = 0
  while (performance.now() < until) {
    const users = await purge()
    gone += users
    if (users < batch) break
  }
  return gone
}

async function directoriesToldEverywhere(db: Database): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select d.id from directory d
    where d.deleted_at is not null and d.purged_at is null
      and not exists (select from user_state s where s.directory_id = d.id and s.version > s.converged_version)
      and not exists (
        select from user_state s join delivery w on w.user_id = s.user_id
        where s.directory_id = d.id and w.wanted_generation is distinct from w.delivered_generation)`.execute(db)
  return rows.map(({ id }) => id)
}

/** What its channels told: as many as there were events in months. */
async function forgetEvents(db: Database, directoryId: string): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from inbound_event where id in (
      select id from inbound_event where directory_id = ${directoryId} limit ${batch})`.execute(db)
  return Number(numAffectedRows)
}

async function purgeDirectory(db: Database, directoryId: string): Promise<number> {
  return transaction(db, async (trx) => {
    const { rows } = await sql<{ id: string }>`
      select id from scim_user where directory_id = ${directoryId} order by id limit ${batch}`.execute(trx)
    await forgetUsers(
      trx,
      rows.map(({ id }) => id),
    )
    if (rows.length < batch) {
      await sql`
        delete from group_nesting where parent_id in (select id from scim_group where directory_id = ${directoryId})`.execute(
        trx,
      )
      await sql`delete from scim_group where directory_id = ${directoryId}`.execute(trx)
      for (const table of ['unknown_attribute', 'inbound_event', 'channel'])
        await sql`delete from ${sql.table(table)} where directory_id = ${directoryId}`.execute(trx)
      await sql`update directory set purged_at = clock_timestamp(), name = id where id = ${directoryId}`.execute(trx)
    }
    return rows.length
  })
}

async function purgeTombstones(db: Database, days: number): Promise<number> {
  return transaction(db, async (trx) => {
    const { rows } = await sql<{ id: string }>`
      select u.id from scim_user u join user_state s on s.user_id = u.id
      where u.deleted_at < clock_timestamp() - make_interval(days => ${days}) and s.version = s.converged_version
        and not exists (select from delivery d where d.user_id = u.id and d.wanted_generation is distinct from d.delivered_generation)
      order by u.id limit ${batch}`.execute(trx)
    await forgetUsers(
      trx,
      rows.map(({ id }) => id),
    )
    return rows.length
  })
}

/** Everything that names these users, from the leaves up. */
async function forgetUsers(trx: Transaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await sql`select 1 from user_state where user_id = any(${ids}::uuid[]) order by user_id for update`.execute(trx)
  await sql`delete from attempt where delivery_id in (select id from delivery where user_id = any(${ids}::uuid[]))`.execute(
    trx,
  )
  // That an event has been told stays, or it would count again; whom it was about does not.
  await sql`
    update inbound_event set user_id = null, detail = '{}', ask_due_at = null where user_id = any(${ids}::uuid[])`.execute(
    trx,
  )
  for (const table of [
    'delivery',
    'entitlement',
    'access_grant',
    'identity_link',
    'lifecycle_event',
    'group_user',
    'user_state',
  ]) {
    await sql`delete from ${sql.table(table)} where user_id = any(${ids}::uuid[])`.execute(trx)
  }
  await sql`delete from scim_user where id = any(${ids}::uuid[])`.execute(trx)
}

/** Deleted servers at which nobody is entitled any more and to which nothing is left to be said. */
async function serversToldOut(db: Database): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select s.id from server s
    where s.deleted_at is not null and s.purged_at is null
      and not exists (select from entitlement e where e.server_id = s.id and e.active)
      -- A grant of somebody who was never converged, of which the server has yet to be told.
      and not exists (
        select from access_grant g where g.server_id = s.id
          and ((g.closed_at is null and g.expires_at > clock_timestamp()) or (g.closed_at is not null and g.closed_generation is null)))
      and not exists (
        select from delivery d where d.server_id = s.id and d.wanted_generation is distinct from d.delivered_generation)`.execute(
    db,
  )
  return rows.map(({ id }) => id)
}

async function purgeServer(db: Database, serverId: string): Promise<void> {
  await transaction(db, async (trx) => {
    await sql`select 1 from server where id = ${serverId} for update`.execute(trx)
    const { rows } = await sql<{ id: string }>`
      update connector set deleted_at = coalesce(deleted_at, clock_timestamp()) where server_id = ${serverId} returning id`.execute(
      trx,
    )
    await forgetConnectors(
      trx,
      rows.map(({ id }) => id),
    )
    await sql`delete from rule where server_id = ${serverId}`.execute(trx)
    await sql`delete from entitlement where server_id = ${serverId}`.execute(trx)
    await sql`update server set purged_at = clock_timestamp() where id = ${serverId}`.execute(trx)
  })
}

/**
 * A converge that met the removal of a connector may have opened a delivery that nobody will ever take. A revocation
 * among these is owed to the connectors that the server has now.
 */
async function forgetOrphans(db: Database): Promise<void> {
  const { rows } = await sql<{ id: string; heirs: string[] }>`
    select c.id, array(select id from connector h where h.server_id = c.server_id and h.deleted_at is null) as heirs
    from connector c where c.deleted_at is not null and exists (select from delivery d where d.connector_id = c.id)`.execute(
    db,
  )
  for (const { id, heirs } of rows) {
    await transaction(db, async (trx) => {
      if (heirs.length > 0) await handOver(trx, [id], heirs)
      await forgetConnectors(trx, [id])
    })
  }
}
