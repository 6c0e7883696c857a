import { isStorable } from '../filter/lex.ts'
import { ScimError, type ScimType } from './errors.ts'
import { deepestJson } from './limits.ts'

/** A JSON object as a client sent it or as a resource is kept. */
export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Null, absent, `""` and `[]` all mean "unassigned" (RFC 7643 §2.5; Okta's OIN plan pushes empty strings). */
export function isUnassigned(value: unknown): value is null | undefined | '' | [] {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

/** The value under a key in any case: Microsoft's own tests send `Operations`, `operations`, `UserName`. */
export function property(object: Json, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name]
  const wanted = name.toLowerCase()
  const key = Object.keys(object).find((each) => each.toLowerCase() === wanted)
  return key === undefined ? undefined : object[key]
}

const forbidden = new Set(['__proto__', 'constructor', 'prototype'])

/** Whether a name would reach an object's machinery instead of its data. */
export function isForbiddenName(name: string): boolean {
  return forbidden.has(name.toLowerCase())
}

/** The body as an object none of whose keys, however deep, can reach a prototype, and whose texts Postgres can hold. */
export function requireBody(body: unknown, scimType: ScimType): Json {
  if (!isObject(body)) throw new ScimError(400, 'invalidSyntax', 'The body must be a JSON object')
  screen(body, scimType, 0)
  return body
}

function screen(value: unknown, scimType: ScimType, depth: number): void {
  if (typeof value === 'string') requireStorable(value)
  if (typeof value !== 'object' || value === null) return
  if (depth > deepestJson) throw new ScimError(400, 'invalidSyntax', `The body nests more than ${deepestJson} deep`)
  if (Array.isArray(value)) {
    for (const each of value) screen(each, scimType, depth + 1)
    return
  }
  for (const [key, each] of Object.entries(value)) {
    if (isForbiddenName(key)) throw new ScimError(400, scimType, `"${key}" is not an attribute name`)
    requireStorable(key)
    screen(each, scimType, depth + 1)
  }
}

function requireStorable(text: string): void {
  if (isStorable(text)) return
  throw new ScimError(400, 'invalidValue', 'A text holds a NUL character or half of a surrogate pair')
}
