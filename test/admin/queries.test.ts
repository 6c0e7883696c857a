import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json, ScimClient } from '../support/clients.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'

describe('what operators ask', () => {
  let database: TestDatabase
  let tenure: RunningTenure
  let acme: ScimClient
  let linear: RegisteredServer
  let ada: string
  let bob: string

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('all', database)
    acme = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    await tenure.admin.put('/rules/everyone', { server: 'linear', when: 'active eq true', scopes: ['read'] })
    ada = (await acme.createUser('Ada@acme.example')).id
    bob = (await acme.createUser('bob@acme.example')).id
    for (const id of [ada, bob]) {
      await tenure.admin.grant({ directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], jti: id })
    }
    await tenure.admin.waitUntilSettled()
  })
  afterAll(async () => {
    await tenure?.close()
    await linear?.receiver.close()
    await database?.drop()
  })

  it('users, without saying of which directory, while there is one', async () => {
    const { items } = await tenure.admin.get('/users')
    expect(items.map(({ id }: Json) => id).sort()).toEqual([ada, bob].sort())
    expect((await tenure.admin.get('/users?directory=acme')).items).toEqual(items)
  })

  describe.each(['grants', 'entitlements', 'deliveries', 'events'])('%s of one person', (list) => {
    it('by the id, or by directory and userName whatever its case', async () => {
      const { items } = await tenure.admin.get(`/${list}?user=${ada}`)
      expect(items).toHaveLength(1)
      expect(items[0].user).toBe(ada)
      for (const userName of ['Ada@acme.example', 'ADA@ACME.EXAMPLE']) {
        expect((await tenure.admin.get(`/${list}?directory=acme&userName=${userName}`)).items).toEqual(items)
      }
    })

    it.each([
      ['userName=ada@acme.example', 'directory'],
      ['user=not-an-id', 'user'],
      [`user=ffffffff-ffff-4fff-bfff-ffffffffffff&directory=acme&userName=ada@acme.example`, 'user'],
    ])('not by %s', async (query, field) => {
      const answer = await tenure.admin.send('GET', `/${list}?${query}`)
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field }] } })
    })

    it('and says so when there is nobody of that name', async () => {
      for (const query of ['directory=acme&userName=nobody', 'directory=nothing&userName=ada@acme.example']) {
        expect(await tenure.admin.send('GET', `/${list}?${query}`)).toMatchObject({ status: 404 })
      }
    })
  })

  it('events of a whole directory; of the others a directory alone says nothing', async () => {
    const { items } = await tenure.admin.get('/events?directory=acme')
    expect(items.map(({ user }: Json) => user)).toEqual([bob, ada])
    for (const list of ['grants', 'entitlements', 'deliveries']) {
      const answer = await tenure.admin.send('GET', `/${list}?directory=acme`)
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'userName' }] } })
    }
  })

  it('one page after the other, each thing once', async () => {
    for (let count = 0; count < 4; count++) await tenure.admin.post('/directories/acme/tokens', { label: `${count}` })
    for (const list of ['directories/acme/tokens', 'users', 'grants', 'entitlements', 'deliveries', 'events']) {
      const whole = await tenure.admin.get(`/${list}`)
      expect(whole.next).toBeNull()
      expect(whole.items.length).toBeGreaterThan(1)
      const paged: Json[] = []
      for (let next: string | null = ''; next !== null; ) {
        const page: Json = await tenure.admin.get(`/${list}?limit=1${next === '' ? '' : `&cursor=${next}`}`)
        expect(page.items.length).toBeLessThanOrEqual(1)
        paged.push(...page.items)
        next = page.next
      }
      expect(paged, list).toEqual(whole.items)
    }
  })

  it('of a delivery the newest hundred attempts, in the order in which they were made', async () => {
    const { items } = await tenure.admin.get(`/deliveries?user=${ada}`)
    const owner = await connect({ url: database.ownerUrl })
    await owner.query(
      `insert into attempt (id, delivery_id, generation, started_at, ms, outcome)
       select 'att_' || n, $1, 1, timestamptz '2020-01-01' + make_interval(mins => n), 1, 'unavailable' from generate_series(1, 120) n`,
      [items[0].id],
    )
    await owner.end()
    const { attempts } = await tenure.admin.get(`/deliveries/${items[0].id}`)
    expect(attempts).toHaveLength(100)
    expect(attempts[0].at).toBe('2020-01-01T00:22:00.000Z')
    expect(attempts.at(-1).outcome).toBe('applied')
    expect(attempts.map(({ at }: Json) => at)).toEqual(attempts.map(({ at }: Json) => at).sort())
  })

  it('users of no directory in particular no longer, once there are several', async () => {
    await registerDirectory(tenure.admin, 'globex')
    const answer = await tenure.admin.send('GET', '/users')
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'directory' }] } })
    expect((await tenure.admin.get('/users?directory=globex')).items).toEqual([])
  })
})
