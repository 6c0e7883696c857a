import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cuts,
  decide,
  type Effect,
  holds,
  type Signal,
  type SignalKind,
  type Standing,
} from '../../src/lifecycle/signals.ts'

const noon = Date.parse('2026-11-22T12:00:00Z')
const at = (minutes: number) => new Date(noon + minutes * 60_000)

/** Somebody who is active, of whom SCIM has never said so, and who was never cut. */
const standing: Standing = {
  isActive: true,
  isDeleted: false,
  isHeld: false,
  statedActiveAt: undefined,
  lastCutOccurredAt: undefined,
  lastLeaveOccurredAt: undefined,
}

const kinds: readonly SignalKind[] = ['left', 'suspended', 'sessions_revoked', 'enabled', 'changed', 'noted']

describe('what a signal does', () => {
  it.each<[string, Pick<Signal, 'kind' | 'isNarrow' | 'occurredAt'>, Partial<Standing>, Effect]>([
    ['left, of somebody active', { kind: 'left' }, {}, 'cut'],
    ['suspended, of somebody active', { kind: 'suspended' }, {}, 'cut'],
    ['sessions_revoked, of somebody active', { kind: 'sessions_revoked' }, {}, 'cut'],
    ['enabled', { kind: 'enabled' }, {}, 'recorded'],
    ['enabled, of somebody held', { kind: 'enabled' }, { isHeld: true }, 'recorded'],
    ['enabled, of somebody inactive', { kind: 'enabled' }, { isActive: false }, 'recorded'],
    ['changed', { kind: 'changed' }, {}, 'recorded'],
    ['noted', { kind: 'noted' }, {}, 'recorded'],
    ['left, of one session only', { kind: 'left', isNarrow: true }, {}, 'recorded'],
    ['sessions_revoked, of one session only (P10)', { kind: 'sessions_revoked', isNarrow: true }, {}, 'recorded'],

    ['left, of somebody held', { kind: 'left' }, { isHeld: true }, 'confirmed'],
    ['left, of somebody inactive', { kind: 'left' }, { isActive: false }, 'confirmed'],
    ['left, of somebody deleted', { kind: 'left' }, { isDeleted: true, isActive: false }, 'confirmed'],
    ['suspended, of somebody held', { kind: 'suspended' }, { isHeld: true }, 'confirmed'],
    ['sessions_revoked, of somebody held', { kind: 'sessions_revoked' }, { isHeld: true }, 'confirmed'],
    ['sessions_revoked, of somebody inactive', { kind: 'sessions_revoked' }, { isActive: false }, 'confirmed'],

    [
      'sessions_revoked, later than the last cut',
      { kind: 'sessions_revoked', occurredAt: at(-1) },
      { lastCutOccurredAt: at(-2) },
      'cut',
    ],
    [
      'sessions_revoked, earlier than the last cut',
      { kind: 'sessions_revoked', occurredAt: at(-3) },
      { lastCutOccurredAt: at(-2) },
      'confirmed',
    ],
    [
      'sessions_revoked, of the moment of the last cut',
      { kind: 'sessions_revoked', occurredAt: at(-2) },
      { lastCutOccurredAt: at(-2) },
      'confirmed',
    ],
    [
      'sessions_revoked, of days ago, and nobody was cut since',
      { kind: 'sessions_revoked', occurredAt: at(-9_999) },
      { statedActiveAt: at(-5) },
      'cut',
    ],
    ['sessions_revoked, without a time', { kind: 'sessions_revoked' }, { lastCutOccurredAt: at(-2) }, 'cut'],
    [
      'left, earlier than a cut that held nobody',
      { kind: 'left', occurredAt: at(-3) },
      { lastCutOccurredAt: at(-2), statedActiveAt: at(-5) },
      'cut',
    ],

    ['left, received before SCIM stated active', { kind: 'left' }, { statedActiveAt: at(1) }, 'overtaken'],
    ['left, received after SCIM stated active', { kind: 'left' }, { statedActiveAt: at(-1) }, 'cut'],
    [
      'left, received after SCIM stated active, however long before that it occurred',
      { kind: 'left', occurredAt: at(-700) },
      { statedActiveAt: at(-1) },
      'cut',
    ],
    [
      'left, of a leave that was acted upon and undone (P21)',
      { kind: 'left', occurredAt: at(-7) },
      { statedActiveAt: at(-1), lastCutOccurredAt: at(-6), lastLeaveOccurredAt: at(-6) },
      'confirmed',
    ],
    [
      'left, of one later than that',
      { kind: 'suspended', occurredAt: at(-5) },
      { statedActiveAt: at(-1), lastCutOccurredAt: at(-6), lastLeaveOccurredAt: at(-6) },
      'cut',
    ],
    [
      'left, before a cut that was no leave',
      { kind: 'left', occurredAt: at(-7) },
      { lastCutOccurredAt: at(-6) },
      'cut',
    ],
    [
      'left, overtaken, and a later cut has taken all that it could',
      { kind: 'left', occurredAt: at(-7) },
      { statedActiveAt: at(1), lastCutOccurredAt: at(-6) },
      'confirmed',
    ],
    [
      'left, overtaken, and the last cut was before it',
      { kind: 'left', occurredAt: at(-7) },
      { statedActiveAt: at(1), lastCutOccurredAt: at(-8) },
      'overtaken',
    ],
  ])('%s', (_what, signal, given, effect) => {
    expect(decide(signal, { ...standing, ...given }, at(0))).toBe(effect)
  })

  it.each(kinds)('%s: what holds cuts, and only what cuts waits for its user', (kind) => {
    expect(holds(kind)).toBe(kind === 'left' || kind === 'suspended')
    expect(cuts({ kind })).toBe(holds(kind) || kind === 'sessions_revoked')
    expect(cuts({ kind, isNarrow: true })).toBe(false)
  })
})

/** Minutes around noon. */
const minute = fc.integer({ min: -30, max: 30 })
const time = fc.option(minute.map(at), { nil: undefined })
const signal = fc.record(
  { kind: fc.constantFrom(...kinds), isNarrow: fc.boolean(), occurredAt: minute.map(at) },
  { requiredKeys: ['kind'] },
)
const anyStanding: fc.Arbitrary<Standing> = fc.record({
  isActive: fc.boolean(),
  isDeleted: fc.boolean(),
  isHeld: fc.boolean(),
  statedActiveAt: time,
  lastCutOccurredAt: time,
  lastLeaveOccurredAt: time,
})

/** How somebody stands whom the intake has treated like this. */
function follow(before: Standing, given: Pick<Signal, 'kind' | 'occurredAt'>, effect: Effect, now: Date): Standing {
  if (effect !== 'cut' && effect !== 'overtaken') return before
  const occurredAt = given.occurredAt ?? now
  const { lastCutOccurredAt: last } = before
  return {
    ...before,
    isHeld: before.isHeld || (effect === 'cut' && holds(given.kind)),
    lastCutOccurredAt: last && last > occurredAt ? last : occurredAt,
  }
}

describe('any sequence of signals', () => {
  it('ends no hold and gives no access back, whatever its order and its times', () => {
    fc.assert(
      fc.property(anyStanding, fc.array(fc.tuple(signal, minute)), (first, told) => {
        let now = first
        for (const [given, receivedAt] of told) {
          const next = follow(now, given, decide(given, now, at(receivedAt)), at(receivedAt))
          if (now.isHeld) expect(next.isHeld).toBe(true)
          expect([next.isActive, next.isDeleted]).toEqual([now.isActive, now.isDeleted])
          now = next
        }
      }),
    )
  })

  it('cuts whoever has access and is said to have left, and nobody a second time', () => {
    fc.assert(
      fc.property(fc.array(signal), (told) => {
        let now: Standing = standing
        let epochs = 0
        for (const given of told) {
          const hadAccess = !now.isHeld
          const effect = decide(given, now, at(31))
          if (effect === 'cut' || effect === 'overtaken') {
            expect(hadAccess).toBe(true)
            epochs += 1
          }
          now = follow(now, given, effect, at(31))
        }
        const held = told.some((given) => cuts(given) && holds(given.kind))
        expect(now.isHeld).toBe(held)
        expect(epochs > 0).toBe(told.some((given) => cuts(given)))
      }),
    )
  })

  it('is without effect on whoever holds nothing', () => {
    fc.assert(
      fc.property(anyStanding, signal, minute, (given, said, receivedAt) => {
        fc.pre(given.isHeld || given.isDeleted || !given.isActive)
        expect(decide(said, given, at(receivedAt))).toBe(cuts(said) ? 'confirmed' : 'recorded')
      }),
    )
  })

  it('says "confirmed" of somebody who has access only when a cut or a leave covers the time of the event', () => {
    fc.assert(
      fc.property(anyStanding, signal, minute, (given, said, receivedAt) => {
        const open = { ...given, isHeld: false, isDeleted: false, isActive: true }
        if (decide(said, open, at(receivedAt)) !== 'confirmed') return
        const latest = Math.max(open.lastCutOccurredAt?.getTime() ?? 0, open.lastLeaveOccurredAt?.getTime() ?? 0)
        expect(said.occurredAt!.getTime()).toBeLessThanOrEqual(latest)
      }),
    )
  })

  it('never holds on account of what SCIM has overruled since, and then still cuts what nothing else has', () => {
    fc.assert(
      fc.property(fc.constantFrom<SignalKind>('left', 'suspended'), minute, minute, (kind, receivedAt, statedAt) => {
        fc.pre(statedAt > receivedAt)
        const given = { ...standing, statedActiveAt: at(statedAt) }
        expect(decide({ kind }, given, at(receivedAt))).toBe('overtaken')
      }),
    )
  })
})
