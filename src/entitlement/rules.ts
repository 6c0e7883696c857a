import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { rehearsal, transaction } from '../db/transaction.ts'
import { raisePolicyVersion } from '../directory/directories.ts'
import { onlyDirectory } from '../directory/only-directory.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import type { Filter } from '../filter/ast.ts'
import { filterOf } from '../filter/errors.ts'
import { parseFilter } from '../filter/parse.ts'
import { userResourceType } from '../schemas/user.ts'
import type { RuleRow } from './policy.ts'

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

/** One rule's change, beside the other rules that give access at the same servers. */
export interface RuleChange {
  readonly directoryId: string
  /** Absent of a new rule. */
  readonly before?: RuleRow
  /** Absent of one that is removed. */
  readonly after?: RuleRow
  readonly others: readonly RuleRow[]
}

export interface PutRule {
  readonly rule: RuleRecord
  readonly isNew: boolean
  readonly change: RuleChange
}

/**
 * Access rules. Every change raises the directory's policy version in its transaction, so that the gate sees it at the
 * commit; `onChange` is told after, and has servers told.
 */
export function createRules({ db, onChange }: { db: Database; onChange: (directoryId: string) => void }) {
  return {
    /**
     * `dryRun`: the same transaction, rolled back.
     *
     * @throws Invalid, with the position for a filter that does not parse; NotFound, Conflict
     */
    async put(given: NewRule, { dryRun = false }: { dryRun?: boolean } = {}): Promise<PutRule> {
      readWhen(given)
      const run = dryRun ? rehearsal : transaction
      const put = await run(db, async (trx) => {
        const directoryId = await directoryOf(trx, given.directory)
        await raisePolicyVersion(trx, [directoryId])
        // Again, under its lock: it may have been deleted meanwhile.
        await directoryOf(trx, directoryId)
        await checkServer(trx, given)
        const known = await rulesBeside(trx, directoryId, given)
        const { rule, isNew } = await upsert(trx, directoryId, given)
        return { rule, isNew, change: changeOf(directoryId, known, rule) }
      })
      if (!dryRun) onChange(put.rule.directory)
      return put
    },

    /**
     * What a rule would say that only has `when`: of whose users, and its filter.
     *
     * @throws Invalid, as `put` does
     */
    async read(given: Pick<NewRule, 'directory' | 'when'>): Promise<{ directoryId: string; filter: Filter }> {
      const filter = readWhen(given)
      return { directoryId: await directoryOf(db, given.directory), filter }
    },

    get: find,

    async list(query: { directory?: string; server?: string; limit: number; after?: string }): Promise<RuleRecord[]> {
      return select(
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

  async function find(id: string): Promise<RuleRecord> {
    const [rule] = await select(sql`id = ${id}`, 1)
    if (!rule) throw new NotFound(`Rule "${id}" not found`)
    return rule
  }

  async function select(where: ReturnType<typeof sql>, limit: number): Promise<RuleRecord[]> {
    const { rows } =
      await sql<RuleRecord>`select ${recordColumns} from rule where ${where} order by id limit ${limit}`.execute(db)
    return rows
  }
}

export type Rules = ReturnType<typeof createRules>

const rowColumns = sql`id, server_id as server, filter as when, scopes, clients`
const recordColumns = sql`${rowColumns}, directory_id as directory, created_at as "createdAt", changed_at as "changedAt"`

function readWhen({ when }: Pick<NewRule, 'when'>): Filter {
  return filterOf('when', () => parseFilter(when, userResourceType))
}

/** The living directory that is named, or the only one. @throws Invalid */
async function directoryOf(executor: Executor, named: string | undefined): Promise<string> {
  if (named === undefined) return onlyDirectory(executor)
  const { rows } = await sql`select 1 from directory where id = ${named} and deleted_at is null`.execute(executor)
  if (rows.length > 0) return named
  throw new Invalid(`There is no directory "${named}"`, [{ field: 'directory', message: 'does not exist' }])
}

/** Its row stays locked: neither it nor its scopes go while a rule is made to rely on them. @throws Invalid */
async function checkServer(trx: Transaction, { server, scopes }: NewRule): Promise<void> {
  const { rows } = await sql<{ scopes: string[] | null }>`
    select scopes from server where id = ${server} and deleted_at is null for share`.execute(trx)
  if (!rows[0]) throw new Invalid(`There is no server "${server}"`, [{ field: 'server', message: 'does not exist' }])
  checkScopes(scopes, rows[0].scopes)
}

/** The rules at the server that this rule is for, and at the one that it was for. */
async function rulesBeside(trx: Transaction, directoryId: string, { id, server }: NewRule): Promise<RuleRow[]> {
  const { rows } = await sql<RuleRow>`
    select ${rowColumns} from rule
    where directory_id = ${directoryId} and server_id in (${server}, (select server_id from rule where id = ${id}))
    order by id`.execute(trx)
  return rows
}

function changeOf(
  directoryId: string,
  known: readonly RuleRow[],
  { id, server, when, scopes, clients }: RuleRecord,
): RuleChange {
  return {
    directoryId,
    before: known.find((rule) => rule.id === id),
    after: { id, server, when, scopes, clients },
    others: known.filter((rule) => rule.id !== id),
  }
}

async function upsert(
  trx: Transaction,
  directoryId: string,
  given: NewRule,
): Promise<{ rule: RuleRecord; isNew: boolean }> {
  const { rows } = await sql<RuleRecord & { isNew: boolean }>`
    insert into rule as r (id, directory_id, server_id, filter, scopes, clients)
    values (${given.id}, ${directoryId}, ${given.server}, ${given.when}, ${unique(given.scopes)}::text[], ${given.clients ? unique(given.clients) : null}::text[])
    on conflict (id) do update set
      server_id = excluded.server_id, filter = excluded.filter, scopes = excluded.scopes, clients = excluded.clients, changed_at = clock_timestamp()
    where r.directory_id = excluded.directory_id
    returning ${recordColumns}, xmax = 0 as "isNew"`.execute(trx)
  if (!rows[0]) throw new Conflict(`Rule "${given.id}" belongs to another directory`)
  const { isNew, ...rule } = rows[0]
  return { rule, isNew }
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
