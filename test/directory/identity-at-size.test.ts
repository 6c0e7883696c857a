import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { transaction } from '../../src/db/transaction.ts'
import { resolveUser, waitingKnown } from '../../src/directory/identity.ts'
import type { Identifier } from '../../src/lifecycle/signals.ts'
import { insertPeople, type Person } from '../support/people.ts'
import { connect } from '../support/postgres.ts'
import { type IntakeWorld, startIntakeWorld } from './intake-world.ts'

const pair = (value: string): Identifier => ({
  by: 'subject',
  issuer: 'https://idp.example',
  value,
  attribute: 'externalId',
})
const named = (value: string): Identifier => ({ by: 'userName', value })
const mail = (value: string): Identifier => ({ by: 'email', value })
const external = (value: string): Identifier => ({ by: 'externalId', value })

describe('whom an event names, at size', () => {
  let world: IntakeWorld
  const newcomers = 20_000
  const tables = ['scim_user', 'user_state', 'identity_link', 'inbound_event']
  let people: Person[]

  beforeAll(async () => {
    world = await startIntakeWorld()
    // Postgres knows of many directories, and learns of no new one by itself.
    await world.owner.query(`
      insert into directory (id, provider, name) select 'old-' || n, 'okta', 'old' from generate_series(1, 300) n;
      insert into directory (id, provider, name) values ('new', 'okta', 'new');
      insert into scim_user (id, directory_id, user_name_key, external_id, active, document, folded)
        select gen_random_uuid(), 'old-' || n % 300 + 1, n || '@acme.example', 'ext-' || n, true, '{}', '{}' from generate_series(1, 3000) n`)
    await world.owner.query('vacuum analyze')
    for (const table of tables) await world.owner.query(`alter table ${table} set (autovacuum_enabled = off)`)
    people = await insertPeople(world.owner, { directory: 'new', prefix: 'new', count: newcomers })
  }, 120_000)
  afterAll(async () => {
    await world?.close()
  })

  function look(where: { after: number; limit: number }) {
    return transaction(world.db, (trx) => waitingKnown(trx, where))
  }

  async function read(work: () => Promise<unknown>): Promise<{ rows: number; pages: number }> {
    const before = await counters()
    await work()
    const after = await counters()
    return { rows: after.rows - before.rows, pages: after.pages - before.pages }
  }

  async function counters(): Promise<{ rows: number; pages: number }> {
    await Promise.all(
      Array.from({ length: 12 }, () =>
        world.db.connection().execute((one) => sql`select pg_stat_force_next_flush()`.execute(one)),
      ),
    )
    const { rows } = await world.owner.query(
      `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows,
         sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))::int as pages
       from pg_stat_user_tables join pg_statio_user_tables io using (relid) where io.relname = any($1)`,
      [tables],
    )
    return rows[0]
  }

  it.each<[string, (person: Person) => Identifier[]]>([
    ['id', ({ id }) => [{ by: 'id', value: id }]],
    ['externalId', ({ userName }) => [external(`ext-${userName}`)]],
    ['userName', ({ userName }) => [named(userName)]],
    ['email', ({ userName }) => [mail(userName)]],
    ['the subject', ({ userName }) => [pair(`ext-${userName}`)]],
    ['a subject that is unknown, and the userName', ({ userName }) => [pair('unknown'), named(userName)]],
    ['a userName that nobody has', () => [named('nobody@acme.example')]],
    ['ids that nobody has', () => [external('unknown'), pair('unknown'), { by: 'id', value: crypto.randomUUID() }]],
    ['an address that nobody has', () => [mail('nobody@acme.example')]],
  ])('somebody of a new directory is found without reading the others, by %s', async (_what, subject) => {
    // More often than it takes until a prepared statement has the plan that it keeps.
    for (let time = 0; time < 8; time++) {
      const { rows, pages } = await read(() => resolveUser(world.db, 'new', subject(people[time * 100]!)))
      expect(rows, 'rows').toBeLessThan(60)
      expect(pages, 'pages').toBeLessThan(250)
    }
  })

  it('10,000 waiting events are held against 20,000 users in well below a second, before any statistics', async () => {
    const subjects = Array.from({ length: 10_000 }, (_, n): Identifier[] => {
      const nobody = `nobody-${n}@acme.example`
      const somebody = n % 100 === 0 ? people[n]!.userName : nobody
      return (
        [
          [pair(`unknown-${n}`), mail(somebody)],
          [external(`ext-${somebody}`)],
          [named(somebody)],
          [{ by: 'id', value: n % 100 === 0 ? people[n]!.id : crypto.randomUUID() }],
        ] as Identifier[][]
      )[Math.floor(n / 100) % 4]!
    })
    await world.owner.query(
      `insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect, subject, waits_until)
       select 'inb_' || n, 'new', 'okta', sha256(n::text::bytea), 't', 'left', 'waiting', s, now() + interval '7 days'
       from jsonb_array_elements($1::jsonb) with ordinality as e (s, n)`,
      [JSON.stringify(subjects.map((all) => all.map((one) => ({ ...one, folded: one.value }))))],
    )
    const took: number[] = []
    for (const analyzed of [false, true]) {
      if (analyzed) await world.owner.query('analyze')
      const begun = performance.now()
      const { known, last } = await look({ after: 0, limit: 10_001 })
      took.push(Math.round(performance.now() - begun))
      expect(known).toHaveLength(100)
      expect(last).toBeUndefined()
    }
    expect(Math.max(...took)).toBeLessThan(1_000)
    const { rows } = await read(() => look({ after: 0, limit: 10_001 }))
    expect(rows).toBeLessThan(25_000)
  })

  it('goes on where it stopped, and begins again at the end', async () => {
    const first = await look({ after: 0, limit: 6_000 })
    const second = await look({ after: first.last!, limit: 6_000 })
    expect([first.known.length, second.known.length]).toEqual([60, 40])
    expect(second.last).toBeUndefined()
  })

  it('a question is found by when it is due, and a user by its own events', async () => {
    const watcher = await connect({ url: world.url })
    const plan = async (text: string) =>
      (await watcher.query(`explain ${text}`)).rows.map((row) => row['QUERY PLAN']).join('\n')
    await watcher.query('set enable_seqscan = off')
    expect(
      await plan(
        "select id from inbound_event where directory_id = 'new' and channel_kind = 'okta' and ask_due_at <= now() order by ask_due_at limit 10",
      ),
    ).toContain('inbound_event_to_ask')
    expect(
      await plan(
        `select 1 from inbound_event where user_id = '${people[0]!.id}' and kind = 'enabled' and occurred_at > now()`,
      ),
    ).toContain('inbound_event_by_user')
    await watcher.end()
  })
})
