import type { EventKind } from '../db/tables.ts'
import { type Access, flatten, isSameAccess } from '../lifecycle/access.ts'
import type { Identity } from '../lifecycle/plan.ts'

/** A state that a connector was told, or is about to be. */
export interface ToldState {
  readonly active: boolean
  readonly epoch: number
  readonly access: Access
  readonly identity: Identity
}

export interface CauseFact {
  readonly id: string
  readonly kind: EventKind
  readonly source: string
  readonly at: string
}

export interface MessageFacts {
  readonly serverId: string
  readonly generation: number
  readonly userId: string
  readonly directoryId: string
  /** When the generation was drawn, RFC 3339. */
  readonly at: string
  readonly state: ToldState
  readonly told: ToldState | null
  readonly notBefore: string | null
  /** Closed since the last acknowledged generation, one more than is sent. */
  readonly closedGrants: ReadonlyArray<{ readonly id: string; readonly client: string; readonly jti: string | null }>
  /** The gravest event since then; null when no event of this user did it but a rule or server that changed. */
  readonly cause: CauseFact | null
}

export const mostGrantsTold = 100

/**
 * What a server is told (docs/webhooks.md): a state, not an instruction. A revocation carries the identity this
 * connector was last told, because an identity provider may rename a leaver in the request that deactivates it.
 */
export function buildMessage(facts: MessageFacts): { body: string; state: ToldState } {
  const { state, told } = facts
  const identity = !state.active && told ? told.identity : state.identity
  const revoked = facts.closedGrants.slice(0, mostGrantsTold)
  const body = JSON.stringify({
    type: typeOf(state, told),
    timestamp: facts.at,
    data: {
      server: facts.serverId,
      generation: facts.generation,
      active: state.active,
      ...flatten(state.access),
      notBefore: facts.notBefore,
      user: {
        id: facts.userId,
        userName: identity.userName,
        email: identity.email,
        externalId: identity.externalId,
        displayName: identity.displayName,
        directory: facts.directoryId,
      },
      revokedGrants: revoked,
      ...(facts.closedGrants.length > mostGrantsTold ? { more: true } : {}),
      cause: facts.cause
        ? { event: facts.cause.id, kind: facts.cause.kind, source: facts.cause.source, at: facts.cause.at }
        : { event: null, kind: 'changed', source: 'admin', at: facts.at },
    },
  })
  return { body, state: { ...state, identity } }
}

function typeOf(state: ToldState, told: ToldState | null): string {
  if (!state.active) return 'access.revoked'
  if (!told?.active) return 'access.granted'
  if (told.epoch !== state.epoch && isSameAccess(told.access, state.access)) return 'sessions.revoked'
  return 'access.changed'
}
