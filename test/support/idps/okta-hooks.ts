import { type LogEvent, logEvent, party } from '../../../src/demo/okta-events.ts'
import {
  deliverEvents,
  type EventHook,
  type HookAttempt,
  isDelivered,
  verifyEventHook,
} from '../../../src/demo/okta-hooks.ts'
import type { SystemLog } from './okta-log.ts'

/** What becomes of a hook's calls from now on. Okta promises none of this will not happen. */
export interface HookFaults {
  /** None is sent, and nobody is told. */
  readonly loses?: boolean
  /** Each is sent twice, although the first was taken. */
  readonly duplicates?: boolean
  /** Events are kept until `flush`. */
  readonly holdsBack?: boolean
}

/** An event hook at work: which events it is for, and what became of them. */
export interface RunningHook extends EventHook {
  readonly attempts: readonly HookAttempt[]
  /** Once more, as after it was set up; until it succeeds nothing is delivered. */
  verify(): Promise<boolean>
  behave(faults?: HookFaults): void
  /** What was held back, several to a call, in their order or against it. */
  flush(how?: { perCall?: number; reversed?: boolean }): Promise<void>
}

/** In the System Log and never in a hook (reference §1.4). */
const logOnly =
  /^(event_hook\.delivery|user\.lifecycle\.delete\.completed|app\.oauth2\..*token\.(revoke|grant\.id_jag)|app\.cross_app_access\.)/

export function isHookEligible(eventType: string): boolean {
  return !logOnly.test(eventType)
}

/** `tell`: what has happened, of which the hook sends what it is for; resolves once that was taken or given up. */
export function runHook(
  hook: EventHook,
  { events, timeoutMs, log }: { events: readonly string[] | undefined; timeoutMs: number; log: SystemLog },
): { running: RunningHook; tell: (happened: readonly LogEvent[]) => Promise<void> } {
  const attempts: HookAttempt[] = []
  let isVerified = false
  let faults: HookFaults = {}
  let waiting: LogEvent[] = []

  async function call(events: readonly LogEvent[]): Promise<void> {
    if (faults.loses) return
    for (let sent = 0; sent < (faults.duplicates ? 2 : 1); sent++) {
      const made = await deliverEvents(hook, events, { timeoutMs })
      attempts.push(...made)
      if (!isDelivered(made.at(-1)!)) log.append(deliveryFailed(hook, made.at(-1)!))
    }
  }

  const running: RunningHook = {
    ...hook,
    attempts,
    async verify() {
      isVerified = await verifyEventHook(hook, { timeoutMs })
      return isVerified
    },
    behave(next = {}) {
      faults = next
    },
    async flush({ perCall = 100, reversed = false } = {}) {
      const all = reversed ? waiting.toReversed() : waiting
      waiting = []
      for (let at = 0; at < all.length; at += perCall) await call(all.slice(at, at + perCall))
    },
  }
  return {
    running,
    async tell(happened) {
      const isWanted = ({ eventType }: LogEvent) => isHookEligible(eventType) && (events?.includes(eventType) ?? true)
      const wanted = happened.filter(isWanted)
      if (!isVerified || wanted.length === 0) return
      if (faults.holdsBack) waiting.push(...wanted)
      else await call(wanted)
    },
  }
}

/** Only the log tells of it. */
function deliveryFailed({ id, uri }: EventHook, { status }: HookAttempt): LogEvent {
  return logEvent('event_hook.delivery', [party(id, 'EventHook', uri)], {
    outcome: { result: 'FAILURE', reason: status === 'none' ? 'Timed out' : `Answered ${status}` },
    severity: 'WARN',
  })
}
