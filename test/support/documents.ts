import fc from 'fast-check'
import type { Attribute, ResourceType } from '../../src/schemas/schema.ts'

/**
 * Few texts, so that values often meet: other cases, other alphabets, one above the surrogates, some that fold to one
 * another or to more, and what a pattern, JSON or a filter would have to escape.
 */
export const texts = [
  ...['a', 'A', 'ab', 'B', 'b', 'ä', 'a\u0308', 'Z', 'z', '10', '9', 'İ', 'Straße', 'STRASSE', 'ﬁ', 'fi', 'ΑΣ', 'ας'],
  ...['\uFFFD', '\u{1F600}', '50%_\\', '\\', '"q"', 'R&D (EU) [x] "q" \\ \n', ' ', 'true', 'null'],
]
const text = fc.constantFrom(...texts)

/** Documents of the type as they are stored: any attribute that a client may set, many of them absent. */
export function documents(type: ResourceType): fc.Arbitrary<Record<string, unknown>> {
  const extensions = type.extensions.map(({ schema }) => [schema.id, optional(record(schema.attributes))] as const)
  return fc
    .tuple(record(type.schema.attributes), fc.record(Object.fromEntries(extensions)))
    .map(([core, extended]) => JSON.parse(JSON.stringify({ ...core, ...extended })))
}

function record(attributes: readonly Attribute[]): fc.Arbitrary<Record<string, unknown>> {
  const writable = attributes.filter(({ name, mutability }) => mutability === 'readWrite' && name !== 'members')
  return fc.record(Object.fromEntries(writable.map((each) => [each.name, optional(value(each))])))
}

function value(attribute: Attribute): fc.Arbitrary<unknown> {
  if (!attribute.multiValued) return one(attribute)
  return fc
    .tuple(fc.array(one(attribute), { maxLength: 3 }), fc.nat({ max: 3 }))
    .map(([values, primary]) =>
      values.map((each, place) => ({ ...(each as object), primary: place === primary ? true : undefined })),
    )
}

function one(attribute: Attribute): fc.Arbitrary<unknown> {
  if (attribute.subAttributes) return record(attribute.subAttributes)
  return attribute.type === 'boolean' ? fc.boolean() : text
}

function optional<T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(values, { nil: undefined, freq: 2 })
}
