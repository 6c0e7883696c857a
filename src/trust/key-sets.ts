import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWSHeaderParameters } from 'jose'
import type { Egress } from '../connectors/egress.ts'
import { TenureError } from '../errors.ts'

/** The key set is there and has no usable key for this header. */
export class UnknownKey extends TenureError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_UNKNOWN_KEY', message, options)
  }
}

/** The key set cannot be had, and none that is fresh enough is at hand: the same request may succeed later. */
export class KeySetUnreachable extends TenureError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_KEY_SET_UNREACHABLE', message, options)
  }
}

export interface KeySetsParts {
  readonly egress: Pick<Egress, 'request'>
  /** In milliseconds, monotonic. */
  readonly now?: () => number
  /** How many key sets are kept; beyond, the one that was asked for longest ago is forgotten. */
  readonly most?: number
  /** Told after each fetch whether there was a key set. */
  readonly onFetched?: (jwksUri: string, isReached: boolean) => void
}

const freshMs = 5 * 60_000
/** Beyond its freshness a key set is used for so long while its address fails: an outage there is not one here. */
const usableMs = 60 * 60_000
/** Between two fetches for the sake of a `kid` that is not in the set, which anybody can make up. */
const refreshEveryMs = 30_000
/** After a failure without anything usable at hand. */
const retryEveryMs = 5_000
const timeoutMs = 10_000
const mostBytes = 65_536

type FindKey = ReturnType<typeof createLocalJWKSet>

interface Entry {
  find: FindKey | undefined
  fetchedAt: number
  /** Of the last fetch, whatever came of it. */
  triedAt: number
  failure: Error | undefined
  inFlight: Promise<void> | undefined
}

/** Public keys of others, fetched from their JWK Sets (RFC 7517 §5) and kept for a while. */
export function createKeySets({
  egress,
  now = () => performance.now(),
  most = 500,
  onFetched = () => {},
}: KeySetsParts) {
  const entries = new Map<string, Entry>()

  return {
    /**
     * The public key that verifies a signature with this protected header: of its `kid` and `alg`, for signatures. What
     * else the header says of keys (`jku`, `x5u`, `jwk`) is not looked at. Which `alg` are allowed is the caller's to
     * know.
     *
     * @throws UnknownKey, KeySetUnreachable
     */
    async keyFor(jwksUri: string, { alg, kid }: JWSHeaderParameters): Promise<CryptoKey> {
      const header = { ...(alg === undefined ? {} : { alg }), ...(kid === undefined ? {} : { kid }) }
      const entry = entryOf(jwksUri)
      if (age(entry) > freshMs && since(entry) > (age(entry) > usableMs ? retryEveryMs : refreshEveryMs))
        await fetchInto(jwksUri, entry)
      const key = await pick(entry, header)
      if (key !== undefined) return key
      if (since(entry) > refreshEveryMs) {
        await fetchInto(jwksUri, entry)
        const newer = await pick(entry, header)
        if (newer !== undefined) return newer
      }
      if (entry.failure !== undefined)
        throw new KeySetUnreachable(`The key set at ${hostOf(jwksUri)} cannot be had`, { cause: entry.failure })
      throw new UnknownKey(`The key set at ${hostOf(jwksUri)} has no key for this signature`)
    },
  }

  function entryOf(jwksUri: string): Entry {
    const never = Number.NEGATIVE_INFINITY
    const known = entries.get(jwksUri)
    const entry = known ?? {
      find: undefined,
      fetchedAt: never,
      triedAt: never,
      failure: undefined,
      inFlight: undefined,
    }
    entries.delete(jwksUri)
    entries.set(jwksUri, entry)
    if (entries.size > most) entries.delete(entries.keys().next().value!)
    return entry
  }

  function age(entry: Entry): number {
    return now() - entry.fetchedAt
  }

  function since(entry: Entry): number {
    return entry.inFlight ? Number.POSITIVE_INFINITY : now() - entry.triedAt
  }

  /** Undefined where the set has none, or there is no set that may still be used. */
  async function pick(entry: Entry, header: JWSHeaderParameters): Promise<CryptoKey | undefined> {
    if (entry.find === undefined || age(entry) > usableMs) return undefined
    try {
      return await entry.find(header)
    } catch (error) {
      // Its own words for none, several, and one that is unusable or no public key.
      if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException)
        return undefined
      throw error
    }
  }

  /** One at a time for each address. Never rejects: what went wrong is kept in the entry. */
  function fetchInto(jwksUri: string, entry: Entry): Promise<void> {
    entry.inFlight ??= (async () => {
      try {
        entry.find = createLocalJWKSet(await fetchKeySet(egress, jwksUri))
        entry.fetchedAt = now()
        entry.failure = undefined
      } catch (error) {
        entry.failure = error as Error
      }
      entry.triedAt = now()
      entry.inFlight = undefined
      onFetched(jwksUri, entry.failure === undefined)
    })()
    return entry.inFlight
  }
}

export type KeySets = ReturnType<typeof createKeySets>

/** @throws Error in words that name neither path nor contents */
async function fetchKeySet(egress: Pick<Egress, 'request'>, jwksUri: string): Promise<JSONWebKeySet> {
  const { status, body, truncated } = await egress.request(jwksUri, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    timeoutMs,
    maxResponseBytes: mostBytes,
  })
  if (status !== 200) throw new Error(`it answered ${status}`)
  if (truncated) throw new Error(`it is larger than ${mostBytes} bytes`)
  try {
    return JSON.parse(body.toString('utf8')) as JSONWebKeySet
  } catch {
    throw new Error('it is no JSON')
  }
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? 'an address'
}
