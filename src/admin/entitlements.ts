import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { UUID } from '../ids.ts'
import { queriedUser, userQuery } from './user-query.ts'

/** What a cursor over entitlements holds. */
const userAndServer = new RegExp(`${UUID.source.replace('$', '')} [a-z0-9-]+$`)

const access = z
  .object({
    any: z.array(z.string()).meta({ description: 'Scopes that every MCP client may carry' }),
    byClient: z
      .record(z.string(), z.array(z.string()))
      .meta({ description: 'Scopes beyond those, by the MCP client that may carry them' }),
  })
  .meta({ id: 'Access' })

/** What one user should have at one server, as last converged. */
export const entitlement = z
  .object({
    server: z.string(),
    active: z.boolean(),
    generation: z.int(),
    epoch: z.int(),
    access,
    rules: z.array(z.string()).meta({ description: 'The rules that give it' }),
    since: instant,
  })
  .meta({ id: 'Entitlement' })

const usersEntitlement = z.object({ user: z.string(), ...entitlement.shape }).meta({ id: 'EntitlementOfUser' })

const entitlementView = sql`
  e.server_id as server, e.active, e.generation, e.epoch, e.access, e.rules, e.changed_at as since`

export async function readEntitlements(db: Database, userId: string): Promise<Array<z.input<typeof entitlement>>> {
  const { rows } = await sql<z.input<typeof entitlement>>`
    select ${entitlementView} from entitlement e where e.user_id = ${userId} order by e.server_id`.execute(db)
  return rows
}

/** `/entitlements`: what each user should have where. */
export function entitlementOperations({ db }: { db: Database }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/entitlements',
      operationId: 'listEntitlements',
      summary: 'List entitlements',
      tag: 'Users',
      query: pageQuery.extend({ ...userQuery, server: z.string().optional() }),
      answers: { 200: pageOf(usersEntitlement), 404: problem },
      async handle({ query: { server, limit, cursor, ...query } }) {
        const after = cursorKey(cursor, userAndServer)?.split(' ')
        const userId = await queriedUser(db, query)
        const { rows } = await sql<z.input<typeof usersEntitlement>>`
          select e.user_id as "user", ${entitlementView} from entitlement e
          where ${userId === undefined ? sql`true` : sql`e.user_id = ${userId}::uuid`}
            and ${server === undefined ? sql`true` : sql`e.server_id = ${server}`}
            and ${after ? sql`(e.user_id, e.server_id) > (${after[0]}::uuid, ${after[1]})` : sql`true`}
          order by e.user_id, e.server_id limit ${limit}`.execute(db)
        return listed(rows, limit, (row) => `${row.user} ${row.server}`)
      },
    }),
  ]
}
