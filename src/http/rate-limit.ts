import { TenureError } from '../errors.ts'

/** More than the caller is allowed; as much will be let through again in so many whole seconds. */
export class TooManyRequests extends TenureError {
  readonly retryAfterSeconds: number

  constructor(retryAfterSeconds: number) {
    super('ERR_TOO_MANY_REQUESTS', `Too many requests: try again in ${retryAfterSeconds} s`)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** As many buckets as are kept before the full ones, which say nothing, are let go. */
const fewestToPrune = 10_000

interface Bucket {
  level: number
  at: number
  perSecond: number
  burst: number
}

/**
 * A token bucket per key, holding `burst` (one second's worth unless said otherwise). In the memory of this process:
 * several processes let through as many times the rate. A key must be something that we gave out, never what a stranger
 * sent: a bucket is kept until it is full again.
 */
export class RateLimit {
  readonly #buckets = new Map<string, Bucket>()
  readonly #now: () => number
  #pruneAt = fewestToPrune

  /** `now` in milliseconds, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#buckets.size
  }

  /** @throws TooManyRequests while the bucket holds less than one */
  take(key: string, perSecond: number, burst: number = perSecond): void {
    const bucket = this.#fill(key, perSecond, burst)
    if (bucket.level < 1) throw new TooManyRequests(Math.ceil((1 - bucket.level) / perSecond))
    bucket.level -= 1
  }

  /** Charges what turned out to be more than one: never refused, but whoever comes next waits until it is worked off. */
  charge(key: string, perSecond: number, count: number): void {
    this.#fill(key, perSecond, perSecond).level -= count
  }

  #fill(key: string, perSecond: number, burst: number): Bucket {
    const now = this.#now()
    const before = this.#buckets.get(key)
    if (before === undefined) this.#prune(now)
    const level = before ? levelAt(now, { ...before, perSecond, burst }) : burst
    const bucket = { level, at: now, perSecond, burst }
    this.#buckets.set(key, bucket)
    return bucket
  }

  #prune(now: number): void {
    if (this.#buckets.size < this.#pruneAt) return
    for (const [key, bucket] of this.#buckets) if (levelAt(now, bucket) >= bucket.burst) this.#buckets.delete(key)
    this.#pruneAt = Math.max(fewestToPrune, 2 * this.#buckets.size)
  }
}

function levelAt(now: number, { level, at, perSecond, burst }: Bucket): number {
  return Math.min(burst, level + ((now - at) / 1_000) * perSecond)
}
