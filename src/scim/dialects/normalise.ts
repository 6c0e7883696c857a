import { resolvePath } from '../../schemas/resolve.ts'
import type { ResourceType } from '../../schemas/schema.ts'
import { ScimError } from '../errors.ts'
import { isObject, isUnassigned, type Json, property, requireBody } from '../json.ts'
import { parsePath } from '../patch/path.ts'
import { coerceElement, coerceValue } from './coerce.ts'

/** Whose SCIM client speaks. The four vendors are given the union of their tolerances; `generic` is held to the RFC. */
export type Dialect = 'okta' | 'entra' | 'google' | 'ping' | 'generic'

/**
 * A POST or PUT body in the shapes of the RFC. Vendors list SCIM 1.x and Microsoft URNs in `schemas`, or none; a generic
 * client must name the resource's own (RFC 7643 §3).
 *
 * @throws ScimError 400
 */
export function normaliseResource(dialect: Dialect, resourceType: ResourceType, raw: unknown): Json {
  const body = requireBody(raw, 'invalidValue')
  if (dialect !== 'generic') return coerceKeys(resourceType, '', body)
  requireSchema(resourceType, property(body, 'schemas'))
  return body
}

/**
 * A PATCH body in the shapes of the RFC. Every value is coerced by what its path names, keys of an object without a path
 * included.
 *
 * @throws ScimError 400
 */
export function normalisePatch(dialect: Dialect, resourceType: ResourceType, raw: unknown): Json {
  const body = requireBody(raw, 'invalidPath')
  const operations = property(body, 'Operations')
  if (dialect === 'generic' || !Array.isArray(operations)) return body
  return {
    schemas: property(body, 'schemas'),
    Operations: operations.map((each) => (isObject(each) ? coerceOperation(resourceType, each) : each)),
  }
}

function requireSchema({ schema }: ResourceType, declared: unknown): void {
  if (!Array.isArray(declared) || declared.length === 0) {
    throw new ScimError(400, 'invalidSyntax', `schemas must list ${schema.id}`)
  }
  if (!declared.some((each) => typeof each === 'string' && each.toLowerCase() === schema.id.toLowerCase())) {
    throw new ScimError(400, 'invalidValue', `schemas must list ${schema.id}`)
  }
}

function coerceOperation(resourceType: ResourceType, operation: Json): Json {
  const op = property(operation, 'op')
  const path = property(operation, 'path')
  const value = property(operation, 'value')
  return {
    op,
    ...(path !== undefined && { path }),
    ...(value !== undefined && { value: coerceAt(resourceType, path, value) }),
  }
}

function coerceAt(resourceType: ResourceType, path: unknown, value: unknown): unknown {
  if (typeof path === 'string' && path.trim() !== '') return coerceKey(resourceType, path.trim(), value)
  return isObject(value) ? coerceKeys(resourceType, '', value) : value
}

function coerceKeys(resourceType: ResourceType, prefix: string, object: Json): Json {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key, coerceKey(resourceType, prefix + key, value)]),
  )
}

/** What is no path is left to the reader of the body, which knows whether that is a mistake. */
function coerceKey(resourceType: ResourceType, text: string, value: unknown): unknown {
  if (isUnassigned(value)) return value
  if (!text.includes('[')) return coerceNamed(resourceType, text, value)
  const target = attempt(() => parsePath(resourceType, text))
  if (target?.kind !== 'attribute') return value
  const { attribute, sub } = target.path
  return sub ? coerceValue(sub, value) : coerceElement(attribute, value)
}

function coerceNamed(resourceType: ResourceType, text: string, value: unknown): unknown {
  const resolved = resolvePath(resourceType, text)
  if (resolved?.kind === 'schema') {
    return isObject(value) ? coerceKeys(resourceType, `${resolved.schema.id}:`, value) : value
  }
  return resolved ? coerceValue(resolved.path.sub ?? resolved.path.attribute, value) : value
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof ScimError) return undefined
    throw error
  }
}
