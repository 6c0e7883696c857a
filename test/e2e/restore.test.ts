import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RegisteredServer, registerDirectory, registerServer, runTenure } from '../support/tenure.ts'

/** What docs/operating.md has an operator do after a restore, on a copy that was made before somebody left. */
describe('a restore to an earlier point', () => {
  let database: TestDatabase
  let restored: { url: string; ownerUrl: string }
  let admin: pg.Client
  let linear: RegisteredServer

  beforeAll(async () => {
    database = await createDatabase()
    const at = (url: string) => Object.assign(new URL(url), { pathname: `/${database.name}_restored` }).href
    restored = { url: at(database.url), ownerUrl: at(database.ownerUrl) }
    admin = new pg.Client({ connectionString: inject('postgres').adminUrl })
    await admin.connect()
  })
  afterAll(async () => {
    await linear?.receiver.close()
    await admin?.query(`drop database if exists ${database.name}_restored with (force)`)
    await admin?.end()
    await database?.drop()
  })

  it('brings a leaver back until everyone is cut, and is heard by servers that know better once generations are raised', async () => {
    const before = await runTenure('all', database)
    const okta = await registerDirectory(before.admin, 'acme')
    linear = await registerServer(before.admin, 'linear')
    await before.admin.put('/rules/everyone', { server: 'linear', when: 'userName pr', scopes: ['read'] })
    const ada = await okta.createUser('ada@acme.example')
    const grant = { directory: 'acme', user: { id: ada.id }, server: 'linear', scopes: ['read'], token: 'token-of-ada' }
    expect((await before.admin.grant(grant)).status).toBe(201)
    await before.admin.waitUntilSettled()
    await before.close()
    await admin.query(`create database ${database.name}_restored template ${database.name} owner tenure_owner`)

    const gap = await runTenure('all', database)
    for (const active of [false, true, false]) {
      await okta.at(gap.url).setActive(ada.id, active)
      await gap.admin.waitUntilSettled()
    }
    await gap.close()
    const told = linear.receiver.users.get(ada.id)!
    expect(told.active).toBe(false)

    const owner = await connect({ url: restored.ownerUrl })
    await owner.query(`select setval('generation', nextval('generation') + 1000000000)`)
    await owner.end()
    const after = await runTenure('all', restored)
    expect(await after.admin.introspect('token-of-ada')).toMatchObject({ active: true })

    const { items } = await after.admin.get('/users?directory=acme')
    for (const { id } of items) await after.admin.post(`/users/${id}/cut`)
    expect(await after.admin.introspect('token-of-ada')).toEqual({ active: false })
    await after.admin.waitUntilSettled()
    const state = linear.receiver.users.get(ada.id)!
    expect(state).toMatchObject({ active: true, notBefore: expect.any(String) })
    expect(state.generation).toBeGreaterThan(told.generation)

    // The identity provider pushes what is so.
    await okta.at(after.url).setActive(ada.id, false)
    await after.admin.waitUntilSettled()
    expect(linear.receiver.users.get(ada.id)).toMatchObject({ active: false })
    await after.close()
  })
})
