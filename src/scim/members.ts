import { ScimError } from './errors.ts'
import { isObject, isUnassigned } from './json.ts'
import { mostMembers } from './limits.ts'

/** A member by the SCIM id of the user or group. `type`, `display` and `$ref` are derived from the id when asked for. */
export interface Member {
  readonly value: string
}

/**
 * Members as identity providers send them: objects, bare ids (Entra's reference code), one without a list, with
 * `$ref: null` or `display: null`. Each id once.
 *
 * @throws ScimError 400 `invalidValue` for an element without an id, 413 for too many
 */
export function readMembers(raw: unknown): Member[] {
  if (isUnassigned(raw)) return []
  const list: unknown[] = Array.isArray(raw) ? raw : [raw]
  const ids = list.filter((each) => !isUnassigned(each)).map((each) => (isObject(each) ? idOf(each) : each))
  requireFewMembers(ids.length)
  for (const id of ids) {
    if (typeof id !== 'string' || id === '') {
      throw new ScimError(400, 'invalidValue', 'Each of members must have the id of a user or group as its value')
    }
  }
  return [...new Set(ids as string[])].map((value) => ({ value }))
}

/** @throws ScimError 413 */
export function requireFewMembers(count: number): void {
  if (count > mostMembers) throw new ScimError(413, undefined, `A request may name at most ${mostMembers} members`)
}

function idOf(member: Record<string, unknown>): unknown {
  const key = Object.keys(member).find((each) => each.toLowerCase() === 'value')
  return key === undefined ? undefined : member[key]
}
