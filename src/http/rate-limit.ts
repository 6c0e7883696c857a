import { TenureError } from '../errors.ts'

/** More than the caller is allowed; as much will be let through again in so many whole seconds. */
export class TooManyRequests extends TenureError {
  readonly retryAfterSeconds: number

  constructor(retryAfterSeconds: number) {
    super('ERR_TOO_MANY_REQUESTS', `Too many requests: try again in ${retryAfterSeconds} s`)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/**
 * A token bucket per key, holding one second's worth. In the memory of this process: several processes let through as
 * many times the rate. A key is kept for ever, so it must be something that we gave out, never what a stranger sent.
 */
export class RateLimit {
  readonly #buckets = new Map<string, { level: number; at: number }>()
  readonly #now: () => number

  /** `now` in milliseconds, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** @throws TooManyRequests while the bucket holds less than one */
  take(key: string, perSecond: number): void {
    const bucket = this.#fill(key, perSecond)
    if (bucket.level < 1) throw new TooManyRequests(Math.ceil((1 - bucket.level) / perSecond))
    bucket.level -= 1
  }

  /** Charges what turned out to be more than one: never refused, but whoever comes next waits until it is worked off. */
  charge(key: string, perSecond: number, count: number): void {
    this.#fill(key, perSecond).level -= count
  }

  #fill(key: string, perSecond: number): { level: number; at: number } {
    const now = this.#now()
    const { level, at } = this.#buckets.get(key) ?? { level: perSecond, at: now }
    const bucket = { level: Math.min(perSecond, level + ((now - at) / 1_000) * perSecond), at: now }
    this.#buckets.set(key, bucket)
    return bucket
  }
}
