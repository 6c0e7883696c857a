import { Kysely, PostgresDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { getMigrations } from '../../src/db/migrate.ts'
import { createSealer } from '../../src/secrets.ts'
import { createEmptyDatabase, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createEmptyDatabase()
  pool = new pg.Pool({ connectionString: database.ownerUrl, max: 2 })
})
afterAll(async () => {
  await pool?.end()
  await database?.drop()
})

it('0010 keeps a sealed secret, under the key that its seal names', async () => {
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  const migrator = new Migrator({ db, provider: { getMigrations } })
  expect((await migrator.migrateTo('0009_operators')).error).toBeUndefined()
  const sealer = createSealer(['a-sealing-key-for-the-migration-test'])
  const sealed = await sealer.seal('whsec_kept')
  await pool.query(
    `insert into server (id, name, resource, concurrency) values ('linear', 'Linear', 'https://linear.example', 1)`,
  )
  await pool.query(
    `insert into connector (id, server_id, type, config, sealed_secrets) values ('con_1', 'linear', 'webhook', '{}', $1)`,
    [[sealed]],
  )
  expect((await migrator.migrateToLatest()).error).toBeUndefined()
  const { rows } = await pool.query('select connector_id, sealed, sealed_under, signs_until from connector_secret')
  expect(rows).toEqual([{ connector_id: 'con_1', sealed, sealed_under: sealer.kid, signs_until: null }])
})
