import { createHash } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { Database } from '../db/pool.ts'
import type { Issuers, TrustedIssuer } from '../trust/issuers.ts'
import {
  audienceOf,
  isJti,
  isText,
  isTime,
  readUnverified,
  rememberedSeconds,
  skewSeconds,
  verifySignature,
} from '../trust/jwt.ts'
import { type KeySets, UnknownKey } from '../trust/key-sets.ts'
import { invalidGrant } from './errors.ts'
import { parseScopes } from './scopes.ts'

/** An ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant) that holds, as far as it can be told without the rows. */
export interface IdJag {
  readonly issuer: TrustedIssuer
  readonly sub: string
  readonly jtiHash: Buffer
  readonly issuedAtSeconds: number
  /** From when on it is refused for its age, by whoever's clock. */
  readonly overAt: Date
  /** Its `resource`, always as a list; undefined: it names none. */
  readonly resources: readonly string[] | undefined
  readonly scopes: readonly string[]
  readonly email: string | undefined
  readonly actor: unknown
  /** When and how the person signed in, as far as it says. */
  readonly authTime: unknown
  readonly acr: unknown
}

/** What is noted of an assertion for the request's line: nothing with which it could be used. */
export type NoteAssertion = (facts: { issuer?: string; jtiHash?: string }) => void

const mediaType = 'oauth-id-jag+jwt'
/** 5 minutes, as Okta has it. With the skew no ID-JAG is accepted beyond the age of 7 minutes. */
const longestLifeSeconds = 300

/**
 * Validates ID-JAGs.
 *
 * The order is part of the contract: nothing is fetched for an issuer that is not registered, and nothing the assertion
 * says is believed before its signature is.
 */
export function createAssertions({
  db,
  issuers,
  keySets,
  audience,
}: {
  db: Database
  issuers: Pick<Issuers, 'find'>
  keySets: KeySets
  /** Our issuer identifier. */
  audience: () => string
}) {
  /** @throws OAuthError `invalid_grant`; KeySetUnreachable */
  return async function verify(assertion: string, clientId: string, note: NoteAssertion): Promise<IdJag> {
    const unverified = readUnverified(assertion)
    if (!unverified) throw invalidGrant('malformed')
    const { header, claims } = unverified
    if (isText(claims.iss)) note({ issuer: claims.iss.slice(0, 300) })
    if (isJti(claims.jti)) note({ jtiHash: hashOf(claims.jti).toString('base64url') })
    if (header.typ?.toLowerCase() !== mediaType) throw invalidGrant('type')
    if (header.crit !== undefined) throw invalidGrant('critical_header')
    const issuer = await issuerOf(claims)
    if (!issuer) throw invalidGrant('issuer_unknown')
    if (!issuer.algorithms.includes(header.alg)) throw invalidGrant('algorithm')
    const isSigned = await verifySignature(assertion, unverified, issuer.jwksUri, keySets).catch((error) => {
      if (error instanceof UnknownKey) throw invalidGrant('key_unknown', { cause: error })
      throw error
    })
    if (!isSigned) throw invalidGrant('signature')
    return accept(claims, issuer, clientId)
  }

  async function issuerOf({ iss, tenant }: JWTPayload): Promise<TrustedIssuer | undefined> {
    if (!isText(iss) || (tenant !== undefined && !isText(tenant))) return undefined
    return issuers.find(db, iss, tenant)
  }

  function accept(claims: JWTPayload, issuer: TrustedIssuer, clientId: string): IdJag {
    const { sub, jti, iat, exp, email, act: actor, auth_time: authTime, acr } = claims
    if (!isText(sub) || !isJti(jti) || !isText(claims.client_id) || claims.aud === undefined)
      throw invalidGrant('claim_missing')
    if (!isTime(iat) || !isTime(exp)) throw invalidGrant('claim_missing')
    if (audienceOf(claims) !== audience()) throw invalidGrant('audience')
    if (claims.client_id !== clientId) throw invalidGrant('client')
    checkTimes(iat, exp, claims.nbf)
    const resources = resourcesOf(claims.resource)
    if (claims.authorization_details !== undefined) throw invalidGrant('authorization_details_unsupported')
    if (claims.cnf !== undefined) throw invalidGrant('confirmation_unsupported')
    const scopes = scopesOf(claims.scope)
    if (claims.aud_tenant !== undefined && claims.aud_tenant !== issuer.directoryId) throw invalidGrant('tenant')
    if (email !== undefined && !isText(email)) throw invalidGrant('email_contradicts')
    return {
      issuer,
      sub,
      jtiHash: hashOf(jti),
      issuedAtSeconds: Math.floor(iat),
      overAt: new Date((exp + rememberedSeconds) * 1_000),
      resources,
      scopes,
      email,
      actor,
      authTime,
      acr,
    }
  }
}

export type VerifyAssertion = ReturnType<typeof createAssertions>

export function hashOf(jti: string): Buffer {
  return createHash('sha256').update(jti).digest()
}

function checkTimes(iat: number, exp: number, nbf: unknown): void {
  const now = Date.now() / 1_000
  if (exp <= now - skewSeconds) throw invalidGrant('expired')
  if (iat > now + skewSeconds) throw invalidGrant('issued_in_future')
  if (nbf !== undefined && !(isTime(nbf) && nbf <= now + skewSeconds)) throw invalidGrant('not_yet_valid')
  if (exp - iat > longestLifeSeconds + skewSeconds) throw invalidGrant('life_too_long')
}

function resourcesOf(resource: unknown): readonly string[] | undefined {
  if (resource === undefined) return undefined
  const resources = [resource].flat()
  if (resources.length === 0 || !resources.every(isText)) throw invalidGrant('resource_unknown')
  return [...new Set(resources)]
}

function scopesOf(scope: unknown): readonly string[] {
  if (scope === undefined || scope === '') return []
  const scopes = typeof scope === 'string' ? parseScopes(scope) : undefined
  if (!scopes) throw invalidGrant('scope_malformed')
  return scopes
}
