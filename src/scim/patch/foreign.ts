import { isUrn, readForeignPath } from '../foreign.ts'
import { isObject, isUnassigned, type Json } from '../json.ts'
import type { PatchOperation } from './parse.ts'

/** Applies an operation under a URN that no schema describes: kept as given, names without case, nothing checked. */
export function patchForeign(document: Json, { op, text, value }: PatchOperation): void {
  const path = readForeignPath(text, Object.keys(document).filter(isUrn), value)
  if (!path) return
  const { urn, attribute } = path
  if (attribute === undefined && (op === 'remove' || isUnassigned(value))) {
    delete document[urn]
    return
  }
  const given = attribute === undefined ? value : { [attribute]: op === 'remove' ? null : value }
  const stored = document[urn]
  if (!isObject(given)) {
    document[urn] = structuredClone(value)
    return
  }
  const extension: Json = isObject(stored) ? stored : {}
  for (const [name, each] of Object.entries(given)) {
    const key = Object.keys(extension).find((known) => known.toLowerCase() === name.toLowerCase()) ?? name
    if (isUnassigned(each)) delete extension[key]
    else extension[key] = structuredClone(each)
  }
  document[urn] = extension
}
