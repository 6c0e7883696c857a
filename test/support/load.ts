import { waitFor } from './wait-for.ts'

/** The processes that serve, as a load balancer sees them. */
export class Fleet {
  readonly #urls: string[] = []
  #turn = 0

  add(url: string): void {
    this.#urls.push(url)
  }

  remove(url: string): void {
    this.#urls.splice(this.#urls.indexOf(url), 1)
  }

  /** What the first one answers that can be reached: after a connection that was refused or broke it is the next one's turn. */
  ask<T>(call: (url: string) => Promise<T>): Promise<T> {
    return waitFor(
      async () => {
        const url = this.#urls[this.#turn++ % this.#urls.length]!
        try {
          return { answer: await call(url) }
        } catch (error) {
          if (error instanceof TypeError) return undefined // as `fetch` says it
          throw error
        }
      },
      { what: 'a process to answer', timeoutMs: 60_000, intervalMs: 1 },
    ).then(({ answer }) => answer)
  }
}

/** One answer of a load; times are `performance.now()`. */
export interface Counted {
  readonly status: number
  readonly begunAt: number
  readonly endedAt: number
}

export interface Load {
  /** Every answer so far, by when it came. */
  readonly answers: readonly Counted[]
  /** So many answers more to calls that begin from now on. */
  more(count: number): Promise<void>
  /** Rejects with what a call threw. */
  stop(): Promise<readonly Counted[]>
}

/** The same call again and again, by several at once, until it is stopped or throws. */
export function startLoad(call: () => Promise<{ readonly status: number }>, parallel = 2): Load {
  const answers: Counted[] = []
  let failure: unknown
  let stopped = false

  const lane = async () => {
    while (!stopped) {
      const begunAt = performance.now()
      const { status } = await call()
      answers.push({ status, begunAt, endedAt: performance.now() })
    }
  }
  const lanes = Promise.all(Array.from({ length: parallel }, lane)).catch((error) => {
    failure = error
    stopped = true
  })

  return {
    answers,
    async more(count) {
      const from = performance.now()
      await waitFor(
        () => {
          if (failure !== undefined) throw failure
          return answers.filter(({ begunAt }) => begunAt > from).length >= count
        },
        { what: `${count} more answers`, timeoutMs: 30_000 },
      )
    },
    async stop() {
      stopped = true
      await lanes
      if (failure !== undefined) throw failure
      return answers
    },
  }
}
