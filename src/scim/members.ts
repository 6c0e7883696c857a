import { ScimError } from './errors.ts'
import { isObject, isUnassigned } from './json.ts'
import { mostMembers } from './limits.ts'
import { wrongType } from './values.ts'

/** A member by the SCIM id of the user or group. `type`, `display` and `$ref` are derived from the id when asked for. */
export interface Member {
  readonly value: string
}

/**
 * Members as identity providers send them: objects, bare ids (Entra's reference code), one without a list, with
 * `$ref: null` or `display: null`. Each id once. `strict`: a list of objects.
 *
 * @throws ScimError 400 `invalidValue` for an element without an id, 413 for too many
 */
export function readMembers(raw: unknown, strict = false): Member[] {
  if (isUnassigned(raw)) return []
  if (strict && !(Array.isArray(raw) && raw.every(isObject))) throw wrongType('members', 'a list of objects')
  const list: unknown[] = Array.isArray(raw) ? raw : [raw]
  const ids = list.filter((each) => !isUnassigned(each)).map((each) => (isObject(each) ? idOf(each) : each))
  requireFewMembers(ids.length)
  for (const id of ids) {
    if (typeof id !== 'string' || id === '') {
      throw new ScimError(400, 'invalidValue', 'Each of members must have the id of a user or group as its value')
    }
  }
  return [...new Set((ids as string[]).map(spelled))].map((value) => ({ value }))
}

/** An id as ours are written: Postgres reads one in any case, and a removal must find who was added. */
export function spelled(id: string): string {
  return id.toLowerCase()
}

/** @throws ScimError 413 */
export function requireFewMembers(count: number): void {
  if (count > mostMembers) throw new ScimError(413, undefined, `A request may name at most ${mostMembers} members`)
}

function idOf(member: Record<string, unknown>): unknown {
  const key = Object.keys(member).find((each) => each.toLowerCase() === 'value')
  return key === undefined ? undefined : member[key]
}
