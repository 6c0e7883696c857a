/** Milliseconds, to two places. */
export function quantiles(values: readonly number[]): { p50: number; p99: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN)
  return { p50: at(0.5), p99: at(0.99) }
}

/** To three digits. */
export function ratio(a: number, b: number): number {
  return Number((a / b).toPrecision(3))
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
