import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createGroups, type Groups, MembershipCycle } from '../../src/directory/groups.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, type Users } from '../../src/directory/users.ts'
import { NotFound } from '../../src/errors.ts'
import type { Lane } from '../../src/queue/catalog.ts'
import { watchLocks } from '../support/locks.ts'
import { insertPeople } from '../support/people.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const hints: [string, Lane][] = []

let database: TestDatabase
let db: Database
let owner: pg.Client
let users: Users
let groups: Groups
let names = 0

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 8, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  const hintUser = (id: string, lane: Lane) => void hints.push([id, lane])
  users = createUsers({ db, hintUser })
  groups = createGroups({ db, hintUser })
  const directories = createDirectories({ db, hintUser })
  for (const id of ['acme', 'large']) await directories.create({ id, provider: 'okta', name: id })
})
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await database?.drop()
})

async function newUser(): Promise<string> {
  return (await users.create('acme', { userName: `user-${names++}`, active: true }, cause)).id
}

async function newGroup(...members: string[]): Promise<string> {
  const delta = { replaceAll: false, add: members.map((value) => ({ value })), remove: [] }
  return (await groups.create('acme', { document: { displayName: `Group ${names++}` }, members: delta }, cause)).id
}

interface Change {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  readonly replaceAll?: boolean
  readonly document?: Record<string, unknown>
}

function change(
  group: string,
  { add = [], remove = [], replaceAll = false, document = {} }: Change,
  directory = 'acme',
) {
  const members = { replaceAll, add: add.map((value) => ({ value })), remove }
  return groups.change(
    directory,
    group,
    (current) => ({ document: { ...current.document, ...document }, members }),
    cause,
    'PATCH',
  )
}

/** Whom the work touched, by how much their version grew; each with its event, and hinted. */
async function touchedBy(work: () => Promise<unknown>): Promise<Map<string, number>> {
  const read = async () => {
    const { rows } = await owner.query(
      'select user_id, version, (select count(*) from lifecycle_event e where e.user_id = s.user_id) as events from user_state s',
    )
    return new Map(
      rows.map(({ user_id, version, events }) => [
        user_id as string,
        { version: Number(version), events: Number(events) },
      ]),
    )
  }
  const before = await read()
  hints.length = 0
  await work()
  const grown = [...(await read())].flatMap(([id, { version, events }]) => {
    const was = before.get(id)!
    expect(events - was.events, 'an event for each version').toBe(version - was.version)
    return version > was.version ? [[id, version - was.version] as const] : []
  })
  expect(new Set(hints.map(([id]) => id)), 'hinted').toEqual(new Set(grown.map(([id]) => id)))
  return new Map(grown)
}

const once = (...ids: string[]) => new Map(ids.map((id) => [id, 1]))
const sorted = (touched: ReadonlyMap<string, number>) => [...touched].toSorted(([a], [b]) => (a < b ? -1 : 1))

async function expectTouched(work: () => Promise<unknown>, ...ids: string[]): Promise<void> {
  expect(sorted(await touchedBy(work))).toEqual(sorted(once(...ids)))
}

describe('whom a change of a group touches: those whose transitive (id, displayName) set changes, and nobody else', () => {
  /** company ⊃ division ⊃ team, with somebody in each, and one in both ends. */
  async function company() {
    const [chief, head, coder, both, stranger] = await Promise.all([
      newUser(),
      newUser(),
      newUser(),
      newUser(),
      newUser(),
    ])
    const team = await newGroup(coder, both)
    const division = await newGroup(head, team)
    const top = await newGroup(chief, both, division)
    return { chief, head, coder, both, stranger, team, division, top }
  }

  it("nobody by Okta's rename to the same name, which comes with every membership change", async () => {
    const { top, team, stranger } = await company()
    for (const group of [top, team]) {
      const { displayName } = (await groups.get('acme', group)).document
      await expectTouched(() => change(group, { document: { displayName } }))
      await expectTouched(() => change(group, { document: { displayName }, add: [stranger] }), stranger)
      await expectTouched(() => change(group, { document: { displayName }, remove: [stranger] }), stranger)
    }
  })

  it('nobody by another externalId, by a member who is there already or by one who is not', async () => {
    const { team, coder, stranger } = await company()
    await expectTouched(() => change(team, { document: { externalId: 'x' } }))
    await expectTouched(() => change(team, { add: [coder], remove: [stranger] }))
  })

  it('everybody below by a real rename, once each, however many ways lead there; urgently', async () => {
    const { top, division, team, chief, head, coder, both } = await company()
    await expectTouched(() => change(team, { document: { displayName: `T ${names++}` } }), coder, both)
    await expectTouched(() => change(division, { document: { displayName: `D ${names++}` } }), head, coder, both)
    await expectTouched(() => change(top, { document: { displayName: `C ${names++}` } }), chief, head, coder, both)
    expect(new Set(hints.map(([, lane]) => lane))).toEqual(new Set(['urgent']))
  })

  it('everybody below by a rename of the case alone, which is what is shown', async () => {
    const { team, coder, both } = await company()
    const { displayName } = (await groups.get('acme', team)).document
    await expectTouched(
      () => change(team, { document: { displayName: String(displayName).toUpperCase() } }),
      coder,
      both,
    )
  })

  it('everybody below a nesting edge, when it is made and when it goes', async () => {
    const { top, division, chief, head, coder, both } = await company()
    await expectTouched(() => change(top, { remove: [division] }), head, coder, both)
    expect(new Set(hints.map(([, lane]) => lane))).toEqual(new Set(['urgent']))
    await expectTouched(() => change(top, { add: [division] }), head, coder, both)
    expect(new Set(hints.map(([, lane]) => lane))).toEqual(new Set(['normal']))
    const whole = await newGroup()
    await expectTouched(() => change(whole, { add: [top] }), chief, head, coder, both)
  })

  it('everybody below a group that is made with another in it', async () => {
    const { top, chief, head, coder, both } = await company()
    await expectTouched(() => newGroup(top), chief, head, coder, both)
  })

  it('everybody below a group that is deleted, and nobody above', async () => {
    const { division, head, coder, both } = await company()
    await expectTouched(() => groups.remove('acme', division, cause), head, coder, both)
  })

  it('once who leaves and joins by one change', async () => {
    const { top, division, team, stranger, chief, head, coder, both } = await company()
    const replaced = { replaceAll: true, add: [stranger, team], document: { displayName: `C ${names++}` } }
    await expectTouched(() => change(top, replaced), chief, head, coder, both, stranger)
    expect(division).toBeTruthy()
  })

  it('nobody by what is refused: a circle, however long, and a group in itself', async () => {
    const { top, division, team, stranger } = await company()
    for (const [group, inner] of [
      [team, top],
      [team, division],
      [division, division],
      [top, top],
    ] as const) {
      await expectTouched(async () => {
        await expect(
          change(group, { add: [stranger, inner], document: { displayName: `X ${names++}` } }),
        ).rejects.toBeInstanceOf(MembershipCycle)
      })
    }
  })

  it('all whose set differs, in any company and by any change, and only those to whom a way changes', async () => {
    const random = createRandom()
    const people = await Promise.all(Array.from({ length: 8 }, newUser))
    const teams = await Promise.all(Array.from({ length: 6 }, () => newGroup()))
    /** Per user: the groups as rules see them, and the ways that lead there. */
    const seen = async () => {
      const { rows } = await owner.query<{ id: string; groups: string; ways: string }>(
        `with recursive up (user_id, child_id, group_id) as (
           select user_id, user_id, group_id from group_user
           union
           select up.user_id, up.group_id, n.parent_id from up join group_nesting n on n.child_id = up.group_id
         )
         select up.user_id as id,
           string_agg(distinct g.id || ' ' || g.display_name || (up.child_id = up.user_id)::text, ', ') as groups,
           string_agg(distinct up.child_id || ' ' || g.id || ' ' || g.display_name, ', ') as ways
         from up join scim_group g on g.id = up.group_id group by up.user_id`,
      )
      return new Map(rows.map((row) => [row.id, row]))
    }
    for (let turn = 0; turn < 40; turn++) {
      const group = random.pick(teams)
      const before = await seen()
      const some = () => [...people, ...teams].filter(() => random.between(0, 5) === 0)
      const touched = await touchedBy(() =>
        change(group, {
          add: some(),
          remove: some(),
          replaceAll: random.between(0, 9) === 0,
          document: random.between(0, 3) === 0 ? { displayName: `Turn ${random.between(0, 1)} of ${group}` } : {},
        }).catch((error) => {
          if (!(error instanceof MembershipCycle)) throw error
        }),
      )
      const after = await seen()
      const said = `turn ${turn}, TEST_SEED=${random.seed}`
      const differing = (what: 'groups' | 'ways') =>
        people.filter((id) => before.get(id)?.[what] !== after.get(id)?.[what])
      expect(
        [...touched.values()].every((times) => times === 1),
        said,
      ).toBe(true)
      expect(new Set(differing('groups')).isSubsetOf(new Set(touched.keys())), said).toBe(true)
      // One who loses a way and keeps another is looked at for nothing, which is cheaper than to find that out.
      expect([...touched.keys()].toSorted(), said).toEqual(differing('ways').toSorted())
    }
  })
})

describe('one member more or less', () => {
  const tables = [
    'scim_user',
    'scim_group',
    'group_user',
    'group_nesting',
    'user_state',
    'lifecycle_event',
    'ledger_entry',
    'directory',
  ]

  /** Rows that were read or written, by table, and pages, whatever statement did it. */
  async function costOf(work: () => Promise<unknown>) {
    const before = await counters()
    await work()
    const after = await counters()
    return Object.fromEntries(
      tables.map((table) => [
        table,
        Object.fromEntries(Object.entries(after[table]!).map(([name, value]) => [name, value - before[table]![name]!])),
      ]),
    )
  }

  async function counters(): Promise<Record<string, Record<string, number>>> {
    await Promise.all(
      Array.from({ length: 8 }, () =>
        db.connection().execute((one) => sql`select pg_stat_force_next_flush()`.execute(one)),
      ),
    )
    const { rows } = await owner.query(
      `select t.relname as table, seq_tup_read as read, coalesce(idx_tup_fetch, 0) as fetched, n_tup_ins as inserted, n_tup_upd as updated,
         n_tup_del as deleted, heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0) as pages
       from pg_stat_user_tables t join pg_statio_user_tables io using (relid) where t.relname = any($1)`,
      [tables],
    )
    return Object.fromEntries(
      rows.map(({ table, ...counts }) => [
        table,
        Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, Number(value)])),
      ]),
    )
  }

  it('reads and writes as many rows in a group of 50,000 as in one of 10', { timeout: 180_000 }, async () => {
    const make = async (count: number) => {
      const { id } = await groups.create('large', { document: { displayName: `Group of ${count}` } }, cause)
      const people = await insertPeople(owner, { directory: 'large', prefix: `of-${count}`, count, group: id })
      return { id, inside: people.map((person) => person.id) }
    }
    const [small, large] = [await make(10), await make(50_000)]
    const outside = (await insertPeople(owner, { directory: 'large', prefix: 'out', count: 20 })).map(({ id }) => id)
    await owner.query('vacuum analyze')
    const steps: [string, (group: typeof small, at: number) => Promise<unknown>][] = [
      ['one more', (group, at) => change(group.id, { add: [outside[at]!] }, 'large')],
      ['one less', (group, at) => change(group.id, { remove: [outside[at]!] }, 'large')],
      ['one who is there', (group) => change(group.id, { add: [group.inside[3]!] }, 'large')],
      ['one who is not', (group) => change(group.id, { remove: [outside[9]!] }, 'large')],
      [
        "one more with Okta's rename",
        (group, at) =>
          change(
            group.id,
            { add: [outside[at + 1]!], document: { displayName: `Group of ${group.inside.length}` } },
            'large',
          ),
      ],
    ]
    for (const group of [small, large]) for (const [, step] of steps) await step(group, 5)
    for (const [what, step] of steps) {
      const [few, many] = [await costOf(() => step(small, 0)), await costOf(() => step(large, 0))]
      for (const table of tables) {
        const { read: fewRead, fetched: fewFetched, pages: fewPages, ...fewWritten } = few[table]!
        const { read: manyRead, fetched: manyFetched, pages: manyPages, ...manyWritten } = many[table]!
        expect(manyWritten, `${what}: ${table}`).toEqual(fewWritten)
        // A plan for more may look a row up twice; of a few groups in all, old versions are read in passing.
        const more = manyRead! + manyFetched! - fewRead! - fewFetched!
        expect(more, `${what}: rows of ${table}`).toBeLessThan(table === 'scim_group' ? 40 : 6)
        // A larger index may be a level deeper, and a page may be full.
        expect(manyPages! - fewPages!, `${what}: pages of ${table}`).toBeLessThan(12)
      }
    }
  })
})

describe('a crowd that changes one group', () => {
  it('holds one connection of a process while it waits, so that others are served, and loses nothing', async () => {
    const locks = await watchLocks({ db, url: database.url })
    const group = await newGroup()
    const crowd = await Promise.all(Array.from({ length: 40 }, newUser))
    await owner.query('begin')
    await owner.query('select 1 from scim_group where id = $1 for update', [group])
    const changes = Promise.all(crowd.map((user) => change(group, { add: [user] })))
    await locks.waitUntilWaiting(1)
    // Were all eight connections waiting, nobody could ask this.
    await users.get('acme', crowd[0]!)
    expect(await locks.waiting()).toHaveLength(1)
    await owner.query('commit')
    await changes
    const members = (await groups.members([group])).get(group)!
    expect(new Set(members.map(({ value }) => value))).toEqual(new Set(crowd))
    await locks.close()
  })

  it('keeps nobody waiting who names it in another directory', async () => {
    const locks = await watchLocks({ db, url: database.url })
    const [group, user] = [await newGroup(), await newUser()]
    await owner.query('begin')
    await owner.query('select 1 from scim_group where id = $1 for update', [group])
    const mine = change(group, { add: [user] })
    await locks.waitUntilWaiting(1)
    await expect(change(group, {}, 'large')).rejects.toThrow(NotFound)
    expect(await locks.waiting()).toHaveLength(1)
    await owner.query('commit')
    await mine
    await locks.close()
  })

  it('goes on after one of them that is refused', async () => {
    const [group, user] = [await newGroup(), await newUser()]
    const [refused, done] = await Promise.allSettled([change(group, { add: [group] }), change(group, { add: [user] })])
    expect([refused.status, done.status]).toEqual(['rejected', 'fulfilled'])
  })
})
