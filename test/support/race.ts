import { expect } from 'vitest'
import type { Answer } from './clients.ts'

/** Somebody with good tokens, and what takes them away; `cut` is asked of the process whose number it is given. */
export interface Subject {
  /** It grows while tokens are issued. */
  readonly tokens: readonly string[]
  cut(process: number): Promise<Answer>
}

/** How the gate is asked, by way of the process of that number. */
export interface Questions<S extends Subject> {
  readonly processes: number
  /** Whether the token is good. */
  introspect(token: string, process: number): Promise<boolean>
  /** For another grant. `answer` tells the gate's refusal from all others. */
  issue(subject: S, process: number): Promise<{ good: boolean; answer: unknown }>
  /** The gate's. */
  readonly refusal: unknown
}

/** One question: whether it began after the cut's 2xx was in hand, and what came of it. */
interface Asked<S> {
  readonly subject: S
  readonly kind: 'introspection' | 'grant'
  readonly cutAtMs: number | undefined
  readonly beganAtMs: number
  readonly answer: unknown
  readonly good: boolean
}

const atOnce = 8
/** Per kind and subject, begun once the cut is answered. */
const askedAfter = 2

/**
 * Cuts everybody, several at once and through all processes in turn, while the gate is asked about each of them through
 * all processes: before, across and after the cut. In the end everybody is asked about once more, everywhere, by every
 * token there is.
 */
export async function expectNothingGoodAfter<S extends Subject>(
  subjects: readonly S[],
  { processes, introspect, issue, refusal }: Questions<S>,
): Promise<void> {
  const cutAtMs = new Map<S, number>()
  const asked: Asked<S>[] = []

  const ask = async (subject: S, kind: Asked<S>['kind'], turn: number): Promise<void> => {
    const begun = { subject, kind, cutAtMs: cutAtMs.get(subject), beganAtMs: performance.now() }
    const outcome = kind === 'grant' ? await issue(subject, turn % processes) : await look(subject, turn)
    asked.push({ ...begun, ...outcome })
  }
  const look = async ({ tokens }: S, turn: number) => {
    const good = await introspect(tokens[Math.floor(turn / processes) % tokens.length]!, turn % processes)
    return { good, answer: good }
  }
  /** Asks without a pause from before the cut until enough was asked after it. */
  const hammer = async (subject: S, kind: Asked<S>['kind'], offset: number): Promise<void> => {
    for (let after = 0, turn = offset; after < askedAfter; turn++) {
      if (cutAtMs.has(subject)) after++
      await ask(subject, kind, turn)
    }
  }

  await inLanes(subjects.length, async (index) => {
    const subject = subjects[index]!
    await ask(subject, 'introspection', index)
    const hammering = [hammer(subject, 'introspection', index), hammer(subject, 'grant', index + 1)]
    const answer = await subject.cut(index % processes)
    cutAtMs.set(subject, performance.now())
    expect(answer.status).toBeLessThan(300)
    await Promise.all(hammering)
  })
  await inLanes(subjects.length, async (index) => {
    const subject = subjects[index]!
    for (const turn of Array(subject.tokens.length * processes).keys()) await ask(subject, 'introspection', turn)
  })

  const after = asked.filter((each) => each.cutAtMs !== undefined && each.beganAtMs > each.cutAtMs)
  const before = asked.filter((each) => each.cutAtMs === undefined)
  expect(after.filter(({ good }) => good)).toEqual([])
  // A refusal is the gate's, not an accident; and the race was one: everything was good until it was not.
  expect(new Set(after.filter(({ kind }) => kind === 'grant').map(({ answer }) => answer))).toEqual(new Set([refusal]))
  expect(after.length).toBeGreaterThanOrEqual(subjects.length * (2 * askedAfter + processes))
  expect(before.filter(({ good, kind }) => good && kind === 'introspection').length).toBeGreaterThanOrEqual(
    subjects.length,
  )
  expect(before.filter(({ good, kind }) => good && kind === 'grant').length).toBeGreaterThan(0)
}

/** `work` for 0 … count-1, several at once. */
export async function inLanes<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const lane = async () => {
    while (next < count) {
      const index = next++
      results[index] = await work(index)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return results
}
