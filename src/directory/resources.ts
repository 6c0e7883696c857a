import { type RawBuilder, sql } from 'kysely'
import type { Database, Executor } from '../db/pool.ts'
import { type GroupRecord, readGroups } from './groups.ts'
import {
  after,
  countOf,
  cutPage,
  type Listing,
  limitOf,
  type Order,
  orderBy,
  type Page,
  type SortKey,
  written,
} from './listing.ts'
import { answerShaped } from './question.ts'
import { readUsers, type UserRecord } from './users.ts'

export type Resource =
  | { readonly type: 'User'; readonly record: UserRecord }
  | { readonly type: 'Group'; readonly record: GroupRecord }

/** What of one type is meant: users under the alias `u`, groups under `g`. Without a key none of them has a value. */
export interface Part {
  readonly where: RawBuilder<boolean> | undefined
  readonly key: SortKey | undefined
}

export interface ResourceListing extends Pick<Listing, 'from' | 'limit'> {
  readonly users: Part
  readonly groups: Part
  /** Absent: in order of creation, whatever the keys. */
  readonly sort?: { readonly kind: SortKey['kind']; readonly descending: boolean } | undefined
}

/** Users and groups as one list (RFC 7644 §3.4.2.1). */
export function createResources({ db }: { db: Database }) {
  return {
    list: (directoryId: string, listing: ResourceListing) =>
      answerShaped(db, (trx) => listResources(trx, directoryId, listing)),
  }
}

export type Resources = ReturnType<typeof createResources>

async function listResources(
  executor: Executor,
  directoryId: string,
  listing: ResourceListing,
): Promise<Page<Resource>> {
  const { users, groups, sort, from } = listing
  const keyOf = (part: Part, alias: string) =>
    sort ? (part.key?.expression ?? sql`null`) : sql.ref(`${alias}.created_at`)
  const found = sql`
    select 'User' as type, u.id, ${keyOf(users, 'u')} as key from scim_user u
    where u.directory_id = ${directoryId} and u.deleted_at is null and ${users.where ?? sql`true`}
    union all
    select 'Group', g.id, ${keyOf(groups, 'g')} from scim_group g
    where g.directory_id = ${directoryId} and g.deleted_at is null and ${groups.where ?? sql`true`}`
  const order: Order = {
    key: { expression: sql.ref('r.key'), kind: sort?.kind ?? 'time', isNeverNull: !sort },
    descending: sort?.descending ?? false,
  }
  const id = sql.ref('r.id')
  const { rows } = await sql<{ type: 'User' | 'Group'; id: string; place: string | null }>`
    select r.type, r.id, ${written(order.key)} as place from (${found}) r
    where ${after(order, id, from)} ${orderBy(order, id)} ${limitOf(listing)}`.execute(executor)
  const total = await countOf(executor, sql<number>`(select count(*) from (${found}) r)`)
  const page = cutPage(rows, listing)
  return { items: await read(executor, directoryId, page.rows), total, next: page.next }
}

/** In this order. */
async function read(
  executor: Executor,
  directoryId: string,
  rows: readonly { readonly type: 'User' | 'Group'; readonly id: string }[],
): Promise<Resource[]> {
  const idsOf = (type: 'User' | 'Group') => rows.filter((row) => row.type === type).map(({ id }) => id)
  const users = await readUsers(executor, directoryId, idsOf('User'))
  const groups = await readGroups(executor, directoryId, idsOf('Group'))
  const found = new Map<string, Resource>([
    ...users.map((record) => [record.id, { type: 'User', record }] as const),
    ...groups.map((record) => [record.id, { type: 'Group', record }] as const),
  ])
  return rows.map(({ id }) => found.get(id)).filter((each) => each !== undefined)
}
