import type { Request } from 'express'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { basicReadingsOf } from '../http/credentials.ts'
import { knownAlgorithms } from '../trust/algorithms.ts'
import type { Clients, McpClient } from '../trust/clients.ts'
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
import { hashOf } from './assertion.ts'
import { invalidClient, invalidRequest } from './errors.ts'
import type { Form } from './form.ts'

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** A client signs one for each request; one that lives for longer would have to be remembered for longer, and so fill the table. */
const longestLifeSeconds = 600

export interface ClientAuthenticationParts {
  readonly db: Database
  readonly clients: Pick<Clients, 'find' | 'hasSecret'>
  readonly keySets: KeySets
  /** Our issuer identifier. */
  readonly issuer: () => string
  readonly tokenEndpoint: () => string
}

/**
 * Who asks, of the MCP clients (RFC 6749 §2.3): a secret in `Authorization: Basic` or in the body, whichever of the two
 * the client was registered for, since some use the other whatever our metadata says; `private_key_jwt` (RFC 7523
 * §2.2); or nothing but its id, where it is registered, or describes itself, as public.
 */
export function createClientAuthentication({ db, clients, keySets, issuer, tokenEndpoint }: ClientAuthenticationParts) {
  /** @throws OAuthError `invalid_client`, or `invalid_request` for two ways at once; KeySetUnreachable, Unavailable */
  return async function authenticate(req: Request, form: Form): Promise<McpClient> {
    const isBasic = /^Basic\b/i.test(req.get('authorization') ?? '')
    const secret = form.get('client_secret')
    const assertion = form.get('client_assertion')
    if ([isBasic, secret !== undefined, assertion !== undefined].filter(Boolean).length > 1)
      throw invalidRequest('There must be one client authentication')
    if (isBasic) return bySecret(basicReadingsOf(req), form.get('client_id'))
    if (assertion !== undefined) return byAssertion(assertion, form)
    const id = form.get('client_id')
    if (id === undefined) throw invalidClient('client_unidentified')
    return secret === undefined ? byIdAlone(id) : bySecret([{ id, secret }], id)
  }

  async function bySecret(readings: ReadonlyArray<{ id: string; secret: string }>, id: string | undefined) {
    for (const reading of readings) {
      if (id !== undefined && id !== reading.id) continue
      if (!(await clients.hasSecret(reading.id, reading.secret))) continue
      const client = await clients.find(reading.id)
      if (client) return client
    }
    throw invalidClient('client_secret')
  }

  async function byIdAlone(id: string): Promise<McpClient> {
    const client = await clients.find(id)
    if (!client) throw invalidClient('client_unknown')
    if (client.auth !== 'none') throw invalidClient('client_must_authenticate')
    return client
  }

  async function byAssertion(assertion: string, form: Form): Promise<McpClient> {
    if (form.get('client_assertion_type') !== assertionType)
      throw invalidRequest(`client_assertion_type must be ${assertionType}`)
    const unverified = readUnverified(assertion)
    if (!unverified || !isForClients(unverified.header.typ)) throw invalidClient('client_assertion_malformed')
    const { header, claims } = unverified
    const { iss, sub, jti, exp } = claims
    if (!isText(sub) || iss !== sub || !isJti(jti) || !isTime(exp)) throw invalidClient('client_assertion_malformed')
    if (header.crit !== undefined || !algorithms.has(header.alg)) throw invalidClient('client_assertion_malformed')
    if (form.get('client_id') !== undefined && form.get('client_id') !== sub) throw invalidClient('client_unidentified')
    const client = await clients.find(sub)
    if (client?.auth !== 'private_key_jwt' || client.jwksUri === null) throw invalidClient('client_unknown')
    const isSigned = await verifySignature(assertion, unverified, client.jwksUri, keySets).catch((error) => {
      if (error instanceof UnknownKey) throw invalidClient('client_assertion_key', { cause: error })
      throw error
    })
    if (!isSigned) throw invalidClient('client_assertion_signature')
    const audience = audienceOf(claims)
    if (audience !== issuer() && audience !== tokenEndpoint()) throw invalidClient('client_assertion_audience')
    checkTimes(claims)
    await useUp(client, jti, exp)
    return client
  }

  /** Beside the assertions of issuers, whose ids have no space. */
  async function useUp({ id }: McpClient, jti: string, exp: number): Promise<void> {
    const { rows } = await sql`
      insert into assertion_use (issuer_id, jti_hash, client, expires_at)
      values (${`client ${id}`}, ${hashOf(jti)}, ${id}, to_timestamp(${exp + rememberedSeconds}))
      on conflict do nothing returning 1`.execute(db)
    if (rows.length === 0) throw invalidClient('client_assertion_reused')
  }
}

export type AuthenticateClient = ReturnType<typeof createClientAuthentication>

const algorithms: ReadonlySet<string> = new Set(knownAlgorithms)

/** RFC 7523 leaves the type open; what says that it is something else, such as an ID-JAG, is not taken. */
function isForClients(typ: string | undefined): boolean {
  return typ === undefined || ['jwt', 'client-authentication+jwt'].includes(typ.toLowerCase())
}

function checkTimes({ exp, iat, nbf }: { exp?: number; iat?: unknown; nbf?: unknown }): void {
  const now = Date.now() / 1_000
  const isPast = (time: unknown) => time === undefined || (isTime(time) && time <= now + skewSeconds)
  const isAlive = exp! > now - skewSeconds && exp! <= now + longestLifeSeconds + skewSeconds
  if (!isAlive || !isPast(iat) || !isPast(nbf)) throw invalidClient('client_assertion_expired')
}
