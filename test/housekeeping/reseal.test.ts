import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyInstallation } from '../../src/db/installation.ts'
import { createDatabase as createKysely, createPool, type Database } from '../../src/db/pool.ts'
import { countSealed, reseal } from '../../src/housekeeping/reseal.ts'
import { createSealer, type Sealer } from '../../src/secrets.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'

const [older, newer, foreign] = ['older', 'newer', 'foreign'].map((name) => `${name}-key-${'x'.repeat(32)}`) as [
  string,
  string,
  string,
]

describe('sealing anew', () => {
  let database: TestDatabase
  let db: Database
  const before = createSealer([older])
  const during = createSealer([newer, older])
  const after = createSealer([newer])

  beforeEach(async () => {
    database = await createDatabase()
    db = createKysely(createPool(database.url, { max: 2, name: 'tenure test' }))
    await verifyInstallation(db, before)
    await sql`insert into server (id, name, resource, concurrency) values ('linear', 'Linear', 'https://linear.example', 1)`.execute(
      db,
    )
    await sql`insert into connector (id, server_id, type, config) values ('con_1', 'linear', 'webhook', '{}')`.execute(
      db,
    )
  })
  afterEach(async () => {
    await db?.destroy()
    await database?.drop()
  })

  async function insert(id: string, sealer: Sealer): Promise<void> {
    await sql`
      insert into connector_secret (id, connector_id, sealed, sealed_under)
      values (${id}, 'con_1', ${await sealer.seal(`secret of ${id}`)}, ${sealer.kid})`.execute(db)
  }
  async function open(id: string, sealer: Sealer): Promise<string> {
    const { rows } = await sql<{ sealed: string }>`select sealed from connector_secret where id = ${id}`.execute(db)
    return sealer.unseal(rows[0]!.sealed)
  }

  it('is over when the check of the installation lies under the new key, too', async () => {
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 1, underOlderKeys: 1 })
    expect(await reseal(db, during)).toBe(0)
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 1, underOlderKeys: 0 })
    await expect(verifyInstallation(db, after)).resolves.toBeUndefined()
    await expect(verifyInstallation(db, before)).rejects.toThrow(/TENURE_SECRET_KEY is not the key/)
  })

  it('takes them all, however many, and leaves the ones that are right as they are', async () => {
    const ids = Array.from({ length: 450 }, (_, index) => `sec_${index}`)
    for (const id of ids) await insert(id, before)
    await insert('sec_new', during)
    expect(await reseal(db, during)).toBe(450)
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 452, underOlderKeys: 0 })
    expect(await open('sec_449', after)).toBe('secret of sec_449')
    expect(await reseal(db, during)).toBe(0)
  })

  it('is not held up by one that opens with none of the keys, which stays counted', async () => {
    await insert('sec_1', createSealer([foreign]))
    await insert('sec_2', before)
    expect(await reseal(db, during)).toBe(1)
    expect(await countSealed(db, during.kid)).toEqual({ sealed: 3, underOlderKeys: 1 })
    expect(await open('sec_2', after)).toBe('secret of sec_2')
    expect(await open('sec_1', createSealer([foreign]))).toBe('secret of sec_1')
  })
})
