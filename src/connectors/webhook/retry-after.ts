/** Beyond this a date or a number is a mistake of the server's, not a wish. */
const longestWaitMs = 86_400_000

/** `Retry-After` (RFC 9110 §10.2.3), seconds or a date, in milliseconds from `now`; undefined when it makes no sense. */
export function retryAfterMs(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : httpDate(value) - now.getTime()
  return wait > 0 && wait <= longestWaitMs ? wait : undefined
}

function httpDate(value: string): number {
  return value.endsWith(' GMT') ? Date.parse(value) : Number.NaN
}
