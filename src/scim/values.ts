import { isDeepStrictEqual } from 'node:util'
import { fold } from '../fold.ts'
import { findAttribute } from '../schemas/resolve.ts'
import type { Attribute } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import { isObject, isUnassigned, type Json } from './json.ts'

/** Reads values of one resource, noting under `unknown` the sub-attributes that no schema has. */
export interface ValueReader {
  readonly unknown: Set<string>
}

/**
 * A client's value as the schema has it, or undefined for "unassigned": canonical names, the client's spelling of values,
 * read-only sub-attributes and nulls left out, equal elements merged, at most one primary.
 *
 * @throws ScimError 400 `invalidValue` for another type than the schema's
 */
export function readValue(attribute: Attribute, raw: unknown, reader: ValueReader, name = attribute.name): unknown {
  if (isUnassigned(raw)) return undefined
  if (!attribute.multiValued) return readElement(attribute, raw, reader, name)
  if (!Array.isArray(raw)) throw wrongType(name, 'a list')
  const elements = raw.map((each) => readElement(attribute, each, reader, name)).filter((each) => each !== undefined)
  const merged = mergeElements([], elements)
  keepOnePrimary(merged)
  return merged.length > 0 ? merged : undefined
}

/** One value of an attribute, which may be multi-valued. */
export function readElement(attribute: Attribute, raw: unknown, reader: ValueReader, name = attribute.name): unknown {
  if (isUnassigned(raw)) return undefined
  if (attribute.type !== 'complex') return readSimple(attribute, raw, name)
  if (!isObject(raw)) throw wrongType(name, 'an object')
  const element: Json = {}
  for (const [key, each] of Object.entries(raw)) {
    const sub = findAttribute(attribute.subAttributes, key)
    if (!sub) reader.unknown.add(`${name}.${key}`)
    else if (sub.mutability !== 'readOnly') {
      const value = readValue(sub, each, reader, `${name}.${sub.name}`)
      if (value !== undefined) element[sub.name] = value
    }
  }
  return Object.keys(element).length > 0 ? element : undefined
}

/** Bytes of a key in an index of Postgres, which takes 2,704 at most. */
const maxKeyBytes = 2_000

function readSimple(attribute: Attribute, raw: unknown, name: string): unknown {
  const { type } = attribute
  if (type === 'boolean') return typeof raw === 'boolean' ? raw : refuse(name, 'true or false')
  if (type === 'integer') return Number.isInteger(raw) ? raw : refuse(name, 'a whole number')
  if (type === 'decimal') return typeof raw === 'number' ? raw : refuse(name, 'a number')
  if (typeof raw !== 'string') return refuse(name, 'a text')
  const isKey = attribute.uniqueness !== 'none' || attribute.name === 'externalId'
  if (isKey && Buffer.byteLength(fold(raw)) > maxKeyBytes) return refuse(name, `at most ${maxKeyBytes} bytes`)
  return type === 'dateTime' && Number.isNaN(Date.parse(raw)) ? refuse(name, 'a date and time') : raw
}

function refuse(name: string, wanted: string): never {
  throw wrongType(name, wanted)
}

export function wrongType(name: string, wanted: string): ScimError {
  return new ScimError(400, 'invalidValue', `${name} must be ${wanted}`)
}

/** Every value is compared with every other, so their number is bounded. Members are not values: they are rows. */
const maxValues = 1_000

/**
 * Appends what is not there yet. Two values are the same by (`type`, `value`), without `value` by everything but
 * `primary`, `display` and `$ref` (RFC 7643 §2.4); the later one's other sub-attributes win.
 */
export function mergeElements(existing: readonly unknown[], added: readonly unknown[]): unknown[] {
  if (existing.length + added.length > maxValues) {
    throw new ScimError(400, 'invalidValue', `An attribute may have at most ${maxValues} values`)
  }
  const merged = [...existing]
  for (const element of added) {
    const at = merged.findIndex((each) => sameElement(each, element))
    const same = merged[at]
    if (at === -1) merged.push(element)
    else if (isObject(same) && isObject(element)) merged[at] = { ...same, ...element }
  }
  return merged
}

export function sameElement(a: unknown, b: unknown): boolean {
  if (!isObject(a) || !isObject(b)) return a === b
  if ('value' in a || 'value' in b) return sameText(a.value, b.value) && sameText(a.type, b.type)
  return isDeepStrictEqual(identityOf(a), identityOf(b))
}

function sameText(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'string' && typeof b === 'string' && fold(a) === fold(b))
}

function identityOf({ primary: _primary, display: _display, $ref: _ref, ...identity }: Json): Json {
  return identity
}

/**
 * `primary: true` is for one element at most (RFC 7643 §2.4). PingOne sends two: the first `work` one stays, else the
 * first. After a PATCH it is the first of those just written, `preferred`.
 */
export function keepOnePrimary(elements: readonly unknown[], preferred?: ReadonlySet<unknown>): void {
  const primaries = elements.filter((each) => isObject(each) && each.primary === true) as Json[]
  if (primaries.length < 2) return
  const written = primaries.filter((each) => preferred?.has(each))
  const candidates = written.length > 0 ? written : primaries
  const kept = candidates.find((each) => sameText(each.type, 'work')) ?? candidates[0]
  for (const each of primaries) if (each !== kept) each.primary = false
}
