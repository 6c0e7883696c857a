import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { callEndpoint } from './endpoint.ts'
import { type Doubt, isDoubt } from './findings.ts'
import type { Answer, Requests } from './requests.ts'

/** When a token was refused at last. */
export interface Shut {
  /** From the beginning to the moment at which the refused request began; null: it opened to the last. */
  readonly afterMs: number | null
  readonly status?: number
  /** What the last try met instead of an answer. */
  readonly doubt?: Doubt
}

const pauseMs = 100

/** The MCP endpoint, to one token. */
export class Door {
  readonly #requests: Requests
  readonly #url: string
  readonly #token: string
  #session: string | undefined

  constructor(requests: Requests, url: string, token: string) {
    this.#requests = requests
    this.#url = url
    this.#token = token
  }

  async knock(): Promise<Answer | Doubt> {
    const answer = await callEndpoint(this.#requests, this.#url, this.#token, this.#session)
    if (isDoubt(answer)) return answer
    // A server that drops the session with the token says so by 404: it must be asked without one.
    if (answer.status === 404) this.#session = undefined
    else this.#session ??= answer.headers['mcp-session-id']
    return answer
  }

  /** Knocks until it is refused. */
  async untilShut(withinMs: number): Promise<Shut> {
    const begun = performance.now()
    while (true) {
      const afterMs = performance.now() - begun
      const answer = await this.knock()
      if (!isDoubt(answer) && isRefusal(answer)) return { afterMs: Math.round(afterMs), status: answer.status }
      if (afterMs >= withinMs) return isDoubt(answer) ? { afterMs: null, doubt: answer } : { afterMs: null }
      await sleep(pauseMs)
    }
  }

  /** Ends the session that the first knock began. */
  async leave(): Promise<void> {
    if (this.#session === undefined) return
    const headers = { authorization: `Bearer ${this.#token}`, 'mcp-session-id': this.#session }
    await this.#requests.ask(this.#url, { method: 'DELETE', headers })
  }
}

/** 403 is none that a client understands, but the token is of no use all the same. */
export function isRefusal({ status }: Answer): boolean {
  return status === 401 || status === 403
}
