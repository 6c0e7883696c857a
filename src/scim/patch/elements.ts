import type { Filter } from '../../filter/ast.ts'
import { matches } from '../../filter/evaluate.ts'
import type { AttributePath } from '../../schemas/resolve.ts'
import type { Attribute } from '../../schemas/schema.ts'
import { ScimError } from '../errors.ts'
import { isObject, isUnassigned, type Json } from '../json.ts'
import { keepOnePrimary, mergeElements, readElement, readValue, sameElement, type ValueReader } from '../values.ts'
import type { PatchOperation } from './parse.ts'

/** How strictly an operation on values that are not there is taken; see `PatchOptions`. */
export interface ElementContext extends ValueReader {
  readonly strict: boolean
}

/**
 * The elements of a multi-valued attribute after one operation (the table of RFC 7644 §3.5.2.1-3). `elements` is left
 * as it is.
 */
export function patchElements(
  elements: readonly unknown[],
  operation: PatchOperation,
  path: AttributePath,
  filter: Filter | undefined,
  context: ElementContext,
): unknown[] {
  if (path.sub) return patchParts(elements, operation, path.attribute, path.sub, filter, context)
  if (filter) return patchMatches(elements, operation, path.attribute, filter, context)
  return patchAll(elements, operation, path.attribute, context)
}

/** `remove` with a value removes what equals it (Entra's habit for members, met with other attributes too). */
function patchAll(
  elements: readonly unknown[],
  { op, value }: PatchOperation,
  attribute: Attribute,
  context: ElementContext,
): unknown[] {
  const list = Array.isArray(value) || isUnassigned(value) ? value : [value]
  const given = (readValue(attribute, list, context) ?? []) as unknown[]
  if (op === 'replace') return given
  if (op === 'add') return settle(mergeElements(elements, given), given)
  if (value === undefined || value === null) return []
  return elements.filter((each) => !given.some((gone) => isNamedBy(each, gone)))
}

/** `{"value": "x"}` names an element of any type with that value. */
function isNamedBy(element: unknown, named: unknown): boolean {
  if (!isObject(element) || !isObject(named) || 'type' in named) return sameElement(element, named)
  const { type: _type, ...rest } = element
  return sameElement(rest, named)
}

/** `attr[filter]`: `add` merges into the matches, `replace` puts the value in their place. */
function patchMatches(
  elements: readonly unknown[],
  { op, text, value }: PatchOperation,
  attribute: Attribute,
  filter: Filter,
  context: ElementContext,
): unknown[] {
  const isMatch = matcher(filter)
  const given = readElement(attribute, value, context) as Json | undefined
  if (op === 'remove' || (op === 'replace' && given === undefined)) return elements.filter((each) => !isMatch(each))
  if (given === undefined) return [...elements]
  const stamp = stampOf(filter) ?? {}
  if (!elements.some(isMatch)) {
    if (op === 'replace' || context.strict) throw noTarget(text)
    const created = { ...stamp, ...given }
    return settle([...elements, created], [created])
  }
  const written: Json[] = []
  const after = elements.map((each) => {
    if (!isMatch(each)) return each
    const element = op === 'add' ? { ...(each as Json), ...given } : { ...stamp, ...given }
    written.push(element)
    return element
  })
  return settle(after, written)
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
  context: ElementContext,
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
    const created = { ...stamp, [sub.name]: part }
    return settle([...elements, created], [created])
  }
  const written: Json[] = []
  const after = elements.map((each) => {
    if (!isMatch(each)) return each
    const element = { ...(each as Json), [sub.name]: part }
    written.push(element)
    return element
  })
  return settle(after, written)
}

/** An element of which nothing but labels is left is no value any more. */
function without(element: Json, name: string): Json[] {
  const { [name]: _gone, ...rest } = element
  return Object.keys(rest).some((each) => each !== 'type' && each !== 'primary' && each !== 'display') ? [rest] : []
}

function settle(elements: unknown[], written: readonly unknown[]): unknown[] {
  const copies = elements.map((each) => (isObject(each) ? { ...each } : each))
  const preferred = new Set(
    copies.filter((_each, at) => written.some((each) => isObject(each) && sameElement(each, elements[at]))),
  )
  keepOnePrimary(copies, preferred)
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
