import { describe, expect, it } from 'vitest'
import { RateLimit, TooManyRequests } from '../../src/http/rate-limit.ts'

function atRate(perSecond: number) {
  let now = 1_000
  const limit = new RateLimit(() => now)
  return {
    pass: (ms: number) => {
      now += ms
    },
    charge: (count: number, key = 'a') => limit.charge(key, perSecond, count),
    /** @returns the seconds to wait, 0 when let through */
    take(key = 'a', rate = perSecond): number {
      try {
        limit.take(key, rate)
        return 0
      } catch (error) {
        expect(error).toBeInstanceOf(TooManyRequests)
        return (error as TooManyRequests).retryAfterSeconds
      }
    },
  }
}

describe('RateLimit', () => {
  it("lets one second's worth through at once, and then as much as time brings", () => {
    const { take, pass } = atRate(4)
    expect([1, 2, 3, 4, 5].map(() => take())).toEqual([0, 0, 0, 0, 1])
    pass(249)
    expect(take()).toBe(1)
    pass(1)
    expect([take(), take()]).toEqual([0, 1])
  })

  it('lets no more than a burst gather, however long nobody comes', () => {
    const { take, pass } = atRate(2)
    take()
    pass(3_600_000)
    expect([1, 2, 3].map(() => take())).toEqual([0, 0, 1])
  })

  it('keeps keys apart', () => {
    const { take } = atRate(1)
    expect([take('a'), take('a'), take('b')]).toEqual([0, 1, 0])
  })

  it('has a charge worked off before the next is let through, in whole seconds that suffice', () => {
    const { take, charge, pass } = atRate(10)
    take()
    charge(99)
    const seconds = take()
    expect(seconds).toBe(10)
    pass((seconds - 1) * 1_000)
    expect(take()).toBe(1)
    pass(1_000)
    expect(take()).toBe(0)
  })

  it('follows a rate that changes', () => {
    const { take, pass } = atRate(100)
    for (let at = 0; at < 50; at++) take()
    expect([take('a', 2), take('a', 2), take('a', 2)]).toEqual([0, 0, 1])
    pass(500)
    expect(take('a', 2)).toBe(0)
  })

  it("holds a burst of its own where one is given: a minute's worth, say", () => {
    let now = 0
    const limit = new RateLimit(() => now)
    const take = () => limit.take('a', 3 / 60, 3)
    for (let n = 0; n < 3; n++) take()
    expect(take).toThrow(expect.objectContaining({ retryAfterSeconds: 20 }))
    now += 20_000
    take()
    expect(take).toThrow(TooManyRequests)
  })

  it('forgets keys that are as good as new, and those alone, so that many of them do not stay', () => {
    let now = 0
    const limit = new RateLimit(() => now)
    limit.charge('in debt', 1, 1_000_000)
    for (let n = 0; n < 50_000; n++) {
      limit.take(`key ${n}`, 10)
      now += 100
    }
    expect(limit.size).toBeLessThanOrEqual(10_000)
    expect(() => limit.take('in debt', 1)).toThrow(TooManyRequests)
  })
})
