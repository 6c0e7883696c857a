import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createGroups } from '../../src/directory/groups.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers } from '../../src/directory/users.ts'
import { createConverge } from '../../src/entitlement/converge.ts'
import { PolicyCache } from '../../src/entitlement/policy.ts'
import { createRules, type NewRule } from '../../src/entitlement/rules.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase } from './postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const noHint = () => {}

/**
 * People, groups and rules of the directory `acme` in a database of their own, without HTTP, queue or workers: nothing
 * converges until the test says so. Servers: `linear` and `slack`.
 */
export async function createCompany() {
  const database = await createDatabase()
  const db: Database = openDatabase(createPool(database.url, { max: 5, name: 'tenure under test' }))
  const policies = new PolicyCache(createLogger({ level: 'silent' }))
  const users = createUsers({ db, hintUser: noHint })
  const groups = createGroups({ db, hintUser: noHint })
  const rules = createRules({ db, onChange: noHint })
  await createDirectories({ db, hintUser: noHint }).create({ id: 'acme', provider: 'okta', name: 'Acme' })
  for (const id of ['linear', 'slack']) {
    await db
      .insertInto('server')
      .values({ id, name: id, resource: `https://${id}.example/mcp`, concurrency: 10 })
      .execute()
  }
  return {
    url: database.url,
    db,
    policies,
    users,
    groups,
    rules,
    converge: createConverge({ db, policies }),
    async close() {
      await db.destroy()
      await database.drop()
    },

    async join(userName: string, fields: Record<string, unknown> = {}): Promise<string> {
      const { id } = await users.create('acme', { userName, active: true, ...fields }, cause)
      return id
    },
    async update(id: string, fields: Record<string, unknown>): Promise<void> {
      const statesActive = fields.active === true
      const change = ({ document }: { document: Record<string, unknown> }) => ({
        document: { ...document, ...fields },
        statesActive,
      })
      await users.change('acme', id, change, cause, 'PATCH')
    },
    leave: (id: string) => users.remove('acme', id, cause),

    async team(displayName: string, members: readonly string[]): Promise<string> {
      const delta = { replaceAll: false, add: members.map((value) => ({ value })), remove: [] }
      const { id } = await groups.create('acme', { document: { displayName }, members: delta }, cause)
      return id
    },
    async removeMember(group: string, user: string): Promise<void> {
      const members = { replaceAll: false, add: [], remove: [user] }
      await groups.change('acme', group, ({ document }) => ({ document, members }), cause, 'PATCH')
    },

    async rule(id: string, when: string, fields: Partial<NewRule> = {}) {
      return rules.put({ id, directory: 'acme', server: 'linear', when, scopes: ['read'], ...fields })
    },
  }
}

export type Company = Awaited<ReturnType<typeof createCompany>>
