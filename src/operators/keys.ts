import { sql } from 'kysely'
import { createUseNotes } from '../db/last-used.ts'
import type { Database } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { Conflict, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret, sameSecret } from '../secrets.ts'

export interface AdminKeyRecord {
  readonly id: string
  /** Recorded as the actor of whatever is done with it. */
  readonly name: string
  readonly createdBy: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  /** To the minute. */
  readonly lastUsedAt: Date | null
}

/** The name under which a key of `TENURE_ADMIN_KEY` acts. */
export const rootName = 'root'
const prefix = 'admin'

/**
 * Keys that open the operators' API: those of `TENURE_ADMIN_KEY`, which need no database to be known, and named ones,
 * one for each person or program, so that what was done can be told apart and one can be taken back alone.
 */
export function createAdminKeys({ db, rootKeys }: { db: Database; rootKeys: readonly string[] }) {
  const noteUse = createUseNotes((id) =>
    sql`update admin_key set last_used_at = clock_timestamp() where id = ${id}`.execute(db),
  )

  return {
    /** The name of the living key that this is, if any. */
    async nameOf(key: string): Promise<string | undefined> {
      if (rootKeys.some((root) => sameSecret(key, root))) return rootName
      if (!key.startsWith(`${prefix}_`)) return undefined
      const { rows } = await sql<{ id: string; name: string }>`${prepared}
        select id, name from admin_key
        where key_hash = ${hashSecret(key)} and (expires_at is null or expires_at > clock_timestamp())`.execute(db)
      if (rows[0]) noteUse(rows[0].id)
      return rows[0]?.name
    },

    /** `key` is returned this once and stored hashed. @throws Conflict when a living key has the name */
    async create(given: {
      name: string
      expiresAt?: Date
      createdBy: string
    }): Promise<AdminKeyRecord & { key: string }> {
      if (given.name === rootName) throw new Conflict(`"${rootName}" is the key of TENURE_ADMIN_KEY`)
      const key = newSecret(prefix)
      const id = newId('key')
      // One that has expired leaves its name to whoever comes after.
      const { rows } = await sql`
        insert into admin_key (id, name, key_hash, created_by, expires_at)
        values (${id}, ${given.name}, ${hashSecret(key)}, ${given.createdBy}, ${given.expiresAt ?? null})
        on conflict (name) do update set
          id = excluded.id, key_hash = excluded.key_hash, created_by = excluded.created_by, created_at = excluded.created_at,
          expires_at = excluded.expires_at, last_used_at = null
        where admin_key.expires_at <= clock_timestamp()
        returning id`.execute(db)
      if (rows.length === 0) throw new Conflict(`There is a key "${given.name}" already`)
      return { ...(await find(id)), key }
    },

    get: find,

    async list(page: { limit: number; after?: string }): Promise<AdminKeyRecord[]> {
      return read(page.after === undefined ? sql`true` : sql`id > ${page.after}`, page.limit)
    },

    /** @throws NotFound */
    async remove(id: string): Promise<void> {
      const { numDeletedRows } = await db.deleteFrom('admin_key').where('id', '=', id).executeTakeFirst()
      if (numDeletedRows === 0n) throw new NotFound(`Key "${id}" not found`)
    },
  }

  async function find(id: string): Promise<AdminKeyRecord> {
    const [record] = await read(sql`id = ${id}`, 1)
    if (!record) throw new NotFound(`Key "${id}" not found`)
    return record
  }

  async function read(where: ReturnType<typeof sql>, limit: number): Promise<AdminKeyRecord[]> {
    const { rows } = await sql<AdminKeyRecord>`
      select id, name, created_by as "createdBy", created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt"
      from admin_key where ${where} order by id limit ${limit}`.execute(db)
    return rows
  }
}

export type AdminKeys = ReturnType<typeof createAdminKeys>
