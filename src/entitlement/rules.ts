import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { raisePolicyVersion } from '../directory/directories.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { FilterError } from '../filter/errors.ts'
import { parseFilter } from '../filter/parse.ts'
import { userResourceType } from '../schemas/user.ts'

export interface NewRule {
  readonly id: string
  /** May be left out while there is exactly one directory. */
  readonly directory?: string
  readonly server: string
  readonly when: string
  readonly scopes: readonly string[]
  readonly clients?: readonly string[]
}

export interface RuleRecord {
  readonly id: string
  readonly directory: string
  readonly server: string
  readonly when: string
  readonly scopes: readonly string[]
  /** null: through any MCP client */
  readonly clients: readonly string[] | null
  readonly createdAt: Date
  readonly changedAt: Date
}

/**
 * Access rules. Every change raises the directory's policy version in its transaction, so that the gate sees it at the
 * commit; `onChange` is told after, and has servers told.
 */
export function createRules({ db, onChange }: { db: Database; onChange: (directoryId: string) => void }) {
  return {
    /** @throws Invalid, with the position for a filter that does not parse; NotFound, Conflict */
    async put(given: NewRule): Promise<{ rule: RuleRecord; isNew: boolean }> {
      checkFilter(given.when)
      const put = await transaction(db, async (trx) => {
        const directory = given.directory ?? (await onlyDirectory(trx))
        const { rows: known } = await sql<{ directory: boolean; scopes: string[] | null; server: boolean }>`
          select exists (select from directory where id = ${directory} and deleted_at is null) as directory,
            exists (select from server where id = ${given.server} and deleted_at is null) as server,
            (select scopes from server where id = ${given.server}) as scopes`.execute(trx)
        if (!known[0]!.directory)
          throw new Invalid(`There is no directory "${directory}"`, [{ field: 'directory', message: 'does not exist' }])
        if (!known[0]!.server)
          throw new Invalid(`There is no server "${given.server}"`, [{ field: 'server', message: 'does not exist' }])
        checkScopes(given.scopes, known[0]!.scopes)
        await raisePolicyVersion(trx, [directory])
        const { rows } = await sql<{ is_new: boolean }>`
          insert into rule as r (id, directory_id, server_id, filter, scopes, clients)
          values (${given.id}, ${directory}, ${given.server}, ${given.when}, ${unique(given.scopes)}::text[], ${given.clients ? unique(given.clients) : null}::text[])
          on conflict (id) do update set
            server_id = excluded.server_id, filter = excluded.filter, scopes = excluded.scopes, clients = excluded.clients, changed_at = clock_timestamp()
          where r.directory_id = excluded.directory_id
          returning xmax = 0 as is_new`.execute(trx)
        if (!rows[0]) throw new Conflict(`Rule "${given.id}" belongs to another directory`)
        return { directory, isNew: rows[0].is_new }
      })
      onChange(put.directory)
      return { rule: await find(given.id), isNew: put.isNew }
    },

    get: find,

    async list(query: { directory?: string; server?: string; limit: number; after?: string }): Promise<RuleRecord[]> {
      return read(
        sql`${query.directory === undefined ? sql`true` : sql`directory_id = ${query.directory}`}
          and ${query.server === undefined ? sql`true` : sql`server_id = ${query.server}`}
          and ${query.after === undefined ? sql`true` : sql`id > ${query.after}`}`,
        query.limit,
      )
    },

    async remove(id: string): Promise<void> {
      const directoryId = await transaction(db, async (trx) => {
        const row = await trx.selectFrom('rule').select('directory_id').where('id', '=', id).executeTakeFirst()
        if (!row) throw new NotFound(`Rule "${id}" not found`)
        await raisePolicyVersion(trx, [row.directory_id])
        await trx.deleteFrom('rule').where('id', '=', id).execute()
        return row.directory_id
      })
      onChange(directoryId)
    },
  }

  async function onlyDirectory(trx: Transaction): Promise<string> {
    const rows = await trx.selectFrom('directory').select('id').where('deleted_at', 'is', null).limit(2).execute()
    if (rows.length !== 1) {
      const message = rows.length === 0 ? 'there is no directory yet' : 'is required: there are several directories'
      throw new Invalid('The rule does not say for whose users it is', [{ field: 'directory', message }])
    }
    return rows[0]!.id
  }

  async function find(id: string): Promise<RuleRecord> {
    const [rule] = await read(sql`id = ${id}`, 1)
    if (!rule) throw new NotFound(`Rule "${id}" not found`)
    return rule
  }

  async function read(where: ReturnType<typeof sql>, limit: number): Promise<RuleRecord[]> {
    const { rows } = await sql<RuleRecord>`
      select id, directory_id as directory, server_id as server, filter as when, scopes, clients, created_at as "createdAt", changed_at as "changedAt"
      from rule where ${where} order by id limit ${limit}`.execute(db)
    return rows
  }
}

export type Rules = ReturnType<typeof createRules>

function checkFilter(source: string): void {
  try {
    parseFilter(source, userResourceType)
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    throw new Invalid('The filter of the rule cannot be read', [
      { field: 'when', message: error.message, ...(error.position === undefined ? {} : { position: error.position }) },
    ])
  }
}

function checkScopes(scopes: readonly string[], offered: readonly string[] | null): void {
  if (offered === null) return
  const problems = scopes.flatMap((scope, index) =>
    offered.includes(scope) ? [] : [{ field: `scopes.${index}`, message: `"${scope}" is not a scope of this server` }],
  )
  if (problems.length > 0) throw new Invalid('The rule names scopes that its server does not have', problems)
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}
