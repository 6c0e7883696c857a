import { BoundedMap } from './bounded-map.ts'
import type { Claims } from './claims.ts'

/** What one webhook said of one user. Times in whole seconds, as tokens have them. */
export interface Told {
  readonly userId: string
  readonly generation: number
  readonly active: boolean
  readonly scopes: readonly string[]
  /** None: any. */
  readonly clients: readonly string[]
  /** When Tenure decided it. */
  readonly at: number
  readonly notBefore: number | undefined
  readonly revoked: readonly string[]
}

interface State extends Omit<Told, 'revoked'> {
  /** When it arrived, counted in webhooks. */
  readonly sequence: number
}

/** `unsaid`: only Tenure knows. */
export type Verdict = 'dead' | 'unsaid' | 'fine'

const mostUsers = 10_000
const mostRevoked = 10_000
/** By how much Tenure's clock may be ahead of ours. */
const skewSeconds = 10

/**
 * What webhooks have said: of each user the state with the highest generation.
 *
 * A state speaks of the tokens that were issued up to the moment it was decided. Of those it can say for certain that one
 * is dead, since what is closed once stays closed; that one is alive only Tenure knows, because a grant may have been taken
 * back alone, or lost what another MCP client of the user keeps. A later token it says nothing about: whoever left may
 * have returned, and that message may be on its way. Tokens count in seconds, so one of the very second of the state may be
 * such a later one, too; but not one of the second of a cut, of which Tenure accepts no ID-JAG.
 *
 * Memory is bounded: whoever was forgotten is `unsaid` from then on, and so are tokens from before this process.
 */
export function createStates({ isWired, most = mostUsers }: { isWired: boolean; most?: number }) {
  const startedAt = Math.floor(Date.now() / 1_000) + skewSeconds
  let sequence = 0
  let forgotten = 0
  const users = new BoundedMap<string, State>(most, (state) => {
    forgotten = Math.max(forgotten, state.sequence)
  })
  const revoked = new BoundedMap<string, true>(mostRevoked)

  return {
    /** How many webhooks have changed anything. */
    get sequence(): number {
      return sequence
    },

    /** @returns false for an older state than is known, or the same */
    take({ revoked: jtis, ...told }: Told): boolean {
      const known = users.get(told.userId)
      if (known && known.generation >= told.generation) return false
      users.set(told.userId, { ...told, sequence: ++sequence })
      for (const jti of jtis) revoked.set(grantKey(told.userId, jti), true)
      return true
    },

    verdict(claims: Claims): Verdict {
      if (!isWired) return 'fine'
      if (claims.jti !== undefined && revoked.get(grantKey(claims.userId, claims.jti))) return 'dead'
      const state = users.get(claims.userId)
      if (!state) return forgotten > 0 || claims.issuedAt <= startedAt ? 'unsaid' : 'fine'
      const { notBefore = 0 } = state
      if (claims.issuedAt < notBefore) return 'dead'
      if (claims.issuedAt > state.at) return state.active ? 'fine' : 'unsaid'
      if (isWithin(claims, state)) return 'unsaid'
      return claims.issuedAt < state.at || claims.issuedAt === notBefore ? 'dead' : 'unsaid'
    },

    /** Whether the last that was heard of the user is that they have nothing here. */
    isCut(userId: string): boolean {
      return users.get(userId)?.active === false
    },

    /** Whether an answer of Tenure's that was asked for at `asked` is older than what a webhook has said of that user since. */
    isAfter(asked: number, userId: string): boolean {
      return (users.get(userId)?.sequence ?? forgotten) > asked
    },
  }
}

export type States = ReturnType<typeof createStates>

function isWithin({ scopes, clientId }: Claims, state: State): boolean {
  return (
    state.active &&
    scopes.every((scope) => state.scopes.includes(scope)) &&
    (state.clients.length === 0 || state.clients.includes(clientId))
  )
}

function grantKey(userId: string, jti: string): string {
  return `${userId} ${jti}`
}
