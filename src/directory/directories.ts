import { type RawBuilder, sql } from 'kysely'
import { createUseNotes } from '../db/last-used.ts'
import type { Database, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { AssertionReuse, Provider } from '../db/tables.ts'
import { transaction, violatedUnique } from '../db/transaction.ts'
import { Conflict, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret } from '../secrets.ts'
import { lockMemberships } from './locks.ts'
import { type Cause, touchUsers } from './state.ts'
import type { HintUser } from './users.ts'

/** The rest is left to the sweep: a directory may have a hundred thousand. */
const mostHinted = 1_000

const defaultRequestsPerSecond = 5_000

export interface DirectoryRecord {
  readonly id: string
  readonly provider: Provider
  readonly name: string
  /** From when on its silence is an alarm. */
  readonly silentAfterHours: number
  /** SCIM requests that each of its tokens is let through in a second, by one process. */
  readonly scimRequestsPerSecond: number
  /** A SCIM POST for somebody inactive takes that user back; otherwise it is refused. */
  readonly reactivateOnCreate: boolean
  /** Whether an ID-JAG of its issuers may be presented again, by the MCP client that it is for, while it lives. */
  readonly assertionReuse: AssertionReuse
  /** When its identity provider last called, to the minute. */
  readonly lastSeenAt: Date | null
  readonly createdAt: Date
}

/** A directory that was deleted, while servers have yet to hear of it. */
export interface LeavingDirectory extends Pick<DirectoryRecord, 'id' | 'provider' | 'name' | 'createdAt'> {
  readonly deletedAt: Date
  /** Users still to be decided about, and deliveries still to arrive. */
  readonly pending: number
}

export interface TokenRecord {
  readonly id: string
  readonly label: string | null
  readonly createdAt: Date
  readonly expiresAt: Date | null
  /** To the minute. */
  readonly lastUsedAt: Date | null
}

/** What a valid bearer token says: whose it is. */
export interface TokenOwner {
  readonly tokenId: string
  readonly directoryId: string
  readonly provider: Provider
  readonly requestsPerSecond: number
  readonly reactivateOnCreate: boolean
}

/** Directories and the tokens that open them. */
export function createDirectories({ db, hintUser }: { db: Database; hintUser: HintUser }) {
  const noteUse = createUseNotes((tokenId) => noteCall(db, tokenId))

  return {
    /** @throws Conflict when the id is taken, by a deleted directory too */
    async create(given: {
      id: string
      provider: Provider
      name: string
      silentAfterHours?: number
      scimRequestsPerSecond?: number | null
      reactivateOnCreate?: boolean
    }): Promise<DirectoryRecord> {
      const { id, provider, name, silentAfterHours, scimRequestsPerSecond = null, reactivateOnCreate = false } = given
      try {
        await db
          .insertInto('directory')
          .values({
            id,
            provider,
            name,
            scim_requests_per_second: scimRequestsPerSecond,
            reactivate_on_create: reactivateOnCreate,
            ...(silentAfterHours ? { silent_after_hours: silentAfterHours } : {}),
          })
          .execute()
      } catch (error) {
        if (violatedUnique(error) !== undefined) throw new Conflict(`Directory "${id}" already exists`)
        throw error
      }
      return find(id)
    },

    get: find,

    async list(page: { limit: number; after?: string }): Promise<DirectoryRecord[]> {
      const { rows } = await sql<DirectoryRecord>`
        select ${directoryColumns} from directory d
        where d.deleted_at is null and ${after(page)} order by d.id limit ${page.limit}`.execute(db)
      return rows
    },

    /** Those that were deleted and of which some server has yet to hear. */
    async leaving(page: { limit: number; after?: string }): Promise<LeavingDirectory[]> {
      const { rows } = await sql<LeavingDirectory>`
        select d.id, d.provider, d.name, d.created_at as "createdAt", d.deleted_at as "deletedAt", ${pendingOf(sql`d.id`)} as pending from directory d
        where d.deleted_at is not null and d.purged_at is null and ${after(page)} order by d.id limit ${page.limit}`.execute(
        db,
      )
      return rows
    },

    /** `scimRequestsPerSecond` null: the default again. @throws NotFound */
    async change(
      id: string,
      change: {
        name?: string
        silentAfterHours?: number
        scimRequestsPerSecond?: number | null
        reactivateOnCreate?: boolean
        assertionReuse?: AssertionReuse
      },
    ): Promise<DirectoryRecord> {
      const { scimRequestsPerSecond: rate } = change
      await sql`
        update directory set name = coalesce(${change.name ?? null}, name),
          silent_after_hours = coalesce(${change.silentAfterHours ?? null}, silent_after_hours),
          scim_requests_per_second = ${rate === undefined ? sql`scim_requests_per_second` : sql`${rate}::integer`},
          reactivate_on_create = coalesce(${change.reactivateOnCreate ?? null}, reactivate_on_create),
          assertion_reuse = coalesce(${change.assertionReuse ?? null}, assertion_reuse)
        where id = ${id} and deleted_at is null`.execute(db)
      return find(id)
    },

    /**
     * Everyone in it has left, in one transaction: from its commit on nobody of it holds anything. Its tokens, rules,
     * issuers and event channels go with it, its people and groups when the last server has heard (src/housekeeping/leaving.ts).
     *
     * @returns how many have left
     * @throws NotFound
     */
    async remove(id: string, cause: Cause): Promise<{ deletedAt: Date; users: number }> {
      const { deletedAt, users } = await transaction(db, async (trx) => {
        await lockMemberships(trx, id, 'exclusive')
        const { rows } = await sql<{ deletedAt: Date }>`
          update directory set deleted_at = clock_timestamp(), policy_version = policy_version + 1
          where id = ${id} and deleted_at is null returning deleted_at as "deletedAt"`.execute(trx)
        if (!rows[0]) throw new NotFound(`Directory "${id}" not found`)
        const leavers = await lockEveryone(trx, id)
        await trx.deleteFrom('directory_token').where('directory_id', '=', id).execute()
        await trx.deleteFrom('rule').where('directory_id', '=', id).execute()
        await trx.deleteFrom('trusted_issuer').where('directory_id', '=', id).execute()
        await trx.deleteFrom('channel').where('directory_id', '=', id).execute()
        await sql`
          update scim_user set deleted_at = clock_timestamp(), active = false
          where directory_id = ${id} and deleted_at is null`.execute(trx)
        const detail = { operation: 'DELETE /directories' }
        await touchUsers(trx, leavers, { kind: 'left', cut: true, urgent: true, detail }, cause)
        return { deletedAt: rows[0].deletedAt, users: leavers }
      })
      for (const userId of users.slice(0, mostHinted)) hintUser(userId, 'urgent', cause)
      return { deletedAt, users: users.length }
    },

    /** `token` is returned this once and stored hashed. @throws NotFound */
    async issueToken(
      directoryId: string,
      given: { label?: string; expiresAt?: Date },
    ): Promise<TokenRecord & { token: string }> {
      await find(directoryId)
      const token = newSecret('scim')
      const row = await db
        .insertInto('directory_token')
        .values({
          id: newId('tok'),
          directory_id: directoryId,
          label: given.label ?? null,
          token_hash: hashSecret(token),
          expires_at: given.expiresAt ?? null,
        })
        .returning(['id', 'label', 'created_at', 'expires_at'])
        .executeTakeFirstOrThrow()
      return {
        id: row.id,
        label: row.label,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        lastUsedAt: null,
        token,
      }
    },

    /** @throws NotFound */
    async tokens(directoryId: string, page: { limit: number; after?: string }): Promise<TokenRecord[]> {
      await find(directoryId)
      const { rows } = await sql<TokenRecord>`
        select id, label, created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt"
        from directory_token
        where directory_id = ${directoryId} and ${page.after === undefined ? sql`true` : sql`id > ${page.after}`}
        order by id limit ${page.limit}`.execute(db)
      return rows
    },

    /** @throws NotFound */
    async revokeToken(directoryId: string, tokenId: string): Promise<void> {
      const { numDeletedRows } = await db
        .deleteFrom('directory_token')
        .where('id', '=', tokenId)
        .where('directory_id', '=', directoryId)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new NotFound(`Token "${tokenId}" not found`)
    },

    /** Whose living, unexpired token this is, if anybody's. */
    async ownerOf(token: string): Promise<TokenOwner | undefined> {
      const { rows } = await sql<TokenOwner>`${prepared}
        select t.id as "tokenId", d.id as "directoryId", d.provider, ${requestsPerSecond} as "requestsPerSecond",
          d.reactivate_on_create as "reactivateOnCreate"
        from directory_token t join directory d on d.id = t.directory_id
        where t.token_hash = ${hashSecret(token)} and d.deleted_at is null
          and (t.expires_at is null or t.expires_at > clock_timestamp())`.execute(db)
      if (rows[0]) noteUse(rows[0].tokenId)
      return rows[0]
    },
  }

  async function find(id: string): Promise<DirectoryRecord> {
    const { rows } = await sql<DirectoryRecord>`
      select ${directoryColumns} from directory d where d.id = ${id} and d.deleted_at is null`.execute(db)
    if (!rows[0]) throw new NotFound(`Directory "${id}" not found`)
    return rows[0]
  }
}

export type Directories = ReturnType<typeof createDirectories>

/** Two transactions: a deletion of the directory takes the same two rows the other way round. */
async function noteCall(db: Database, tokenId: string): Promise<void> {
  const { rows } = await sql<{ directory_id: string }>`
    update directory_token set last_used_at = clock_timestamp() where id = ${tokenId} returning directory_id`.execute(
    db,
  )
  if (rows[0])
    await sql`update directory set last_seen_at = clock_timestamp() where id = ${rows[0].directory_id}`.execute(db)
}

const requestsPerSecond = sql`coalesce(d.scim_requests_per_second, ${sql.lit(defaultRequestsPerSecond)})`

const directoryColumns = sql`
  d.id, d.provider, d.name, d.silent_after_hours as "silentAfterHours", ${requestsPerSecond} as "scimRequestsPerSecond",
  d.reactivate_on_create as "reactivateOnCreate", d.assertion_reuse as "assertionReuse",
  d.last_seen_at as "lastSeenAt", d.created_at as "createdAt"`

function after(page: { after?: string }): RawBuilder<unknown> {
  return page.after === undefined ? sql`true` : sql`d.id > ${page.after}`
}

/** What is under way for the people of a directory: users who are behind, and what servers have yet to hear of the rest. */
function pendingOf(directoryId: RawBuilder<unknown>): RawBuilder<number> {
  return sql<number>`(
    (select count(*) from user_state s where s.directory_id = ${directoryId} and s.version > s.converged_version)
    + (select count(*) from delivery w join user_state s on s.user_id = w.user_id
       where s.directory_id = ${directoryId} and w.wanted_generation is distinct from w.delivered_generation))`
}

/** @returns every living user of the directory, locked in order */
async function lockEveryone(trx: Transaction, directoryId: string): Promise<string[]> {
  const { rows } = await sql<{ user_id: string }>`
    select s.user_id from user_state s join scim_user u on u.id = s.user_id
    where s.directory_id = ${directoryId} and u.deleted_at is null
    order by s.user_id for no key update of s`.execute(trx)
  return rows.map(({ user_id }) => user_id)
}

/** Makes every user of these directories behind on policy. In the transaction that changes the rule, server or connector. */
export async function raisePolicyVersion(trx: Transaction, directoryIds: readonly string[]): Promise<void> {
  // Two statements: one that locks and updates the same row deadlocks with others of its kind when many change a policy
  // at once (measured), because the update meets the row as its older snapshot knew it.
  await sql`select 1 from directory where id = any(${directoryIds}) order by id for no key update`.execute(trx)
  await sql`update directory set policy_version = policy_version + 1 where id = any(${directoryIds})`.execute(trx)
}
