import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret, type Sealer, UnsealError } from '../secrets.ts'
import type { ChannelName } from './channel-name.ts'

/** What a sender is told to show by us: nobody else is ever shown it. */
export interface StreamSecret {
  /** Another one, another id. */
  readonly id: string
  readonly value: string
}

/** Beside the token, which is at 0. */
const place = 1
/** Of those that were good before; a sender goes on with one until it has taken the next. */
const mostOlder = 1

/**
 * The secret that the stream of a channel is to show, made when there is none, and good from the commit on. It is sealed
 * beside its hash, so that a sender whose answer was lost is told the same one again.
 */
export async function readStreamSecret(db: Database, sealer: Sealer, name: ChannelName): Promise<StreamSecret> {
  return transaction(db, async (trx) => {
    await sql`select 1 from channel where directory_id = ${name.directoryId} and kind = ${name.kind} for no key update`.execute(
      trx,
    )
    const secret = (await find(trx, sealer, name)) ?? (await make(trx, sealer, name))
    await admit(trx, name, hashSecret(secret.value))
    return secret
  })
}

/** Made for a stream that is no longer wanted: the next one gets its own. */
export async function dropStreamSecret(trx: Transaction, { directoryId, kind }: ChannelName): Promise<void> {
  await sql`
    delete from channel_secret
    where directory_id = ${directoryId} and channel_kind = ${kind} and purpose = 'outbound' and place = ${place}`.execute(
    trx,
  )
}

async function find(
  trx: Transaction,
  sealer: Sealer,
  { directoryId, kind }: ChannelName,
): Promise<StreamSecret | undefined> {
  const { rows } = await sql<{ id: string; sealed: string }>`
    select id, sealed from channel_secret
    where directory_id = ${directoryId} and channel_kind = ${kind} and purpose = 'outbound' and place = ${place}`.execute(
    trx,
  )
  try {
    return rows[0] && { id: rows[0].id, value: await sealer.unseal(rows[0].sealed) }
  } catch (error) {
    // Another one does as well.
    if (error instanceof UnsealError) return undefined
    throw error
  }
}

async function make(trx: Transaction, sealer: Sealer, name: ChannelName): Promise<StreamSecret> {
  const secret = { id: newId('sec'), value: `Bearer ${newSecret('push')}` }
  await dropStreamSecret(trx, name)
  await sql`
    insert into channel_secret (id, directory_id, channel_kind, purpose, place, sealed, sealed_under)
    values (${secret.id}, ${name.directoryId}, ${name.kind}, 'outbound', ${place}, ${await sealer.seal(secret.value)}, ${sealer.kid})`.execute(
    trx,
  )
  return secret
}

/** Whoever shows it is let in, and whoever shows what was the newest until now. */
async function admit(trx: Transaction, { directoryId, kind }: ChannelName, hash: Buffer): Promise<void> {
  const inbound = sql`directory_id = ${directoryId} and channel_kind = ${kind} and purpose = 'inbound'`
  const { rows } = await sql<{ id: string; isThis: boolean }>`
    select id, secret_hash = ${hash} as "isThis" from channel_secret where ${inbound} order by place`.execute(trx)
  if (rows.some(({ isThis }) => isThis)) return
  const older = rows.slice(0, mostOlder).map(({ id }) => id)
  await sql`delete from channel_secret where ${inbound} and id <> all(${older}::text[])`.execute(trx)
  await sql`update channel_secret set place = ${mostOlder} where ${inbound}`.execute(trx)
  await sql`
    insert into channel_secret (id, directory_id, channel_kind, purpose, place, secret_hash)
    values (${newId('sec')}, ${directoryId}, ${kind}, 'inbound', 0, ${hash})`.execute(trx)
}
