import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { newResourceId } from '../../src/ids.ts'
import { userSchema } from '../support/clients.ts'
import { insertPeople } from '../support/people.ts'
import { waitFor } from '../support/wait-for.ts'
import { adminKey, type Call, caller, end, lineOf, run, settingsFor } from './processes.ts'
import type { Stores } from './stores.ts'

/** A SCIM service provider under test, a process of its own, over an empty database. */
export interface Subject {
  readonly what: string
  readonly scim: Call
  /** Resolves when what its answers have left for later is done, so that it does not run into somebody else's figures. */
  settled(): Promise<void>
  /** People beside those that SCIM made, written straight into the database. @returns their ids */
  insertPeople(count: number): Promise<string[]>
  /** The same for a group. @returns its id */
  insertGroup(displayName: string, members: readonly string[]): Promise<string>
  /** How many members the database holds. */
  membersOf(groupId: string): Promise<number>
  stop(): Promise<void>
}

export type Role = 'start' | 'api'

const whatRole = {
  start: 'tenure start: SCIM, queue (Postgres) and workers in one process',
  api: 'tenure api: SCIM and the queue (Postgres), hints given and no worker that takes them',
}

export async function startTenure(stores: Stores, role: Role, connections: number): Promise<Subject> {
  const database = await stores.createDatabase()
  const settings = settingsFor(database)
  if (role === 'api')
    await lineOf(run('bin/tenure.js', ['migrate'], settings), ({ msg }) => msg === 'database.migrated')
  const child = run('bin/tenure.js', [role], settings)
  const { url } = await lineOf(child, ({ msg }) => msg === 'tenure.started')
  const admin = caller(String(url), { authorization: `Bearer ${adminKey}` })
  await admin('POST', '/admin/v1/directories', { id: 'acme', provider: 'okta' })
  const { token } = (await admin('POST', '/admin/v1/directories/acme/tokens', {})) as { token: string }
  const sql = await connect(database.url)
  const tidy = await connect(database.ownerUrl)

  const scim = caller(`${url}/directories/acme/scim/v2`, { authorization: `Bearer ${token}` }, connections)

  return {
    what: whatRole[role],
    scim,
    async settled() {
      if (role === 'start') await waitFor(isConverged, { what: 'everybody to be converged', timeoutMs: 120_000 })
    },
    async insertPeople(count) {
      const people = await insertPeople(sql, { directory: 'acme', prefix: 'member', count })
      // As workers would leave them: who is not behind is nobody's work while figures are taken.
      await sql.query(`
        update user_state set converged_version = version, converged_policy_version = 1, behind_since = null, converge_due_at = null
        where version > converged_version`)
      await tidy.query('vacuum analyze scim_user, user_state, lifecycle_event')
      return people.map(({ id }) => id)
    },
    async insertGroup(displayName, members) {
      const { id } = (await scim('POST', '/Groups', { schemas: [groupSchema], displayName })) as { id: string }
      await sql.query('insert into group_user (group_id, user_id) select $1, unnest($2::uuid[])', [id, members])
      await tidy.query('vacuum analyze group_user, scim_group')
      return id
    },
    async membersOf(groupId) {
      const { rows } = await sql.query('select count(*)::int as members from group_user where group_id = $1', [groupId])
      return rows[0].members
    },
    async stop() {
      await Promise.all([sql.end(), tidy.end()])
      await end(child)
    },
  }

  async function isConverged(): Promise<boolean> {
    const { rows } = await sql.query(
      'select not exists (select from user_state where version > converged_version) as "isDone"',
    )
    return rows[0].isDone
  }
}

export async function startScimmy(stores: Stores, connections: number): Promise<Subject> {
  const database = await stores.createDatabase()
  const token = randomBytes(32).toString('base64url')
  const child = run('test/bench/scimmy.ts', [token], { DATABASE_URL: database.ownerUrl })
  const { url } = await lineOf(child, (line) => typeof line.url === 'string')
  const sql = await connect(database.ownerUrl)

  return {
    what: 'scimmy 1.3.5 and scimmy-routers 1.3.2 on Express 5.3, pg with 10 connections, resources and members in JSONB',
    scim: caller(String(url), { authorization: `Bearer ${token}` }, connections),
    settled: async () => {},
    async insertPeople(count) {
      const people = Array.from({ length: count }, (_, index) => {
        const userName = `member-${index}@acme.example`
        return { id: newResourceId(), document: { schemas: [userSchema], userName, active: true } }
      })
      await sql.query(
        `insert into scim_user (id, document) select * from jsonb_to_recordset($1) as p (id uuid, document jsonb)`,
        [JSON.stringify(people)],
      )
      await sql.query('vacuum analyze scim_user')
      return people.map(({ id }) => id)
    },
    async insertGroup(displayName, members) {
      const document = { displayName, members: members.map((value) => ({ value, type: 'User' })) }
      const { rows } = await sql.query('insert into scim_group (document) values ($1) returning id', [document])
      await sql.query('vacuum analyze scim_group')
      return rows[0].id
    },
    async membersOf(groupId) {
      const { rows } = await sql.query(
        `select jsonb_array_length(document -> 'members') as members from scim_group where id = $1`,
        [groupId],
      )
      return rows[0].members
    },
    async stop() {
      await sql.end()
      await end(child)
    },
  }
}

const groupSchema = 'urn:ietf:params:scim:schemas:core:2.0:Group'

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}
