import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createDirectories, type Directories } from '../../src/directory/directories.ts'
import type { Cause } from '../../src/directory/state.ts'
import { Invalid, NotFound } from '../../src/errors.ts'
import { purgeLeft } from '../../src/housekeeping/leaving.ts'
import { type Company, createCompany } from '../support/company.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const byOperator: Cause = { source: 'admin', actor: 'key:root' }

let company: Company
let directories: Directories
let locks: LockWatch
/** The statements of a transaction, one at a time, each when the test says so. */
let byHand: pg.Client
let names = 0
/** One of the test's own. */
let directory: string

beforeAll(async () => {
  company = await createCompany()
  byHand = await connect({ url: company.url })
  locks = await watchLocks(company)
  directories = createDirectories({ db: company.db, hintUser: () => {} })
})
beforeEach(async () => {
  directory = `directory-${names++}`
  await directories.create({ id: directory, provider: 'okta', name: 'Acme' })
})
afterEach(async () => {
  // A test that failed half way must not leave the others waiting.
  await byHand.query('rollback')
})
afterAll(async () => {
  await byHand?.end()
  await locks?.close()
  await company?.close()
})

const newUser = () => company.users.create(directory, { userName: 'ada', active: true }, cause)

const newGroup = () => {
  const members = { replaceAll: false, add: [], remove: [] }
  return company.groups.create(directory, { document: { displayName: 'Staff' }, members }, cause)
}

const newRule = () =>
  company.rules.put({ id: directory, directory, server: 'linear', when: 'userName pr', scopes: ['read'] })

async function isEmpty(): Promise<boolean> {
  const { rows } = await byHand.query(
    `select (select count(*) from scim_user where directory_id = $1 and deleted_at is null)
       + (select count(*) from scim_group where directory_id = $1 and deleted_at is null)
       + (select count(*) from rule where directory_id = $1) = 0 as empty`,
    [directory],
  )
  return rows[0].empty
}

describe('a directory that is deleted while its identity provider calls', () => {
  it('does not deadlock with the note that its token was used', async () => {
    const { token } = await directories.issueToken(directory, {})
    const { id: user } = await newUser()
    await locks.expectNoDeadlock(async () => {
      // Whoever changes that user: the deletion has the directory's row by then, and is yet to take the token's.
      await byHand.query('begin')
      await byHand.query('select 1 from user_state where user_id = $1 for no key update', [user])
      const removed = directories.remove(directory, byOperator)
      await locks.waitUntilWaiting(1)
      expect(await directories.ownerOf(token)).toMatchObject({ directoryId: directory })
      await locks.waitUntilWaiting(2)
      await byHand.query('commit')
      expect(await removed).toMatchObject({ users: 1 })
      await locks.waitUntilWaiting(0)
    })
    expect(await directories.ownerOf(token)).toBeUndefined()
  })
})

describe('a directory that has been deleted', () => {
  it.each([
    ['user', newUser, NotFound],
    ['group', newGroup, NotFound],
    ['rule', newRule, Invalid],
  ])('takes no %s, then or when its rows are gone', async (_what, create, refusal) => {
    await directories.remove(directory, byOperator)
    await expect(create()).rejects.toThrow(refusal)
    await purgeLeft(company.db, { tombstoneDays: undefined })
    const { rows } = await byHand.query('select purged_at is not null as purged from directory where id = $1', [
      directory,
    ])
    expect(rows).toEqual([{ purged: true }])
    await expect(create()).rejects.toThrow(refusal)
    expect(await isEmpty()).toBe(true)
  })

  it('takes no rule that was waiting for the deletion', async () => {
    await byHand.query('begin')
    await byHand.query('select 1 from directory where id = $1 for no key update', [directory])
    const put = newRule().catch((error) => error)
    await locks.waitUntilWaiting(1)
    await byHand.query('update directory set deleted_at = clock_timestamp() where id = $1', [directory])
    await byHand.query('commit')
    expect(await put).toBeInstanceOf(Invalid)
    expect(await isEmpty()).toBe(true)
  })

  it('takes no group that was waiting for the deletion', async () => {
    const { id: user } = await newUser()
    await byHand.query('begin')
    await byHand.query('select 1 from user_state where user_id = $1 for no key update', [user])
    const removed = directories.remove(directory, byOperator)
    await locks.waitUntilWaiting(1)
    const created = newGroup().catch((error) => error)
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await removed
    expect(await created).toBeInstanceOf(NotFound)
    expect(await isEmpty()).toBe(true)
  })

  it('gives nothing to a user whose creation was under way, and takes them with the rest', async () => {
    await newRule()
    // The same name, about to be given up: the insert waits for it, having seen the directory alive.
    await byHand.query('begin')
    await byHand.query(
      `insert into scim_user (id, directory_id, user_name_key, active, document, folded)
       values (gen_random_uuid(), $1, 'ada', true, '{"userName": "ada"}', '{}')`,
      [directory],
    )
    const created = newUser()
    await locks.waitUntilWaiting(1)
    await directories.remove(directory, byOperator)
    await byHand.query('rollback')
    const { id } = await created
    expect((await company.converge(id)).changed).toEqual([])
    await purgeLeft(company.db, { tombstoneDays: undefined })
    expect(await isEmpty()).toBe(true)
  })
})
