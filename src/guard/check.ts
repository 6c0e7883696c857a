import { BoundedMap } from './bounded-map.ts'
import { type Claims, isExpired } from './claims.ts'
import { createFlights } from './flights.ts'
import { createIntrospection, type Introspected } from './introspection.ts'
import { createJwtCheck, isIdJag } from './jwt.ts'
import type { Settings } from './settings.ts'
import type { States } from './states.ts'
import { tokenKey } from './token-key.ts'

/** `sequence`: how many webhooks had come when it was asked for. `unknown`: only Tenure could tell, and does not answer. */
export type Checked =
  | { readonly kind: 'good'; readonly claims: Claims; readonly sequence: number }
  | { readonly kind: 'bad' }
  | { readonly kind: 'unknown' }

interface Seen {
  readonly claims: Claims
  readonly sequence: number
  readonly askedAt: number
}

const cacheMs = 5_000
const mostSeen = 10_000

/** Whether a token is good now. */
export function createCheck(settings: Settings, states: States, { mostQuestions = 1_000 } = {}) {
  const keyOf = (token: string) => tokenKey(settings.issuer, token)
  const isWired = settings.verifiers.length > 0
  const introspect = createIntrospection(settings)
  const verifyJwt = settings.check === 'jwt' ? createJwtCheck(settings) : undefined
  const flights = createFlights<{ answer: Introspected; sequence: number; askedAt: number }>(mostQuestions)
  const seen = new BoundedMap<string, Seen>(mostSeen)

  return {
    /** For a new call: from memory, where that is allowed. */
    async token(token: string): Promise<Checked> {
      if (isIdJag(token)) return { kind: 'bad' }
      return verifyJwt ? byJwt(token, await verifyJwt(token)) : byIntrospection(token)
    },

    /** For a running call: asks Tenure in any case. */
    again: (token: string, claims: Claims): Promise<Checked> => ask(token, claims),
  }

  function byIntrospection(token: string): Checked | Promise<Checked> {
    const known = seen.get(keyOf(token))
    const isFresh = isWired && known && performance.now() - known.askedAt < cacheMs
    if (isFresh && isStillSo(known) && !isExpired(known.claims)) return { kind: 'good', ...known }
    return ask(token, known?.claims)
  }

  /** Offline until a webhook has spoken of the user: after that, Tenure is asked once for each of their tokens. */
  function byJwt(token: string, verified: Introspected): Checked | Promise<Checked> {
    if (verified.kind !== 'active') return { kind: verified.kind === 'inactive' ? 'bad' : 'unknown' }
    const { claims } = verified
    const verdict = states.verdict(claims)
    if (verdict === 'dead') return { kind: 'bad' }
    const known = seen.get(keyOf(token))
    if (verdict === 'fine' || (known && isStillSo(known))) return { kind: 'good', claims, sequence: states.sequence }
    return ask(token, claims)
  }

  /** @param known the claims, if they were once seen to be good or carry a good signature */
  async function ask(token: string, known: Claims | undefined): Promise<Checked> {
    const key = keyOf(token)
    const flight = flights.ask(key, () => begin(token), { joins: isWired })
    const { answer, sequence, askedAt } = (await flight) ?? noRoom
    if (answer.kind === 'unreachable') return withoutTenure(known)
    if (answer.kind === 'inactive' || isExpired(answer.claims) || states.verdict(answer.claims) === 'dead') {
      if (answer.kind === 'inactive') seen.delete(key)
      return { kind: 'bad' }
    }
    seen.set(key, { claims: answer.claims, sequence, askedAt })
    return { kind: 'good', claims: answer.claims, sequence }
  }

  async function begin(token: string) {
    const { sequence } = states
    const askedAt = performance.now()
    return { answer: await introspect(token), sequence, askedAt }
  }

  function withoutTenure(known: Claims | undefined): Checked {
    if (!known) return { kind: 'unknown' }
    if (isExpired(known) || states.verdict(known) === 'dead') return { kind: 'bad' }
    if (settings.whenUnreachable === 'closed' || states.isCut(known.userId)) return { kind: 'unknown' }
    return { kind: 'good', claims: known, sequence: states.sequence }
  }

  function isStillSo({ claims, sequence }: Seen): boolean {
    return !states.isAfter(sequence, claims.userId)
  }
}

export type Check = ReturnType<typeof createCheck>

const noRoom = { answer: { kind: 'unreachable' }, sequence: 0, askedAt: 0 } as const
