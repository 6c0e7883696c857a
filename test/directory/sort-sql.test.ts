import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createGroups, type Groups } from '../../src/directory/groups.ts'
import { after, type Listing, type Order, orderBy, type Page } from '../../src/directory/listing.ts'
import { sortKeyOf } from '../../src/directory/sort-sql.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, type Users } from '../../src/directory/users.ts'
import { fold } from '../../src/fold.ts'
import { commonAttributes } from '../../src/schemas/common.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import type { AttributePath } from '../../src/schemas/resolve.ts'
import type { Attribute, ResourceType } from '../../src/schemas/schema.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import type { Json } from '../../src/scim/json.ts'
import { representGroup, representUser } from '../../src/scim/representation.ts'
import { documents } from '../support/documents.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const hintUser = () => {}
const base = 'https://tenure.example/directories/x/scim/v2'

let database: TestDatabase
let db: Database
let users: Users
let groups: Groups
let directories = 0

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 8, name: 'tenure under test' }))
  users = createUsers({ db, hintUser })
  groups = createGroups({ db, hintUser })
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

/** Every attribute that has an order: leaves, at the top, in complex attributes and in extensions. */
function pathsOf({ schema, extensions }: ResourceType): AttributePath[] {
  const leaves = (attributes: readonly Attribute[], urn?: string) =>
    attributes
      .filter(({ returned }) => returned !== 'never')
      .flatMap((attribute) => {
        const place = { ...(urn && { urn }), attribute }
        return attribute.subAttributes ? attribute.subAttributes.map((sub) => ({ ...place, sub })) : [place]
      })
  return [
    ...leaves([...commonAttributes, ...schema.attributes]),
    ...extensions.flatMap((extension) => leaves(extension.schema.attributes, extension.schema.id)),
  ]
}

function textOf({ urn, attribute, sub }: AttributePath): string {
  return `${urn ? `${urn}:` : ''}${attribute.name}${sub ? `.${sub.name}` : ''}`
}

/** RFC 7644 §3.4.2.3 over what a client is shown. */
function sorted(resources: readonly Json[], path: AttributePath, descending: boolean): unknown[] {
  const keyed = resources.map((resource) => ({ id: String(resource.id), key: keyOf(resource, path) }))
  return keyed.toSorted((a, b) => (descending ? -1 : 1) * order(a.key, b.key) || bytes(a.id, b.id)).map(({ id }) => id)
}

function keyOf(resource: Json, { urn, attribute, sub }: AttributePath): string | number | boolean | undefined {
  const container = (urn === undefined ? resource : resource[urn]) as Json | undefined
  const values = [container?.[attribute.name] ?? []].flat() as Json[]
  const first = values.find((each) => each.primary === true) ?? values[0]
  const value = sub ? first?.[sub.name] : first
  const { type, caseExact } = sub ?? attribute
  if (typeof value === 'string' && type === 'dateTime') return Date.parse(value)
  return (typeof value === 'string' && !caseExact ? fold(value) : value) as string | undefined
}

function order(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return typeof a === 'string' ? bytes(a, String(b)) : Number(a) - Number(b)
}

function bytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** By number, and place by place in pages of `limit`. */
async function listed(
  list: (listing: Listing) => Promise<Page<{ readonly id: string }>>,
  order: Order | undefined,
  limit: number,
): Promise<{ whole: string[]; walked: string[] }> {
  const whole = await list({ order, from: { offset: 0 }, limit: 200 })
  const walked: string[] = []
  for (let last: Page<unknown>['next'], more = true; more; ) {
    const page = await list({ order, from: { after: last }, limit })
    expect(page.total).toBe(whole.total)
    walked.push(...page.items.map(({ id }) => id))
    last = page.next
    more = last !== undefined
  }
  return { whole: whole.items.map(({ id }) => id), walked }
}

async function populate(userDocuments: readonly Json[], groupDocuments: readonly Json[]): Promise<string> {
  const directory = `d${directories++}`
  await createDirectories({ db, hintUser }).create({ id: directory, provider: 'okta', name: directory })
  const ids: string[] = []
  for (const [n, document] of userDocuments.entries()) {
    const userName = `${document.userName ?? 'u'}-${n}`
    const user = await users.create(directory, { ...document, userName, active: document.active !== false }, cause)
    ids.push(user.id)
  }
  const before: string[] = []
  for (const [n, document] of groupDocuments.entries()) {
    const nested = n % 3 === 2 ? before.slice(-1) : []
    const add = [...ids.filter((_id, place) => place % (n + 2) === 1), ...nested].map((value) => ({ value }))
    const members = { replaceAll: false, add: n % 4 === 3 ? [] : add, remove: [] }
    const displayName = `${document.displayName ?? 'g'}-${n}`
    const group = await groups.create(directory, { document: { ...document, displayName }, members }, cause)
    before.push(group.id)
  }
  return directory
}

describe('sorting in the database (RFC 7644 §3.4.2.3)', () => {
  it('orders by every attribute of a user and of a group as their representations say, in pages too', async () => {
    const population = fc.tuple(
      fc.array(documents(userResourceType), { minLength: 25, maxLength: 25 }),
      fc.array(documents(groupResourceType), { minLength: 7, maxLength: 7 }),
    )
    await fc.assert(
      fc.asyncProperty(population, fc.integer({ min: 2, max: 8 }), async ([people, teams], limit) => {
        const directory = await populate(people, teams)
        const everyone = await users.list(directory, { from: { offset: 0 }, limit: 200 })
        const every = await groups.list(directory, { from: { offset: 0 }, limit: 200 })
        const members = await groups.members(every.items.map(({ id }) => id))
        const lists = [
          {
            type: userResourceType,
            alias: 'u',
            list: (listing: Listing) => users.list(directory, listing),
            resources: everyone.items.map((user) => representUser(user, base)),
          },
          {
            type: groupResourceType,
            alias: 'g',
            list: (listing: Listing) => groups.list(directory, listing),
            resources: every.items.map((group) => representGroup(group, members.get(group.id) ?? [], base)),
          },
        ]
        for (const { type, alias, list, resources } of lists) {
          const inOrder = await listed(list, undefined, limit)
          expect(inOrder.walked, 'order of creation').toEqual(inOrder.whole)
          for (const path of pathsOf(type)) {
            const key = sortKeyOf(path, { resourceType: type, alias })
            if (!key) throw new Error(`${textOf(path)} has no order`)
            for (const descending of [false, true]) {
              const expected = sorted(resources, path, descending)
              const { whole, walked } = await listed(list, { key, descending }, limit)
              const what = `${type.name} by ${textOf(path)}${descending ? ', descending' : ''}`
              expect(whole, what).toEqual(expected)
              expect(walked, `${what}, in pages of ${limit}`).toEqual(expected)
            }
          }
        }
      }),
      // A smaller counterexample would cost another directory for each try.
      { numRuns: 3, endOnFailure: true },
    )
  })

  it('compares texts by their bytes, whatever the locale of the database', () => {
    const attribute = userResourceType.schema.attributes.find(({ name }) => name === 'title')!
    const key = sortKeyOf({ attribute }, { resourceType: userResourceType, alias: 'u' })!
    const order = { key, descending: false }
    const id = sql.ref('u.id')
    const place = { key: 'x', id: '11111111-2222-4333-8444-555555555555' }
    expect(orderBy(order, id).compile(db).sql).toContain('collate "C" asc')
    expect(
      after(order, id, { after: place })
        .compile(db)
        .sql.match(/collate "C"/g),
    ).toHaveLength(3)
  })

  it.each(['name', 'addresses', 'password'])('has no order for %s', (name) => {
    const attribute = userResourceType.schema.attributes.find((each) => each.name === name)!
    expect(sortKeyOf({ attribute }, { resourceType: userResourceType, alias: 'u' })).toBeUndefined()
  })
})
