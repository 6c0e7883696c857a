import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Polls until `condition` gives something truthy, and returns that. `what` completes the sentence "waited 10000 ms for …".
 * An error that it throws is final: a condition that may fail for a while has to say so itself.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, timeoutMs = 10_000, intervalMs = 20 }: { what: string; timeoutMs?: number; intervalMs?: number },
): Promise<NonNullable<T>> {
  const givesUpAt = Date.now() + timeoutMs
  while (true) {
    const value = await condition()
    if (value) return value
    if (Date.now() > givesUpAt) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await sleep(intervalMs)
  }
}
