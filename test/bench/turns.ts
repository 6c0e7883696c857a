import { quantiles } from './figures.ts'

/** What somebody does again and again. `requests`: so many in each round, instead of so much time. */
export interface Work {
  readonly call: (request: { readonly n: number; readonly lane: number }) => Promise<unknown>
  readonly requests?: number
  /** After each round, outside the figures. */
  settled(): Promise<void>
}

export interface Figures {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** `secondsEach`: of a round. */
export interface Pace {
  readonly rounds: number
  readonly secondsEach: number
  readonly connections: number
}

/** One after the other, round by round, every second round in the reverse order. A first, shorter round is not counted. */
export async function byTurns<Name extends string>(
  works: Readonly<Record<Name, Work>>,
  pace: Pace,
): Promise<Record<Name, Figures>> {
  const tallies = Object.entries<Work>(works).map(([name, work]) => ({ name, tally: new Tally(work, pace) }))
  for (let round = 0; round <= pace.rounds; round++) {
    for (const { tally } of round % 2 === 0 ? tallies : tallies.toReversed()) await tally.turn(round > 0)
  }
  return Object.fromEntries(tallies.map(({ name, tally }) => [name, tally.figures])) as Record<Name, Figures>
}

/** Every connection sends its next request when the last is answered. */
class Tally {
  readonly #work: Work
  readonly #pace: Pace
  readonly #ms: number[] = []
  #sent = 0
  #seconds = 0

  constructor(work: Work, pace: Pace) {
    this.#work = work
    this.#pace = pace
  }

  async turn(counts: boolean): Promise<void> {
    const { requests } = this.#work
    const { connections, secondsEach } = this.#pace
    const last = requests === undefined ? Infinity : this.#sent + Math.ceil(counts ? requests : requests / 10)
    const begun = performance.now()
    const until = requests === undefined ? begun + secondsEach * (counts ? 1_000 : 300) : Infinity
    const ms: number[] = []
    const lane = async (_: unknown, lane: number) => {
      while (this.#sent < last && performance.now() < until) {
        const at = performance.now()
        await this.#work.call({ n: this.#sent++, lane })
        ms.push(performance.now() - at)
      }
    }
    await Promise.all(Array.from({ length: connections }, lane))
    if (counts) {
      this.#seconds += (performance.now() - begun) / 1_000
      this.#ms.push(...ms)
    }
    await this.#work.settled()
  }

  get figures(): Figures {
    const { p50, p99 } = quantiles(this.#ms)
    const perSecond = this.#ms.length / this.#seconds
    return {
      requests: this.#ms.length,
      perSecond: perSecond < 10 ? Number(perSecond.toPrecision(2)) : Math.round(perSecond),
      p50Ms: p50,
      p99Ms: p99,
    }
  }
}
