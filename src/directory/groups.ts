import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { NotFound, TenureError } from '../errors.ts'
import { fold } from '../fold.ts'
import { newResourceId } from '../ids.ts'
import type { Lane } from '../queue/catalog.ts'
import { groupResourceType } from '../schemas/group.ts'
import { foldDocument } from './filter-sql.ts'
import { after, cutPage, inOrderOfCreation, type Listing, limitOf, orderBy, type Page, written } from './listing.ts'
import { lockGroups, lockMemberships, lockUsers } from './locks.ts'
import { type Cause, type Touch, touchUsers } from './state.ts'
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
            const touched = await applyDelta(trx, directoryId, id, delta, false, cause, 'POST')
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
      const order = listing.order ?? inOrderOfCreation('g')
      const id = sql.ref('g.id')
      const where = sql`g.directory_id = ${directoryId} and g.deleted_at is null and ${listing.where ?? sql`true`}`
      const total = await sql<{ total: number }>`select count(*) as total from scim_group g where ${where}`.execute(db)
      const { rows } = await sql<GroupRow & { place: string | null }>`
        select ${groupColumns}, ${written(order.key)} as place
        from scim_group g where ${where} and ${after(order, id, listing.from)}
        ${orderBy(order, id)} ${limitOf(listing)}`.execute(db)
      const page = cutPage(rows, listing)
      return { items: page.rows.map(toRecord), total: total.rows[0]!.total, next: page.next }
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
      const { group, touched } = await naming('scim_group_name', 'displayName', () =>
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
            await sql`
              update scim_group set
                display_name = ${nameOf(document)}, display_name_key = ${fold(nameOf(document))}, external_id = ${externalIdOf(document)},
                document = ${JSON.stringify(document)}::jsonb, folded = ${JSON.stringify(foldDocument(groupResourceType, document))}::jsonb,
                version = version + 1, last_modified = clock_timestamp()
              where id = ${id}`.execute(trx)
            const touched = await applyDelta(trx, directoryId, id, delta, renamed, cause, operation)
            return { group: (await readGroup(trx, directoryId, id))!, touched }
          }),
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
  const { rows } = await sql<GroupRow>`
    select ${groupColumns} from scim_group g
    where g.id = any(${ids}::uuid[]) and g.directory_id = ${directoryId} and g.deleted_at is null`.execute(executor)
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

  const { rows } = await sql<{ id: string; type: 'User' | 'Group'; is_member: boolean; wanted: boolean }>`
    with named as (select distinct id from unnest(${named}::uuid[]) as t (id)),
         leaving as (select distinct id from unnest(${removals}::uuid[]) as t (id))
    select u.id, 'User' as type, m.user_id is not null as is_member, true as wanted
      from named n join scim_user u on u.id = n.id and u.id = any(${named}::uuid[]) and u.directory_id = ${directoryId} and u.deleted_at is null
      left join group_user m on m.group_id = ${groupId} and m.user_id = u.id
    union all
    select g.id, 'Group', e.child_id is not null, true
      from named n join scim_group g on g.id = n.id and g.directory_id = ${directoryId} and g.deleted_at is null
      left join group_nesting e on e.parent_id = ${groupId} and e.child_id = g.id
    union all
    select m.user_id, 'User', true, false from group_user m
      where m.group_id = ${groupId} and m.user_id not in (select id from named)
        and (${members.replaceAll} or m.user_id in (select id from leaving))
    union all
    select e.child_id, 'Group', true, false from group_nesting e
      where e.parent_id = ${groupId} and e.child_id not in (select id from named)
        and (${members.replaceAll} or e.child_id in (select id from leaving))`.execute(trx)

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

/** Writes the members and touches everyone whose transitive groups change. @returns whom to hint, by lane */
async function applyDelta(
  trx: Transaction,
  directoryId: string,
  groupId: string,
  delta: Delta,
  renamed: boolean,
  cause: Cause,
  operation: string,
): Promise<Touched> {
  if (delta.groups.add.includes(groupId)) throw new MembershipCycle()
  const gaining = new Set([...delta.users.add, ...(await usersBelow(trx, delta.groups.add))])
  const losing = new Set([...delta.users.remove, ...(await usersBelow(trx, delta.groups.remove))])
  // A rename may take a rule away as well as give one.
  if (renamed) for (const id of await usersBelow(trx, [groupId])) losing.add(id)
  const living = new Set(await lockUsers(trx, directoryId, [...gaining.union(losing)]))

  await sql`
    with users_gone as (delete from group_user where group_id = ${groupId} and user_id = any(${delta.users.remove}::uuid[])),
         groups_gone as (delete from group_nesting where parent_id = ${groupId} and child_id = any(${delta.groups.remove}::uuid[])),
         groups_new as (
           insert into group_nesting (parent_id, child_id) select ${groupId}, id from unnest(${delta.groups.add}::uuid[]) as t (id))
    insert into group_user (group_id, user_id)
    select ${groupId}, u.id from scim_user u where u.id = any(${delta.users.add}::uuid[]) and u.deleted_at is null`.execute(
    trx,
  )
  if (delta.groups.add.length > 0 && (await isBelowItself(trx, groupId))) throw new MembershipCycle()

  const touch = (urgent: boolean): Touch => ({
    kind: 'changed',
    cut: false,
    urgent,
    detail: { operation, group: groupId },
  })
  const urgent = [...losing.intersection(living)]
  const normal = [...gaining.difference(losing).intersection(living)]
  await touchUsers(trx, urgent, touch(true), cause)
  await touchUsers(trx, normal, touch(false), cause)
  return { urgent, normal }
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
