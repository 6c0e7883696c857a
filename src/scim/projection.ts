import { findAttribute, resolvePath } from '../schemas/resolve.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import { isObject, type Json } from './json.ts'
import { mostNames } from './limits.ts'

/** Which attributes an answer carries (RFC 7644 §3.9). Names are as the client wrote them, value filters cut off. */
export interface Projection {
  readonly mode: 'default' | 'only' | 'except'
  readonly names: readonly string[]
}

/**
 * Reads `attributes` and `excludedAttributes`: comma lists in a URL, arrays in a `.search` body. Microsoft's samples ask
 * for `emails[type eq "work"]`, which is taken as `emails`.
 *
 * @throws ScimError 400 `invalidValue` when both are given, or too many names
 */
export function parseProjection(query: Readonly<Record<string, unknown>>): Projection {
  const only = readNames(query.attributes)
  const except = readNames(query.excludedAttributes)
  if (only.length > 0 && except.length > 0) {
    throw new ScimError(400, 'invalidValue', 'attributes and excludedAttributes cannot be given together')
  }
  if (only.length + except.length > mostNames)
    throw new ScimError(400, 'invalidValue', `A query may name at most ${mostNames} attributes`)
  if (only.length > 0) return { mode: 'only', names: only }
  return except.length > 0 ? { mode: 'except', names: except } : { mode: 'default', names: [] }
}

/** The part of `resource` that is answered: `returned: always` in any case, `never` in none, `request` when named. */
export function project(resourceType: ResourceType, resource: Readonly<Json>, projection: Projection): Json {
  const named = new Named(resourceType, projection.names)
  const answer: Json = {}
  for (const [key, value] of Object.entries(resource)) {
    const resolved = resolvePath(resourceType, key)
    if (resolved?.kind === 'attribute') {
      set(answer, key, projectAttribute(resolved.path.attribute, value, projection, named, ''))
    } else if (isObject(value)) {
      const attributes = resolved?.kind === 'schema' ? resolved.schema.attributes : undefined
      set(answer, key, projectExtension(key, attributes, value, projection, named))
    }
  }
  return answer
}

/** Whether an attribute can be in the answer at all: what cannot, such as excluded `members`, need not be read. */
export function includesAttribute(resourceType: ResourceType, projection: Projection, name: string): boolean {
  const named = new Named(resourceType, projection.names)
  if (projection.mode === 'only') return named.touches(name)
  return projection.mode === 'default' || !named.has(name)
}

/** Names resolved to canonical lower-case keys: `emails`, `emails.value`, `urn…:user`, `urn…:user:manager.value`. */
class Named {
  readonly #keys: ReadonlySet<string>

  constructor(resourceType: ResourceType, names: readonly string[]) {
    this.#keys = new Set(names.flatMap((name) => keysOf(resourceType, name)))
  }

  has(key: string): boolean {
    return this.#keys.has(key.toLowerCase())
  }

  /** The thing itself or a part of it. */
  touches(key: string): boolean {
    const lowered = key.toLowerCase()
    return (
      this.has(lowered) ||
      [...this.#keys].some((each) => each.startsWith(`${lowered}.`) || each.startsWith(`${lowered}:`))
    )
  }
}

function keysOf(resourceType: ResourceType, name: string): string[] {
  const resolved = resolvePath(resourceType, name)
  if (!resolved) return [name.toLowerCase()]
  if (resolved.kind === 'schema') {
    const { schema, extension } = resolved
    return extension ? [schema.id.toLowerCase()] : schema.attributes.map((each) => each.name.toLowerCase())
  }
  const { urn, attribute, sub } = resolved.path
  const prefix = urn === undefined ? '' : `${urn}:`
  return [`${prefix}${attribute.name}${sub ? `.${sub.name}` : ''}`.toLowerCase()]
}

function projectExtension(
  urn: string,
  attributes: readonly Attribute[] | undefined,
  data: Json,
  projection: Projection,
  named: Named,
): unknown {
  if (projection.mode === 'default' || named.has(urn)) return projection.mode === 'except' ? undefined : data
  const answer: Json = {}
  for (const [key, value] of Object.entries(data)) {
    const attribute = findAttribute(attributes, key)
    const path = `${urn}:${key}`
    if (attribute) set(answer, key, projectAttribute(attribute, value, projection, named, `${urn}:`))
    else if (named.has(path) === (projection.mode === 'only')) answer[key] = value
  }
  return Object.keys(answer).length > 0 ? answer : undefined
}

function projectAttribute(
  attribute: Attribute,
  value: unknown,
  projection: Projection,
  named: Named,
  prefix: string,
): unknown {
  const path = prefix + attribute.name
  if (attribute.returned === 'never') return undefined
  if (attribute.returned === 'always') return value
  if (projection.mode === 'only')
    return named.has(path) ? value : parts(attribute, value, (sub) => named.has(`${path}.${sub}`))
  if (attribute.returned === 'request') return undefined
  if (projection.mode === 'except' && named.has(path)) return undefined
  return named.touches(path) ? parts(attribute, value, (sub) => !named.has(`${path}.${sub}`)) : value
}

/** The sub-attributes that are wanted, of each value; undefined when nothing is left. */
function parts(attribute: Attribute, value: unknown, wanted: (sub: string) => boolean): unknown {
  if (!attribute.subAttributes) return undefined
  const pick = (each: unknown): Json =>
    isObject(each) ? Object.fromEntries(Object.entries(each).filter(([key]) => wanted(key))) : {}
  const picked = (Array.isArray(value) ? value : [value]).map(pick).filter((each) => Object.keys(each).length > 0)
  if (picked.length === 0) return undefined
  return Array.isArray(value) ? picked : picked[0]
}

function set(target: Json, key: string, value: unknown): void {
  if (value !== undefined) target[key] = value
}

function readNames(raw: unknown): string[] {
  const texts = (Array.isArray(raw) ? raw : [raw]).filter((each) => typeof each === 'string')
  return texts
    .flatMap((text) => text.replace(/\[[^[\]]*\]/g, '').split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
