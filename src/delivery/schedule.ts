import type { Outcome } from '../connectors/connector.ts'

const second = 1_000
const minute = 60 * second
const delaysMs = [1 * second, 2 * second, 5 * second, 15 * second, 60 * second, 5 * minute, 15 * minute]
const longestDelayMs = 15 * minute
/** Failures after which a row is parked. */
export const attemptsBeforeParked = 8

/** What becomes of a row after an attempt that leaves it undelivered. `delayMs` null: nothing until it is replayed. */
export interface NextTry {
  readonly parked: boolean
  readonly delayMs: number | null
}

/**
 * 1, 2, 5, 15, 60 s, 5 min, then every 15 min, ± 20 %; parked after 8. A refusal parks at once: asking again the same
 * way will not change it. A parked revocation keeps trying every 15 min, because a server that still grants access is
 * never something to be at peace with. `Retry-After` is honoured up to 15 min.
 *
 * @param failures attempts of this generation that failed, this one included
 * @param random in [0, 1)
 */
export function nextTry(outcome: Outcome, failures: number, urgent: boolean, random: number): NextTry {
  const parked = outcome.kind === 'refused' || failures >= attemptsBeforeParked
  if (parked) return { parked, delayMs: urgent ? jittered(longestDelayMs, random) : null }
  const asked = outcome.kind === 'unavailable' ? outcome.retryAfterMs : undefined
  if (asked !== undefined) return { parked, delayMs: Math.min(asked, longestDelayMs) }
  return { parked, delayMs: jittered(delaysMs[Math.min(failures, delaysMs.length) - 1]!, random) }
}

function jittered(ms: number, random: number): number {
  return Math.round(ms * (0.8 + 0.4 * random))
}
