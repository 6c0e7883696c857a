import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ChannelHealth, readChannelHealth } from '../../src/directory/channel-health.ts'
import { readSilent } from '../../src/directory/channel-pulse.ts'
import { type Channels, createChannels } from '../../src/directory/channels.ts'
import { createRefusals } from '../../src/directory/refusals.ts'
import { createSealer } from '../../src/secrets.ts'
import { secretKey } from '../support/tenure.ts'
import { byId, type IntakeWorld, minutesAgo, okta, signal, ssf, startIntakeWorld } from './intake-world.ts'

const revocation = { directoryId: 'acme', kind: 'global-token-revocation' } as const
const bare = { config: {}, inbound: undefined, outbound: undefined, works: false, source: [] }
const hour = 3_600_000
const day = 24 * hour

let world: IntakeWorld
let channels: Channels

beforeAll(async () => {
  world = await startIntakeWorld()
  channels = createChannels({ db: world.db, sealer: createSealer([secretKey]) })
})
afterAll(() => world?.close())
beforeEach(async () => {
  await world.owner.query('delete from inbound_event; delete from channel; delete from channel_refusal')
  for (const name of [okta, ssf, revocation]) await channels.put(name, bare)
  await world.owner.query(`update channel set created_at = now() - interval '90 days'`)
})

/** Events of that age came over a channel; `lagsMs`: each so long after it happened. */
async function came(agesMs: readonly number[], { kind = 'okta', lagsMs }: { kind?: string; lagsMs?: number[] } = {}) {
  await world.owner.query(
    `insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect, received_at, occurred_at)
     select 'inb_' || gen_random_uuid(), 'acme', $1, decode(md5(random()::text), 'hex'), 'test', 'noted', 'recorded',
       now() - age * interval '1 ms', now() - (age + lag) * interval '1 ms'
     from unnest($2::float8[], $3::float8[]) as given (age, lag)`,
    [kind, agesMs, lagsMs ?? agesMs.map(() => null)],
  )
}

async function healthOf(kind: string): Promise<ChannelHealth> {
  const [health, ...others] = await readChannelHealth(world.db, { directoryId: 'acme', kind })
  expect(others).toEqual([])
  return health!
}

/** From `fromMs` ago to `toMs` ago, one every `everyMs`. */
function steadily(fromMs: number, toMs: number, everyMs: number): number[] {
  return Array.from({ length: Math.floor((fromMs - toMs) / everyMs) + 1 }, (_, index) => fromMs - index * everyMs)
}

describe('the health of a channel', () => {
  it('is of every channel, of those of a directory, or of one', async () => {
    await channels.put({ directoryId: 'umbrella', kind: 'okta' }, bare)
    const named = async (of?: object) =>
      (await readChannelHealth(world.db, of)).map(({ directoryId, kind }) => `${directoryId} ${kind}`)
    const acme = ['acme global-token-revocation', 'acme okta', 'acme ssf']
    expect(await named()).toEqual([...acme, 'umbrella okta'])
    expect(await named({ directoryId: 'acme' })).toEqual(acme)
    expect(await named({ directoryId: 'acme', kind: 'ssf' })).toEqual(['acme ssf'])
  })

  it('has the last event, and how late events are by the clock of their sender', async () => {
    expect(await healthOf('okta')).toMatchObject({ lastEventAt: null, lagMs: { count: 0, p50: null, p99: null } })
    await came([3 * day, 60_000, 40_000, 20_000, 10_000], { lagsMs: [900_000, 100, 200, 300, -5_000] })
    await came([30_000])
    await came([5_000], { kind: 'ssf', lagsMs: [77_000] })
    const { lastEventAt, lagMs } = await healthOf('okta')
    expect(Date.now() - lastEventAt!.getTime()).toBeGreaterThanOrEqual(10_000)
    expect(Date.now() - lastEventAt!.getTime()).toBeLessThan(20_000)
    expect(lagMs).toEqual({ count: 4, p50: 150, p99: 297 })
  })

  it('takes the last thousand for how late events are, however many there were', async () => {
    const ages = Array.from({ length: 1_100 }, (_, index) => 1_000 + index * 1_000)
    await came(ages, { lagsMs: ages.map((_, index) => (index < 1_000 ? 50 : 60_000)) })
    expect((await healthOf('okta')).lagMs).toEqual({ count: 1_000, p50: 50, p99: 50 })
  })

  it('counts what waits, and what was turned away', async () => {
    const somebody = [{ by: 'externalId', value: '00uNobody' }] as const
    await world.intake.receive(okta, [signal('left', somebody), signal('left', somebody), signal('noted', somebody)])
    const refusals = createRefusals({ db: world.db, log: { warn: () => {} } })
    for (const reason of ['credential', 'credential', 'size'] as const) refusals.note(okta, reason)
    refusals.note(ssf, 'signature')
    await refusals.close()
    expect(await healthOf('okta')).toMatchObject({
      waiting: 2,
      refusals: [
        { reason: 'credential', count: 2, firstAt: expect.any(Date), lastAt: expect.any(Date) },
        { reason: 'size', count: 1 },
      ],
    })
    expect(await healthOf('ssf')).toMatchObject({ waiting: 0, refusals: [{ reason: 'signature', count: 1 }] })
  })
})

describe('the habit of a channel', () => {
  const weekend = [...steadily(12 * day, 8 * day, hour / 2), ...steadily(8 * day - 62 * hour, 0, hour / 2)]
  const older = (by: number, ages: number[]) => ages.map((age) => age + by)

  it.each<[string, number[], { habit: number; silent: boolean }]>([
    ['is its longest silence in a fortnight', weekend, { habit: 62 * hour, silent: false }],
    ['lets it be silent for half again as long', older(92 * hour, weekend), { habit: 62 * hour, silent: false }],
    ['calls it silent after that', older(94 * hour, weekend), { habit: 62 * hour, silent: true }],
    [
      'forgets what was before the fortnight',
      [20 * day, ...steadily(14 * day - hour, 0, 2 * hour)],
      { habit: 2 * hour, silent: false },
    ],
    [
      'is of the fortnight before the last event: long silence does not wear it out',
      older(30 * day, steadily(13 * day, 0, 2 * hour)),
      { habit: 2 * hour, silent: true },
    ],
    [
      'is to the event, not to the hour',
      [...steadily(8 * day, 10 * hour, hour / 2), ...steadily(10 * hour - 119 * 60_000, 0, hour / 2)],
      { habit: 119 * 60_000, silent: false },
    ],
    [
      'never calls silent whoever was heard within the hour',
      older(50 * 60_000, steadily(8 * day, 0, 300_000)),
      { habit: 300_000, silent: false },
    ],
    ['may be shorter than that', older(61 * 60_000, steadily(8 * day, 0, 300_000)), { habit: 300_000, silent: true }],
    [
      'is a day while the channel is young',
      older(35 * hour, steadily(3 * day, 0, hour)),
      { habit: day, silent: false },
    ],
    [
      'is a day while the channel is young, and half again',
      older(37 * hour, steadily(3 * day, 0, hour)),
      { habit: day, silent: true },
    ],
    ['may be longer than a day of a young one too', [6 * day, 2 * day, 0], { habit: 4 * day, silent: false }],
  ])('%s', async (_what, ages, { habit, silent }) => {
    await came(ages)
    const { habitMs, silentSince, lastEventAt } = await healthOf('okta')
    expect(Math.abs(habitMs! - habit)).toBeLessThan(1_000)
    expect(silentSince).toEqual(silent ? lastEventAt : null)
    expect((await readSilent(world.db)).filter(({ kind }) => kind === 'okta')).toEqual(
      silent ? [{ ...okta, silentSince, habitMs: expect.closeTo(habitMs!, -1) }] : [],
    )
  })

  it.each([
    [35, false],
    [37, true],
  ])('of a channel that never told anything is a day from its beginning: %i hours after', async (hours, silent) => {
    await world.owner.query(`update channel set created_at = now() - make_interval(hours => $1)`, [hours])
    const { createdAt } = await channels.get(okta)
    expect(await healthOf('okta')).toMatchObject({ habitMs: day, silentSince: silent ? createdAt : null })
    expect((await readSilent(world.db)).map(({ kind }) => kind)).toEqual(silent ? ['okta', 'ssf'] : [])
  })

  it('is none of one that is called only when somebody is logged out', async () => {
    await came(steadily(40 * day, 20 * day, day), { kind: revocation.kind })
    expect(await healthOf(revocation.kind)).toMatchObject({ habitMs: null, silentSince: null })
    expect((await readSilent(world.db)).map(({ kind }) => kind)).not.toContain(revocation.kind)
  })
})

describe('who tells first', () => {
  /** A leave as SCIM and channels tell of it, in this order; each so many milliseconds after the first. */
  async function leave(told: ReadonlyArray<readonly ['scim' | 'okta' | 'ssf', number]>): Promise<void> {
    const id = await world.hire()
    for (const [by, afterMs] of told) {
      if (by === 'scim') await world.state(id, false)
      else await world.intake.receive(by === 'okta' ? okta : ssf, [signal('left', byId(id))])
      const [table, time] = by === 'scim' ? ['lifecycle_event', 'recorded_at'] : ['inbound_event', 'received_at']
      if (afterMs === 0) continue
      await world.owner.query(
        `update ${table} set ${time} = c.recorded_at + $2 * interval '1 ms' from lifecycle_event c
         where c.user_id = $1 and c.epoch is not null and ${table}.seq = (select max(seq) from ${table} where user_id = $1)`,
        [id, afterMs],
      )
    }
  }

  const nobody = { first: 0, confirmed: 0, medianLeadMs: null, later: 0, medianBehindMs: null }
  const firstSignal = async (kind: string) => (await healthOf(kind)).firstSignal

  it('is the channel that cut, ahead of whoever confirmed it next: another channel or SCIM', async () => {
    await leave([
      ['okta', 0],
      ['ssf', 2_000],
      ['scim', 40_000],
    ])
    expect(await firstSignal('okta')).toEqual({ ...nobody, first: 1, confirmed: 1, medianLeadMs: 2_000 })
    expect(await firstSignal('ssf')).toEqual({ ...nobody, later: 1, medianBehindMs: 2_000 })
    await leave([
      ['okta', 0],
      ['scim', 40_000],
    ])
    await leave([['okta', 0]])
    expect(await firstSignal('okta')).toEqual({ ...nobody, first: 3, confirmed: 2, medianLeadMs: 21_000 })
  })

  it('is SCIM, and the channel came behind', async () => {
    await leave([
      ['scim', 0],
      ['okta', 5_000],
    ])
    expect(await firstSignal('okta')).toEqual({ ...nobody, later: 1, medianBehindMs: 5_000 })
  })

  it('counts a cut once, however often a channel tells of it, and never against itself', async () => {
    await leave([
      ['okta', 0],
      ['okta', 1_000],
      ['ssf', 3_000],
      ['ssf', 9_000],
    ])
    expect(await firstSignal('okta')).toEqual({ ...nobody, first: 1, confirmed: 1, medianLeadMs: 3_000 })
    expect(await firstSignal('ssf')).toEqual({ ...nobody, later: 1, medianBehindMs: 3_000 })
  })

  it('is no question of what is a day apart, of what an operator cut, or of what is a month old', async () => {
    await leave([
      ['okta', 0],
      ['ssf', day + 60_000],
    ])
    expect(await firstSignal('okta')).toEqual({ ...nobody, first: 1 })
    expect(await firstSignal('ssf')).toEqual(nobody)
    const id = await world.hire()
    await world.users.cut(id, { source: 'admin', actor: 'key:ada' })
    const revoked = signal('sessions_revoked', byId(id), { occurredAt: minutesAgo(1) })
    expect(await world.intake.receive(ssf, [revoked])).toMatchObject([{ effect: 'confirmed' }])
    expect(await firstSignal('ssf')).toEqual(nobody)
    await world.pass('31 days')
    expect(await firstSignal('okta')).toEqual(nobody)
  })
})
