import { isDeepStrictEqual } from 'node:util'
import { type RawBuilder, sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { transaction } from '../db/transaction.ts'
import { NotFound, TenureError } from '../errors.ts'
import { fold } from '../fold.ts'
import { newResourceId } from '../ids.ts'
import type { Lane } from '../queue/catalog.ts'
import { groupResourceType } from '../schemas/group.ts'
import { isAmong, isOf } from './by-key.ts'
import { foldDocument } from './filter-sql.ts'
import {
  after,
  countOf,
  cutPage,
  inOrderOfCreation,
  isUsual,
  isWhole,
  type Listing,
  limitOf,
  orderBy,
  type Page,
  within,
  written,
} from './listing.ts'
import { lockGroups, lockMemberships, lockUsers } from './locks.ts'
import { answerShaped } from './question.ts'
import { type Cause, touchUsers } from './state.ts'
import { Turns } from './turns.ts'
import { type Document, externalIdOf, type HintUser, naming } from './users.ts'

export interface Member {
  readonly value: string
  readonly type: 'User' | 'Group'
  readonly display: string
}

export interface GroupRecord {
  readonly id: string
  readonly directoryId: string
  /** Without members: those are rows, read only when asked for. */
  readonly document: Document
  readonly version: number
  readonly createdAt: Date
  readonly lastModified: Date
}

/** The net effect of a write on the members. `replaceAll`: whoever is not in `add` leaves. */
export interface MemberDelta {
  readonly replaceAll: boolean
  readonly add: ReadonlyArray<{ readonly value: string }>
  readonly remove: readonly string[]
}

export interface GroupChange {
  readonly document: Document
  readonly members?: MemberDelta
}

/** A member that is named but is no living user or group of the directory. */
export class UnknownMember extends TenureError {
  constructor(id: string) {
    super('ERR_UNKNOWN_MEMBER', `Member ${JSON.stringify(id)} is not a user or group of this directory`)
  }
}

/** A group cannot contain itself, not even through others. */
export class MembershipCycle extends TenureError {
  constructor() {
    super('ERR_MEMBERSHIP_CYCLE', 'A group cannot be a member of itself, directly or through other groups')
  }
}

/**
 * Groups as the identity provider last told us. A write costs by the members it changes, never by those the group has,
 * and touches every user whose transitive groups change.
 */
export function createGroups({ db, hintUser }: { db: Database; hintUser: HintUser }) {
  const turns = new Turns()

  return {
    /** @throws NotUnique, UnknownMember; NotFound when the directory has been deleted */
    async create(directoryId: string, { document, members }: GroupChange, cause: Cause): Promise<GroupRecord> {
      const id = newResourceId()
      const { group, touched } = await naming('scim_group_name', 'displayName', () =>
        escalating(async (mode) =>
          transaction(db, async (trx) => {
            await lockMemberships(trx, directoryId, mode)
            const { numAffectedRows } = await sql`
              insert into scim_group (id, directory_id, display_name, display_name_key, external_id, document, folded)
              select ${id}::uuid, d.id, ${nameOf(document)}, ${fold(nameOf(document))}, ${externalIdOf(document)},
                ${JSON.stringify(document)}::jsonb, ${JSON.stringify(foldDocument(groupResourceType, document))}::jsonb
              from directory d where d.id = ${directoryId} and d.deleted_at is null`.execute(trx)
            if (!numAffectedRows) throw new NotFound(`Directory "${directoryId}" not found`)
            const delta = await resolveDelta(trx, directoryId, id, members)
            if (delta.isNesting && mode === 'shared') throw new NeedsExclusive()
            const touched = await lockTouched(trx, directoryId, id, delta, false)
            await writeWithMembers(trx, id, delta, sql`select`)
            await touch(trx, id, touched, cause, 'POST')
            return { group: (await readGroup(trx, directoryId, id))!, touched }
          }),
        ),
      )
      hintAll(touched, cause)
      return group
    },

    /** @throws NotFound */
    async get(directoryId: string, id: string): Promise<GroupRecord> {
      const group = await readGroup(db, directoryId, id)
      if (!group) throw new NotFound(`Group ${id} not found`)
      return group
    },

    async members(ids: readonly string[]): Promise<Map<string, Member[]>> {
      const { rows } = await sql<{ group_id: string } & Member>`
        select m.group_id, u.id as value, 'User' as type, coalesce(u.document ->> 'displayName', u.document ->> 'userName') as display
        from group_user m join scim_user u on u.id = m.user_id where m.group_id = any(${ids}::uuid[])
        union all
        select n.parent_id, g.id, 'Group', g.display_name
        from group_nesting n join scim_group g on g.id = n.child_id where n.parent_id = any(${ids}::uuid[])
        order by 1, 3, 2`.execute(db)
      return Map.groupBy(
        rows.map(({ group_id, ...member }) => ({ group_id, ...member })),
        ({ group_id }) => group_id,
      )
    },

    async list(directoryId: string, listing: Listing): Promise<Page<GroupRecord>> {
      return isUsual(listing)
        ? listGroups(db, directoryId, listing)
        : answerShaped(db, (trx) => listGroups(trx, directoryId, listing))
    },

    /**
     * Applies `change` under the group's lock. Parallel membership changes of one group follow one another and none is
     * lost.
     *
     * @throws NotFound, NotUnique, UnknownMember, MembershipCycle, whatever `change` throws
     */
    async change(
      directoryId: string,
      id: string,
      change: (current: GroupRecord) => GroupChange,
      cause: Cause,
      operation: string,
    ): Promise<GroupRecord> {
      const { group, touched } = await turns.take(`${directoryId} ${id}`, () =>
        naming('scim_group_name', 'displayName', () =>
          escalating(async (mode) =>
            transaction(db, async (trx) => {
              await lockMemberships(trx, directoryId, mode)
              await lockGroups(trx, directoryId, [id])
              const current = await readGroup(trx, directoryId, id)
              if (!current) throw new NotFound(`Group ${id} not found`)
              const { document, members } = change(current)
              const delta = await resolveDelta(trx, directoryId, id, members)
              const renamed = nameOf(document) !== nameOf(current.document)
              if ((renamed || delta.isNesting) && mode === 'shared') throw new NeedsExclusive()

              const changed = !isDeepStrictEqual(document, current.document)
              if (!changed && delta.isEmpty) return { group: current, touched: nobody }
              const touched = await lockTouched(trx, directoryId, id, delta, renamed)
              const [written] = await writeWithMembers(trx, id, delta, updateOf(id, document))
              await touch(trx, id, touched, cause, operation)
              const { version, last_modified } = written!
              return { group: { ...current, document, version, lastModified: last_modified }, touched }
            }),
          ),
        ),
      )
      hintAll(touched, cause)
      return group
    },

    /**
     * The group becomes a tombstone; everyone below loses it.
     *
     * @throws NotFound, whatever `check` throws, which sees the group under its lock
     */
    async remove(
      directoryId: string,
      id: string,
      cause: Cause,
      check: (current: GroupRecord) => void = () => {},
    ): Promise<void> {
      const touched = await transaction(db, async (trx) => {
        await lockMemberships(trx, directoryId, 'exclusive')
        await lockGroups(trx, directoryId, [id])
        const current = await readGroup(trx, directoryId, id)
        if (!current) throw new NotFound(`Group ${id} not found`)
        check(current)
        const below = await lockUsers(trx, directoryId, await usersBelow(trx, [id]))
        await sql`
          with users as (delete from group_user where group_id = ${id}),
               nesting as (delete from group_nesting where parent_id = ${id} or child_id = ${id})
          update scim_group set deleted_at = clock_timestamp() where id = ${id}`.execute(trx)
        await touchUsers(
          trx,
          below,
          { kind: 'changed', cut: false, urgent: true, detail: { operation: 'DELETE', group: id } },
          cause,
        )
        return { urgent: below, normal: [] }
      })
      hintAll(touched, cause)
    },
  }

  function hintAll({ urgent, normal }: Touched, cause: Cause): void {
    for (const id of urgent) hintUser(id, 'urgent', cause)
    for (const id of normal) hintUser(id, 'normal', cause)
  }
}

export type Groups = ReturnType<typeof createGroups>

async function listGroups(executor: Executor, directoryId: string, listing: Listing): Promise<Page<GroupRecord>> {
  const order = listing.order ?? inOrderOfCreation('g')
  const id = sql.ref('g.id')
  const usual = isUsual(listing) ? prepared : sql``
  const where = sql`${within(listing, directoryId, 'g')} and g.deleted_at is null and ${listing.where ?? sql`true`}`
  const count = sql<number>`(select count(*) from scim_group g where ${where})`
  const { rows } = await sql<GroupRow & { place: string | null; total: number }>`${usual}
    select ${groupColumns}, ${written(order.key)} as place, ${count} as total
    from scim_group g where ${where} and ${after(order, id, listing.from)}
    ${orderBy(order, id)} ${limitOf(listing)}`.execute(executor)
  const page = cutPage(rows, listing)
  const total = rows[0]?.total ?? (isWhole(listing) ? 0 : await countOf(executor, count))
  return { items: page.rows.map(toRecord), total, next: page.next }
}

type Touched = Readonly<Record<Lane, readonly string[]>>
const nobody: Touched = { urgent: [], normal: [] }

/** Upgrading a shared lock deadlocks with another that does the same, so the work starts anew with the exclusive one. */
class NeedsExclusive extends Error {}

async function escalating<T>(work: (mode: 'shared' | 'exclusive') => Promise<T>): Promise<T> {
  try {
    return await work('shared')
  } catch (error) {
    if (!(error instanceof NeedsExclusive)) throw error
    return work('exclusive')
  }
}

interface GroupRow {
  id: string
  directory_id: string
  document: Document
  version: number
  created_at: Date
  last_modified: Date
}

const groupColumns = sql`g.id, g.directory_id, g.document, g.version, g.created_at, g.last_modified`

/** Those of `ids` that are living groups of the directory. */
export async function readGroups(
  executor: Executor,
  directoryId: string,
  ids: readonly string[],
): Promise<GroupRecord[]> {
  const { rows } = await sql<GroupRow>`${prepared}
    select ${groupColumns} from scim_group g
    where ${isAmong(ids, 'g.id')} and ${isOf(directoryId, 'g')} and g.deleted_at is null`.execute(executor)
  return rows.map(toRecord)
}

function toRecord(row: GroupRow): GroupRecord {
  return {
    id: row.id,
    directoryId: row.directory_id,
    document: row.document,
    version: row.version,
    createdAt: row.created_at,
    lastModified: row.last_modified,
  }
}

async function readGroup(executor: Executor, directoryId: string, id: string): Promise<GroupRecord | undefined> {
  return (await readGroups(executor, directoryId, [id]))[0]
}

/** Who really joins and really leaves: members already there, and strangers to be removed, are no change. */
interface Delta {
  readonly users: { readonly add: readonly string[]; readonly remove: readonly string[] }
  readonly groups: { readonly add: readonly string[]; readonly remove: readonly string[] }
  readonly isNesting: boolean
  readonly isEmpty: boolean
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

async function resolveDelta(
  trx: Transaction,
  directoryId: string,
  groupId: string,
  members: MemberDelta | undefined,
): Promise<Delta> {
  const named = members?.add.map(({ value }) => value) ?? []
  const stranger = named.find((id) => !uuid.test(id))
  if (stranger !== undefined) throw new UnknownMember(stranger)
  const removals = members?.remove.filter((id) => uuid.test(id)) ?? []
  if (!members || (named.length === 0 && removals.length === 0 && !members.replaceAll)) {
    return { users: { add: [], remove: [] }, groups: { add: [], remove: [] }, isNesting: false, isEmpty: true }
  }

  const wanted = sql`
    select u.id, 'User' as type, m.user_id is not null as is_member, true as wanted
      from scim_user u left join group_user m on m.group_id = ${groupId} and m.user_id = u.id
      where ${isAmong(named, 'u.id')} and ${isOf(directoryId, 'u')} and u.deleted_at is null
    union all
    select g.id, 'Group', e.child_id is not null, true
      from scim_group g left join group_nesting e on e.parent_id = ${groupId} and e.child_id = g.id
      where ${isAmong(named, 'g.id')} and ${isOf(directoryId, 'g')} and g.deleted_at is null`
  // By the key, one at a time: asked the other way round it reads every member there is.
  const isLeaving = (column: string) => (members.replaceAll ? sql`true` : isAmong(removals, column))
  const unwanted = sql`
    select m.user_id, 'User', true, false from group_user m
      where m.group_id = ${groupId} and m.user_id <> all(${named}::uuid[]) and ${isLeaving('m.user_id')}
    union all
    select e.child_id, 'Group', true, false from group_nesting e
      where e.parent_id = ${groupId} and e.child_id <> all(${named}::uuid[]) and ${isLeaving('e.child_id')}`
  const { rows } = await sql<{ id: string; type: 'User' | 'Group'; is_member: boolean; wanted: boolean }>`${prepared}
    ${wanted} union all ${unwanted}`.execute(trx)

  const found = new Set(rows.filter(({ wanted }) => wanted).map(({ id }) => id))
  const missing = named.find((id) => !found.has(id.toLowerCase()))
  if (missing !== undefined) throw new UnknownMember(missing)
  const pick = (type: 'User' | 'Group', wanted: boolean) =>
    rows.filter((row) => row.type === type && row.wanted === wanted && row.is_member !== wanted).map(({ id }) => id)
  const users = { add: pick('User', true), remove: pick('User', false) }
  const groups = { add: pick('Group', true), remove: pick('Group', false) }
  const isNesting = groups.add.length + groups.remove.length > 0
  return { users, groups, isNesting, isEmpty: !isNesting && users.add.length + users.remove.length === 0 }
}

/** Locks everyone whose transitive groups are about to change. @returns whom, by lane */
async function lockTouched(
  trx: Transaction,
  directoryId: string,
  groupId: string,
  delta: Delta,
  renamed: boolean,
): Promise<Touched> {
  if (delta.groups.add.includes(groupId)) throw new MembershipCycle()
  const gaining = new Set([...delta.users.add, ...(await usersBelow(trx, delta.groups.add))])
  const losing = new Set([...delta.users.remove, ...(await usersBelow(trx, delta.groups.remove))])
  // A rename may take a rule away as well as give one.
  if (renamed) for (const id of await usersBelow(trx, [groupId])) losing.add(id)
  const living = new Set(await lockUsers(trx, directoryId, [...gaining.union(losing)]))
  return {
    urgent: [...losing.intersection(living)],
    normal: [...gaining.difference(losing).intersection(living)],
  }
}

/** Who joins and who leaves, in one statement with what is to be written of the group itself. */
async function writeWithMembers<T>(
  trx: Transaction,
  groupId: string,
  { users, groups }: Delta,
  group: RawBuilder<T>,
): Promise<T[]> {
  const { rows } = await sql<T>`${prepared}
    with users_gone as (delete from group_user where group_id = ${groupId} and ${isAmong(users.remove, 'user_id')}),
         groups_gone as (delete from group_nesting where parent_id = ${groupId} and ${isAmong(groups.remove, 'child_id')}),
         groups_new as (
           insert into group_nesting (parent_id, child_id) select ${groupId}::uuid, id from unnest(${groups.add}::uuid[]) as t (id)),
         users_new as (
           insert into group_user (group_id, user_id)
           select ${groupId}::uuid, u.id from scim_user u where ${isAmong(users.add, 'u.id')} and u.deleted_at is null)
    ${group}`.execute(trx)
  if (groups.add.length > 0 && (await isBelowItself(trx, groupId))) throw new MembershipCycle()
  return rows
}

function updateOf(id: string, document: Document): RawBuilder<{ version: number; last_modified: Date }> {
  return sql`
    update scim_group set
      display_name = ${nameOf(document)}, display_name_key = ${fold(nameOf(document))}, external_id = ${externalIdOf(document)},
      document = ${JSON.stringify(document)}::jsonb, folded = ${JSON.stringify(foldDocument(groupResourceType, document))}::jsonb,
      version = version + 1, last_modified = clock_timestamp()
    where id = ${id} returning version, last_modified`
}

async function touch(
  trx: Transaction,
  groupId: string,
  { urgent, normal }: Touched,
  cause: Cause,
  operation: string,
): Promise<void> {
  const change = { kind: 'changed', cut: false, detail: { operation, group: groupId } } as const
  await touchUsers(trx, urgent, { ...change, urgent: true }, cause)
  await touchUsers(trx, normal, { ...change, urgent: false }, cause)
}

/** Users that are in one of these groups, directly or through nested ones. */
async function usersBelow(trx: Transaction, groupIds: readonly string[]): Promise<string[]> {
  if (groupIds.length === 0) return []
  const { rows } = await sql<{ user_id: string }>`
    with recursive below as (
      select id from unnest(${groupIds}::uuid[]) as t (id)
      union
      select n.child_id from group_nesting n join below on below.id = n.parent_id
    )
    select distinct m.user_id from below join group_user m on m.group_id = below.id`.execute(trx)
  return rows.map(({ user_id }) => user_id)
}

async function isBelowItself(trx: Transaction, groupId: string): Promise<boolean> {
  const { rows } = await sql<{ cycle: boolean }>`
    with recursive below as (
      select child_id as id from group_nesting where parent_id = ${groupId}
      union
      select n.child_id from group_nesting n join below on below.id = n.parent_id
    )
    select exists (select from below where id = ${groupId}) as cycle`.execute(trx)
  return rows[0]!.cycle
}

function nameOf(document: Document): string {
  return String(document.displayName)
}
