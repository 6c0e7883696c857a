import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { verifyInstallation } from '../../src/db/installation.ts'
import { type Channels, createChannels, type GivenChannel } from '../../src/directory/channels.ts'
import { Invalid, NotFound } from '../../src/errors.ts'
import { countSealed, reseal } from '../../src/housekeeping/reseal.ts'
import { createSealer, newSecret } from '../../src/secrets.ts'
import { waitFor } from '../support/wait-for.ts'
import { byId, type IntakeWorld, okta, scim, signal, ssf, startIntakeWorld } from './intake-world.ts'

const [older, newer] = ['the-older-sealing-key-of-channels-0000', 'the-newer-sealing-key-of-channels-1111'] as const
const given: GivenChannel = { config: {}, inbound: undefined, outbound: undefined, works: true, source: ['apiUrl'] }

let world: IntakeWorld
let channels: Channels

beforeAll(async () => {
  world = await startIntakeWorld()
  await verifyInstallation(world.db, createSealer([older]))
  channels = createChannels({ db: world.db, sealer: createSealer([older]) })
})
beforeEach(async () => {
  await world.owner.query('delete from inbound_event; delete from channel')
})
afterAll(async () => {
  await world?.close()
})

describe('what a sender must show', () => {
  const [first, second, third] = ['inbound', 'inbound', 'inbound'].map(newSecret) as [string, string, string]

  async function admits(shown: string | undefined): Promise<boolean> {
    return channels.admits((await channels.find(okta))!, shown)
  }

  it('is stored hashed, and each of two is admitted while one follows the other (P35)', async () => {
    await channels.put(okta, { ...given, inbound: [first] })
    await channels.put(okta, { ...given, inbound: [second, first] })
    expect([await admits(first), await admits(second), await admits(third)]).toEqual([true, true, false])
    await channels.put(okta, { ...given, inbound: undefined })
    expect([await admits(first), await admits(second)]).toEqual([true, true])
    await channels.put(okta, { ...given, inbound: [second] })
    expect([await admits(first), await admits(second)]).toEqual([false, true])
    expect([await admits(undefined), await admits('')]).toEqual([false, false])
    const { rows } = await world.owner.query(
      'select channel::text || channel_secret::text as row from channel, channel_secret',
    )
    expect(rows).toHaveLength(1)
    for (const secret of [first, second]) expect(rows[0].row).not.toContain(secret)
  })

  it('keeps its times when another is set beside it, and shows which is still in use', async () => {
    await channels.put(okta, { ...given, inbound: [first] })
    await admits(first)
    const used = async () => (await channels.get(okta)).secrets
    await waitFor(async () => (await used())[0]!.lastUsedAt, { what: 'the use to be noted' })
    const [before] = await used()
    await channels.put(okta, { ...given, inbound: [second, first] })
    expect(await used()).toEqual([{ createdAt: expect.any(Date), lastUsedAt: null }, before])
  })

  it('may be nothing where the sender signs what it sends, and nowhere else', async () => {
    await channels.put(ssf, { ...given, inbound: [] })
    await channels.put(okta, { ...given, inbound: [] })
    expect(channels.admits((await channels.find(ssf))!, undefined)).toBe(true)
    for (const shown of [undefined, '', first]) expect(await admits(shown)).toBe(false)
    await expect(channels.put(okta, { ...given, inbound: [], needsInbound: true })).rejects.toThrow(Invalid)
  })
})

describe('what a sender must be shown', () => {
  const token = newSecret('outbound')

  it('is sealed, comes with the turn, stays until another is given, and goes with null', async () => {
    const turnToken = async () => {
      await world.owner.query('update channel set work_due_at = now(), work_leased_until = null')
      return (await channels.takeTurns(1))[0]!.token
    }
    await channels.put(okta, { ...given, outbound: token })
    expect(await turnToken()).toBe(token)
    await channels.put(okta, given)
    expect(await turnToken()).toBe(token)
    expect((await channels.get(okta)).hasToken).toBe(true)
    const { rows } = await world.owner.query('select channel_secret::text as row from channel_secret')
    expect(rows[0].row).not.toContain(token)
    await channels.put(okta, { ...given, outbound: null })
    expect(await turnToken()).toBeUndefined()
    expect((await channels.get(okta)).hasToken).toBe(false)
  })

  it('is sealed anew under a new key, and counted, with the hashes of the others left alone', async () => {
    const both = createSealer([newer, older])
    await channels.put(okta, { ...given, inbound: [newSecret('inbound')], outbound: token })
    expect(await countSealed(world.db, both.kid)).toEqual({ sealed: 2, underOlderKeys: 2 })
    expect(await reseal(world.db, both)).toBe(1)
    expect(await countSealed(world.db, both.kid)).toEqual({ sealed: 2, underOlderKeys: 0 })
    const [turn] = await createChannels({ db: world.db, sealer: createSealer([newer]) }).takeTurns(1)
    expect(turn).toMatchObject({ token, inbound: [expect.anything()] })
  })

  it('fails its own turn alone when no key opens it', async () => {
    const foreign = createChannels({ db: world.db, sealer: createSealer(['a-key-that-is-nowhere-else-22222222222']) })
    await channels.put(okta, { ...given, outbound: token })
    await channels.put(ssf, given)
    expect((await foreign.takeTurns(5)).map(({ kind }) => kind)).toEqual(['ssf'])
    expect(await channels.get(okta)).toMatchObject({
      error: expect.stringContaining('TENURE_SECRET_KEY'),
      failingSince: expect.any(Date),
    })
    expect(await foreign.takeTurns(5)).toEqual([])
  })
})

describe('turns', () => {
  it('are leased: two workers are never at one channel', async () => {
    await channels.put(okta, given)
    await channels.put(ssf, given)
    await channels.put({ ...okta, directoryId: 'umbrella' }, given)
    const taken = (await Promise.all(Array.from({ length: 6 }, () => channels.takeTurns(2)))).flat()
    expect(new Set(taken.map(({ directoryId, kind }) => `${directoryId} ${kind}`)).size).toBe(3)
    expect(taken).toHaveLength(3)
  })

  it('pass on when the lease has run out: whoever had it can neither keep nor end it', async () => {
    await channels.put(okta, given)
    const [lost] = await channels.takeTurns(1)
    expect(await channels.keepTurn(lost!)).toBe(true)
    await world.owner.query("update channel set work_leased_until = now() - interval '1 second'")
    const [turn] = await channels.takeTurns(1)
    expect(await channels.keepTurn(lost!)).toBe(false)
    await channels.endTurn(lost!, { state: { cursor: 'old' }, againMs: 0 })
    expect(await channels.takeTurns(1)).toEqual([])
    await channels.endTurn(turn!, { state: { cursor: 'new' }, againMs: 0 })
    expect((await channels.takeTurns(1))[0]!.state).toEqual({ cursor: 'new' })
  })

  it('say what went wrong since when, and when it went well', async () => {
    await channels.put(okta, given)
    const turn = async (error?: string) => {
      const [one] = await channels.takeTurns(1)
      await channels.endTurn(one!, { state: {}, againMs: 0, ...(error && { error }) })
      return channels.get(okta)
    }
    const first = await turn('Okta answered 500')
    expect(first).toMatchObject({ error: 'Okta answered 500', workedAt: null })
    expect(await turn('Okta answered 429')).toMatchObject({
      error: 'Okta answered 429',
      failingSince: first.failingSince,
    })
    expect(await turn()).toMatchObject({ error: null, failingSince: null, workedAt: expect.any(Date) })
  })

  it('end for good when there is no more to do, and begin at a word', async () => {
    await channels.put(okta, given)
    const [turn] = await channels.takeTurns(1)
    await channels.endTurn(turn!, { state: {}, againMs: 3_600_000 })
    expect(await channels.takeTurns(1)).toEqual([])
    expect(await channels.workNow(okta)).toBe(true)
    const [again] = await channels.takeTurns(1)
    await channels.endTurn(again!, { state: {}, againMs: undefined })
    expect(await channels.workNow(okta)).toBe(false)
    expect(await channels.takeTurns(1)).toEqual([])
  })

  it('of a channel that is set up anew meanwhile leave no trace', async () => {
    await channels.put(okta, { ...given, config: { apiUrl: 'https://a.example' } })
    const [turn] = await channels.takeTurns(1)
    await channels.put(okta, { ...given, config: { apiUrl: 'https://b.example' } })
    await channels.noteState(turn!, { cursor: 'of a' })
    await channels.endTurn(turn!, { state: { cursor: 'of a' }, againMs: 3_600_000 })
    expect((await channels.get(okta)).state).toEqual({})
    expect(await channels.takeTurns(1)).toMatchObject([{ config: { apiUrl: 'https://b.example' } }])
  })

  it('keep what was heard while they were under way', async () => {
    await channels.put(ssf, given)
    const [turn] = await channels.takeTurns(1)
    await channels.noteState(ssf, { streamStatus: { status: 'paused' } })
    await channels.endTurn(turn!, { state: { ...turn!.state, stream: 's1' }, againMs: 0 })
    expect((await channels.get(ssf)).state).toEqual({ stream: 's1', streamStatus: { status: 'paused' } })
  })
})

describe('what a channel remembers', () => {
  it('is kept while its source is the same, however that is spelled, and forgotten when it is another', async () => {
    const config = { apiUrl: { host: 'a.example', port: 1 }, other: 1 }
    await channels.put(okta, { ...given, config })
    await channels.noteState(okta, { cursor: 'there' })
    await channels.put(okta, { ...given, config: { other: 2, apiUrl: { port: 1, host: 'a.example' } } })
    expect((await channels.get(okta)).state).toEqual({ cursor: 'there' })
    await channels.put(okta, { ...given, config: { apiUrl: { host: 'b.example', port: 1 } } })
    expect((await channels.get(okta)).state).toEqual({})
  })
})

describe('a directory', () => {
  it('that is not there has no channel', async () => {
    await expect(channels.put({ ...okta, directoryId: 'nowhere' }, given)).rejects.toThrow(NotFound)
    await expect(channels.list('nowhere')).rejects.toThrow(NotFound)
    await expect(channels.get(okta)).rejects.toThrow(NotFound)
    await expect(channels.remove(okta)).rejects.toThrow(NotFound)
    expect(await channels.find(okta)).toBeUndefined()
  })

  it('takes its channels along, with their secrets, when it is deleted; what they told waits to be purged', async () => {
    await world.directories.create({ id: 'gone', provider: 'okta', name: 'gone' })
    const name = { ...okta, directoryId: 'gone' }
    await channels.put(name, { ...given, inbound: [newSecret('inbound')], outbound: newSecret('outbound') })
    const id = await world.hire({}, 'gone')
    await world.intake.receive(name, [signal('noted', byId(id))])
    await world.directories.remove('gone', scim)
    expect(await channels.find(name)).toBeUndefined()
    expect(await channels.takeTurns(9)).toEqual([])
    const { rows } = await world.owner.query(
      'select (select count(*)::int from channel) as channels, (select count(*)::int from channel_secret) as secrets',
    )
    expect(rows).toEqual([{ channels: 0, secrets: 0 }])
    expect(await world.events()).toHaveLength(1)
    await expect(channels.put(name, given)).rejects.toThrow(NotFound)
  })
})
