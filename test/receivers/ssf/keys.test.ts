import { Writable } from 'node:stream'
import express from 'express'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress } from '../../../src/connectors/egress.ts'
import { createPool, createDatabase as openDatabase } from '../../../src/db/pool.ts'
import { createIntake } from '../../../src/directory/intake.ts'
import { createRefusals } from '../../../src/directory/refusals.ts'
import { type Listening, listen } from '../../../src/http/listen.ts'
import { requestLog } from '../../../src/http/request-log.ts'
import { createLogger } from '../../../src/log.ts'
import { eventReceivers } from '../../../src/receivers/receivers.ts'
import { createKeySets } from '../../../src/trust/key-sets.ts'
import { caep, type SetTransmitter, startTransmitter } from '../../support/set-transmitter.ts'
import { type PushedDirectory, push, type SsfWorld, startSsfWorld } from '../../support/ssf-world.ts'

const minute = 60_000

let world: SsfWorld
let directory: PushedDirectory
let transmitter: SetTransmitter
let listening: Listening
let closeReceiver: () => Promise<void>
/** Of the receiver's key sets, in milliseconds. */
let clock: number
let people = 0

beforeAll(async () => {
  world = await startSsfWorld()
  directory = await world.directory('acme')
})
afterAll(() => world?.close())

/** The receiver of the same database, in a process whose key sets go by a clock of ours. */
beforeEach(async () => {
  clock = 1_000_000
  transmitter = await startTransmitter()
  await world.setUp('acme', { issuer: transmitter.issuer, jwksUri: transmitter.jwksUri })
  const db = openDatabase(createPool(world.database.url, { max: 4, name: 'receiver of the test' }))
  const egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
  const log = createLogger({
    level: 'error',
    destination: new Writable({ write: (_chunk, _encoding, done) => done() }),
  })
  const refusals = createRefusals({ db, log, everyMs: 10 })
  const app = express().use(requestLog(log))
  app.use(
    eventReceivers({
      channels: world.channels,
      intake: createIntake({ db, hintUser: () => {} }),
      refusals,
      keySets: createKeySets({ egress, now: () => clock }),
      publicUrl: () => listening.url,
      requireReady: (_req, _res, next) => next(),
      log,
    }),
  )
  listening = await listen(app, { host: '127.0.0.1', port: 0 })
  closeReceiver = async () => {
    await listening.close(0)
    await refusals.close()
    await egress.close()
    await db.destroy()
    await transmitter.close()
  }
})
afterEach(() => closeReceiver())

const pushUrl = () => `${listening.url}/directories/acme/events/ssf`

/** `session-revoked` of somebody new; who it is. */
async function somebody(): Promise<{ id: string; claims: Record<string, unknown> }> {
  const email = `keys-${people++}@acme.example`
  const { id } = await directory.scim.createUser(email)
  return { id, claims: { sub_id: { format: 'email', email }, events: { [`${caep}session-revoked`]: {} } } }
}

async function epoch(id: string): Promise<number> {
  return (await world.admin.get(`/users/${id}`)).epoch
}

describe('keys of a transmitter (reference §2.8)', () => {
  it('P16: a SET of a key that is new is asked for again, and taken once the key is there', async () => {
    const [first, second] = [await somebody(), await somebody()]
    expect(await push(pushUrl(), await transmitter.sign(first.claims))).toMatchObject({ status: 202 })
    const key = await transmitter.makeKey('RS256')
    const early = await transmitter.sign(second.claims, { key })
    expect(await push(pushUrl(), early)).toMatchObject({ status: 503, body: undefined })
    const rotated = await transmitter.rotate()
    const set = await transmitter.sign(second.claims)
    const refused = await push(pushUrl(), set)
    expect(refused).toMatchObject({ status: 503, body: undefined })
    expect(await epoch(second.id)).toBe(0)
    clock += Number(refused.headers.get('retry-after')) * 1_000 + 1
    expect(await push(pushUrl(), set)).toMatchObject({ status: 202 })
    expect(await epoch(second.id)).toBe(1)
    // One who comes with a name of a key that is known needs that key.
    const forged = await transmitter.sign(first.claims, { key, header: { kid: rotated.kid } })
    expect(await push(pushUrl(), forged)).toMatchObject({ status: 400, body: { err: 'authentication_failed' } })
  })

  it.each(['broken', 'garbage'] as const)(
    'P16: while the key set is %s, SETs are asked for again, and taken when it is back',
    async (how) => {
      const { id, claims } = await somebody()
      const set = await transmitter.sign(claims)
      transmitter.serve(how)
      const refused = await push(pushUrl(), set)
      expect(refused).toMatchObject({ status: 503, body: undefined })
      transmitter.serve('good')
      clock += Number(refused.headers.get('retry-after')) * 1_000 + 1
      expect(await push(pushUrl(), set)).toMatchObject({ status: 202 })
      expect(await epoch(id)).toBe(1)
    },
  )

  it('goes on with the keys that it has while the key set does not answer', async () => {
    const [first, second] = [await somebody(), await somebody()]
    expect(await push(pushUrl(), await transmitter.sign(first.claims))).toMatchObject({ status: 202 })
    transmitter.serve('broken')
    clock += 30 * minute
    expect(await push(pushUrl(), await transmitter.sign(second.claims))).toMatchObject({ status: 202 })
    expect(await epoch(second.id)).toBe(1)
  })

  it('P15: a flood of made-up kids is one fetch in half a minute', async () => {
    const { claims } = await somebody()
    expect(await push(pushUrl(), await transmitter.sign(claims))).toMatchObject({ status: 202 })
    const key = await transmitter.makeKey('RS256')
    const flood = async () => {
      for (let index = 0; index < 20; index++)
        await push(pushUrl(), await transmitter.sign(claims, { key, header: { kid: `made-up-${index}` } }))
    }
    const before = transmitter.fetches
    await flood()
    expect(transmitter.fetches - before).toBe(0)
    clock += 30_001
    await flood()
    expect(transmitter.fetches - before).toBe(1)
  })
})
