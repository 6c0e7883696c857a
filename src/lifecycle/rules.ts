import type { Filter } from '../filter/ast.ts'
import { matches } from '../filter/evaluate.ts'
import { type Access, unionOf } from './access.ts'

/** A rule with its filter parsed: for users that match, `scopes` at `serverId`, through `clients` (null: any). */
export interface Rule {
  readonly id: string
  readonly serverId: string
  readonly filter: Filter
  readonly scopes: readonly string[]
  readonly clients: readonly string[] | null
}

/** A user as rules see it: the SCIM document with `groups`, every transitive group as `{value, display, type}`. */
export type Subject = Readonly<Record<string, unknown>>

export interface Wanted {
  readonly access: Access
  /** Ids of the rules that give it, sorted. */
  readonly rules: readonly string[]
}

/**
 * What the rules give a user, by server. Whether the user may have anything at all (active, not held, not deleted) is
 * the caller's to ask first: memberships stay while a user is inactive, so the rules would still match.
 */
export function wantedAccess(rules: readonly Rule[], subject: Subject): Map<string, Wanted> {
  const matching = Map.groupBy(
    rules.filter((rule) => matches(rule.filter, subject)),
    (rule) => rule.serverId,
  )
  return new Map(
    [...matching].map(([serverId, given]) => [
      serverId,
      { access: unionOf(given), rules: given.map((rule) => rule.id).sort() },
    ]),
  )
}
