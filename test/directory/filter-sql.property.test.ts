import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { compileFilter } from '../../src/directory/filter-sql.ts'
import { createGroups } from '../../src/directory/groups.ts'
import type { Page } from '../../src/directory/listing.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers } from '../../src/directory/users.ts'
import type { Filter } from '../../src/filter/ast.ts'
import { FilterError } from '../../src/filter/errors.ts'
import { matches } from '../../src/filter/evaluate.ts'
import { limits } from '../../src/filter/guard.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import type { ResourceType } from '../../src/schemas/schema.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import type { Json } from '../../src/scim/json.ts'
import { representGroup, representUser } from '../../src/scim/representation.ts'
import { readResource } from '../../src/scim/resource.ts'
import { documents, texts } from '../support/documents.ts'
import { type FilterSources, filterSources } from '../support/filter-terms.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const hintUser = () => {}
const base = 'https://tenure.example/directories/acme/scim/v2'
/** Kept to the microsecond, shown to the millisecond. */
const kept = [
  '2026-01-01T00:00:00.123456Z',
  '2026-01-01T00:00:00.123Z',
  '2025-12-31T23:59:59.9999Z',
  '2026-03-01T00:00:00Z',
]
const times = [
  '2026-01-01T00:00:00.123Z',
  '2026-01-01T02:00:00.123+02:00',
  '2025-12-31T18:30:00.123-05:30',
  '2026-01-01T00:00:00Z',
  '2025-12-31T23:59:59.999Z',
  '2026-03-01',
  '2026-03-01T00:00Z',
  '2026-02-29T00:00:00+14:00',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59Z',
]

const { seed } = createRandom()
let database: TestDatabase
let db: Database

interface Kind {
  readonly type: ResourceType
  readonly alias: string
  readonly resources: readonly Json[]
  readonly sources: FilterSources
  list(filter: Filter): Promise<Page<{ readonly id: string }>>
}
const kinds: Record<string, Kind> = {}

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 8, name: 'tenure under test' }))
  const users = createUsers({ db, hintUser })
  const groups = createGroups({ db, hintUser })
  await createDirectories({ db, hintUser }).create({ id: 'acme', provider: 'okta', name: 'Acme' })

  const people: string[] = []
  for (const [n, body] of bodies(userResourceType, 60).entries()) {
    const userName = n % 3 === 0 ? String(n) : `${body.userName ?? 'u'}-${n}`
    const { document } = readResource(userResourceType, { ...body, userName })
    people.push((await users.create('acme', document, cause)).id)
  }
  const teams: string[] = []
  for (const [n, body] of bodies(groupResourceType, 24).entries()) {
    const { document } = readResource(groupResourceType, { ...body, displayName: `${body.displayName ?? 'g'}-${n}` })
    const nested = n % 3 === 2 ? teams.slice(-1) : []
    const add = [...people.filter((_id, place) => place % (n + 2) === 1), ...nested].map((value) => ({ value }))
    const members = { replaceAll: false, add: n % 4 === 3 ? [] : add, remove: [] }
    teams.push((await groups.create('acme', { document, members }, cause)).id)
  }
  for (const [n, id] of [...people, ...teams].entries()) {
    const [created, modified] = [kept[n % kept.length]!, kept[(n >> 2) % kept.length]!]
    for (const table of ['scim_user', 'scim_group'])
      await sql`update ${sql.table(table)} set created_at = ${created}, last_modified = ${modified} where id = ${id}`.execute(
        db,
      )
  }

  const all = { from: { offset: 0 }, limit: 500 }
  const found = { users: await users.list('acme', all), groups: await groups.list('acme', all) }
  const members = await groups.members(teams)
  kinds.User = {
    type: userResourceType,
    alias: 'u',
    resources: found.users.items.map((user) => representUser(user, base)),
    sources: filterSources(userResourceType, { ids: [...people.slice(0, 5), ...teams.slice(0, 2)], texts, times }),
    list: (filter) =>
      users.list('acme', { ...all, where: compileFilter(filter, { resourceType: userResourceType, alias: 'u' }) }),
  }
  kinds.Group = {
    type: groupResourceType,
    alias: 'g',
    resources: found.groups.items.map((group) => representGroup(group, members.get(group.id) ?? [], base)),
    sources: filterSources(groupResourceType, { ids: [...teams.slice(0, 4), ...people.slice(0, 5)], texts, times }),
    list: (filter) =>
      groups.list('acme', { ...all, where: compileFilter(filter, { resourceType: groupResourceType, alias: 'g' }) }),
  }
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

/** As clients send them: any attribute, with values that mean none among them (RFC 7643 §2.5). */
function bodies(type: ResourceType, count: number): Json[] {
  const empty = fc.constantFrom('', null, [], 'keep', 'keep', 'keep')
  const body = fc.tuple(documents(type), fc.infiniteStream(empty)).map(([document, empties]) =>
    Object.fromEntries(
      Object.entries(document).map(([name, value]) => {
        const instead = name === 'active' ? 'keep' : empties.next().value
        return [name, instead === 'keep' ? value : instead]
      }),
    ),
  )
  return fc.sample(body, { seed, numRuns: count })
}

async function agree(kind: Kind, source: string): Promise<void> {
  const filter = parseFilter(source, kind.type)
  const { items, total } = await kind.list(filter)
  const expected = kind.resources.filter((resource) => matches(filter, resource)).map(({ id }) => id)
  expect(items.map(({ id }) => id).toSorted(), `${source} (TEST_SEED=${seed})`).toEqual(expected.toSorted())
  expect(total).toBe(expected.length)
}

describe.each(['User', 'Group'])('a filter over %ss in the database and in memory', (name) => {
  const isWithinLimits = (source: string) => source.length <= limits.length

  it('selects the same resources, whatever it asks', async () => {
    const kind = kinds[name]!
    let selective = 0
    await fc.assert(
      fc.asyncProperty(kind.sources.answered.filter(isWithinLimits), async (source) => {
        await agree(kind, source)
        const hits = kind.resources.filter((resource) => matches(parseFilter(source, kind.type), resource)).length
        if (hits > 0 && hits < kind.resources.length) selective += 1
      }),
      { seed, numRuns: 700 },
    )
    // A filter that everybody or nobody satisfies proves little.
    expect(selective).toBeGreaterThan(150)
  })

  it('selects the same or is refused where rows of their own are asked for, and never finds nobody instead', async () => {
    const kind = kinds[name]!
    await fc.assert(
      fc.asyncProperty(kind.sources.special.filter(isWithinLimits), async (source) => {
        await agree(kind, source).catch((error) => {
          if (!(error instanceof FilterError)) throw error
        })
      }),
      { seed, numRuns: 300 },
    )
  })
})
