import { DemoFailure } from './failure.ts'

/** What an MCP server heard of one person, when its last byte was read. */
export interface Heard {
  /** `performance.now()` */
  readonly at: number
  readonly type: string
  readonly userId: string
  readonly userName: string
  readonly generation: number
  readonly active: boolean
  readonly scopes: readonly string[]
  /** What it answered; undefined while it hangs. */
  status: number | undefined
}

export interface WebhookMessage {
  readonly type: string
  readonly data: {
    readonly generation: number
    readonly active: boolean
    readonly scopes: readonly string[]
    readonly user: { readonly id: string; readonly userName: string }
  }
}

/** What an MCP server was told, and whoever waits for it to be told something. */
export interface Inbox {
  /** What it keeps of each person, by id. */
  readonly people: ReadonlyMap<string, Heard>
  /** Requests answered 2xx. */
  readonly accepted: number
  /** A message whose signature holds. */
  take(message: WebhookMessage, at: number): Heard
  /** It was answered. What was answered 2xx is kept, of each person the highest generation. */
  settle(heard: Heard, status: number): void
  /** The first message from now on for which this holds. */
  hears(predicate: (heard: Heard) => boolean, timeoutMs?: number): Promise<Heard>
  close(): void
}

const patienceMs = 15_000

interface Waiter {
  fits(heard: Heard): boolean
  settle(heard: Heard | Error): void
}

export function createInbox(name: string): Inbox {
  const people = new Map<string, Heard>()
  const waiters = new Set<Waiter>()
  let accepted = 0

  return {
    people,
    get accepted() {
      return accepted
    },
    take({ type, data }, at) {
      const { generation, active, scopes, user } = data
      const told = { type, userId: user.id, userName: user.userName, generation, active, scopes }
      const heard: Heard = { at, ...told, status: undefined }
      for (const waiter of waiters) if (waiter.fits(heard)) waiter.settle(heard)
      return heard
    },
    settle(heard, status) {
      heard.status = status
      if (status >= 300) return
      accepted++
      if (heard.generation > (people.get(heard.userId)?.generation ?? 0)) people.set(heard.userId, heard)
    },
    hears(predicate, timeoutMs = patienceMs) {
      const { promise, resolve, reject } = Promise.withResolvers<Heard>()
      const late = () => waiter.settle(new DemoFailure(`${name} was not told within ${timeoutMs / 1000} s`))
      const timer = setTimeout(late, timeoutMs)
      const waiter: Waiter = {
        fits: predicate,
        settle(heard) {
          clearTimeout(timer)
          waiters.delete(waiter)
          if (heard instanceof Error) reject(heard)
          else resolve(heard)
        },
      }
      waiters.add(waiter)
      promise.catch(() => {}) // it may be waited for later than it fails
      return promise
    },
    close() {
      for (const waiter of waiters) waiter.settle(new DemoFailure('The demo is over'))
    },
  }
}
