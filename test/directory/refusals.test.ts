import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createChannels } from '../../src/directory/channels.ts'
import { createRefusals } from '../../src/directory/refusals.ts'
import { createLogger } from '../../src/log.ts'
import { createSealer } from '../../src/secrets.ts'
import { waitFor } from '../support/wait-for.ts'
import { type IntakeWorld, okta, ssf, startIntakeWorld } from './intake-world.ts'

const log = createLogger({ level: 'silent' })
let world: IntakeWorld

beforeAll(async () => {
  world = await startIntakeWorld()
})
beforeEach(async () => {
  await world.owner.query('delete from channel')
  const channels = createChannels({ db: world.db, sealer: createSealer(['the-sealing-key-of-refusals-00000000000']) })
  const given = { config: {}, inbound: undefined, outbound: undefined, works: false, source: [] }
  for (const name of [okta, ssf]) await channels.put(name, given)
})
afterAll(async () => {
  await world?.close()
})

it('are counted by channel and reason, over processes, with the first and the last time', async () => {
  const [one, another] = [createRefusals({ db: world.db, log }), createRefusals({ db: world.db, log })]
  for (let time = 0; time < 3; time++) one.note(okta, 'credential')
  another.note(okta, 'credential')
  another.note(okta, 'size')
  another.note(ssf, 'signature')
  await Promise.all([one.close(), another.close()])
  const [credential, size] = await one.list(okta)
  expect([credential, size]).toMatchObject([
    { reason: 'credential', count: 4 },
    { reason: 'size', count: 1 },
  ])
  expect(credential!.lastAt >= credential!.firstAt).toBe(true)
  expect(await one.list(ssf)).toMatchObject([{ reason: 'signature', count: 1 }])
})

it('cost one write for a flood of them', async () => {
  const refusals = createRefusals({ db: world.db, log, everyMs: 1 })
  const writes = async () =>
    (
      await world.owner.query(
        "select pg_stat_force_next_flush(), n_tup_ins + n_tup_upd as n from pg_stat_user_tables where relname = 'channel_refusal'",
      )
    ).rows[0].n
  const before = Number(await writes())
  for (let time = 0; time < 10_000; time++) refusals.note(okta, 'credential')
  await waitFor(async () => (await refusals.list(okta))[0]?.count === 10_000, { what: 'the count to be written' })
  await refusals.close()
  expect(Number(await writes()) - before).toBeLessThanOrEqual(2)
})

it('are remembered until they can be written', async () => {
  const refusals = createRefusals({ db: world.db, log, everyMs: 1 })
  await world.owner.query('alter table channel_refusal rename to channel_refusal_away')
  refusals.note(okta, 'time')
  await world.owner.query('select 1')
  refusals.note(okta, 'time')
  await expect(refusals.close()).rejects.toThrow()
  await world.owner.query('alter table channel_refusal_away rename to channel_refusal')
  await refusals.close()
  expect(await refusals.list(okta)).toMatchObject([{ reason: 'time', count: 2 }])
})

it('of a channel that is gone are let go, and keep no other from being counted', async () => {
  const refusals = createRefusals({ db: world.db, log })
  refusals.note({ ...okta, directoryId: 'nowhere' }, 'time')
  refusals.note({ ...okta, directoryId: 'umbrella' }, 'time')
  refusals.note(okta, 'time')
  await refusals.close()
  const { rows } = await world.owner.query('select directory_id, count::int from channel_refusal')
  expect(rows).toEqual([{ directory_id: 'acme', count: 1 }])
})
