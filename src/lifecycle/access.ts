import { isDeepStrictEqual } from 'node:util'

/**
 * What a user may have at one server: scopes per MCP client, `any` for those that every client may carry.
 *
 * Canonical (sorted, without repeats, no client listing what `any` already gives), so that two accesses that give the
 * same are deeply equal.
 */
export interface Access {
  readonly any: readonly string[]
  readonly byClient: Readonly<Record<string, readonly string[]>>
}

export const noAccess: Access = { any: [], byClient: {} }

/** The union of what several rules give. `clients` null: through any MCP client. */
export function unionOf(parts: Iterable<{ scopes: readonly string[]; clients: readonly string[] | null }>): Access {
  const any = new Set<string>()
  const byClient = new Map<string, Set<string>>()
  for (const { scopes, clients } of parts) {
    if (clients === null) for (const scope of scopes) any.add(scope)
    else for (const client of clients) byClient.set(client, (byClient.get(client) ?? new Set()).union(new Set(scopes)))
  }
  const named = [...byClient]
    .map(([client, scopes]) => [client, [...scopes.difference(any)].sort()] as const)
    .filter(([, scopes]) => scopes.length > 0 || any.size === 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return { any: [...any].sort(), byClient: Object.fromEntries(named) }
}

/** Whether `client` may hold `scopes`. A client that is given nothing may not even hold a token without scopes. */
export function allows(access: Access, client: string, scopes: readonly string[]): boolean {
  const given = scopesFor(access, client)
  return given.size > 0 && scopes.every((scope) => given.has(scope))
}

/** Every scope that `client` may hold; empty when it may hold nothing at all. */
export function scopesFor(access: Access, client: string): Set<string> {
  return new Set([...access.any, ...(Object.hasOwn(access.byClient, client) ? access.byClient[client]! : [])])
}

export function isSameAccess(a: Access, b: Access): boolean {
  // Not by their JSON: Postgres gives the keys of a jsonb back in an order of its own.
  return isDeepStrictEqual(a, b)
}

/** Whether everything that `smaller` gives, `larger` gives too. */
export function covers(larger: Access, smaller: Access): boolean {
  const any = new Set(larger.any)
  return (
    smaller.any.every((scope) => any.has(scope)) &&
    Object.entries(smaller.byClient).every(([client, scopes]) => {
      const given = scopesFor(larger, client)
      return scopes.every((scope) => given.has(scope))
    })
  )
}

/** As a server is told: every scope that some client may hold, and the clients, none named when any will do. */
export function flatten(access: Access): { scopes: string[]; clients: string[] } {
  const clients = Object.keys(access.byClient)
  return {
    scopes: [...new Set([...access.any, ...Object.values(access.byClient).flat()])].sort(),
    clients: access.any.length > 0 ? [] : clients,
  }
}
