import {
  compactVerify,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWSHeaderParameters,
  type JWTPayload,
} from 'jose'
import type { KeySets } from './key-sets.ts'

/** Clocks of others may be off by as much. */
export const skewSeconds = 60
/**
 * For how long after its `exp` an assertion that was used is remembered: whether it is still taken is told by the clock
 * of the process that is asked, what may be forgotten by the database's.
 */
export const rememberedSeconds = 2 * skewSeconds
/** A longer `jti` says nothing more. */
const longestJti = 256

/** A JWS as it claims to be: nothing of it is to be believed before `verifySignature`. */
export interface Unverified {
  readonly header: JWSHeaderParameters & { readonly alg: string }
  readonly claims: JWTPayload
}

/** Undefined for what is no JWT, or holds a text that no database can store. */
export function readUnverified(jwt: string): Unverified | undefined {
  try {
    const header = decodeProtectedHeader(jwt)
    const claims = decodeJwt(jwt)
    if (typeof header.alg !== 'string' || !['string', 'undefined'].includes(typeof header.typ)) return undefined
    if (!isStorable(header) || !isStorable(claims)) return undefined
    return { header: { ...header, alg: header.alg }, claims }
  } catch {
    return undefined
  }
}

/**
 * Verifies with the key of the key set that the header names.
 *
 * @returns whether the signature is good
 * @throws UnknownKey, KeySetUnreachable
 */
export async function verifySignature(
  jwt: string,
  { header }: Unverified,
  jwksUri: string,
  keySets: KeySets,
): Promise<boolean> {
  const key = await keySets.keyFor(jwksUri, header)
  try {
    await compactVerify(jwt, key, { algorithms: [header.alg] })
    return true
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return false
    throw error
  }
}

export function isText(claim: unknown): claim is string {
  return typeof claim === 'string' && claim !== ''
}

export function isJti(claim: unknown): claim is string {
  return isText(claim) && claim.length <= longestJti
}

/** Seconds since the epoch (RFC 7519 §2), within what a Date can hold. */
export function isTime(claim: unknown): claim is number {
  return typeof claim === 'number' && claim >= 0 && claim < 1e11
}

/** One audience, alone or in an array of one: whoever names several may be talking to somebody else. */
export function audienceOf({ aud }: JWTPayload): string | undefined {
  const [only, ...others] = [aud].flat()
  return others.length === 0 && isText(only) ? only : undefined
}

/** Postgres stores neither NUL nor half a surrogate pair. */
function isStorable(value: unknown): boolean {
  return !/\\u0000|\\ud[89a-f]/.test(JSON.stringify(value))
}
