import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createGroups, type Groups } from '../../src/directory/groups.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, type Users } from '../../src/directory/users.ts'
import { createGate } from '../../src/entitlement/gate.ts'
import { PolicyCache } from '../../src/entitlement/policy.ts'
import { createRules } from '../../src/entitlement/rules.ts'
import { Forbidden, NotFound } from '../../src/errors.ts'
import { createGrants, type Grants } from '../../src/ledger/grants.ts'
import { createLogger } from '../../src/log.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { waitFor } from '../support/wait-for.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const noHint = () => {}

let database: TestDatabase
let db: Database
/** The statements of a transaction, one at a time, each when the test says so. */
let byHand: pg.Client
let alsoByHand: pg.Client
let locks: LockWatch
let users: Users
let groups: Groups
let grants: Grants
let names = 0

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 20, name: 'tenure under test' }))
  byHand = await connect({ url: database.ownerUrl })
  alsoByHand = await connect({ url: database.ownerUrl })
  locks = await watchLocks({ db, url: database.url })
  users = createUsers({ db, hintUser: noHint })
  groups = createGroups({ db, hintUser: noHint })
  const policies = new PolicyCache(createLogger({ level: 'silent' }))
  grants = createGrants({ db, gate: createGate({ policies }), hintUser: noHint })
  await createDirectories({ db, hintUser: noHint }).create({ id: 'acme', provider: 'okta', name: 'Acme' })
  await db
    .insertInto('server')
    .values({ id: 'linear', name: 'Linear', resource: 'https://linear.example/mcp', concurrency: 10 })
    .execute()
  await createRules({ db, onChange: noHint }).put({
    id: 'engineers',
    server: 'linear',
    when: 'groups.display sw "Engineering"',
    scopes: ['read'],
  })
})
afterEach(async () => {
  // A test that failed half way must not leave the others waiting.
  await Promise.all([byHand.query('rollback'), alsoByHand.query('rollback')])
})
afterAll(async () => {
  await byHand?.end()
  await alsoByHand?.end()
  await locks?.close()
  await db?.destroy()
  await database?.drop()
})

describe('promise 2: recording a grant while the membership that earns it is being removed', () => {
  it('is what a lock joined to the membership would get wrong: the new version with the old membership', async () => {
    const { user, group } = await engineer()
    await removeByHand(user, group)
    const naive = db.transaction().execute((trx) =>
      sql<{ version: number; group_id: string | null }>`
        select s.version, m.group_id from user_state s left join group_user m on m.user_id = s.user_id
        where s.user_id = ${user} for share of s`.execute(trx),
    )
    await locks.waitUntilWaiting(1)
    const { rows: before } = await alsoByHand.query('select version from user_state where user_id = $1', [user])
    await byHand.query('commit')
    expect((await naive).rows).toEqual([{ version: Number(before[0].version) + 1, group_id: group }])
  })

  it('waits for the removal to commit, and then sees it', async () => {
    const { user, group } = await engineer()
    await removeByHand(user, group)
    const recorded = record(user).catch((error) => error)
    await locks.waitUntilWaiting(1)
    expect(await grantsOf(user)).toEqual([])
    await byHand.query('commit')
    expect(await recorded).toBeInstanceOf(Forbidden)
    expect(await grantsOf(user)).toEqual([])
  })

  it('waits for the removal, and is recorded when that is rolled back', async () => {
    const { user, group } = await engineer()
    await removeByHand(user, group)
    const recorded = record(user)
    await locks.waitUntilWaiting(1)
    await byHand.query('rollback')
    expect((await recorded).grant).toMatchObject({ user, state: 'active' })
  })

  // The removal is done but for its lifecycle event, and uncommitted, for as long as the test holds that table.
  it.each([
    ['a membership', ({ user, group }: Engineer) => leave(group, user)],
    ['the group', ({ group }: Engineer) => groups.remove('acme', group, cause)],
    ['the name of the group', ({ group }: Engineer) => rename(group, `Sales ${group}`)],
    ['the user', ({ user }: Engineer) => users.remove('acme', user, cause)],
    ['the access of the user', ({ user }: Engineer) => deactivate(user)],
  ])('waits while %s is taken away by the code that does it', async (_what, take) => {
    const engineered = await engineer()
    await byHand.query('begin')
    await byHand.query('lock table lifecycle_event in share row exclusive mode')
    const taken = take(engineered)
    await locks.waitUntilWaiting(1)
    const recorded = record(engineered.user).catch((error) => error)
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await taken
    expect(await recorded).toBeInstanceOf(Forbidden)
    expect(await grantsOf(engineered.user)).toEqual([])
  })

  it('makes a removal wait that comes second, so that the grant is one the removal knows of', async () => {
    const { user, group } = await engineer()
    await byHand.query('begin')
    await byHand.query('lock table access_grant in share mode')
    const recorded = record(user)
    await locks.waitUntilWaiting(1)
    const left = leave(group, user)
    await locks.waitUntilWaiting(2)
    const { rows } = await alsoByHand.query('select 1 from group_user where user_id = $1', [user])
    expect(rows).toHaveLength(1)
    await byHand.query('commit')
    expect((await recorded).isNew).toBe(true)
    await left
    const version = await alsoByHand.query('select version from user_state where user_id = $1', [user])
    expect(Number(version.rows[0].version)).toBe(3)
  })

  it('makes a cut wait that comes second, which then voids the grant', async () => {
    const { user } = await engineer()
    await byHand.query('begin')
    await byHand.query('lock table access_grant in share mode')
    const recorded = record(user)
    await locks.waitUntilWaiting(1)
    const cut = deactivate(user)
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    const { grant } = await recorded
    await cut
    const [closed] = await grants.list({ userId: user, limit: 10 })
    expect(closed).toMatchObject({ id: grant.id, state: 'closed', closedReason: 'cut' })
    expect(closed!.closedAt!.getTime()).toBeGreaterThanOrEqual(grant.issuedAt.getTime())
  })
})

describe('locks: group PATCH (group, then user) against DELETE /Users (user, then group)', () => {
  // Both arrive at the same lock before either has any, and set off together.
  it.each([
    ['removes the user', (group: string, user: string) => leave(group, user)],
    ['renames the group', (group: string) => rename(group, `Renamed ${group}`)],
    ['empties the group', (group: string) => empty(group)],
    ['deletes the group', (group: string) => groups.remove('acme', group, cause)],
  ])('neither fails nor deadlocks when the PATCH %s', async (_what, change) => {
    await locks.expectNoDeadlock(async () => {
      for (let round = 0; round < 40; round++) {
        const { user, group } = await engineer()
        await byHand.query('begin')
        await byHand.query('select 1 from scim_group where id = $1 for update', [group])
        await byHand.query('select 1 from user_state where user_id = $1 for update', [user])
        const both = Promise.all([change(group, user), users.remove('acme', user, cause)])
        await locks.waitUntilWaiting(2)
        await byHand.query('commit')
        await both
        await expect(users.get('acme', user)).rejects.toBeInstanceOf(NotFound)
      }
    })
  })

  it('neither fails nor deadlocks in a crowd: people leaving groups that change, all at once', async () => {
    await locks.expectNoDeadlock(async () => {
      const crowd = await Promise.all(Array.from({ length: 60 }, () => newUser()))
      const two = await Promise.all([newGroup(crowd), newGroup(crowd)])
      await Promise.all(
        crowd.flatMap((user, index) => [
          users.remove('acme', user, cause),
          leave(two[index % 2]!, user),
          leave(two[(index + 1) % 2]!, crowd.at(-1 - index)!),
        ]),
      )
      for (const group of two) expect((await groups.members([group])).get(group)).toBeUndefined()
    })
  })

  it('starts a DELETE over when a membership comes between its first read and its lock of the user', async () => {
    const user = await newUser()
    const group = await newGroup([])
    await byHand.query('begin')
    await byHand.query('select 1 from user_state where user_id = $1 for no key update', [user])
    const removed = users.remove('acme', user, cause)
    await locks.waitUntilWaiting(1)
    await byHand.query('insert into group_user (group_id, user_id) values ($1, $2)', [group, user])
    // Whoever holds the group now may be about to lock the user: waiting for the group with the user in hand would deadlock.
    await alsoByHand.query('begin')
    await alsoByHand.query('select 1 from scim_group where id = $1 for no key update', [group])
    await byHand.query('commit')
    await waitFor(async () => (await locks.waiting()).some((query) => query.includes('scim_group')), {
      what: 'the DELETE to ask for the group',
    })
    await byHand.query('select 1 from user_state where user_id = $1 for no key update nowait', [user])
    await alsoByHand.query('commit')
    await removed
    await expect(users.get('acme', user)).rejects.toBeInstanceOf(NotFound)
    expect((await groups.members([group])).get(group)).toBeUndefined()
    expect((await groups.get('acme', group)).version).toBe(2)
    const { rows } = await alsoByHand.query(`select kind from ledger_entry where user_id = $1 and kind = 'cut'`, [user])
    expect(rows).toHaveLength(1)
  })
})

interface Engineer {
  readonly user: string
  readonly group: string
}

describe('locks: many operators who change the rules of one directory at once', () => {
  it('does not deadlock, while grants that name the directory are recorded', async () => {
    const rules = createRules({ db, onChange: noHint })
    const { user } = await engineer()
    const put = (index: number, scope: string) =>
      rules.put({ id: `crowd-${index}`, server: 'linear', when: 'title eq "nobody"', scopes: [scope] })
    await locks.expectNoDeadlock(async () => {
      for (const scope of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
        await Promise.all([
          ...Array.from({ length: 12 }, (_, index) => put(index, scope)),
          ...Array.from({ length: 6 }, () => record(user)),
        ])
    })
    const { rows } = await sql<{ scopes: string[] }>`select scopes from rule where id like 'crowd-%'`.execute(db)
    expect(rows).toEqual(Array.from({ length: 12 }, () => ({ scopes: ['h'] })))
  })
})

async function engineer(): Promise<Engineer> {
  const user = await newUser()
  return { user, group: await newGroup([user]) }
}

async function newUser(): Promise<string> {
  const user = await users.create('acme', { userName: `user-${names++}@acme.example`, active: true }, cause)
  return user.id
}

async function newGroup(members: readonly string[]): Promise<string> {
  const document = { displayName: `Engineering ${names++}` }
  const delta = { replaceAll: false, add: members.map((value) => ({ value })), remove: [] }
  return (await groups.create('acme', { document, members: delta }, cause)).id
}

function leave(group: string, user: string) {
  const members = { replaceAll: false, add: [], remove: [user] }
  return groups.change('acme', group, ({ document }) => ({ document, members }), cause, 'PATCH')
}

function empty(group: string) {
  const members = { replaceAll: true, add: [], remove: [] }
  return groups.change('acme', group, ({ document }) => ({ document, members }), cause, 'PATCH')
}

function rename(group: string, displayName: string) {
  return groups.change('acme', group, ({ document }) => ({ document: { ...document, displayName } }), cause, 'PATCH')
}

function deactivate(user: string) {
  return users.change('acme', user, ({ document }) => ({ document: { ...document, active: false } }), cause, 'PATCH')
}

function record(userId: string): Promise<Awaited<ReturnType<Grants['record']>>> {
  const expiresAt = new Date(Date.now() + 3_600_000)
  const given = { directoryId: 'acme', userId, serverId: 'linear', client: 'claude', scopes: ['read'], expiresAt }
  return grants.record({ ...given, jti: `jti-${names++}` }, 'key:test')
}

function grantsOf(userId: string) {
  return grants.list({ userId, limit: 10 })
}

/** What a membership removal does, locks and all, but for the commit. */
async function removeByHand(user: string, group: string): Promise<void> {
  await byHand.query('begin')
  await byHand.query(`select pg_advisory_xact_lock_shared(hashtextextended('tenure memberships acme', 0))`)
  await byHand.query('select 1 from scim_group where id = $1 for no key update', [group])
  await byHand.query('select 1 from user_state where user_id = $1 for no key update', [user])
  await byHand.query('delete from group_user where group_id = $1 and user_id = $2', [group, user])
  await byHand.query('update user_state set version = version + 1 where user_id = $1', [user])
}
