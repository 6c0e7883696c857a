import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, NotUnique } from '../../src/directory/users.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const hintUser = () => {}

let database: TestDatabase
let db: Database
let watch: LockWatch

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 8, name: 'tenure under test' }))
  watch = await watchLocks({ db, url: database.url })
  await createDirectories({ db, hintUser }).create({ id: 'acme', provider: 'okta', name: 'Acme' })
})
afterAll(async () => {
  await watch?.close()
  await db?.destroy()
  await database?.drop()
})

it('of several who take an inactive user back at once, the first alone does: the others find somebody active', async () => {
  const users = createUsers({ db, hintUser })
  const { id } = await users.create('acme', { userName: 'Ada', active: false }, cause)
  const takeBack = () => ({ document: { userName: 'Ada', active: true }, statesActive: true })
  const other = await connect(database)
  await other.query('begin')
  // Everybody gets as far as they can without writing the user.
  await other.query('select from scim_user where id = $1 for no key update', [id])
  const writes = [1, 2, 3].map(() => users.create('acme', { userName: 'ADA' }, cause, takeBack))
  const settled = Promise.allSettled(writes)
  await watch.waitUntilWaiting(writes.length)
  await other.query('commit')
  await other.end()

  const outcomes = await settled
  const taken = outcomes.filter((each) => each.status === 'fulfilled')
  expect(taken.map(({ value }) => [value.id, value.version])).toEqual([[id, 2]])
  for (const each of outcomes.filter(({ status }) => status === 'rejected'))
    expect(each).toMatchObject({ reason: expect.any(NotUnique) })
})
