import type { Filter } from '../../filter/ast.ts'
import { matches } from '../../filter/evaluate.ts'
import type { AttributePath } from '../../schemas/resolve.ts'
import type { Attribute } from '../../schemas/schema.ts'
import { ScimError } from '../errors.ts'
import { isObject, isUnassigned, type Json } from '../json.ts'
import {
  identityOf,
  keepOnePrimary,
  mergeElements,
  readElement,
  readValue,
  requireOnePrimary,
  type ValueReader,
} from '../values.ts'
import type { PatchOperation } from './parse.ts'

/**
 * The elements of a multi-valued attribute after one operation (the table of RFC 7644 §3.5.2.1-3). `elements` is left
 * as it is.
 */
export function patchElements(
  elements: readonly unknown[],
  operation: PatchOperation,
  path: AttributePath,
  filter: Filter | undefined,
  context: ValueReader,
): unknown[] {
  if (path.sub) return patchParts(elements, operation, path.attribute, path.sub, filter, context)
  if (filter) return patchMatches(elements, operation, path.attribute, filter, context)
  return patchAll(elements, operation, path.attribute, context)
}

/**
 * `remove` with a value removes what equals it (Entra's habit for members, met with other attributes too). One value need
 * not be in a list; where that is strict, only for what RFC 7644 §3.5.2.1 calls a new value: `add` with a path.
 */
function patchAll(
  elements: readonly unknown[],
  { op, value, implied }: PatchOperation,
  attribute: Attribute,
  context: ValueReader,
): unknown[] {
  const mayBeOne = !context.strict || (op === 'add' && !implied)
  const list = Array.isArray(value) || isUnassigned(value) || !mayBeOne ? value : [value]
  const given = (readValue(attribute, list, context) ?? []) as unknown[]
  if (op === 'replace') return given
  if (op === 'add') {
    const { merged, written } = mergeElements(elements, given)
    return settle(merged, written, attribute, context)
  }
  return value === undefined || value === null ? [] : withoutNamed(elements, given)
}

/** `{"value": "x"}` names an element of any type with that value. */
function withoutNamed(elements: readonly unknown[], named: readonly unknown[]): unknown[] {
  const [ofType, ofAny] = [new Set<string>(), new Set<string>()]
  for (const each of named) (isObject(each) && !('type' in each) ? ofAny : ofType).add(identityOf(each))
  return elements.filter((each) => {
    if (ofType.has(identityOf(each))) return false
    if (!isObject(each)) return true
    const { type: _type, ...rest } = each
    return !ofAny.has(identityOf(rest))
  })
}

/** `attr[filter]`: `add` merges into the matches, `replace` puts the value in their place. */
function patchMatches(
  elements: readonly unknown[],
  { op, text, value }: PatchOperation,
  attribute: Attribute,
  filter: Filter,
  context: ValueReader,
): unknown[] {
  const isMatch = matcher(filter)
  const given = readElement(attribute, value, context) as Json | undefined
  if (op === 'remove' || (op === 'replace' && given === undefined)) return elements.filter((each) => !isMatch(each))
  if (given === undefined) return [...elements]
  const stamp = stampOf(filter) ?? {}
  if (!elements.some(isMatch)) {
    if (op === 'replace' || context.strict) throw noTarget(text)
    return settle([...elements, { ...stamp, ...given }], new Set([elements.length]), attribute, context)
  }
  const written = new Set<number>()
  const after = elements.map((each, at) => {
    if (!isMatch(each)) return each
    written.add(at)
    return op === 'add' ? { ...(each as Json), ...given } : { ...stamp, ...given }
  })
  return settle(after, written, attribute, context)
}

/**
 * `attr[filter].sub`, and `attr.sub` for every element. Where nothing matches, the element is made with what the filter
 * says of it: Entra sets `emails[type eq "work"].value` of users who have none, and retries a refusal for ever.
 */
function patchParts(
  elements: readonly unknown[],
  { op, text, value }: PatchOperation,
  attribute: Attribute,
  sub: Attribute,
  filter: Filter | undefined,
  context: ValueReader,
): unknown[] {
  const isMatch = filter ? matcher(filter) : isObject
  const part = op === 'remove' ? undefined : readValue(sub, value, context, `${attribute.name}.${sub.name}`)
  const isThere = elements.some(isMatch)
  if (part === undefined) {
    return elements.flatMap((each) => (isMatch(each) ? without(each as Json, sub.name) : [each]))
  }
  if (!isThere) {
    const stamp = filter ? stampOf(filter) : {}
    if (!stamp || (context.strict && filter)) throw noTarget(text)
    return settle([...elements, { ...stamp, [sub.name]: part }], new Set([elements.length]), attribute, context)
  }
  const written = new Set<number>()
  const after = elements.map((each, at) => {
    if (!isMatch(each)) return each
    written.add(at)
    return { ...(each as Json), [sub.name]: part }
  })
  return settle(after, written, attribute, context)
}

/** An element of which nothing but labels is left is no value any more. */
function without(element: Json, name: string): Json[] {
  const { [name]: _gone, ...rest } = element
  return Object.keys(rest).some((each) => each !== 'type' && each !== 'primary' && each !== 'display') ? [rest] : []
}

/** `written`: the places of what the operation wrote, of which at most one may be primary where that is strict. */
function settle(
  elements: readonly unknown[],
  written: ReadonlySet<number>,
  { name }: Attribute,
  { strict }: ValueReader,
): unknown[] {
  const copies = elements.map((each) => (isObject(each) ? { ...each } : each))
  if (strict)
    requireOnePrimary(
      copies.filter((_each, at) => written.has(at)),
      name,
    )
  keepOnePrimary(copies, written)
  return copies
}

function matcher(filter: Filter): (element: unknown) => boolean {
  return (element) => isObject(element) && matches(filter, element)
}

/** What a plain conjunction of `eq` says an element is; undefined for any other filter. */
export function stampOf(filter: Filter): Json | undefined {
  if (filter.kind === 'compare' && filter.op === 'eq' && filter.value !== null) {
    return { [filter.path.attribute.name]: filter.value }
  }
  if (filter.kind !== 'and') return undefined
  const stamps = filter.filters.map(stampOf)
  return stamps.every((each) => each !== undefined) ? Object.assign({}, ...stamps) : undefined
}

export function noTarget(text: string): ScimError {
  return new ScimError(400, 'noTarget', `${text} matches nothing`)
}
