import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Connector } from '../../src/connectors/connector.ts'
import { createDatabase as createKysely, createPool, type Database } from '../../src/db/pool.ts'
import { Drain } from '../../src/delivery/drain.ts'
import { createConverge } from '../../src/entitlement/converge.ts'
import { PolicyCache } from '../../src/entitlement/policy.ts'
import { createLogger } from '../../src/log.ts'
import { createSealer, type Sealer } from '../../src/secrets.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, registerServer, runTenure, secretKey } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

describe('promise 3: a sender that was held up between claim and send', () => {
  const log = createLogger({ level: 'silent' })
  let database: TestDatabase
  let pool: pg.Pool
  let db: Database
  let api: RunningTenure

  beforeAll(async () => {
    database = await createDatabase()
    pool = createPool(database.url, { max: 4, name: 'drain test' })
    db = createKysely(pool)
    api = await runTenure('api', database)
  })
  afterAll(async () => {
    await api?.close()
    await db?.destroy()
    await database?.drop()
  })

  const drainWith = (name: string, sealer: Sealer, sent: string[]): Drain => {
    const connector: Connector = {
      kind: 'webhook',
      send: async () => {
        sent.push(name)
        return { kind: 'applied', status: 200 }
      },
    }
    return new Drain({ db, connectorFor: () => connector, sealer, log, hintServer: () => {} })
  }

  it('looks at its lease again, and does not send what somebody else has sent since', async () => {
    const okta = await registerDirectory(api.admin, 'acme')
    const { receiver } = await registerServer(api.admin, 'linear')
    await api.admin.put('/rules/everyone', { server: 'linear', when: 'active eq true', scopes: ['read'] })
    const { id } = await okta.createUser('ada@acme.example')
    await createConverge({ db, policies: new PolicyCache(log) })(id)

    const sealer = createSealer([secretKey])
    const thaw = Promise.withResolvers<void>()
    const frozen: Sealer = { ...sealer, unseal: async (sealed) => thaw.promise.then(() => sealer.unseal(sealed)) }
    const sent: string[] = []
    const held = drainWith('held up', frozen, sent).run('linear', 'normal')
    const leased = () => db.selectFrom('delivery').select('lease').where('lease', 'is not', null).executeTakeFirst()
    await waitFor(leased, { what: 'the claim' })
    await db
      .updateTable('delivery')
      .set({ leased_until: new Date(0) })
      .execute()

    await drainWith('other', sealer, sent).run('linear', 'normal')
    thaw.resolve()
    await held
    expect(sent).toEqual(['other'])
    const { attempts } = await api.admin.get(`/deliveries/${(await api.admin.get('/deliveries')).items[0].id}`)
    expect(attempts.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['unanswered', 'applied'])
    await receiver.close()
  })
})
