import { describe, expect, it } from 'vitest'
import { createCursors, cursorTimeoutSeconds } from '../../src/scim/cursor.ts'
import { createSealer } from '../../src/secrets.ts'

const oldKey = 'an old key of this test, long enough'
const newKey = 'a new key of this test, and long enough'
const sealer = createSealer([oldKey])
const scope = ['acme', 'User', 'title pr', undefined, 'false']
const place = { key: 'a value', id: '11111111-2222-4333-8444-555555555555' }
const invalid = expect.objectContaining({ status: 400, scimType: 'invalidCursor' })

describe('a cursor (RFC 9865 §2)', () => {
  it('holds a place, with a value or without', async () => {
    const cursors = createCursors({ sealer })
    expect(await cursors.read(scope, await cursors.issue(scope, place))).toEqual(place)
    const without = { ...place, key: null }
    expect(await cursors.read(scope, await cursors.issue(scope, without))).toEqual(without)
  })

  it('consists of characters that need no escape in a URL', async () => {
    expect(await createCursors({ sealer }).issue(scope, place)).toMatch(/^[A-Za-z0-9._~-]+$/)
  })

  it.each(scope.map((_part, n) => n))('is of no use when part %i of what it was given out for differs', async (n) => {
    const cursors = createCursors({ sealer })
    const cursor = await cursors.issue(scope, place)
    await expect(cursors.read(scope.with(n, 'other'), cursor)).rejects.toEqual(invalid)
    await expect(cursors.read([...scope, undefined], cursor)).rejects.toEqual(invalid)
  })

  it('lasts as long as is declared, and is then expired', async () => {
    let now = Date.parse('2026-11-01T00:00:00Z')
    const cursors = createCursors({ sealer, now: () => now })
    const cursor = await cursors.issue(scope, place)
    now += cursorTimeoutSeconds * 1_000
    expect(await cursors.read(scope, cursor)).toEqual(place)
    now += 1
    await expect(cursors.read(scope, cursor)).rejects.toEqual(
      expect.objectContaining({ status: 400, scimType: 'expiredCursor' }),
    )
  })

  it('outlives the rotation of the key, and not its removal', async () => {
    const cursor = await createCursors({ sealer }).issue(scope, place)
    expect(await createCursors({ sealer: createSealer([newKey, oldKey]) }).read(scope, cursor)).toEqual(place)
    await expect(createCursors({ sealer: createSealer([newKey]) }).read(scope, cursor)).rejects.toEqual(invalid)
  })

  it('is nothing else that the same key has sealed', async () => {
    for (const other of ['whsec_x', '"text"', '{}', 'null', JSON.stringify({ ...place, expiresAt: 9e15 })])
      await expect(createCursors({ sealer }).read(scope, await sealer.seal(other))).rejects.toEqual(invalid)
  })
})
