import { type Access, covers, isSameAccess, noAccess } from './access.ts'
import type { Wanted } from './rules.ts'

/** How a server knows a user. */
export interface Identity {
  readonly userName: string
  readonly email: string | null
  readonly externalId: string | null
  readonly displayName: string | null
}

/** An entitlement as it was last settled. */
export interface Held {
  readonly active: boolean
  readonly epoch: number
  readonly access: Access
  readonly identity: Identity
}

/** One entitlement's next state. */
export interface Change {
  readonly serverId: string
  readonly active: boolean
  readonly access: Access
  readonly identity: Identity
  readonly rules: readonly string[]
  /** Something that was given is gone: access, a grant, or the epoch moved on and every older grant with it. */
  readonly narrows: boolean
}

/**
 * What must change for a user to hold exactly `wanted`.
 *
 * Pure: the caller reads `held` and evaluates the rules for `wanted`, in one transaction. An entitlement settled under
 * an older epoch is a change even when nothing else differs: its grants are void and its server must hear of it, also
 * when access came and went unseen between two converges. So is one at a server in `voided`: a grant that was earned
 * between two converges and is no longer, which must be told although the entitlement never changed. A leaver has an empty
 * `wanted`; nothing here special-cases it. While access is active a new name is a change too; a leaver keeps the identity
 * its servers know, because an identity provider may mangle the name in the same request.
 */
export function planChanges(
  held: ReadonlyMap<string, Held>,
  wanted: ReadonlyMap<string, Wanted>,
  identity: Identity,
  epoch: number,
  voided: ReadonlySet<string> = new Set(),
): Change[] {
  const servers = [...new Set([...held.keys(), ...wanted.keys(), ...voided])].sort()
  return servers.flatMap((serverId) => {
    const before = held.get(serverId)
    const after = wanted.get(serverId)
    const active = after !== undefined
    const access = after?.access ?? noAccess
    const cut = voided.has(serverId) || (before !== undefined && before.epoch !== epoch)
    const same =
      before !== undefined &&
      !cut &&
      before.active === active &&
      isSameAccess(before.access, access) &&
      (!active || isSameIdentity(before.identity, identity))
    if (same) return []
    return [
      {
        serverId,
        active,
        access,
        identity: active || !before ? identity : before.identity,
        rules: after?.rules ?? [],
        narrows: cut || (before !== undefined && !covers(access, before.access)),
      },
    ]
  })
}

function isSameIdentity(a: Identity, b: Identity): boolean {
  return a.userName === b.userName && a.email === b.email && a.externalId === b.externalId
}
