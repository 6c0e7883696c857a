import type { ResourceType } from '../../schemas/schema.ts'
import { ScimError } from '../errors.ts'
import { isName } from '../foreign.ts'
import { isObject, type Json, property, requireBody } from '../json.ts'
import { mostValues } from '../limits.ts'
import { parsePath, type Target } from './path.ts'

export type Op = 'add' | 'replace' | 'remove'

/** One operation on one target. `text` is the path as written; `implied` that it was a key of an object without a path. */
export interface PatchOperation {
  readonly op: Op
  readonly text: string
  readonly target: Target
  readonly value?: unknown
  readonly implied: boolean
}

export const patchOpSchema = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'

/**
 * Reads a PATCH body (RFC 7644 §3.5.2). An object without a path becomes one operation per key, whatever form of path
 * the key has: Entra sends dotted names, flat URNs and value paths as keys. Entra also sends an empty `Operations`, a
 * top-level `id` and a `name` beside `op`: nothing to do, and ignored. Of a strict type the keys are names, there is an
 * operation, and `remove` has no value, which RFC 7644 §3.5.2.2 gives no meaning.
 *
 * @throws ScimError 400, or 413 for too many
 */
export function parsePatch(body: unknown, resourceType: ResourceType): PatchOperation[] {
  const message = requireBody(body, 'invalidPath')
  const schemas = property(message, 'schemas')
  const declared = Array.isArray(schemas) ? schemas : [schemas]
  if (!declared.some((each) => typeof each === 'string' && each.toLowerCase() === patchOpSchema.toLowerCase())) {
    throw new ScimError(400, 'invalidSyntax', `schemas must contain ${patchOpSchema}`)
  }
  const operations = property(message, 'Operations')
  if (!Array.isArray(operations)) throw new ScimError(400, 'invalidSyntax', 'Operations must be a list')
  if (resourceType.strict && operations.length === 0)
    throw new ScimError(400, 'invalidSyntax', 'Operations must not be empty')
  const parsed = operations.flatMap((operation) => parseOperation(operation, resourceType))
  const values = parsed.reduce((sum, operation) => sum + valuesOf(operation), 0)
  if (values > mostValues)
    throw new ScimError(413, undefined, `A PATCH may bring at most ${mostValues} values, members aside`)
  return parsed
}

function valuesOf({ target, value }: PatchOperation): number {
  if (target.kind === 'attribute' && target.path.attribute.name === 'members') return 0
  return Array.isArray(value) ? Math.max(1, value.length) : 1
}

function parseOperation(raw: unknown, resourceType: ResourceType): PatchOperation[] {
  if (!isObject(raw)) throw new ScimError(400, 'invalidSyntax', 'Each of Operations must be an object')
  const op = readOp(property(raw, 'op'))
  const path = property(raw, 'path') ?? ''
  if (typeof path !== 'string') throw new ScimError(400, 'invalidPath', 'path must be a text')
  const value = property(raw, 'value')
  if (op !== 'remove' && value === undefined) {
    throw new ScimError(400, 'invalidValue', `"${op}" needs a value`)
  }
  if (resourceType.strict && op === 'remove' && value !== undefined && value !== null) {
    throw new ScimError(400, 'invalidValue', '"remove" has no value: a filter in its path says which values to remove')
  }
  const text = path.trim()
  if (text !== '') return expand(op, text, parsePath(resourceType, text), value, resourceType, false)
  if (op === 'remove') throw new ScimError(400, 'noTarget', '"remove" needs a path')
  if (!isObject(value)) throw new ScimError(400, 'invalidValue', `"${op}" without a path needs an object as its value`)
  return expandKeys(op, '', value, resourceType)
}

function readOp(raw: unknown): Op {
  const op = typeof raw === 'string' ? raw.toLowerCase() : ''
  if (op === 'add' || op === 'replace' || op === 'remove') return op
  throw new ScimError(400, 'invalidSyntax', 'op must be "add", "replace" or "remove"')
}

function expandKeys(op: Op, prefix: string, value: Json, resourceType: ResourceType): PatchOperation[] {
  return Object.entries(value).flatMap(([key, each]) => {
    const text = prefix + key
    const target = parseKey(resourceType, text)
    const isPath = resourceType.strict && target.kind === 'attribute' && !isName(key)
    return expand(op, text, isPath ? { kind: 'unknown' } : target, each, resourceType, true)
  })
}

/** An object under a schema's bare URN is one operation per attribute in it. */
function expand(
  op: Op,
  text: string,
  target: Target,
  value: unknown,
  resourceType: ResourceType,
  implied: boolean,
): PatchOperation[] {
  if (target.kind === 'schema' && isObject(value)) return expandKeys(op, `${target.schema.id}:`, value, resourceType)
  return [{ op, text, target, value, implied }]
}

/** A key that cannot be a path is an attribute that no schema knows, and must not fail the operations beside it. */
function parseKey(resourceType: ResourceType, text: string): Target {
  try {
    return parsePath(resourceType, text)
  } catch (error) {
    if (error instanceof ScimError && error.scimType === 'invalidPath') return { kind: 'unknown' }
    throw error
  }
}
