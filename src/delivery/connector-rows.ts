import { sql } from 'kysely'
import type { Transaction } from '../db/pool.ts'
import { Conflict, Invalid } from '../errors.ts'
import { newId } from '../ids.ts'

export interface MadeSecret {
  readonly signingSecret: string
  readonly sealed: string
  readonly sealedUnder: string
}

export interface MadeConnector {
  readonly id: string
  readonly type: string
  readonly config: Readonly<Record<string, unknown>>
  readonly secret: MadeSecret
}

export async function insertConnector(trx: Transaction, serverId: string, made: MadeConnector): Promise<void> {
  await trx
    .insertInto('connector')
    .values({ id: made.id, type: made.type, server_id: serverId, config: JSON.stringify(made.config) })
    .execute()
  await insertSecret(trx, made.id, made.secret)
}

export async function insertSecret(trx: Transaction, connectorId: string, secret: MadeSecret): Promise<void> {
  await trx
    .insertInto('connector_secret')
    .values({ id: newId('sec'), connector_id: connectorId, sealed: secret.sealed, sealed_under: secret.sealedUnder })
    .execute()
}

export async function updateConnector(
  trx: Transaction,
  { id, config }: { id: string; config?: Readonly<Record<string, unknown>> },
): Promise<void> {
  if (config)
    await trx
      .updateTable('connector')
      .set({ config: JSON.stringify(config) })
      .where('id', '=', id)
      .execute()
}

/** A connector may have been removed since the request was read. @throws Invalid */
export async function checkLiving(trx: Transaction, serverId: string, ids: readonly string[]): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    select id from connector where server_id = ${serverId} and deleted_at is null and id = any(${ids})`.execute(trx)
  if (rows.length < new Set(ids).size)
    throw new Invalid('There is no such connector', [
      { field: 'connectors', message: 'one of them was removed meanwhile' },
    ])
}

/** The living connectors of a server but for these. */
export async function removedBy(trx: Transaction, serverId: string, keptIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from connector where server_id = ${serverId} and deleted_at is null and id <> all(${keptIds})`.execute(
    trx,
  )
  return rows.map(({ id }) => id)
}

/**
 * What connectors that are removed have yet to hear of people who lost access is owed to the new ones: nothing else
 * would tell them, since whoever has no access is no business of a connector that is new.
 *
 * @throws Conflict when there is none
 */
export async function handOver(trx: Transaction, fromIds: readonly string[], toIds: readonly string[]): Promise<void> {
  // First their lock: a converge that is about to commit may have more to say.
  await lockDeliveries(trx, fromIds)
  const { rows: owed } = await sql<{ user_id: string }>`
    select distinct user_id from delivery
    where connector_id = any(${fromIds}) and urgent and wanted_generation is distinct from delivered_generation`.execute(
    trx,
  )
  if (owed.length === 0) return
  if (toIds.length === 0)
    throw new Conflict(
      `Of ${owed.length} people the connector has yet to hear that they lost access: mend it, add another, or say tell=false`,
    )
  await sql`
    insert into delivery (id, connector_id, server_id, user_id, wanted_generation, urgent, behind_since, due_at, told)
    select 'dlv_' || replace(gen_random_uuid()::text, '-', ''), c.id, e.server_id, e.user_id, e.generation, true, clock_timestamp(), clock_timestamp(),
      -- The name by which the server knows a leaver, whom the identity provider may have renamed since.
      (select told from delivery old where old.connector_id = any(${fromIds}) and old.user_id = e.user_id and old.told is not null limit 1)
    from connector c join entitlement e on e.server_id = c.server_id
    where c.id = any(${toIds}) and e.user_id = any(${owed.map(({ user_id }) => user_id)}::uuid[])
    order by c.server_id, c.id, e.user_id
    on conflict (connector_id, user_id) do nothing`.execute(trx)
}

/** What they have yet to be told is told to nobody: their deliveries go, and a send under way finds nothing to settle. */
export async function removeConnectors(trx: Transaction, ids: readonly string[]): Promise<void> {
  await sql`update connector set deleted_at = clock_timestamp() where id = any(${ids})`.execute(trx)
  await forgetConnectors(trx, ids)
}

/** Takes what is left of connectors that are gone: deliveries with their attempts, and secrets. */
export async function forgetConnectors(trx: Transaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  // First their lock: a send that settles meanwhile would add an attempt to a row that is going.
  await lockDeliveries(trx, ids)
  await sql`delete from attempt where delivery_id in (select id from delivery where connector_id = any(${ids}))`.execute(
    trx,
  )
  await sql`delete from delivery where connector_id = any(${ids})`.execute(trx)
  await sql`delete from connector_secret where connector_id = any(${ids})`.execute(trx)
}

async function lockDeliveries(trx: Transaction, connectorIds: readonly string[]): Promise<void> {
  await sql`
    select 1 from delivery where connector_id = any(${connectorIds}) order by server_id, connector_id, id for update`.execute(
    trx,
  )
}
