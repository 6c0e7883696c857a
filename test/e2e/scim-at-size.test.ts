import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Json, patchSchema, type ScimClient } from '../support/clients.ts'
import { insertPeople, type Person } from '../support/people.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'

let database: TestDatabase
let rows: pg.Client
/** Several processes' worth, on one database. */
let tenures: RunningTenure[]

beforeAll(async () => {
  database = await createDatabase()
  rows = await connect({ url: database.ownerUrl })
  tenures = [await runTenure('api', database), await runTenure('api', database), await runTenure('api', database)]
})
afterAll(async () => {
  await rows?.end()
  for (const tenure of tenures ?? []) await tenure.close()
  await database?.drop()
})

describe('a group of 50,000', { timeout: 180_000 }, () => {
  let scim: ScimClient
  let group: string
  let people: Person[]
  let outsiders: Person[]

  beforeAll(async () => {
    scim = await registerDirectory(tenures[0]!.admin, 'crowd')
    group = (await scim.createGroup('Everyone')).id
    people = await insertPeople(rows, { directory: 'crowd', prefix: 'in', count: 50_000, group })
    outsiders = await insertPeople(rows, { directory: 'crowd', prefix: 'out', count: 400 })
    await rows.query('analyze')
  }, 180_000)

  const membersNow = async () => {
    const { rows: found } = await rows.query('select user_id from group_user where group_id = $1', [group])
    return new Set(found.map(({ user_id }) => user_id as string))
  }
  const groupVersion = async () => {
    const { rows: found } = await rows.query('select version from scim_group where id = $1', [group])
    return Number(found[0].version)
  }
  const userVersions = async () => {
    const { rows: found } = await rows.query(`select user_id, version from user_state where directory_id = 'crowd'`)
    return new Map(found.map(({ user_id, version }) => [user_id as string, Number(version)]))
  }

  it('has exactly the right members after 200 parallel PATCHes, adds and removes mixed, through three processes', async () => {
    const random = createRandom()
    const [members, version, states] = [await membersNow(), await groupVersion(), await userVersions()]
    const expected = new Set(members)
    const leaving = people.map(({ id }) => id)
    const joining = outsiders.map(({ id }) => id)
    const take = (from: string[], count: number) =>
      Array.from({ length: count }, () => from.splice(random.between(0, from.length - 1), 1)[0]!)
    const patches = Array.from({ length: 200 }, (_, at): Json[] => {
      const [gone, come] = [take(leaving, random.between(1, 4)), take(joining, random.between(1, 2))]
      const add = { op: 'add', path: 'members', value: come.map((value) => ({ value })) }
      const filtered = gone.map((id) => ({ op: 'remove', path: `members[value eq "${id}"]` }))
      const listed = { op: 'Remove', path: 'members', value: gone.map((value) => ({ $ref: null, value })) }
      const operations = [[add], filtered, [listed], [add, ...filtered], [listed, add]][at % 5]!
      if (operations.includes(add)) for (const id of come) expected.add(id)
      if (operations.length > 1 || !operations.includes(add)) for (const id of gone) expected.delete(id)
      return operations
    })
    await Promise.all(
      patches.map((Operations, at) =>
        scim.at(tenures[at % 3]!.url).call('PATCH', `/Groups/${group}`, { schemas: [patchSchema], Operations }),
      ),
    )
    const after = await membersNow()
    const said = `TEST_SEED=${random.seed}`
    expect(after.size, said).toBe(expected.size)
    expect(after.symmetricDifference(expected), said).toEqual(new Set())
    expect(await groupVersion()).toBe(version + 200)
    // Whoever joined or left was touched once, and nobody else.
    const touched = [...(await userVersions())].filter(([id, now]) => now !== states.get(id))
    expect(touched.every(([id, now]) => now === states.get(id)! + 1)).toBe(true)
    expect(new Set(touched.map(([id]) => id)).symmetricDifference(members.symmetricDifference(after)), said).toEqual(
      new Set(),
    )
  })
})

describe('walks through 20,000 users while 50 are deleted, others are made and renamed', { timeout: 180_000 }, () => {
  const orders: Record<string, string>[] = [
    {},
    { sortBy: 'userName', sortOrder: 'descending' },
    { sortBy: 'externalId', filter: 'active eq true and emails.type eq "work"' },
  ]

  it('miss nobody who was there throughout and repeat nobody: in order of creation, sorted, sorted and filtered', async () => {
    const scim = await registerDirectory(tenures[0]!.admin, 'walked')
    const people = await insertPeople(rows, { directory: 'walked', prefix: 'p', count: 20_000 })
    await rows.query('analyze scim_user')
    const random = createRandom()
    const said = `TEST_SEED=${random.seed}`
    const staying = new Set(people.map(({ id }) => id))
    const anybody = (): string => {
      const id = people[random.between(0, people.length - 1)]!.id
      return staying.has(id) ? id : anybody()
    }
    const walks = orders.map((order) => ({ order, seen: [] as string[], cursor: '' as string | undefined }))
    const turn = async (walk: (typeof walks)[number], at: number) => {
      const asked = new URLSearchParams({ cursor: walk.cursor!, count: '200', attributes: 'userName', ...walk.order })
      const page: Json = await scim.at(tenures[at % 3]!.url).call('GET', `/Users?${asked}`)
      walk.seen.push(...page.Resources.map(({ id }: Json) => id))
      walk.cursor = page.nextCursor
    }
    for (let round = 0; walks.some(({ cursor }) => cursor !== undefined); round++) {
      const under = walks.filter(({ cursor }) => cursor !== undefined)
      await Promise.all(under.map((walk, at) => turn(walk, round + at)))
      if (round % 2 === 1) continue
      // At times the very one at whose place a cursor stands.
      const last = random.pick(under).seen.at(-1)!
      const gone = round % 10 === 0 && staying.has(last) ? last : anybody()
      staying.delete(gone)
      const letters = round % 10 === 0 ? ['a', 'p-1', 'z'] : []
      await Promise.all([
        scim.call('DELETE', `/Users/${gone}`),
        scim.patchUser(anybody(), { op: 'replace', value: { displayName: `N ${round}` } }),
        ...letters.map((letter) => scim.createUser(`${letter}-${round}@x.example`)),
      ])
    }
    expect(people.length - staying.size, said).toBeGreaterThanOrEqual(50)
    for (const { order, seen } of walks) {
      const what = `${said} ${JSON.stringify(order)}`
      expect(seen.length, `${what}: nobody twice`).toBe(new Set(seen).size)
      expect([...staying.difference(new Set(seen))], `${what}: nobody missed`).toEqual([])
    }
  })
})
