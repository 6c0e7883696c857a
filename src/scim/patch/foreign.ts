import { foreignPathIn } from '../foreign.ts'
import { isObject, isUnassigned, type Json } from '../json.ts'
import type { PatchOperation } from './parse.ts'

/** Applies an operation under a URN that no schema describes: kept as given, names without case, nothing checked. */
export function patchForeign(document: Json, { op, text, value }: PatchOperation): void {
  const path = foreignPathIn(document, text, value)
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
  const spelled = new Map(Object.keys(extension).map((name) => [name.toLowerCase(), name]))
  for (const [name, each] of Object.entries(given)) {
    const key = spelled.get(name.toLowerCase()) ?? name
    spelled.set(name.toLowerCase(), key)
    if (isUnassigned(each)) delete extension[key]
    else extension[key] = structuredClone(each)
  }
  // An empty one would take the next name that begins like it for one of its own.
  if (Object.keys(extension).length > 0) document[urn] = extension
  else delete document[urn]
}
