import type { Check } from './check.ts'
import { type Claims, isExpired } from './claims.ts'
import type { Settings } from './settings.ts'
import type { States } from './states.ts'

/** `revoked`: Tenure or a webhook says so. `unconfirmed`: Tenure could not be asked for too long. */
export type EndReason = 'revoked' | 'unconfirmed'

/** The calls under way with one token. */
interface Held {
  readonly token: string
  readonly claims: Claims
  readonly ends: Set<(reason: EndReason) => void>
  timer: NodeJS.Timeout | undefined
  misses: number
  asking: Promise<void> | undefined
}

const mostMisses = 3

/**
 * The calls and streams that are under way, and their end: at once by what a webhook says, and within `recheckMs` by
 * asking Tenure, which is also how a webhook is made up for that went to another process.
 *
 * With a webhook, a call may outlive its token for `outliveMs`, since its user is still known; no longer, because the
 * webhook may have gone to another process. Without, an expired token says nothing about its user any more, and the call
 * ends with it.
 */
export function createCalls({ settings, check, states }: { settings: Settings; check: Check; states: States }) {
  const { recheckMs } = settings
  const byToken = new Map<string, Held>()
  const byUser = new Map<string, Set<Held>>()

  return {
    get size(): number {
      return [...byToken.values()].reduce((sum, { ends }) => sum + ends.size, 0)
    },

    /** @returns what to call when the call is over by itself */
    begin(token: string, claims: Claims, end: (reason: EndReason) => void): () => void {
      const held = byToken.get(token) ?? hold(token, claims)
      held.ends.add(end)
      return () => {
        held.ends.delete(end)
        if (held.ends.size === 0) drop(held)
      }
    },

    /** A webhook has said something new of this user. */
    told(userId: string): void {
      for (const held of [...(byUser.get(userId) ?? [])]) {
        const verdict = states.verdict(held.claims)
        if (verdict === 'dead') end(held, 'revoked')
        else if (verdict === 'unsaid') recheck(held)
      }
    },
  }

  function hold(token: string, claims: Claims): Held {
    const held: Held = { token, claims, ends: new Set(), timer: undefined, misses: 0, asking: undefined }
    byToken.set(token, held)
    const ofUser = byUser.get(claims.userId) ?? new Set()
    byUser.set(claims.userId, ofUser.add(held))
    schedule(held)
    return held
  }

  function drop(held: Held): void {
    clearTimeout(held.timer)
    if (byToken.get(held.token) === held) byToken.delete(held.token)
    const ofUser = byUser.get(held.claims.userId)
    ofUser?.delete(held)
    if (ofUser?.size === 0) byUser.delete(held.claims.userId)
  }

  function end(held: Held, reason: EndReason): void {
    drop(held)
    for (const each of held.ends) each(reason)
    held.ends.clear()
  }

  function schedule(held: Held): void {
    clearTimeout(held.timer)
    held.timer = setTimeout(() => recheck(held), recheckMs).unref()
  }

  function recheck(held: Held): void {
    clearTimeout(held.timer)
    if (isExpired(held.claims)) {
      outlive(held)
      return
    }
    held.asking ??= confirm(held).finally(() => {
      held.asking = undefined
      if (held.ends.size > 0) schedule(held)
    })
  }

  /** Of an expired token Tenure can only say that it has expired: what is left is the webhook, and a bound. */
  function outlive(held: Held): void {
    const leftMs = held.claims.expiresAt * 1_000 + settings.outliveMs - Date.now()
    if (leftMs <= 0) end(held, 'revoked')
    else held.timer = setTimeout(() => recheck(held), Math.min(leftMs, recheckMs)).unref()
  }

  async function confirm(held: Held): Promise<void> {
    const answer = await check.again(held.token, held.claims)
    if (held.ends.size === 0 || isExpired(held.claims)) return
    if (answer.kind === 'bad') end(held, 'revoked')
    else if (answer.kind === 'unknown') {
      if (++held.misses >= mostMisses) end(held, 'unconfirmed')
    } else {
      held.misses = 0
      const isOvertaken = states.isAfter(answer.sequence, held.claims.userId)
      if (isOvertaken) await confirm(held)
    }
  }
}

export type Calls = ReturnType<typeof createCalls>
