const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const

/** `3 min ago`, `in 5 h`, `now`; for tables, where the eye asks how long. What was set to 90 days is in 90 days. */
export function relative(time: string, now: Date): string {
  const seconds = (Date.parse(time) - now.getTime()) / 1_000
  const size = Math.abs(seconds)
  if (size < 1) return 'now'
  const [unit, length] = units.find(([, length]) => size >= length)!
  return seconds < 0 ? `${Math.floor(size / length)} ${unit} ago` : `in ${Math.ceil(size / length)} ${unit}`
}

/** `2026-11-22 10:00:00Z`, to the millisecond where there is one. */
export function absolute(time: string): string {
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.000Z$/, 'Z')
}

/** `0 ms`, `34 ms`, `1.25 s`, `4 min 3 s`, `3 h 5 min`, `2 d 4 h`: two figures are enough to compare. */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_995) return `${Number((ms / 1_000).toFixed(2))} s`
  const seconds = Math.round(ms / 1_000)
  const [first, second] = seconds < 3_600 ? [2, 3] : seconds < 86_400 ? [1, 2] : [0, 1]
  const [unit, length] = units[first]!
  const [lesserUnit, lesser] = units[second]!
  const rest = Math.floor((seconds % length) / lesser)
  return `${Math.floor(seconds / length)} ${unit}${rest === 0 ? '' : ` ${rest} ${lesserUnit}`}`
}

const lengths: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  min: 60,
  h: 3_600,
  d: 86_400,
  w: 604_800,
}

/**
 * A time as an operator types it: a length from now (`30min`, `12h`, `90d`) or a time with its offset
 * (`2027-01-01T00:00:00Z`); a bare date is midnight UTC.
 *
 * @returns RFC 3339 in UTC; undefined when it is neither
 */
export function parseTime(text: string, now: Date, direction: 'ago' | 'ahead'): string | undefined {
  const [, figure, unit] = /^(\d{1,6}) ?(s|m|min|h|d|w)$/.exec(text) ?? []
  if (figure !== undefined && unit !== undefined) {
    const ms = Number(figure) * lengths[unit]! * 1_000
    return new Date(now.getTime() + (direction === 'ago' ? -ms : ms)).toISOString()
  }
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/i.test(text)) return undefined
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}
