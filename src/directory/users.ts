import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { retrying, StartOver, transaction, violatedUnique } from '../db/transaction.ts'
import { Conflict, NotFound, TenureError } from '../errors.ts'
import { fold } from '../fold.ts'
import { newId, newResourceId } from '../ids.ts'
import type { Lane } from '../queue/catalog.ts'
import { userResourceType } from '../schemas/user.ts'
import { isAmong, isOf } from './by-key.ts'
import { foldDocument } from './filter-sql.ts'
import { forgetLinks } from './identity.ts'
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
import { type Cause, detailOf, touchUsers } from './state.ts'

export type Document = Record<string, unknown>

export interface UserRecord {
  readonly id: string
  readonly directoryId: string
  readonly document: Document
  /** Direct groups. */
  readonly groups: ReadonlyArray<{ value: string; display: string }>
  readonly version: number
  readonly createdAt: Date
  readonly lastModified: Date
}

/** What a write makes of the current document. `statesActive`: the request itself says so, which ends a hold. */
export interface UserChange {
  readonly document: Document
  readonly statesActive?: boolean
}

/** What the POST that names an inactive user makes of that user. */
export type TakeBack = (current: UserRecord) => UserChange

/** Two living resources of one directory may not share this attribute. */
export class NotUnique extends TenureError {
  readonly attribute: string

  constructor(attribute: string) {
    super('ERR_NOT_UNIQUE', `${attribute} is already taken`)
    this.attribute = attribute
  }
}

/** Asks for a converge. `cause`: of the lifecycle event that was committed right before. */
export type HintUser = (userId: string, lane: Lane, cause?: Cause) => void

/**
 * Users as the identity provider last told us. Every write is one transaction: the document, the user's version and
 * epoch, the lifecycle event; a hint for converge follows the commit.
 */
export function createUsers({ db, hintUser }: { db: Database; hintUser: HintUser }) {
  return {
    /**
     * `takeBack`: what becomes of an inactive user of this name, who is then the answer instead of a refusal.
     *
     * @throws NotUnique; NotFound when the directory has been deleted
     */
    async create(directoryId: string, document: Document, cause: Cause, takeBack?: TakeBack): Promise<UserRecord> {
      if (!takeBack) return insert(directoryId, document, cause)
      return retrying(async () => {
        try {
          return await insert(directoryId, document, cause)
        } catch (error) {
          if (!(error instanceof NotUnique)) throw error
          const user = await takeBackNamed(directoryId, keyOf(document), takeBack, cause)
          // Whoever had the name has it no more.
          if (!user) throw new StartOver()
          return user
        }
      })
    },

    /** @throws NotFound */
    async get(directoryId: string, id: string): Promise<UserRecord> {
      const user = await readUser(db, directoryId, id)
      if (!user) throw new NotFound(`User ${id} not found`)
      return user
    },

    async list(directoryId: string, listing: Listing): Promise<Page<UserRecord>> {
      return isUsual(listing)
        ? listUsers(db, directoryId, listing)
        : answerShaped(db, (trx) => listUsers(trx, directoryId, listing))
    },

    /**
     * Applies `change` to the current document under the user's lock. A change without effect leaves version and
     * lastModified alone and records nothing.
     *
     * @throws NotFound, NotUnique, whatever `change` throws
     */
    async change(
      directoryId: string,
      id: string,
      change: (current: UserRecord) => UserChange,
      cause: Cause,
      operation: string,
    ): Promise<UserRecord> {
      const { user, lane } = await naming('scim_user_name', 'userName', () =>
        transaction(db, async (trx) => {
          await lockUsers(trx, directoryId, [id])
          const current = await readUser(trx, directoryId, id)
          if (!current) throw new NotFound(`User ${id} not found`)
          return changeLocked(trx, current, change(current), cause, operation)
        }),
      )
      if (lane) hintUser(id, lane, cause)
      return user
    },

    /**
     * The user becomes a tombstone and leaves its groups.
     *
     * @throws NotFound, whatever `check` throws, which sees the user under its lock
     */
    async remove(
      directoryId: string,
      id: string,
      cause: Cause,
      check: (current: UserRecord) => void = () => {},
    ): Promise<void> {
      await transaction(db, async (trx) => {
        await lockMemberships(trx, directoryId, 'shared')
        const groups = await groupsOf(trx, id)
        await lockGroups(trx, directoryId, groups)
        await lockUsers(trx, directoryId, [id])
        const current = await readUser(trx, directoryId, id)
        if (!current) throw new NotFound(`User ${id} not found`)
        check(current)
        const now = new Set(await groupsOf(trx, id))
        if (!now.isSubsetOf(new Set(groups))) throw new StartOver()
        await sql`
          with gone as (delete from group_user where user_id = ${id} returning group_id),
               bumped as (update scim_group set version = version + 1, last_modified = clock_timestamp() where id in (select group_id from gone))
          update scim_user set deleted_at = clock_timestamp(), active = false where id = ${id}`.execute(trx)
        const cut = !(await isHeld(trx, id))
        await touchUsers(trx, [id], { kind: 'left', cut, urgent: true, detail: { operation: 'DELETE' } }, cause)
      })
      hintUser(id, 'urgent', cause)
    },

    /** Emergency: voids every grant now and has every server told, without touching what the identity provider said. */
    async cut(id: string, cause: Cause): Promise<void> {
      await onUser(id, async (trx) => {
        await touchUsers(
          trx,
          [id],
          { kind: 'sessions_revoked', cut: true, urgent: true, detail: { operation: 'cut' } },
          cause,
        )
      })
      hintUser(id, 'urgent', cause)
    },

    /**
     * Ends a hold by an operator's word: the user has what the rules give again, and nothing that was cut comes back.
     *
     * @throws NotFound; Conflict when nothing is held
     */
    async release(id: string, cause: Cause): Promise<void> {
      await onUser(id, async (trx) => {
        if (!(await endHold(trx, id))) throw new Conflict('This user is not held')
        await touchUsers(
          trx,
          [id],
          { kind: 'resumed', cut: false, urgent: false, detail: { operation: 'release' } },
          cause,
        )
      })
      hintUser(id, 'normal', cause)
    },
  }

  async function insert(directoryId: string, document: Document, cause: Cause): Promise<UserRecord> {
    const id = newResourceId()
    const row = await naming('scim_user_name', 'userName', () => insertUser(db, directoryId, id, document, cause))
    hintUser(id, 'normal', cause)
    return {
      id,
      directoryId,
      document,
      groups: [],
      version: 1,
      createdAt: row.created_at,
      lastModified: row.created_at,
    }
  }

  /** Undefined when nobody has the name. @throws NotUnique when somebody active has it */
  async function takeBackNamed(
    directoryId: string,
    key: string,
    takeBack: TakeBack,
    cause: Cause,
  ): Promise<UserRecord | undefined> {
    const taken = await transaction(db, async (trx) => {
      const id = await idNamed(trx, directoryId, key)
      if (id === undefined) return undefined
      await lockUsers(trx, directoryId, [id])
      const current = await readUser(trx, directoryId, id)
      if (!current || keyOf(current.document) !== key) return undefined
      if (current.document.active !== false) throw new NotUnique('userName')
      const change = takeBack(current)
      // The name has passed to somebody else: what is told late of whoever had it must not reach them.
      if (externalIdOf(change.document) !== externalIdOf(current.document))
        await forgetLinks(trx, id, { isSame: false })
      return changeLocked(trx, current, change, cause, 'POST')
    })
    if (taken?.lane) hintUser(taken.user.id, taken.lane, cause)
    return taken?.user
  }

  /** With the lock of a user who may be deleted, and in whichever directory. @throws NotFound */
  async function onUser(id: string, work: (trx: Transaction) => Promise<void>): Promise<void> {
    await transaction(db, async (trx) => {
      const { rows } = await sql<{
        directory_id: string
      }>`select directory_id from user_state where user_id = ${id}`.execute(trx)
      if (!rows[0]) throw new NotFound(`User ${id} not found`)
      await lockUsers(trx, rows[0].directory_id, [id])
      await work(trx)
    })
  }
}

export type Users = ReturnType<typeof createUsers>

async function listUsers(executor: Executor, directoryId: string, listing: Listing): Promise<Page<UserRecord>> {
  const { from } = listing
  const order = listing.order ?? inOrderOfCreation('u')
  const id = sql.ref('u.id')
  const where = sql`${within(listing, directoryId, 'u')} and u.deleted_at is null and ${listing.where ?? sql`true`}`
  // "offset 0" keeps the order of the page from being bought by reading the whole directory in that order.
  const found = sql`(select * from scim_user u where ${where} ${listing.where ? sql`offset 0` : sql``})`
  const count = sql<number>`(select count(*) from scim_user u where ${where})`
  // What a filter finds is counted in passing; everybody, by the index, without the rows.
  const total = 'offset' in from && listing.where ? sql`count(*) over ()` : count
  const usual = isUsual(listing) ? prepared : sql``
  const { rows } = await sql<UserRow & { total: number; place: string | null }>`${usual}
    select ${userColumns}, u.total, u.place from (
      select u.*, ${total} as total, ${written(order.key)} as place
      from ${found} u where ${after(order, id, from)}
      ${orderBy(order, id)} ${limitOf(listing)}
    ) u ${orderBy(order, id)}`.execute(executor)
  const page = cutPage(rows, listing)
  return {
    items: page.rows.map(toRecord),
    total: rows[0]?.total ?? (isWhole(listing) ? 0 : await countOf(executor, count)),
    next: page.next,
  }
}

interface UserRow {
  id: string
  directory_id: string
  document: Document
  groups: Array<{ value: string; display: string }>
  version: number
  created_at: Date
  last_modified: Date
}

const userColumns = sql`
  u.id, u.directory_id, u.document, u.version, u.created_at, u.last_modified,
  (select coalesce(jsonb_agg(jsonb_build_object('value', g.id, 'display', g.display_name) order by g.display_name), '[]')
   from group_user m join scim_group g on g.id = m.group_id where m.user_id = u.id) as groups`

/** Those of `ids` that are living users of the directory. */
export async function readUsers(
  executor: Executor,
  directoryId: string,
  ids: readonly string[],
): Promise<UserRecord[]> {
  const { rows } = await sql<UserRow>`${prepared}
    select ${userColumns} from scim_user u
    where ${isAmong(ids, 'u.id')} and ${isOf(directoryId, 'u')} and u.deleted_at is null`.execute(executor)
  return rows.map(toRecord)
}

function toRecord(row: UserRow): UserRecord {
  return {
    id: row.id,
    directoryId: row.directory_id,
    document: row.document,
    groups: row.groups,
    version: row.version,
    createdAt: row.created_at,
    lastModified: row.last_modified,
  }
}

async function readUser(executor: Executor, directoryId: string, id: string): Promise<UserRecord | undefined> {
  return (await readUsers(executor, directoryId, [id]))[0]
}

async function idNamed(trx: Transaction, directoryId: string, key: string): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    select u.id from scim_user u
    where ${isOf(directoryId, 'u')} and u.user_name_key = ${key} and u.deleted_at is null`.execute(trx)
  return rows[0]?.id
}

async function groupsOf(trx: Transaction, userId: string): Promise<string[]> {
  const { rows } = await sql<{ group_id: string }>`select group_id from group_user where user_id = ${userId}`.execute(
    trx,
  )
  return rows.map(({ group_id }) => group_id)
}

/** Everything of a new user in one statement: nobody can hold a lock on a row that is not there yet. */
async function insertUser(
  db: Database,
  directoryId: string,
  id: string,
  document: Document,
  cause: Cause,
): Promise<{ created_at: Date }> {
  const kind = document.active === false ? 'changed' : 'joined'
  const { rows } = await sql<{ created_at: Date }>`${prepared}
    with inserted as (
      insert into scim_user (id, directory_id, user_name_key, external_id, active, document, folded)
      select ${id}::uuid, d.id, ${keyOf(document)}, ${externalIdOf(document)}, ${document.active !== false},
        ${JSON.stringify(document)}::jsonb, ${JSON.stringify(foldDocument(userResourceType, document))}::jsonb
      from directory d where d.id = ${directoryId} and d.deleted_at is null
      returning created_at
    ), state as (
      insert into user_state (user_id, directory_id, converge_due_at, stated_active_at)
      select ${id}::uuid, ${directoryId}::text, clock_timestamp() + interval '5 seconds',
        case when ${document.active === true}::boolean then clock_timestamp() end from inserted
    ), event as (
      insert into lifecycle_event (id, directory_id, user_id, kind, source, occurred_at, detail)
      select ${newId('evt')}::text, ${directoryId}::text, ${id}::uuid, ${kind}::text, ${cause.source}::text,
        coalesce(${cause.occurredAt ?? null}::timestamptz, clock_timestamp()),
        ${JSON.stringify(detailOf({ detail: { operation: 'POST' } }, cause))}::jsonb from inserted
    )
    select created_at from inserted`.execute(db)
  if (!rows[0]) throw new NotFound(`Directory "${directoryId}" not found`)
  return rows[0]
}

async function changeLocked(
  trx: Transaction,
  current: UserRecord,
  change: UserChange,
  cause: Cause,
  operation: string,
): Promise<{ user: UserRecord; lane?: Lane }> {
  const { document } = change
  const ended = change.statesActive === true && (await endHold(trx, current.id, { isStated: true }))
  const changed = !isDeepStrictEqual(document, current.document)
  if (!changed && !ended) return { user: current }

  const wasActive = current.document.active !== false
  const isActive = document.active !== false
  const leaves = wasActive && !isActive
  // Whoever is held was cut when the hold began, and has had nothing since.
  const cut = leaves && !(await isHeld(trx, current.id))
  const kind = leaves ? 'left' : ended || (!wasActive && isActive) ? 'resumed' : 'changed'
  const { rows } = await sql<{ version: number; last_modified: Date }>`${prepared}
    update scim_user set
      user_name_key = ${keyOf(document)}, external_id = ${externalIdOf(document)}, active = ${isActive},
      document = ${JSON.stringify(document)}::jsonb, folded = ${JSON.stringify(foldDocument(userResourceType, document))}::jsonb,
      version = version + 1, last_modified = clock_timestamp()
    where id = ${current.id} and ${changed}
    returning version, last_modified`.execute(trx)
  if (!isCalledAlike(document, current.document)) await forgetLinks(trx, current.id, { isSame: true })
  await touchUsers(trx, [current.id], { kind, cut, urgent: leaves, detail: { operation } }, cause)
  const user = rows[0]
    ? { ...current, document, version: rows[0].version, lastModified: rows[0].last_modified }
    : current
  return { user, lane: leaves ? 'urgent' : 'normal' }
}

/**
 * `isStated`: a SCIM write itself states `active: true`, which is dated whether anything is held or not. The caller
 * holds the user's lock.
 *
 * @returns whether there was a hold
 */
export async function endHold(trx: Transaction, userId: string, { isStated = false } = {}): Promise<boolean> {
  const { rows } = await sql<{ held: boolean }>`${prepared}
    update user_state s set hold_source = null, hold_at = null,
      stated_active_at = case when ${isStated}::boolean then clock_timestamp() else s.stated_active_at end
    from (select hold_at is not null as held from user_state where user_id = ${userId}::uuid) before
    where s.user_id = ${userId}::uuid and (before.held or ${isStated}::boolean)
    returning before.held`.execute(trx)
  return rows[0]?.held ?? false
}

async function isHeld(trx: Transaction, userId: string): Promise<boolean> {
  const { rows } = await sql`select 1 from user_state where user_id = ${userId} and hold_at is not null`.execute(trx)
  return rows.length > 0
}

/** By all that an event may find somebody by who is not named by an id. */
function isCalledAlike(one: Document, other: Document): boolean {
  return keyOf(one) === keyOf(other) && isDeepStrictEqual(one.emails, other.emails)
}

function keyOf(document: Document): string {
  return fold(String(document.userName))
}

export function externalIdOf(document: Document): string | null {
  return typeof document.externalId === 'string' ? document.externalId : null
}

/** A write that may break the unique `index`: then `attribute` is taken. */
export async function naming<T>(index: string, attribute: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (violatedUnique(error) === index) throw new NotUnique(attribute)
    throw error
  }
}
