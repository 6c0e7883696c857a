import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Json } from '../../support/clients.ts'
import { ssf } from '../../support/set-transmitter.ts'
import { type PushedDirectory, push, type SsfWorld, startSsfWorld } from '../../support/ssf-world.ts'

let world: SsfWorld
let directory: PushedDirectory
let directories = 0

beforeAll(async () => {
  world = await startSsfWorld()
})
afterAll(() => world?.close())
beforeEach(async () => {
  directory = await world.directory(`stream-${directories++}`)
})

const channel = () => ({ directoryId: directory.id, kind: 'ssf' as const })
const now = () => Math.floor(Date.now() / 1_000)

async function say(name: string, event: Record<string, unknown>, claims: Record<string, unknown> = {}) {
  const sub_id = { format: 'opaque', id: 'stream-1' }
  const set = await world.transmitter.sign({ sub_id, events: { [`${ssf}${name}`]: event }, ...claims })
  return push(directory.pushUrl, set)
}

async function ask(state: string): Promise<void> {
  await world.channels.noteState(channel(), { verification: { state, requestedAt: new Date().toISOString() } })
}

async function state(): Promise<Json> {
  return (await world.channels.get(channel())).state
}

describe('the verification event (SSF 1.0 §8.1.4.1)', () => {
  it('confirms the state that was asked with, and as often as the same SET comes', async () => {
    await ask('state-1')
    const jti = randomUUID()
    const iat = now()
    for (const _time of [1, 2])
      expect(await say('verification', { state: 'state-1' }, { jti, iat })).toMatchObject({ status: 202 })
    expect(await state()).toEqual({
      verification: { state: 'state-1', requestedAt: expect.any(String) },
      verified: { state: 'state-1', jti, at: new Date(iat * 1_000).toISOString() },
    })
  })

  it('refuses a state that was used, that is not the last, or that nobody asked with', async () => {
    expect(await say('verification', { state: 'state-1' })).toMatchObject({
      status: 400,
      body: { err: 'invalid_state' },
    })
    await ask('state-1')
    expect(await say('verification', { state: 'state-1' })).toMatchObject({ status: 202 })
    expect(await say('verification', { state: 'state-1' })).toMatchObject({
      status: 400,
      body: { err: 'invalid_state' },
    })
    await ask('state-2')
    expect(await say('verification', { state: 'state-1' })).toMatchObject({
      status: 400,
      body: { err: 'invalid_state' },
    })
    expect(await say('verification', { state: 'state-2' })).toMatchObject({ status: 202 })
    expect(await world.events(directory.id)).toHaveLength(2)
    expect(await world.refusals(directory.id, 3)).toEqual({ state: 3 })
  })

  it('takes one without a state, which confirms nothing and uses nothing up', async () => {
    await ask('state-1')
    expect(await say('verification', {})).toMatchObject({ status: 202 })
    expect(await state()).not.toHaveProperty('verified')
    expect(await say('verification', { state: 'state-1' })).toMatchObject({ status: 202 })
    expect(await say('verification', {})).toMatchObject({ status: 202 })
    expect(await state()).toMatchObject({ verified: { state: 'state-1' } })
  })

  it('is kept by the end of a turn that began before it', async () => {
    await world.channels.put(channel(), {
      config: (await world.channels.get(channel())).config,
      inbound: undefined,
      outbound: undefined,
      works: true,
      source: ['issuer'],
    })
    const [turn] = await world.channels.takeTurns(8)
    await ask('state-1')
    expect(await say('verification', { state: 'state-1' })).toMatchObject({ status: 202 })
    await say('stream-updated', { status: 'paused' })
    const { state: remembered } = turn!
    const ours = { ...remembered, cursor: 7, verification: { state: 'state-1' }, streamStatus: { status: 'stale' } }
    await world.channels.endTurn(turn!, { state: ours, againMs: undefined })
    expect(await state()).toMatchObject({
      cursor: 7,
      verification: { state: 'state-1' },
      verified: { state: 'state-1' },
      streamStatus: { status: 'paused' },
    })
  })
})

describe('the stream-updated event (SSF 1.0 §8.1.4.2)', () => {
  it('shows that a stream is paused or disabled, and that it goes on', async () => {
    for (const status of ['paused', 'disabled', 'enabled']) {
      expect(await say('stream-updated', { status, reason: 'licence' })).toMatchObject({ status: 202 })
      expect(await state()).toMatchObject({ streamStatus: { status } })
    }
  })

  it('does not go back to what came late', async () => {
    await say('stream-updated', { status: 'enabled' })
    expect(await say('stream-updated', { status: 'paused' }, { iat: now() - 60 })).toMatchObject({ status: 202 })
    expect(await state()).toMatchObject({ streamStatus: { status: 'enabled' } })
  })

  it('takes one with a status that is not known, and shows nothing of it', async () => {
    expect(await say('stream-updated', { status: 'dreaming' })).toMatchObject({ status: 202 })
    expect(await state()).toEqual({})
  })
})
