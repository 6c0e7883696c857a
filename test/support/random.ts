/** Random numbers that the same seed gives again (mulberry32). A failing test says its seed; `TEST_SEED` sets it. */
export interface Random {
  readonly seed: number
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number
  pick<T>(items: readonly T[]): T
}

export function createRandom(seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000)): Random {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return { seed, between, pick: (items) => items[between(0, items.length - 1)]! }
}
