import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import type { Provider } from '../db/tables.ts'
import { violatedUnique } from '../db/transaction.ts'
import { Conflict, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret } from '../secrets.ts'

export interface DirectoryRecord {
  readonly id: string
  readonly provider: Provider
  readonly name: string
  readonly createdAt: Date
}

export interface TokenRecord {
  readonly id: string
  readonly label: string | null
  readonly createdAt: Date
  readonly expiresAt: Date | null
}

/** What a valid bearer token says: whose it is. */
export interface TokenOwner {
  readonly tokenId: string
  readonly directoryId: string
  readonly provider: Provider
}

/** Directories and the tokens that open them. */
export function createDirectories({ db }: { db: Database }) {
  return {
    /** @throws Conflict when the id is taken, by a deleted directory too */
    async create(given: { id: string; provider: Provider; name: string }): Promise<DirectoryRecord> {
      try {
        const row = await db.insertInto('directory').values(given).returning(['created_at']).executeTakeFirstOrThrow()
        return { ...given, createdAt: row.created_at }
      } catch (error) {
        if (violatedUnique(error) !== undefined) throw new Conflict(`Directory "${given.id}" already exists`)
        throw error
      }
    },

    async get(id: string): Promise<DirectoryRecord> {
      const row = await db
        .selectFrom('directory')
        .selectAll()
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      if (!row) throw new NotFound(`Directory "${id}" not found`)
      return { id: row.id, provider: row.provider, name: row.name, createdAt: row.created_at }
    },

    async list(page: { limit: number; after?: string }): Promise<DirectoryRecord[]> {
      const rows = await db
        .selectFrom('directory')
        .selectAll()
        .where('deleted_at', 'is', null)
        .$if(page.after !== undefined, (query) => query.where('id', '>', page.after!))
        .orderBy('id')
        .limit(page.limit)
        .execute()
      return rows.map((row) => ({ id: row.id, provider: row.provider, name: row.name, createdAt: row.created_at }))
    },

    /** `token` is returned this once and stored hashed. */
    async issueToken(
      directoryId: string,
      given: { label?: string; expiresAt?: Date },
    ): Promise<TokenRecord & { token: string }> {
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
      return { id: row.id, label: row.label, createdAt: row.created_at, expiresAt: row.expires_at, token }
    },

    async tokens(directoryId: string): Promise<TokenRecord[]> {
      const rows = await db
        .selectFrom('directory_token')
        .select(['id', 'label', 'created_at', 'expires_at'])
        .where('directory_id', '=', directoryId)
        .orderBy('created_at')
        .orderBy('id')
        .execute()
      return rows.map((row) => ({ id: row.id, label: row.label, createdAt: row.created_at, expiresAt: row.expires_at }))
    },

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
      const { rows } = await sql<TokenOwner>`
        select t.id as "tokenId", d.id as "directoryId", d.provider
        from directory_token t join directory d on d.id = t.directory_id
        where t.token_hash = ${hashSecret(token)} and d.deleted_at is null
          and (t.expires_at is null or t.expires_at > clock_timestamp())`.execute(db)
      return rows[0]
    },
  }
}

export type Directories = ReturnType<typeof createDirectories>

/** Makes every user of these directories behind on policy. In the transaction that changes the rule, server or connector. */
export async function raisePolicyVersion(trx: Transaction, directoryIds: readonly string[]): Promise<void> {
  // Two statements: one that locks and updates the same row deadlocks with others of its kind when many change a policy
  // at once (measured), because the update meets the row as its older snapshot knew it.
  await sql`select 1 from directory where id = any(${directoryIds}) order by id for no key update`.execute(trx)
  await sql`update directory set policy_version = policy_version + 1 where id = any(${directoryIds})`.execute(trx)
}
