import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { answerShaped, TooCostly } from '../../src/directory/question.ts'
import { createUsers } from '../../src/directory/users.ts'
import { toScimError } from '../../src/scim/errors.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let db: Database

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 2, name: 'tenure under test' }))
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

describe('a question that a request has shaped', () => {
  it('is given up when a statement of it takes too long, as SCIM’s tooMany', async () => {
    const refusal = await answerShaped(db, (trx) => sql`select pg_sleep(60)`.execute(trx), 50).catch((error) => error)
    expect(refusal).toBeInstanceOf(TooCostly)
    expect(toScimError(refusal)).toMatchObject({ status: 400, scimType: 'tooMany' })
  })

  it('leaves the limit to nobody who uses the connection afterwards', async () => {
    await answerShaped(db, (trx) => sql`select 1`.execute(trx), 50)
    const { rows } = await sql<{ limit: string }>`select current_setting('statement_timeout') as limit`.execute(db)
    expect(rows).toEqual([{ limit: '0' }])
  })

  it('is what a filter asks, and the lookup of one value is not', async () => {
    const users = createUsers({ db, hintUser: () => {} })
    const failsUnderLimit = sql<boolean>`1 / (case current_setting('statement_timeout') when '10s' then 0 else 1 end) = 1`
    const listing = { from: { offset: 0 }, limit: 1, where: failsUnderLimit } as const
    await expect(users.list('none', listing)).rejects.toThrow('division by zero')
    await expect(users.list('none', { ...listing, key: 'alone' })).resolves.toMatchObject({ total: 0 })
  })
})
