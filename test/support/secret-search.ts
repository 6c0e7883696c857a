/** How much of a string must be known to look for it: shorter ones are found by chance. */
export const shortestNeedle = 6

const base = 0x01000193
const leading = power(base, shortestNeedle)
const tableBits = 22

/**
 * Looks for many strings at once, in time that goes with the length of the text alone (Rabin and Karp): a hash rolls over
 * every `shortestNeedle` bytes, and only where it is that of some needle's last bytes is anything compared.
 */
export class Search<T> {
  readonly #hashes = new Uint8Array(1 << (tableBits - 3))
  readonly #byEnd = new Map<string, Array<{ needle: Buffer; found: T }>>()

  /** At least `shortestNeedle` bytes. A needle added again is found once for each time. */
  add(text: string, found: T): void {
    const needle = Buffer.from(text)
    const end = needle.subarray(needle.length - shortestNeedle)
    let hash = 0
    for (const byte of end) hash = (Math.imul(hash, base) + byte) | 0
    this.#hashes[slotOf(hash) >> 3]! |= 1 << (slotOf(hash) & 7)
    const key = end.toString('latin1')
    const sameEnd = this.#byEnd.get(key)
    if (sameEnd) sameEnd.push({ needle, found })
    else this.#byEnd.set(key, [{ needle, found }])
  }

  /** Every needle in the text, in the order of their ends. */
  scan(text: Buffer, onFound: (found: T, start: number, end: number) => void): void {
    let hash = 0
    for (let at = 0; at < text.length; at++) {
      hash = (Math.imul(hash, base) + text[at]!) | 0
      if (at >= shortestNeedle) hash = (hash - Math.imul(text[at - shortestNeedle]!, leading)) | 0
      if ((this.#hashes[slotOf(hash) >> 3]! & (1 << (slotOf(hash) & 7))) === 0 || at + 1 < shortestNeedle) continue
      const end = at + 1
      for (const { needle, found } of this.#byEnd.get(text.toString('latin1', end - shortestNeedle, end)) ?? []) {
        const start = end - needle.length
        if (start >= 0 && needle.equals(text.subarray(start, end))) onFound(found, start, end)
      }
    }
  }
}

function slotOf(hash: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> (32 - tableBits)
}

function power(value: number, exponent: number): number {
  let result = 1
  for (let count = 0; count < exponent; count++) result = Math.imul(result, value)
  return result
}
