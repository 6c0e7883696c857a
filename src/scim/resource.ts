import { isDeepStrictEqual } from 'node:util'
import { isOfKnownSchema, type Resolved, resolvePath } from '../schemas/resolve.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import { foreignPathIn, isName, isUrn } from './foreign.ts'
import { isObject, isUnassigned, type Json, requireBody } from './json.ts'
import { type Member, readMembers } from './members.ts'
import { readElement, readValue, type ValueReader } from './values.ts'

/**
 * What a POST or PUT body says. `document` has canonical names and holds no id, meta, schemas, groups, members or
 * password; `members` is there when the body names them, `statesActive` when it itself gives `active` a value;
 * `unknown` lists the names that no schema has.
 */
export interface ReadResource {
  readonly document: Json
  readonly members?: readonly Member[]
  readonly statesActive?: boolean
  readonly unknown: readonly string[]
}

/**
 * Reads the body of a POST (RFC 7644 §3.3), which the dialect's normaliser has seen. A User that does not say is active.
 *
 * @throws ScimError 400 `invalidValue` for a wrong type or a missing required attribute
 */
export function readResource(resourceType: ResourceType, body: unknown): ReadResource {
  const read = readBody(resourceType, body)
  const { document } = read
  if (resourceType.name === 'User' && document.active === undefined) document.active = true
  return read
}

/**
 * Reads the body of a PUT (RFC 7644 §3.5.1) over what is stored. Absent profile attributes are cleared; an absent
 * `active` or `externalId` stays, since a partial PUT must neither lock anyone out or in nor lose the match; absent
 * members are left alone.
 */
export function replaceDocument(
  resourceType: ResourceType,
  current: Readonly<Json>,
  body: unknown,
): ReadResource & { readonly changed: boolean } {
  const read = keep(readBody(resourceType, body), current, ['active', 'externalId'])
  return { ...read, changed: !isDeepStrictEqual(read.document, current) }
}

/**
 * What the body of a POST makes of an inactive resource of the same name, in a directory that takes such back: what a
 * PUT would, and active unless it says otherwise.
 */
export function recreateDocument(read: ReadResource, current: Readonly<Json>): ReadResource {
  return keep(read, current, ['externalId'])
}

function keep(read: ReadResource, current: Readonly<Json>, names: readonly string[]): ReadResource {
  const absent = names.filter((name) => read.document[name] === undefined && current[name] !== undefined)
  return { ...read, document: { ...read.document, ...Object.fromEntries(absent.map((name) => [name, current[name]])) } }
}

/** The `schemas` of a resource: its own, and those of which it holds data (RFC 7643 §3.3). */
export function schemasOf(resourceType: ResourceType, document: Readonly<Json>): string[] {
  return [resourceType.schema.id, ...Object.keys(document).filter(isUrn)]
}

interface Draft extends ValueReader {
  readonly resourceType: ResourceType
  readonly document: Json
  members?: readonly Member[]
}

function readBody(resourceType: ResourceType, raw: unknown): ReadResource {
  const body = requireBody(raw, 'invalidValue')
  const draft: Draft = { resourceType, document: {}, unknown: new Set(), strict: resourceType.strict ?? false }
  for (const [key, value] of Object.entries(body)) readKey(draft, key, value)
  requireAttributes(resourceType, draft.document)
  const { document, members } = draft
  return {
    document,
    ...(members && { members }),
    ...(typeof document.active === 'boolean' && { statesActive: document.active }),
    unknown: [...draft.unknown],
  }
}

/** `name`: of the key alone, without the URN that it stands under. Of a strict type it is no path. */
function readKey(draft: Draft, key: string, value: unknown, name = key): void {
  const resolved = resolvePath(draft.resourceType, key)
  if (resolved?.kind === 'schema') readSchema(draft, resolved, key, value)
  else if (resolved && draft.strict && !isName(name)) draft.unknown.add(key)
  else if (resolved) assign(draft, resolved, value)
  else readForeign(draft, key, value)
}

function readForeign(draft: Draft, key: string, value: unknown): void {
  const isForeign = !isOfKnownSchema(draft.resourceType, key)
  const foreign = isForeign ? foreignPathIn(draft.document, key, value) : undefined
  if (!foreign) {
    draft.unknown.add(key)
  } else if (!isUnassigned(value)) {
    const { urn, attribute } = foreign
    if (attribute === undefined) draft.document[urn] = structuredClone(value)
    else containerOf(draft.document, urn)[attribute] = structuredClone(value)
  }
}

function readSchema(draft: Draft, { schema }: Resolved & { kind: 'schema' }, key: string, value: unknown): void {
  if (isUnassigned(value)) return
  if (!isObject(value)) throw new ScimError(400, 'invalidValue', `${key} must be an object`)
  for (const [name, each] of Object.entries(value)) readKey(draft, `${schema.id}:${name}`, each, name)
}

function assign(draft: Draft, { path }: Resolved & { kind: 'attribute' }, value: unknown): void {
  const { urn, attribute, sub } = path
  if (attribute.name === 'members') {
    if (sub) draft.unknown.add(`members.${sub.name}`)
    else draft.members = readMembers(value, draft.strict)
    return
  }
  if (isIgnored(attribute) || (sub && isIgnored(sub))) return
  const read = sub ? readElement(attribute, { [sub.name]: value }, draft) : readValue(attribute, value, draft)
  if (read === undefined) return
  const container = urn === undefined ? draft.document : containerOf(draft.document, urn)
  const before = container[attribute.name]
  container[attribute.name] = isObject(before) && isObject(read) ? { ...before, ...read } : read
}

/** What a client may send and never sets (RFC 7643 §2.2): Okta PUTs `id`, `meta` and `groups` back, and random passwords. */
export function isIgnored({ mutability }: Attribute): boolean {
  return mutability === 'readOnly' || mutability === 'writeOnly'
}

function containerOf(document: Json, urn: string): Json {
  const container = document[urn]
  if (isObject(container)) return container
  const created: Json = {}
  document[urn] = created
  return created
}

/** @throws ScimError 400 `invalidValue` when a required attribute has no value */
export function requireAttributes({ schema }: ResourceType, document: Readonly<Json>): void {
  const missing = schema.attributes.find(({ name, required }) => required && isUnassigned(document[name]))
  if (missing) throw new ScimError(400, 'invalidValue', `${missing.name} is required`)
}
