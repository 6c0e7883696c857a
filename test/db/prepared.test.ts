import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { prepared } from '../../src/db/prepared.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let db: Database

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 1, name: 'tenure under test' }))
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

describe('a prepared statement', () => {
  it('is kept by its connection once, whatever its parameters, inside a transaction or not', async () => {
    const add = (a: number, b: number) => sql<{ sum: number }>`${prepared} select ${a}::int + ${b}::int as sum`
    expect((await add(1, 2).execute(db)).rows).toEqual([{ sum: 3 }])
    expect((await db.transaction().execute((trx) => add(3, 4).execute(trx))).rows).toEqual([{ sum: 7 }])
    expect(await kept()).toEqual(['/* prepared */ select $1::int + $2::int as sum'])
  })

  it('is not what any other statement becomes', async () => {
    const before = await kept()
    await sql`select ${1}::int`.execute(db)
    await db.selectFrom('directory').select('id').where('id', '=', 'acme').execute()
    expect(await kept()).toEqual(before)
  })
})

async function kept(): Promise<string[]> {
  const { rows } = await sql<{ statement: string }>`select statement from pg_prepared_statements`.execute(db)
  return rows.map(({ statement }) => statement)
}
