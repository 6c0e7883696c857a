import type { Filter } from '../../filter/ast.ts'
import { FilterError, UnknownAttributeError } from '../../filter/errors.ts'
import { endOfString } from '../../filter/lex.ts'
import { parseElementFilter } from '../../filter/parse.ts'
import { type AttributePath, findAttribute, isOfKnownSchema, resolvePath } from '../../schemas/resolve.ts'
import type { Attribute, ResourceType, Schema } from '../../schemas/schema.ts'
import { ScimError, toScimError } from '../errors.ts'
import { isUrn } from '../foreign.ts'
import { isForbiddenName } from '../json.ts'

/**
 * What an operation is about. `foreign` is under a URN that no schema has; `unknown` is well-formed and in no schema:
 * the whole of it, or the `name` in its filter.
 */
export type Target =
  | { readonly kind: 'attribute'; readonly path: AttributePath; readonly filter?: Filter }
  | { readonly kind: 'schema'; readonly schema: Schema; readonly extension: boolean }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'unknown'; readonly name?: string }

const NAMES = /^[A-Za-z$_][\w$-]*(?:\.[A-Za-z$_][\w$-]*)?$/
const SUB = /^\.([A-Za-z$_][\w$-]*)$/

/**
 * `attr`, `attr.sub`, `URN:attr[.sub]`, `attr[filter]`, `attr[filter].sub` or a bare extension URN (RFC 7644 §3.5.2).
 *
 * @throws ScimError 400 `invalidPath` for bad syntax, 400 `invalidFilter` for a bad filter in brackets
 */
export function parsePath(resourceType: ResourceType, text: string): Target {
  const opening = text.indexOf('[')
  const head = opening === -1 ? text : text.slice(0, opening)
  if (head.split(/[.:]/).some(isForbiddenName)) throw invalidPath(text)
  if (!NAMES.test(head) && !isUrn(head)) throw invalidPath(text)
  const resolved = resolvePath(resourceType, head)
  const path = resolved?.kind === 'attribute' ? resolved.path : undefined
  if (opening !== -1) return parseValuePath(text, opening, path, resourceType.strict)
  return resolved ?? { kind: isUrn(head) && !isOfKnownSchema(resourceType, head) ? 'foreign' : 'unknown' }
}

function parseValuePath(text: string, opening: number, path: AttributePath | undefined, strict = false): Target {
  const closing = closingBracket(text, opening)
  const rest = text.slice(closing + 1)
  const subName = SUB.exec(rest)?.[1]
  if ((rest !== '' && subName === undefined) || path?.sub) throw invalidPath(text)
  if (!path) return { kind: 'unknown' }
  const { attribute } = path
  if (!attribute.subAttributes || (strict && !attribute.multiValued)) throw invalidPath(text)
  const filter = readElementFilter(text.slice(opening + 1, closing), attribute, strict)
  if (typeof filter === 'string') return { kind: 'unknown', name: `${attribute.name}.${filter}` }
  if (subName === undefined) return { kind: 'attribute', path, filter }
  const sub = findAttribute(attribute.subAttributes, subName)
  return sub ? { kind: 'attribute', path: { ...path, sub }, filter } : { kind: 'unknown' }
}

/**
 * Whether a path that leads nowhere begins with an attribute that access hangs on, as `members[value eq "m"].x` does:
 * to pass over it would keep somebody in.
 */
export function decidesAccess(resourceType: ResourceType, text: string): boolean {
  const head = text.split('[', 1)[0]!
  const name = head.lastIndexOf(':') + 1
  const end = head.indexOf('.', name)
  const resolved = resolvePath(resourceType, end === -1 ? head : head.slice(0, end))
  const found = resolved?.kind === 'attribute' ? resolved.path.attribute.name : undefined
  return found === 'active' || found === 'members'
}

/**
 * The filter, or the name in it that no schema has. Whom to take out of a group must be understood: there it is refused.
 *
 * @throws ScimError 400 `invalidFilter`
 */
function readElementFilter(text: string, attribute: Attribute, strict: boolean): Filter | string {
  return filtering(() => {
    try {
      return parseElementFilter(text, attribute, strict)
    } catch (error) {
      if (error instanceof UnknownAttributeError && attribute.name !== 'members') return error.attribute
      throw error
    }
  })
}

function closingBracket(text: string, opening: number): number {
  for (let at = opening + 1; at < text.length; at += 1) {
    if (text[at] === '"') at = filtering(() => endOfString(text, at)) - 1
    else if (text[at] === ']') return at
  }
  throw invalidPath(text)
}

function filtering<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof FilterError ? (toScimError(error) ?? error) : error
  }
}

export function invalidPath(text: string): ScimError {
  return new ScimError(400, 'invalidPath', `${JSON.stringify(text.slice(0, 200))} is not a path`)
}
