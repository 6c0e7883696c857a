/** Okta writes milliseconds where seconds are meant; as seconds these would be in the year 5138. */
const fromMilliseconds = 1e11
/** The same year in milliseconds: beyond, it is no time that anybody means or Postgres reads. */
const most = 1e14

/** A time as a SET has it, in seconds or, by mistake, milliseconds; undefined where it is none. */
export function timeOf(value: unknown): Date | undefined {
  if (typeof value !== 'number' || !(value >= 0 && value < most)) return undefined
  return new Date(isInMilliseconds(value) ? value : value * 1_000)
}

export function isInMilliseconds(value: unknown): boolean {
  return typeof value === 'number' && value > fromMilliseconds
}
