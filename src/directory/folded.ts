import { fold } from '../fold.ts'
import { findAttribute } from '../schemas/resolve.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'

type Json = Record<string, unknown>

/**
 * The document as it is compared: every text of an attribute whose case does not count is folded, a time is in UTC to
 * the millisecond, names and everything under an unknown URN stay as they are. Kept beside the document, so that filters
 * and `matches` agree on who equals whom.
 */
export function foldDocument(resourceType: ResourceType, document: Readonly<Json>): Json {
  const extensions = new Map(resourceType.extensions.map(({ schema }) => [schema.id, schema.attributes]))
  return Object.fromEntries(
    Object.entries(document).map(([key, value]) => {
      const extension = extensions.get(key)
      const attribute = findAttribute(resourceType.schema.attributes, key)
      if (extension) return [key, foldParts(extension, value)]
      return [key, attribute ? foldValue(attribute, value) : value]
    }),
  )
}

function foldValue(attribute: Attribute, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => foldValue(attribute, each))
  if (attribute.subAttributes) return foldParts(attribute.subAttributes, value)
  if (typeof value === 'string' && attribute.type === 'dateTime') return foldTime(value)
  const isText = attribute.type === 'string' || attribute.type === 'reference'
  return typeof value === 'string' && isText && !attribute.caseExact ? fold(value) : value
}

function foldParts(attributes: readonly Attribute[], value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      const attribute = findAttribute(attributes, key)
      return [key, attribute ? foldValue(attribute, each) : each]
    }),
  )
}

/** As text in the order of time: of years 0 to 9999, which is what RFC 7643 §2.3.5 can write. */
export function foldTime(value: string): string {
  return new Date(value).toISOString()
}
