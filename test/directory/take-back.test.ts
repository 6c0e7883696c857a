import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createIntake } from '../../src/directory/intake.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, NotUnique } from '../../src/directory/users.ts'
import type { Signal } from '../../src/lifecycle/signals.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const hintUser = () => {}

let database: TestDatabase
let db: Database
let watch: LockWatch
let owner: pg.Client

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 8, name: 'tenure under test' }))
  watch = await watchLocks({ db, url: database.url })
  owner = await connect({ url: database.ownerUrl })
  await createDirectories({ db, hintUser }).create({ id: 'acme', provider: 'okta', name: 'Acme' })
})
afterAll(async () => {
  await watch?.close()
  await owner?.end()
  await db?.destroy()
  await database?.drop()
})

it('of several who take an inactive user back at once, the first alone does: the others find somebody active', async () => {
  const users = createUsers({ db, hintUser })
  const { id } = await users.create('acme', { userName: 'Ada', active: false }, cause)
  const takeBack = () => ({ document: { userName: 'Ada', active: true }, statesActive: true })
  const other = await connect(database)
  await other.query('begin')
  // Everybody gets as far as they can without writing the user.
  await other.query('select from scim_user where id = $1 for no key update', [id])
  const writes = [1, 2, 3].map(() => users.create('acme', { userName: 'ADA' }, cause, takeBack))
  const settled = Promise.allSettled(writes)
  await watch.waitUntilWaiting(writes.length)
  await other.query('commit')
  await other.end()

  const outcomes = await settled
  const taken = outcomes.filter((each) => each.status === 'fulfilled')
  expect(taken.map(({ value }) => [value.id, value.version])).toEqual([[id, 2]])
  for (const each of outcomes.filter(({ status }) => status === 'rejected'))
    expect(each).toMatchObject({ reason: expect.any(NotUnique) })
})

describe('events of whoever had the name before (P19)', () => {
  const channel = { directoryId: 'acme', kind: 'okta' } as const
  const [first, second] = ['00u1111111111111111a', '00u2222222222222222b']
  const told = (value: string, kind: 'noted' | 'left', key: string) => ({
    dedupeKey: key,
    type: `test.${kind}`,
    kind,
    subject: [
      { by: 'subject', issuer: 'https://acme.okta.example', value, attribute: 'externalId' },
      { by: 'userName', value: 'lee@acme.example' },
    ] as const,
  })

  it.each([
    ['who had another externalId', first],
    ['whom SCIM called by no id of theirs', 'staff-17'],
  ])('%s take nothing from who has it now; their own do', async (_case, externalId) => {
    const users = createUsers({ db, hintUser })
    const intake = createIntake({ db, hintUser })
    const effectOf = async (...of: Parameters<typeof told>) => (await intake.receive(channel, [told(...of)]))[0]?.effect
    const userName = 'lee@acme.example'
    const { id } = await users.create('acme', { userName, externalId, active: true }, cause)
    expect(await effectOf(first, 'noted', `${externalId} signs in`)).toBe('recorded')
    await users.change('acme', id, ({ document }) => ({ document: { ...document, active: false } }), cause, 'PATCH')
    const takeBack = () => ({ document: { userName, externalId: second, active: true }, statesActive: true })
    expect(await users.create('acme', { userName }, cause, takeBack)).toMatchObject({ id })
    expect(await effectOf(first, 'left', `${externalId} is purged`)).toBe('waiting')
    expect(await effectOf(second, 'left', `${externalId} leaves`)).toBe('cut')
    await users.remove('acme', id, cause)
  })
})

describe('an address that passes to somebody else before SCIM says so (P19)', () => {
  const channel = { directoryId: 'acme', kind: 'ssf' } as const
  const address = 'kim@acme.example'
  const newcomer = { by: 'subject', issuer: 'https://idp.example', value: 'newcomer', attribute: 'externalId' } as const
  const named = { by: 'email', value: address } as const
  let told = 0

  it.each(['SCIM renames', 'their sender says'] as const)(
    'what was heard of the newcomer is forgotten when %s who had it',
    async (how) => {
      const users = createUsers({ db, hintUser })
      const intake = createIntake({ db, hintUser })
      const tell = async (over: Partial<Signal>) => {
        const type = 'test'
        const given = { dedupeKey: `recycled ${told++}`, type, kind: 'changed', subject: [newcomer], ...over } as const
        return (await intake.receive(channel, [given]))[0]
      }
      const { id } = await users.create('acme', { userName: address, active: true }, cause)
      expect(await tell({ subject: [newcomer, named] })).toMatchObject({ userId: id })
      if (how === 'SCIM renames')
        await users.change('acme', id, () => ({ document: { userName: 'kim.older@acme.example' } }), cause, 'PATCH')
      else await tell({ subject: [named], isRecycled: true })
      expect(await tell({ kind: 'left' })).toMatchObject({ effect: 'waiting' })
      await users.remove('acme', id, cause)
    },
  )

  it('what was heard of who had it long before stays', async () => {
    const users = createUsers({ db, hintUser })
    const intake = createIntake({ db, hintUser })
    const known = { ...newcomer, value: 'known for long' }
    const { id } = await users.create('acme', { userName: address, active: true }, cause)
    await intake.receive(channel, [{ dedupeKey: 'long ago', type: 'test', kind: 'changed', subject: [known, named] }])
    await owner.query("update identity_link set first_seen_at = now() - interval '8 days' where user_id = $1", [id])
    await users.change('acme', id, () => ({ document: { userName: 'kim.older@acme.example' } }), cause, 'PATCH')
    const [received] = await intake.receive(channel, [
      { dedupeKey: 'leaves', type: 'test', kind: 'left', subject: [known] },
    ])
    expect(received).toMatchObject({ effect: 'cut', userId: id })
  })
})
