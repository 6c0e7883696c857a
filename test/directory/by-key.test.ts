import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { asksForKey } from '../../src/directory/filter-columns.ts'
import { compileFilter } from '../../src/directory/filter-sql.ts'
import { findUser } from '../../src/directory/find-user.ts'
import { createGroups, type Groups } from '../../src/directory/groups.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, type Users } from '../../src/directory/users.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { insertPeople, type Person } from '../support/people.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const newcomers = 1_500
const tables = ['scim_user', 'user_state', 'scim_group', 'group_user', 'group_nesting']

let database: TestDatabase
let db: Database
let owner: pg.Client
let users: Users
let groups: Groups
let person: Person
let group: string

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 1, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  users = createUsers({ db, hintUser: () => {} })
  groups = createGroups({ db, hintUser: () => {} })
  const directories = createDirectories({ db, hintUser: () => {} })
  for (const id of ['old', 'new']) await directories.create({ id, provider: 'okta', name: id })
  // So many that going from one to the next in an index that begins with the directory costs more than a key does.
  await owner.query(
    `insert into directory (id, provider, name) select 'old-' || n, 'okta', 'old' from generate_series(1, 300) n`,
  )
  await insertPeople(owner, { directory: 'old', prefix: 'old', count: 3_000 })
  await owner.query(`
    insert into scim_user (id, directory_id, user_name_key, external_id, active, document, folded)
    select gen_random_uuid(), d.id, 'ada@acme.example', 'ada', true, '{}', '{}' from directory d where d.id like 'old-%'`)
  await owner.query(`
    insert into scim_group (id, directory_id, display_name, display_name_key, external_id, document, folded)
    select gen_random_uuid(), d.id, 'all', 'all', 'all', '{}', '{}' from directory d where d.id like 'old-%'`)
  await insertGroups('old', 3_000)
  // From here on Postgres knows of the old directories and learns of no new one, nor reads anything by itself.
  await owner.query('vacuum analyze')
  for (const table of tables) await owner.query(`alter table ${table} set (autovacuum_enabled = off)`)
  person = (await insertPeople(owner, { directory: 'new', prefix: 'new', count: newcomers }))[newcomers / 2]!
  group = (await insertGroups('new', newcomers))[newcomers / 2]!
}, 120_000)
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await database?.drop()
})

describe('one of a directory that is new, by a key', () => {
  const usersLike = (filter: string) => () =>
    users.list('new', { ...compile(filter, userResourceType, 'u'), from: { offset: 0 }, limit: 100 })
  const groupsLike = (filter: string) => () =>
    groups.list('new', { ...compile(filter, groupResourceType, 'g'), from: { offset: 0 }, limit: 100 })

  it.each<[string, () => Promise<unknown>]>([
    ['a user by id', () => users.get('new', person.id)],
    ['a user by userName, as SCIM filters', () => usersLike(`userName eq "${person.userName}"`)()],
    ['a user by externalId, as SCIM filters', () => usersLike(`externalId eq "ext-${person.userName}"`)()],
    ['a user by id, as SCIM filters', () => usersLike(`id eq "${person.id}"`)()],
    [
      'a user by userName and more, as SCIM filters',
      () => usersLike(`active eq true and userName eq "${person.userName}"`)(),
    ],
    ['a user by userName, as operators name one', () => findUser(db, 'new', { userName: person.userName })],
    [
      'a user by externalId, as operators name one',
      () => findUser(db, 'new', { externalId: `ext-${person.userName}` }),
    ],
    [
      'a user who is changed',
      () =>
        users.change(
          'new',
          person.id,
          ({ document }) => ({ document: { ...document, title: String(Math.random()) } }),
          cause,
          'PATCH',
        ),
    ],
    ['a group by id', () => groups.get('new', group)],
    ['a group by displayName, as SCIM filters', () => groupsLike(`displayName eq "group ${newcomers / 2} of new"`)()],
    ['a group by externalId, as SCIM filters', () => groupsLike(`externalId eq "ext-${newcomers / 2}"`)()],
    [
      'a group that somebody joins or leaves',
      async () => {
        const members = { replaceAll: false, add: [{ value: person.id }], remove: [] }
        await groups.change('new', group, ({ document }) => ({ document, members }), cause, 'PATCH')
        const gone = { replaceAll: false, add: [], remove: [person.id] }
        await groups.change('new', group, ({ document }) => ({ document, members: gone }), cause, 'PATCH')
      },
    ],
  ])('is found without reading the others: %s', async (_what, find) => {
    // More often than it takes until a prepared statement has the plan that it keeps.
    for (let time = 0; time < 8; time++) {
      const before = await counters()
      await find()
      const after = await counters()
      expect(after.rows - before.rows, 'rows').toBeLessThan(60)
      expect(after.pages - before.pages, 'pages').toBeLessThan(250)
    }
  })

  function compile(source: string, resourceType: typeof userResourceType, alias: string) {
    const filter = parseFilter(source, resourceType)
    const columns = { resourceType, alias }
    return { where: compileFilter(filter, columns), key: asksForKey(filter, columns) }
  }
})

/** Read of users, groups and what hangs on them, by whatever statement. */
async function counters(): Promise<{ rows: number; pages: number }> {
  await sql`select pg_stat_force_next_flush()`.execute(db)
  await owner.query('select pg_stat_force_next_flush()')
  const { rows } = await owner.query(
    `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows,
       sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))::int as pages
     from pg_stat_user_tables join pg_statio_user_tables io using (relid)
     where io.relname = any($1)`,
    [tables],
  )
  return rows[0]
}

async function insertGroups(directory: string, count: number): Promise<string[]> {
  const { rows } = await owner.query(
    `insert into scim_group (id, directory_id, display_name, display_name_key, external_id, document, folded)
     select gen_random_uuid(), $1, name, name, 'ext-' || n, d, d
     from generate_series(0, $2::int - 1) n, lateral (select 'group ' || n || ' of ' || $1 as name) a,
       lateral (select jsonb_build_object('displayName', name) as d) b
     order by n returning id`,
    [directory, count],
  )
  return rows.map(({ id }) => id)
}
