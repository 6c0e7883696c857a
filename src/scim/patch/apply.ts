import { isDeepStrictEqual } from 'node:util'
import type { Filter } from '../../filter/ast.ts'
import { type AttributePath, findAttribute } from '../../schemas/resolve.ts'
import type { Attribute, ResourceType } from '../../schemas/schema.ts'
import { ScimError } from '../errors.ts'
import { isUrn } from '../foreign.ts'
import { isObject, isUnassigned, type Json, property } from '../json.ts'
import { readValue, type ValueReader, wrongType } from '../values.ts'
import { noTarget, patchElements } from './elements.ts'
import { patchForeign } from './foreign.ts'
import { MemberChanges, type MemberDelta } from './members.ts'
import type { PatchOperation } from './parse.ts'
import { decidesAccess, invalidPath } from './path.ts'

export interface PatchOptions {
  /** The resource's own id: to be given it changes nothing; to be given another is refused. */
  readonly id?: string
}

/**
 * `changed` is about the document; whether `members` change anything only their rows can tell. `statesActive` is the
 * last value that the operations themselves gave `active`, also if it had that value before. `unknown` lists names that
 * no schema has and that were therefore skipped.
 */
export interface PatchResult {
  readonly document: Json
  readonly changed: boolean
  readonly members?: MemberDelta
  readonly statesActive?: boolean
  readonly unknown: readonly string[]
}

/**
 * Applies the operations in order to a copy of `document`: all of them or, by throwing, none (RFC 7644 §3.5.2). Of a
 * strict type no element is made where a filter matches none, and an unknown path is `invalidPath`.
 *
 * @throws ScimError 400
 */
export function applyPatch(
  resourceType: ResourceType,
  document: Readonly<Json>,
  operations: readonly PatchOperation[],
  options: PatchOptions = {},
): PatchResult {
  const patch = new Patch(resourceType, structuredClone(document) as Json, options)
  for (const operation of operations) patch.apply(operation)
  return patch.finish(document)
}

class Patch implements ValueReader {
  readonly strict: boolean
  readonly unknown = new Set<string>()
  readonly #members: MemberChanges
  readonly #document: Json
  readonly #resourceType: ResourceType
  readonly #id: string | undefined
  #statesActive: boolean | undefined
  #passedOver: string | undefined
  #saysMore = false

  constructor(resourceType: ResourceType, document: Json, { id }: PatchOptions) {
    this.#resourceType = resourceType
    this.#document = document
    this.#id = id
    this.strict = resourceType.strict ?? false
    this.#members = new MemberChanges(this.strict)
  }

  apply(operation: PatchOperation): void {
    const { target, text, value } = operation
    if (target.kind === 'unknown') {
      if (this.strict || decidesAccess(this.#resourceType, text)) throw invalidPath(text)
      this.unknown.add(target.name ?? text)
      return
    }
    if (this.#isPassedOver(operation)) {
      this.#passedOver ??= text
      return
    }
    this.#saysMore = true
    if (target.kind === 'foreign') {
      patchForeign(this.#document, operation)
    } else if (target.kind === 'schema') {
      if (operation.op !== 'remove' && !isUnassigned(value)) throw wrongType(text, 'an object')
      if (!target.extension) throw new ScimError(400, 'mutability', `${text} cannot be removed`)
      delete this.#document[target.schema.id]
    } else if (target.path.attribute.name === 'members') {
      this.#members.apply(operation, target)
    } else if (this.#isWritable(operation, target.path)) {
      this.#applyTo(operation, target.path, target.filter)
    }
  }

  finish(before: Readonly<Json>): PatchResult {
    if (this.#passedOver !== undefined && !this.#saysMore) throw readOnly(this.#passedOver)
    for (const key of Object.keys(this.#document)) {
      if (isUrn(key) && isObject(this.#document[key]) && Object.keys(this.#document[key]).length === 0) {
        delete this.#document[key]
      }
    }
    const members = this.#members.delta
    return {
      document: this.#document,
      changed: !isDeepStrictEqual(this.#document, before),
      ...(members && { members }),
      ...(this.#statesActive !== undefined && { statesActive: this.#statesActive }),
      unknown: [...this.unknown],
    }
  }

  /** Read-only attributes that a client sends back beside what it changes, such as a deactivation: not another's id. */
  #isPassedOver({ implied, target, value }: PatchOperation): boolean {
    if (this.strict || !implied || target.kind !== 'attribute' || !isReadOnly(target.path)) return false
    return target.path.attribute.name !== 'id' || isUnassigned(value)
  }

  /** A password is taken and never kept; `schemas` follow from the data; Okta names the `id` in every rename of a group. */
  #isWritable({ text, value }: PatchOperation, path: AttributePath): boolean {
    const { attribute } = path
    if (attribute.mutability === 'writeOnly' || attribute.name === 'schemas') return false
    if (!isReadOnly(path)) return true
    if (attribute.name === 'id' && value === this.#id) return false
    throw readOnly(text)
  }

  #applyTo(operation: PatchOperation, path: AttributePath, filter: Filter | undefined): void {
    const { attribute } = path
    const container = path.urn === undefined ? this.#document : this.#extension(path.urn)
    const before = container[attribute.name]
    const after = attribute.multiValued
      ? patchElements(Array.isArray(before) ? before : [], operation, path, filter, this)
      : this.#patchSingle(before, operation, path, filter)
    if (!isUnassigned(after)) container[attribute.name] = after
    else if (this.#isRequired(attribute)) throw new ScimError(400, 'mutability', `${attribute.name} is required`)
    else delete container[attribute.name]
    if (attribute.name === 'active') this.#statesActive = after === true
  }

  #patchSingle(before: unknown, operation: PatchOperation, path: AttributePath, filter: Filter | undefined): unknown {
    if (path.attribute.type !== 'complex') {
      return operation.op === 'remove' ? undefined : readValue(path.attribute, operation.value, this)
    }
    const parts = isObject(before) ? before : undefined
    if (filter) return this.#patchFiltered(parts, operation, path, filter)
    return this.#patchComplex(parts, operation, path)
  }

  /** Entra removes `manager[value eq "m"]`, as if there could be several. */
  #patchFiltered(before: Json | undefined, operation: PatchOperation, path: AttributePath, filter: Filter): unknown {
    const elements = patchElements(before ? [before] : [], operation, path, filter, this)
    if (elements.length > 1) throw noTarget(operation.text)
    return elements[0]
  }

  /** Named parts are merged and the others stay, for `replace` too: Entra's partial `name` must not lose its siblings. */
  #patchComplex(before: Json | undefined, { op, value }: PatchOperation, { attribute, sub }: AttributePath): unknown {
    if (!sub && (op === 'remove' || isUnassigned(value))) return undefined
    const given = sub ? { [sub.name]: op === 'remove' ? null : value } : value
    if (!isObject(given)) throw wrongType(attribute.name, 'an object')
    const read = (readValue(attribute, given, this) ?? {}) as Json
    const after = { ...before, ...read }
    for (const [name, each] of Object.entries(given)) {
      if (!isUnassigned(each)) continue
      const key = Object.keys(after).find((known) => known.toLowerCase() === name.toLowerCase())
      if (key !== undefined) delete after[key]
    }
    return withoutStaleReference(attribute, before, after, given)
  }

  /** Without `active` nobody could say whether the user may have access, so it is required once a user exists. */
  #isRequired(attribute: Attribute): boolean {
    return attribute.required || (this.#resourceType.name === 'User' && attribute.name === 'active')
  }

  #extension(urn: string): Json {
    const stored = this.#document[urn]
    if (isObject(stored)) return stored
    const created: Json = {}
    this.#document[urn] = created
    return created
  }
}

function isReadOnly({ attribute, sub }: AttributePath): boolean {
  return attribute.mutability === 'readOnly' || sub?.mutability === 'readOnly'
}

function readOnly(text: string): ScimError {
  return new ScimError(400, 'mutability', `${text} is read-only`)
}

/** A reference without its `value` is none, and a new `value` is not where the old `$ref` points (manager). */
function withoutStaleReference(attribute: Attribute, before: Json | undefined, after: Json, given: Json): unknown {
  const refers = findAttribute(attribute.subAttributes, 'value') !== undefined
  if (refers && after.value === undefined) return undefined
  if (refers && after.value !== before?.value && property(given, '$ref') === undefined) delete after.$ref
  return Object.keys(after).length > 0 ? after : undefined
}
