import { compactVerify, createLocalJWKSet, SignJWT } from 'jose'
import { sql } from 'kysely'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyInstallation } from '../../src/db/installation.ts'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { expire } from '../../src/housekeeping/expire.ts'
import { countSealed, reseal } from '../../src/housekeeping/reseal.ts'
import { defaultRetention } from '../../src/retention.ts'
import { createSealer } from '../../src/secrets.ts'
import { createSigningKeys, type SigningKeys } from '../../src/trust/signing-keys.ts'
import { watchLocks } from '../support/locks.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'

const [older, newer] = ['older', 'newer'].map((name) => `${name}-key-${'x'.repeat(32)}`) as [string, string]

describe('signing keys', () => {
  let database: TestDatabase
  let db: Database
  let owner: pg.Client
  let keys: SigningKeys
  const sealer = createSealer([older])

  beforeEach(async () => {
    database = await createDatabase()
    db = openDatabase(createPool(database.url, { max: 6, name: 'tenure under test' }))
    owner = await connect({ url: database.ownerUrl })
    await verifyInstallation(db, sealer)
    keys = createSigningKeys({ db, sealer })
  })
  afterEach(async () => {
    await owner?.end()
    await db?.destroy()
    await database?.drop()
  })

  /** As if so much time had gone by; another process, since one signs on for some seconds with what it has read. */
  async function wait(interval: string): Promise<void> {
    await owner.query(`
      update signing_key set created_at = created_at - '${interval}'::interval, signs_from = signs_from - '${interval}'::interval,
        published_until = published_until - '${interval}'::interval`)
    keys = createSigningKeys({ db, sealer })
  }
  const kids = async () => (await keys.jwks()).keys.map(({ kid }) => kid)

  async function sign(): Promise<string> {
    const { kid, alg, key } = await keys.current()
    return new SignJWT({}).setProtectedHeader({ alg, kid }).sign(key)
  }
  async function isVerified(token: string): Promise<boolean> {
    return compactVerify(token, createLocalJWKSet(await keys.jwks())).then(
      () => true,
      () => false,
    )
  }

  it('start with one that signs at once, the same for all who ask first at the same time', async () => {
    const processes = Array.from({ length: 5 }, () => createSigningKeys({ db, sealer }))
    const used = await Promise.all(processes.map((each) => each.current()))
    expect(new Set(used.map(({ kid }) => kid)).size).toBe(1)
    expect(await kids()).toEqual([used[0]!.kid])
    expect(await isVerified(await sign())).toBe(true)
  })

  it('are there for whoever asks for the set first', async () => {
    const published = await kids()
    expect(published).toHaveLength(1)
    expect((await keys.current()).kid).toBe(published[0])
  })

  it('are published without their private half, which lies sealed', async () => {
    await sign()
    const [jwk] = (await keys.jwks()).keys
    expect(Object.keys(jwk!).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    expect(jwk).toMatchObject({ alg: 'ES256', use: 'sig', crv: 'P-256' })
    const { rows } = await owner.query('select sealed, public_jwk from signing_key')
    expect(JSON.parse(await sealer.unseal(rows[0].sealed))).toMatchObject({ d: expect.any(String) })
    expect(JSON.stringify(rows[0].public_jwk)).not.toContain('"d"')
  })

  it('are published for five minutes before they sign, and 48 hours after', async () => {
    const before = await sign()
    const first = (await keys.current()).kid
    const next = await keys.rotate()
    expect(next.state).toBe('next')
    expect(await kids()).toEqual([next.kid, first])
    await wait('4 minutes 50 seconds')
    expect((await keys.current()).kid).toBe(first)
    const last = await sign()
    await wait('15 seconds')
    expect((await keys.current()).kid).toBe(next.kid)
    expect((await keys.list()).map(({ kid, state }) => [kid, state])).toEqual([
      [next.kid, 'signing'],
      [first, 'previous'],
    ])
    await wait('47 hours 59 minutes')
    expect([await isVerified(before), await isVerified(last)]).toEqual([true, true])
    await wait('1 minute')
    expect(await isVerified(last)).toBe(false)
    expect(await kids()).toEqual([next.kid])
    expect(await expire(db, defaultRetention)).toEqual({ signing_key: 1 })
    expect((await keys.current()).kid).toBe(next.kid)
  })

  it('are not rotated while one waits for its time, by however many at once', async () => {
    await keys.current()
    const outcomes = await Promise.allSettled([keys.rotate(), keys.rotate(), keys.rotate()])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await kids()).toHaveLength(2)
    await wait('5 minutes')
    expect((await keys.rotate()).state).toBe('next')
  })

  it('are followed by a new one after 90 days, once', async () => {
    expect(await keys.rotateWhenDue()).toBe(false)
    expect(await keys.list()).toEqual([])
    const first = (await keys.current()).kid
    await wait('89 days 23 hours')
    expect(await keys.rotateWhenDue()).toBe(false)
    await wait('2 hours')
    const watch = await watchLocks({ db, url: database.url })
    const other = await db.startTransaction().execute()
    await sql`select pg_advisory_xact_lock(hashtext('tenure signing key'))`.execute(other)
    const both = Promise.all([keys.rotateWhenDue(), createSigningKeys({ db, sealer }).rotateWhenDue()])
    await watch.waitUntilWaiting(2).finally(() => other.rollback().execute())
    await watch.close()
    expect((await both).filter(Boolean)).toHaveLength(1)
    expect(await kids()).toHaveLength(2)
    expect((await keys.current()).kid).toBe(first)
  })

  it('are sealed anew after a change of keys, and counted until they are', async () => {
    const token = await sign()
    const during = createSealer([newer, older])
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 2, underOlderKeys: 2 })
    expect(await reseal(db, during)).toBe(1)
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 2, underOlderKeys: 0 })
    keys = createSigningKeys({ db, sealer: createSealer([newer]) })
    expect(await isVerified(token)).toBe(true)
    expect(await isVerified(await sign())).toBe(true)
  })
})
