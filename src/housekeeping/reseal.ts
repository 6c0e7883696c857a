import { sql } from 'kysely'
import { installationSealedUnder, resealInstallation } from '../db/installation.ts'
import type { Database } from '../db/pool.ts'
import { type Sealer, UnsealError } from '../secrets.ts'

const batch = 200

/**
 * Seals anew under the first key of `TENURE_SECRET_KEY` what still lies under another, so that the other can be dropped.
 * A row that was changed meanwhile is left to the next turn. One that opens with none of the keys is left as it is, and
 * in nobody's way: it stays counted, and alarmed, until its key is back or it is rotated.
 *
 * @returns how many secrets were sealed anew
 */
export async function reseal(db: Database, sealer: Sealer): Promise<number> {
  await resealInstallation(db, sealer)
  let resealed = 0
  for (const table of sealedTables) resealed += await resealTable(db, sealer, table)
  return resealed
}

/** Tables that hold sealed values, each with its key. */
const sealedTables = [
  { name: 'connector_secret', key: 'id' },
  { name: 'signing_key', key: 'kid' },
  { name: 'channel_secret', key: 'id' },
] as const

type SealedTable = (typeof sealedTables)[number]

async function resealTable(db: Database, sealer: Sealer, { name, key }: SealedTable): Promise<number> {
  const [table, id] = [sql.table(name), sql.ref(key)]
  let resealed = 0
  let after = ''
  for (;;) {
    const { rows } = await sql<{ id: string; sealed: string }>`
      select ${id} as id, sealed from ${table}
      where sealed_under <> ${sealer.kid} and ${id} > ${after} order by ${id} limit ${batch}`.execute(db)
    for (const row of rows) {
      const anew = await sealAnew(sealer, row.sealed)
      if (anew === undefined) continue
      const { numAffectedRows } = await sql`
        update ${table} set sealed = ${anew}, sealed_under = ${sealer.kid}
        where ${id} = ${row.id} and sealed = ${row.sealed}`.execute(db)
      resealed += Number(numAffectedRows)
    }
    if (rows.length < batch) return resealed
    after = rows.at(-1)!.id
  }
}

async function sealAnew(sealer: Sealer, sealed: string): Promise<string | undefined> {
  try {
    return await sealer.seal(await sealer.unseal(sealed))
  } catch (error) {
    if (error instanceof UnsealError) return undefined
    throw error
  }
}

/**
 * How many values are sealed in the database, the check of the installation among them, and how many of them not under
 * this key. When that is none, every other key can be dropped.
 */
export async function countSealed(db: Database, kid: string): Promise<{ sealed: number; underOlderKeys: number }> {
  const each = sealedTables.map(({ name }) => sql`select sealed_under from ${sql.table(name)} where sealed is not null`)
  const { rows } = await sql<{ sealed: number; underOlderKeys: number }>`
    select count(*) as sealed, count(*) filter (where sealed_under <> ${kid}) as "underOlderKeys"
    from (${sql.join(each, sql` union all `)}) stored`.execute(db)
  const { sealed, underOlderKeys } = rows[0]!
  const isOlder = (await installationSealedUnder(db)) !== kid
  return { sealed: sealed + 1, underOlderKeys: underOlderKeys + (isOlder ? 1 : 0) }
}
