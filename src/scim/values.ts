import { fold } from '../fold.ts'
import { findAttribute } from '../schemas/resolve.ts'
import type { Attribute } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import { isObject, isUnassigned, type Json } from './json.ts'

/** Reads values of one resource, noting under `unknown` the sub-attributes that no schema has; `strict` as its type is. */
export interface ValueReader {
  readonly unknown: Set<string>
  readonly strict: boolean
}

/**
 * A client's value as the schema has it, or undefined for "unassigned": canonical names, the client's spelling of values,
 * read-only sub-attributes and nulls left out, equal elements merged, at most one primary.
 *
 * @throws ScimError 400 `invalidValue` for another type than the schema's, and for a second primary where that is strict
 */
export function readValue(attribute: Attribute, raw: unknown, reader: ValueReader, name = attribute.name): unknown {
  if (isUnassigned(raw)) return undefined
  if (!attribute.multiValued) return readElement(attribute, raw, reader, name)
  if (!Array.isArray(raw)) throw wrongType(name, 'a list')
  const elements = raw.map((each) => readElement(attribute, each, reader, name)).filter((each) => each !== undefined)
  const { merged } = mergeElements([], elements)
  if (reader.strict) requireOnePrimary(merged, name)
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

/** As many as a PATCH is matched against one by one, under the resource's lock. Members are not values: they are rows. */
const maxValues = 1_000

/**
 * Appends what is not there yet. Two values are the same by (`type`, `value`), without `value` by everything but
 * `primary`, `display` and `$ref` (RFC 7643 §2.4); the later one's other sub-attributes win.
 *
 * @returns the values, and the places in them that `added` wrote
 */
export function mergeElements(
  existing: readonly unknown[],
  added: readonly unknown[],
): { readonly merged: unknown[]; readonly written: ReadonlySet<number> } {
  if (existing.length + added.length > maxValues) {
    throw new ScimError(400, 'invalidValue', `An attribute may have at most ${maxValues} values`)
  }
  const merged = [...existing]
  const places = new Map(existing.map((each, at) => [identityOf(each), at] as const).reverse())
  const written = new Set<number>()
  for (const element of added) {
    const identity = identityOf(element)
    const at = places.get(identity) ?? merged.length
    const same = merged[at]
    merged[at] = isObject(same) && isObject(element) ? { ...same, ...element } : element
    places.set(identity, at)
    written.add(at)
  }
  return { merged, written }
}

/** The same text for the same value: texts are long and many, so that no two are compared. */
export function identityOf(element: unknown): string {
  if (!isObject(element)) return JSON.stringify(element)
  const { primary: _primary, display: _display, $ref: _ref, ...identity } = element
  return 'value' in element
    ? `value ${JSON.stringify([folded(element.value), folded(element.type)])}`
    : `parts ${JSON.stringify(Object.entries(identity).toSorted(([a], [b]) => (a < b ? -1 : 1)))}`
}

function folded(value: unknown): unknown {
  return typeof value === 'string' ? fold(value) : value
}

/**
 * `primary: true` is for one element at most (RFC 7643 §2.4). PingOne sends two: the first `work` one stays, else the
 * first. After a PATCH it is the first of those just `written`, given by their places.
 */
export function keepOnePrimary(elements: readonly unknown[], written: ReadonlySet<number> = new Set()): void {
  const primaries = primariesOf(elements)
  if (primaries.length < 2) return
  const preferred = primariesOf(elements.filter((_each, at) => written.has(at)))
  const candidates = preferred.length > 0 ? preferred : primaries
  const kept = candidates.find((each) => folded(each.type) === 'work') ?? candidates[0]
  for (const each of primaries) if (each !== kept) each.primary = false
}

/** @throws ScimError 400 `invalidValue` */
export function requireOnePrimary(elements: readonly unknown[], name: string): void {
  if (primariesOf(elements).length > 1)
    throw new ScimError(400, 'invalidValue', `${name} may have one primary value at most`)
}

function primariesOf(elements: readonly unknown[]): Json[] {
  return elements.filter((each): each is Json => isObject(each) && each.primary === true)
}
