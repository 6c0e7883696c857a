import { setTimeout as delay } from 'node:timers/promises'
import { Unavailable } from '../errors.ts'

interface Queue {
  last: Promise<unknown>
  length: number
}

/**
 * Work on one thing, one after another within this process. The rows are locked all the same, for other processes; but
 * whoever would only wait for such a lock must not hold a connection meanwhile, or a crowd that changes one group leaves
 * none for anybody else.
 */
export class Turns {
  readonly #queues = new Map<string, Queue>()
  readonly #most: number
  readonly #longestMs: number

  /** `most` at a time for one key, the one at work included. */
  constructor({ most = 1_000, longestMs = 60_000 }: { most?: number; longestMs?: number } = {}) {
    this.#most = most
    this.#longestMs = longestMs
  }

  /**
   * Runs `work` after all that was given for the same key before, whatever became of it.
   *
   * @throws Unavailable, and `work` is never run: a change whose caller has long given up could undo what came after it
   * by another process
   */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { last: Promise.resolve(), length: 0 }
    if (queue.length >= this.#most) throw new Unavailable('Too much is changing at once')
    this.#queues.set(key, queue)
    queue.length += 1
    const before = queue.last
    const { promise: turn, resolve: end } = Promise.withResolvers<void>()
    queue.last = before.then(() => turn)
    try {
      if (queue.length > 1) await within(this.#longestMs, before)
      return await work()
    } finally {
      end()
      queue.length -= 1
      if (queue.length === 0) this.#queues.delete(key)
    }
  }
}

async function within(ms: number, before: Promise<unknown>): Promise<void> {
  const waiting = new AbortController()
  const late = delay(ms, undefined, { signal: waiting.signal }).then(() => {
    throw new Unavailable('Too much is changing at once')
  })
  try {
    await Promise.race([before, late])
  } finally {
    waiting.abort()
  }
}
