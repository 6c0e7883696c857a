import { ScimError } from './errors.ts'
import type { Json } from './json.ts'
import { mostExtensions } from './limits.ts'

/** An extension that no registered schema describes: Entra uses custom URNs freely and declares none in `schemas`. */
export interface ForeignPath {
  readonly urn: string
  readonly attribute?: string
}

const URN = /^urn:[^\s[\]"]+$/i
const NAME = /^[A-Za-z$_][\w$-]*$/

/**
 * Reads a name under an unknown URN. Whether the last segment is an attribute or still the URN cannot be told from the
 * text: a URN that is already stored decides, else a whole object belongs to the URN and anything else to an attribute.
 */
function readForeignPath(text: string, stored: Iterable<string>, value: unknown): ForeignPath | undefined {
  if (!URN.test(text)) return undefined
  const lowered = text.toLowerCase()
  for (const urn of stored) {
    const known = urn.toLowerCase()
    if (lowered === known) return { urn }
    if (lowered.startsWith(`${known}:`)) return { urn, attribute: text.slice(urn.length + 1) }
  }
  const colon = text.lastIndexOf(':')
  const attribute = text.slice(colon + 1)
  const isWhole = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isWhole || !NAME.test(attribute) || text.slice(0, colon).toLowerCase() === 'urn') return { urn: text }
  return { urn: text.slice(0, colon), attribute }
}

/**
 * Where in the document a name under an unknown URN belongs.
 *
 * @throws ScimError 400 `invalidValue` for one extension too many
 */
export function foreignPathIn(document: Readonly<Json>, text: string, value: unknown): ForeignPath | undefined {
  const stored = Object.keys(document).filter(isUrn)
  const path = readForeignPath(text, stored, value)
  if (path && stored.length >= mostExtensions && !stored.includes(path.urn))
    throw new ScimError(400, 'invalidValue', `A resource may have at most ${mostExtensions} extensions`)
  return path
}

/** A name without a URN, a sub-attribute or a filter. */
export function isName(text: string): boolean {
  return NAME.test(text)
}

export function isUrn(text: string): boolean {
  return URN.test(text)
}

/** A path without the filter in it, which holds values: `shoes[colour eq "red"].size` is `shoes.size`. */
export function nameOfPath(text: string): string {
  const [, head = '', sub = ''] = /^([^["]*)(?:.*\](\.[\w$-]+)$)?/s.exec(text) ?? []
  return (head + sub).trim()
}
