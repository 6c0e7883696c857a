import { quantiles } from './figures.ts'

/** What one of several does again and again; the number is another each time. */
export interface Side {
  call(n: number): Promise<unknown>
  /** Before each round, outside the figures. */
  prepare?(calls: number): Promise<void>
}

export interface SideFigures {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Pace {
  readonly rounds: number
  /** Of one side in one round. */
  readonly seconds: number
  readonly connections: number
}

export interface Rounds<Name extends string> {
  readonly figures: Readonly<Record<Name, SideFigures>>
  /** Of the requests a second of the one by those of the other: the median of the rounds. */
  ratio(one: Name, other: Name): number
}

/**
 * All sides by turns, in every other round the other way round, so that a machine that slows down slows them all. The
 * first round is not counted.
 */
export async function inRounds<Name extends string>(
  sides: Readonly<Record<Name, Side>>,
  pace: Pace,
): Promise<Rounds<Name>> {
  const names = Object.keys(sides) as Name[]
  const turns = Object.fromEntries(names.map((name) => [name, new Turns(sides[name], pace)])) as Record<Name, Turns>
  for (let round = 0; round <= pace.rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) await turns[name].take(round > 0)
  }
  return {
    figures: Object.fromEntries(names.map((name) => [name, turns[name].figures])) as Record<Name, SideFigures>,
    ratio: (one, other) =>
      median(turns[one].perSecond.map((perSecond, round) => perSecond / turns[other].perSecond[round]!)),
  }
}

/** Every connection sends its next request when the last is answered. */
class Turns {
  readonly #side: Side
  readonly #pace: Pace
  #sent = 0
  #lastRound = 0
  readonly #ms: number[] = []
  /** Of each round that counts. */
  readonly perSecond: number[] = []

  constructor(side: Side, pace: Pace) {
    this.#side = side
    this.#pace = pace
  }

  async take(counts: boolean): Promise<void> {
    await this.#side.prepare?.(this.#lastRound)
    const ms: number[] = []
    const begun = performance.now()
    const until = begun + this.#pace.seconds * 1_000
    const lane = async () => {
      while (performance.now() < until) {
        const at = performance.now()
        await this.#side.call(this.#sent++)
        ms.push(performance.now() - at)
      }
    }
    await Promise.all(Array.from({ length: this.#pace.connections }, lane))
    this.#lastRound = ms.length
    if (!counts) return
    this.perSecond.push(ms.length / ((performance.now() - begun) / 1_000))
    this.#ms.push(...ms)
  }

  get figures(): SideFigures {
    const { p50, p99 } = quantiles(this.#ms)
    return { requests: this.#ms.length, perSecond: Math.round(median(this.perSecond)), p50Ms: p50, p99Ms: p99 }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const value = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return Math.round(value * 100) / 100
}
