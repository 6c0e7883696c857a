import { isDeepStrictEqual } from 'node:util'
import { compactVerify, errors, type JWSHeaderParameters } from 'jose'
import type { SsfConfig } from '../../directory/channel-config.ts'
import { type Algorithm, knownAlgorithms } from '../../trust/algorithms.ts'
import { isObject, type Json, parseStrictly } from '../../trust/json-object.ts'
import type { KeySets } from '../../trust/key-sets.ts'
import { SetRefusal } from './refusal.ts'
import { isInMilliseconds, timeOf } from './times.ts'

/** One event of a SET with the subject that holds for it, as it is written; undefined: it names none. */
export interface SetEvent {
  readonly type: string
  readonly claims: Json
  readonly subject: Json | undefined
}

/** A Security Event Token (RFC 8417) whose signature, issuer, audience and age are good. */
export interface VerifiedSet {
  readonly issuer: string
  readonly jti: string
  readonly issuedAt: Date
  readonly txn: string | undefined
  /** When it happened, for all its events (RFC 8417 §2.2). */
  readonly toe: unknown
  readonly events: readonly SetEvent[]
}

export const largestSetBytes = 65_536

const mediaType = 'secevent+jwt'
const longestId = 512
const mostEvents = 100
/** The clocks of transmitters are not ours, and some round up. */
const skewMs = 120_000
/** For so long a sender may try again. `exp` says nothing of a SET, which tells what has been (SSF 1.0 §4.1.7). */
const oldestMs = 7 * 24 * 3_600_000
const defaultAlgorithms: readonly string[] = ['RS256']

type Settings = Pick<SsfConfig, 'issuer' | 'jwksUri' | 'audience' | 'algorithms' | 'legacy'>

/**
 * Believes a SET, or says why not. The key is of the key set of the channel that it came over, whatever the SET says of
 * keys and issuers, and nothing else of it is read before its signature is good.
 *
 * @param now in milliseconds
 * @throws SetRefusal; UnknownKey, KeySetUnreachable: the same SET may be good later
 */
export async function verifySet(
  compact: string,
  config: Settings,
  keySets: Pick<KeySets, 'keyFor'>,
  now: number,
): Promise<VerifiedSet> {
  if (Buffer.byteLength(compact) > largestSetBytes) throw new SetRefusal('invalid_request', 'size')
  const header = readHeader(compact, config)
  const claims = parseStrictly(await verifySignature(compact, header, config.jwksUri, keySets))
  if (!claims) throw new SetRefusal('invalid_request', 'content')
  return readClaims(claims, config, now)
}

type Header = JWSHeaderParameters & { readonly alg: Algorithm }

function readHeader(compact: string, { algorithms = defaultAlgorithms, legacy = false }: Settings): Header {
  // Five parts would be a JWE, which needs a key that no transmitter has.
  const [first = '', ...others] = compact.split('.')
  const header = others.length === 2 ? parseStrictly(Buffer.from(first, 'base64url')) : undefined
  if (!header) throw new SetRefusal('invalid_request', 'content')
  const { alg, typ, kid } = header
  const known = knownAlgorithms.find((each) => each === alg)
  if (known === undefined || !algorithms.includes(known)) throw new SetRefusal('invalid_key', 'algorithm')
  if (!isSetType(typ) && !(legacy && typ === undefined)) throw new SetRefusal('invalid_request', 'type')
  // `cty`: a JWT inside; `crit`: something that must be understood, and is not.
  if (header.crit !== undefined || header.cty !== undefined || !['string', 'undefined'].includes(typeof kid))
    throw new SetRefusal('invalid_request', 'content')
  return { alg: known, ...(kid === undefined ? {} : { kid: kid as string }) }
}

/** RFC 7515 §4.1.9: in any case, and `application/` goes without saying. */
function isSetType(typ: unknown): boolean {
  return typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === mediaType
}

async function verifySignature(
  compact: string,
  header: Header,
  jwksUri: string,
  keySets: Pick<KeySets, 'keyFor'>,
): Promise<Buffer> {
  const key = await keySets.keyFor(jwksUri, header)
  try {
    const { payload } = await compactVerify(compact, key, { algorithms: [header.alg] })
    return Buffer.from(payload)
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed)
      throw new SetRefusal('authentication_failed', 'signature')
    if (error instanceof errors.JOSEError) throw new SetRefusal('invalid_request', 'content', { cause: error })
    // Its word for a key that is too short.
    if (error instanceof TypeError) throw new SetRefusal('invalid_key', 'key', { cause: error })
    throw error
  }
}

function readClaims(claims: Json, config: Settings, now: number): VerifiedSet {
  const { legacy = false } = config
  if (claims.iss !== config.issuer) throw new SetRefusal('invalid_issuer', 'issuer')
  if (![claims.aud].flat().some((aud) => typeof aud === 'string' && config.audience.includes(aud)))
    throw new SetRefusal('invalid_audience', 'audience')
  if (!isId(claims.jti)) throw new SetRefusal('invalid_request', 'content')
  if (claims.sub !== undefined && !legacy) throw new SetRefusal('invalid_request', 'subject')
  const issuedAt = !legacy && isInMilliseconds(claims.iat) ? undefined : timeOf(claims.iat)
  if (!issuedAt || issuedAt.getTime() > now + skewMs || issuedAt.getTime() < now - oldestMs)
    throw new SetRefusal('invalid_request', 'time')
  return {
    issuer: config.issuer,
    jti: claims.jti,
    issuedAt,
    txn: isId(claims.txn) ? claims.txn : undefined,
    toe: claims.toe,
    events: readEvents(claims, legacy),
  }
}

function readEvents({ events, sub_id }: Json, legacy: boolean): SetEvent[] {
  if (!isObject(events)) throw new SetRefusal('invalid_request', 'content')
  const all = Object.entries(events)
  if (all.length === 0 || all.length > mostEvents || !all.every(([type, claims]) => isId(type) && isObject(claims)))
    throw new SetRefusal('invalid_request', 'content')
  return (all as Array<[string, Json]>).map(([type, claims]) => ({
    type,
    claims,
    subject: subjectOf(sub_id, claims.subject, legacy),
  }))
}

/** Older transmitters have it in the event alone; whoever has it in both places must say the same in both (P9). */
function subjectOf(ofSet: unknown, ofEvent: unknown, legacy: boolean): Json | undefined {
  const given = [ofSet, ofEvent].filter((each) => each !== undefined)
  if (!given.every(isObject) || (ofSet === undefined && !legacy)) throw new SetRefusal('invalid_request', 'subject')
  const [first, second] = given.map((each) => (legacy ? withFormat(each) : each))
  if (second !== undefined && !isDeepStrictEqual(first, second)) throw new SetRefusal('invalid_request', 'subject')
  return first
}

/**
 * From before RFC 9493: `subject_type`, with a hyphen in some of the names; and of a complex subject no format at all
 * (CAEP draft 2, and what Okta takes).
 */
function withFormat(subject: Json): Json {
  const { subject_type: type, ...rest } = subject
  if (rest.format !== undefined) return subject
  if (typeof type === 'string') return { ...rest, format: type.replaceAll('-', '_') }
  return Object.values(rest).some(isObject) ? { ...rest, format: 'complex' } : subject
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longestId
}
