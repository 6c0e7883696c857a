import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { createUnknownAttributes, keyOf } from '../../src/directory/unknown-attributes.ts'
import { createLogger } from '../../src/log.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { waitFor } from '../support/wait-for.ts'

const log = createLogger({ level: 'silent' })
let database: TestDatabase
let db: Database

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 5, name: 'tenure under test' }))
  const owner = await connect({ url: database.ownerUrl })
  await owner.query(`
    insert into directory (id, provider, name) select id, 'okta', id from unnest(array['acme', 'globex', 'initech', 'hooli']) id;
    insert into directory (id, provider, name, deleted_at) values ('gone', 'okta', 'gone', now())`)
  await owner.end()
})
afterAll(async () => {
  await db?.destroy()
  await database?.drop()
})

const all = { limit: 1_000 }

describe('unknown attributes', () => {
  it('are noted once each, without case, with how often', async () => {
    const unknown = createUnknownAttributes({ db, log })
    unknown.note('acme', 'User', ['shoeSize', 'emails.colour'])
    unknown.note('acme', 'User', ['SHOESIZE'])
    unknown.note('acme', 'Group', ['shoeSize'])
    await unknown.close()
    const again = createUnknownAttributes({ db, log })
    again.note('acme', 'User', ['shoesize'])
    await again.close()
    expect(await again.list('acme', all)).toEqual([
      { ...seen('Group', 'shoeSize', 1) },
      { ...seen('User', 'emails.colour', 1) },
      { ...seen('User', 'shoeSize', 3) },
    ])
    expect(await again.list('globex', all)).toEqual([])
  })

  it('are written soon, and then not before the interval is over', async () => {
    const unknown = createUnknownAttributes({ db, log, everyMs: 3_600_000 })
    unknown.note('globex', 'User', ['first'])
    await waitFor(async () => (await unknown.list('globex', all)).length === 1, { what: 'the first to be written' })
    unknown.note('globex', 'User', ['second'])
    await db.transaction().execute(async () => {})
    expect((await unknown.list('globex', all)).map(({ path }) => path)).toEqual(['first'])
    await unknown.close()
    expect((await unknown.list('globex', all)).map(({ path }) => path)).toEqual(['first', 'second'])
  })

  it('are few and short, however many and long they are sent', async () => {
    const unknown = createUnknownAttributes({ db, log })
    const names = Array.from({ length: 150 }, (_, n) => `name${n}`)
    unknown.note('initech', 'User', names)
    unknown.note('initech', 'Group', names)
    await unknown.close()
    expect(await unknown.list('initech', all)).toHaveLength(200)
    unknown.note('initech', 'User', ['one more', 'name0'])
    await unknown.close()
    const listed = await unknown.list('initech', all)
    expect(listed).toHaveLength(200)
    expect(listed).toContainEqual(seen('User', 'name0', 2))
    unknown.note('hooli', 'User', ['x'.repeat(5_000), 'ﷺ'.repeat(5_000), `${'y'.repeat(199)}😀`])
    await unknown.close()
    expect((await unknown.list('hooli', all)).map(({ path }) => path.length)).toEqual([200, 200, 200])
  })

  it('are listed page by page', async () => {
    const unknown = createUnknownAttributes({ db, log })
    const listed = await unknown.list('initech', all)
    const paged = []
    for (let after: string | undefined; ; ) {
      const page = await unknown.list('initech', { limit: 30, ...(after === undefined ? {} : { after }) })
      paged.push(...page)
      if (page.length < 30) break
      after = keyOf(page.at(-1)!)
    }
    expect(paged).toEqual(listed)
  })

  it('of a deleted directory are not noted', async () => {
    const unknown = createUnknownAttributes({ db, log })
    unknown.note('gone', 'User', ['shoeSize'])
    unknown.note('no such', 'User', ['shoeSize'])
    await unknown.close()
    expect(await unknown.list('gone', all)).toEqual([])
  })

  it('wait for the next time when the database does not answer', async () => {
    const nowhere = openDatabase(
      createPool('postgres://nobody@127.0.0.1:1/nothing', { max: 1, name: 'tenure under test' }),
    )
    let broken = true
    const flaky = new Proxy(db, {
      get(_, name) {
        const now = broken ? nowhere : db
        const member = Reflect.get(now, name, now)
        return typeof member === 'function' ? member.bind(now) : member
      },
    })
    const unknown = createUnknownAttributes({ db: flaky, log, everyMs: 1 })
    unknown.note('acme', 'User', ['hatSize'])
    unknown.note('acme', 'User', ['hatSize'])
    await expect(unknown.close()).rejects.toThrow()
    broken = false
    await unknown.close()
    expect(await unknown.list('acme', all)).toContainEqual(seen('User', 'hatSize', 2))
    await nowhere.destroy()
  })
})

function seen(resourceType: string, path: string, occurrences: number) {
  return { resourceType, path, occurrences, firstSeenAt: expect.any(Date), lastSeenAt: expect.any(Date) }
}
