import { findAttribute } from '../../schemas/resolve.ts'
import type { Attribute } from '../../schemas/schema.ts'
import { isObject, isUnassigned, type Json } from '../json.ts'
import { unpackRole } from './entra.ts'

/**
 * Brings a vendor's value to the shape that the schema gives the attribute: booleans out of `"True"`, a one-element list
 * round a single value unwrapped, a single value of a multi-valued attribute wrapped, a bare text put under `value`.
 * What fits none of these is returned as it is, for the strict reader to refuse.
 */
export function coerceValue(attribute: Attribute, value: unknown): unknown {
  if (isUnassigned(value)) return value
  if (!attribute.multiValued) return coerceElement(attribute, value)
  return (Array.isArray(value) ? value : [value]).map((each) => coerceElement(attribute, each))
}

/** As `coerceValue`, for one value of an attribute, multi-valued or not. */
export function coerceElement(attribute: Attribute, wrapped: unknown): unknown {
  const value = Array.isArray(wrapped) && wrapped.length === 1 ? wrapped[0] : wrapped
  if (attribute.type === 'boolean') return coerceBoolean(value)
  if (attribute.type !== 'complex') return value
  if (isObject(value)) return coerceParts(attribute, value)
  const holdsText = typeof value === 'string' && value !== '' && findAttribute(attribute.subAttributes, 'value')
  return holdsText ? coerceParts(attribute, { value }) : value
}

function coerceBoolean(value: unknown): unknown {
  const lowered = typeof value === 'string' ? value.trim().toLowerCase() : undefined
  return lowered === 'true' ? true : lowered === 'false' ? false : value
}

function coerceParts(attribute: Attribute, value: Json): Json {
  const parts = Object.entries(value).map(([key, each]) => {
    const sub = findAttribute(attribute.subAttributes, key)
    return sub ? [sub.name, coerceValue(sub, each)] : [key, each]
  })
  const element = Object.fromEntries(parts) as Json
  return attribute.name === 'roles' || attribute.name === 'entitlements' ? unpackRole(element) : element
}
