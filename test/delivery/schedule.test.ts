import { describe, expect, it } from 'vitest'
import { nextTry } from '../../src/delivery/schedule.ts'

const down = { kind: 'unavailable', reason: 'answered 500', status: 500 } as const
const minute = 60_000

describe('the schedule', () => {
  it.each([
    [1, 1_000],
    [2, 2_000],
    [3, 5_000],
    [4, 15_000],
    [5, minute],
    [6, 5 * minute],
    [7, 15 * minute],
  ])('after failure %i waits %i ms, give or take a fifth', (failures, ms) => {
    expect(nextTry(down, failures, false, 0.5)).toEqual({ parked: false, delayMs: ms })
    expect(nextTry(down, failures, false, 0)).toEqual({ parked: false, delayMs: 0.8 * ms })
    expect(nextTry(down, failures, false, 0.999).delayMs).toBeLessThanOrEqual(1.2 * ms)
  })

  it('parks after eight; what is lost keeps trying every 15 minutes, what is given waits for a replay', () => {
    expect(nextTry(down, 8, false, 0.5)).toEqual({ parked: true, delayMs: null })
    expect(nextTry(down, 8, true, 0.5)).toEqual({ parked: true, delayMs: 15 * minute })
  })

  it('parks a refusal at once', () => {
    const refused = { kind: 'refused', reason: 'answered 401' } as const
    expect(nextTry(refused, 1, false, 0.5)).toEqual({ parked: true, delayMs: null })
    expect(nextTry(refused, 1, true, 0.5)).toEqual({ parked: true, delayMs: 15 * minute })
  })

  it('honours Retry-After up to 15 minutes', () => {
    expect(nextTry({ ...down, retryAfterMs: 7_000 }, 1, false, 0.5).delayMs).toBe(7_000)
    expect(nextTry({ ...down, retryAfterMs: 60 * minute }, 1, false, 0.5).delayMs).toBe(15 * minute)
  })
})
