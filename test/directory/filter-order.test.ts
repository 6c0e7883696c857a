import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { compileFilter, foldDocument } from '../../src/directory/filter-sql.ts'
import { matches } from '../../src/filter/evaluate.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { newResourceId } from '../../src/ids.ts'
import { attribute, complex, type ResourceType } from '../../src/schemas/schema.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import type { Json } from '../../src/scim/json.ts'
import { readResource } from '../../src/scim/resource.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'

/** Types that have an order and that no schema of ours uses outside `meta`: numbers and times, single, nested, in lists. */
const urn = 'urn:example:contract:2.0:User'
const leaves = [
  attribute('age', { type: 'integer' }),
  attribute('rate', { type: 'decimal' }),
  attribute('since', { type: 'dateTime' }),
]
const resourceType: ResourceType = {
  ...userResourceType,
  extensions: [
    {
      required: false,
      schema: {
        id: urn,
        name: 'Contract',
        description: 'Contract',
        attributes: [...leaves, complex('term', leaves), complex('terms', leaves, { multiValued: true })],
      },
    },
  ],
}

const times = [
  '2026-01-01T00:00:00.123Z',
  '2026-01-01T02:00:00.123+02:00',
  '2026-01-01T00:00:00.1239Z',
  '2025-12-31T23:59:59.999Z',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
]
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })
const numbers = fc.constantFrom(-10, -9, 0, 2, 10, 100)
const values = fc.record({
  age: optional(numbers),
  rate: optional(fc.oneof(numbers, fc.constantFrom(0.5, -0.5, 1e21))),
  since: optional(fc.constantFrom(...times)),
})
const contract = fc
  .tuple(values, optional(values), optional(fc.array(values, { maxLength: 3 })))
  .map(([own, term, terms]) => JSON.parse(JSON.stringify({ ...own, term, terms })) as Json)

const comparison = fc.constantFrom('age', 'rate', 'since').chain((name) => {
  const literal = name === 'since' ? fc.constantFrom(...times).map((time) => `"${time}"`) : numbers.map(String)
  const compared = fc.tuple(fc.constantFrom('eq', 'ne', 'gt', 'ge', 'lt', 'le'), literal)
  return fc.oneof(compared, fc.constantFrom(['pr'], ['eq null'])).map((words) => [name, ...words].join(' '))
})
const forms: ReadonlyArray<(comparison: string) => string> = [
  (each) => `${urn}:${each}`,
  (each) => `${urn}:term.${each}`,
  (each) => `${urn}:terms.${each}`,
  (each) => `${urn}:term[${each}]`,
  (each) => `${urn}:terms[${each}]`,
  (each) => `${urn}:terms[not (${each})]`,
  (each) => `not (${urn}:terms[${each}])`,
]
const term = fc.tuple(fc.constantFrom(...forms), comparison).map(([form, each]) => form(each))

const { seed } = createRandom()
let database: TestDatabase
let db: Database
const people = new Map<string, Json>()

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 4, name: 'tenure under test' }))
  await sql`insert into directory (id, provider, name) values ('acme', 'okta', 'Acme')`.execute(db)
  for (const data of fc.sample(contract, { seed, numRuns: 80 })) {
    const id = newResourceId()
    const { document } = readResource(resourceType, { userName: id, [urn]: data })
    await sql`
      insert into scim_user (id, directory_id, user_name_key, active, document, folded)
      values (${id}, 'acme', ${id}, true, ${JSON.stringify(document)}::jsonb,
        ${JSON.stringify(foldDocument(resourceType, document))}::jsonb)`.execute(db)
    people.set(id, document)
  }
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

it('numbers and times are compared in the database as in memory', async () => {
  let selective = 0
  await fc.assert(
    fc.asyncProperty(term, async (source) => {
      const filter = parseFilter(source, resourceType)
      const { rows } = await sql<{ id: string }>`
        select u.id from scim_user u where ${compileFilter(filter, { resourceType, alias: 'u' })}`.execute(db)
      const expected = [...people].filter(([, document]) => matches(filter, document)).map(([id]) => id)
      expect(rows.map(({ id }) => id).toSorted(), `${source} (TEST_SEED=${seed})`).toEqual(expected.toSorted())
      if (expected.length > 0 && expected.length < people.size) selective += 1
    }),
    { seed, numRuns: 400 },
  )
  expect(selective).toBeGreaterThan(200)
})
