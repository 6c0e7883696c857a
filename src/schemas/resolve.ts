import { commonAttributes } from './common.ts'
import type { Attribute, ResourceType, Schema } from './schema.ts'

/** A resolved attribute. `urn` is set, in the schema's own spelling, for attributes that live under an extension. */
export interface AttributePath {
  readonly urn?: string
  readonly attribute: Attribute
  readonly sub?: Attribute
}

export type Resolved =
  | { readonly kind: 'attribute'; readonly path: AttributePath }
  | { readonly kind: 'schema'; readonly schema: Schema; readonly extension: boolean }

/** Spellings seen in the wild for a schema that has another URN: vendor documentation typos and SCIM 1.x. */
const aliases: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User',
    ['urn:ietf:params:scim:schemas:extension:enterprise:2.0User', 'urn:scim:schemas:extension:enterprise:1.0'],
  ],
])

const indexes = new WeakMap<readonly Attribute[], ReadonlyMap<string, Attribute>>()

/** Attribute names are compared without case (RFC 7643 §2.1). */
export function findAttribute(attributes: readonly Attribute[] | undefined, name: string): Attribute | undefined {
  if (!attributes) return undefined
  let index = indexes.get(attributes)
  if (!index) {
    index = new Map(attributes.map((each) => [each.name.toLowerCase(), each]))
    indexes.set(attributes, index)
  }
  return index.get(name.toLowerCase())
}

/**
 * What a textual path names: `attr`, `attr.sub`, `URN:attr[.sub]`, or a bare URN. URNs hold dots and colons themselves,
 * so they are matched against the registry, longest first, without case. A bare name that the core schema lacks is looked
 * up in the extensions (Entra's `manager eq "…"`), and `URN.attr` means `URN:attr` (Microsoft's samples); neither of a
 * strict type (RFC 7644 §3.10).
 */
export function resolvePath(resourceType: ResourceType, text: string): Resolved | undefined {
  const known = findUrn(resourceType, text)
  if (known && known.rest === '') return { kind: 'schema', schema: known.schema, extension: known.extension }
  if (known?.separator === '.' && resourceType.strict) return undefined
  if (known) {
    const attributes = known.extension ? known.schema.attributes : undefined
    const path = attributes ? pathIn(attributes, known.rest, known.schema.id) : corePath(resourceType, known.rest)
    return path && { kind: 'attribute', path }
  }
  const path = corePath(resourceType, text) ?? (resourceType.strict ? undefined : extensionPath(resourceType, text))
  return path && { kind: 'attribute', path }
}

/** Whether the text begins with the URN of a schema of the type, so that what it names there is in that schema or in none. */
export function isOfKnownSchema(resourceType: ResourceType, text: string): boolean {
  return findUrn(resourceType, text) !== undefined
}

function extensionPath({ extensions }: ResourceType, text: string): AttributePath | undefined {
  return extensions.map(({ schema }) => pathIn(schema.attributes, text, schema.id)).find((found) => found !== undefined)
}

function corePath(resourceType: ResourceType, text: string): AttributePath | undefined {
  return pathIn(resourceType.schema.attributes, text) ?? pathIn(commonAttributes, text)
}

function pathIn(attributes: readonly Attribute[], text: string, urn?: string): AttributePath | undefined {
  const [name = '', subName, ...more] = text.split('.')
  const attribute = findAttribute(attributes, name)
  if (!attribute || more.length > 0) return undefined
  const base = urn === undefined ? { attribute } : { urn, attribute }
  if (subName === undefined) return base
  const sub = findAttribute(attribute.subAttributes, subName)
  return sub && { ...base, sub }
}

interface KnownUrn {
  schema: Schema
  extension: boolean
  separator: string | undefined
  rest: string
}

function findUrn(resourceType: ResourceType, text: string): KnownUrn | undefined {
  const lowered = text.toLowerCase()
  if (!lowered.startsWith('urn:')) return undefined
  for (const { spelling, schema, extension } of spellingsOf(resourceType)) {
    if (!lowered.startsWith(spelling)) continue
    const separator = text[spelling.length]
    if (separator === undefined || separator === ':' || separator === '.') {
      return { schema, extension, separator, rest: text.slice(spelling.length + 1) }
    }
  }
  return undefined
}

const spellings = new WeakMap<ResourceType, { spelling: string; schema: Schema; extension: boolean }[]>()

function spellingsOf(resourceType: ResourceType) {
  let known = spellings.get(resourceType)
  if (!known) {
    known = [
      { schema: resourceType.schema, extension: false },
      ...resourceType.extensions.map(({ schema }) => ({ schema, extension: true })),
    ]
      .flatMap((entry) => urnsOf(entry.schema, resourceType).map((urn) => ({ ...entry, spelling: urn.toLowerCase() })))
      .sort((a, b) => b.spelling.length - a.spelling.length)
    spellings.set(resourceType, known)
  }
  return known
}

function urnsOf({ id }: Schema, { strict }: ResourceType): string[] {
  return strict ? [id] : [id, ...(aliases.get(id) ?? [])]
}
