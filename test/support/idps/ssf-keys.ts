import { randomUUID } from 'node:crypto'
import { type CompactJWSHeaderParameters, CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose'

export type TransmitterKey = Awaited<ReturnType<typeof generateKeyPair>> & {
  readonly kid: string
  readonly alg: string
}

export interface Signing {
  /** Parameters of the header over its own; undefined leaves one out. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Signs with this one; default: the newest. */
  readonly key?: TransmitterKey
  /** The signature is of something else. */
  readonly isForged?: boolean
}

/** How the key set is answered. `stalled`: not at all. */
export type KeySetAnswer = 'good' | 'broken' | 'garbage' | 'stalled'

/** The keys of a transmitter, and what it signs with them. */
export interface TransmitterKeys {
  readonly newest: TransmitterKey
  /** How often the key set was asked for. */
  fetches: number
  readonly how: KeySetAnswer
  serve(how: KeySetAnswer): void
  /** From now on signs with a new key; those before stay served. */
  rotate(alg?: string): Promise<TransmitterKey>
  /** Not served until it is shown: a key that is used before it is published. */
  hide(key: TransmitterKey): void
  show(key: TransmitterKey): void
  /** The JWK Set (RFC 7517) as it is served now. */
  published(): Promise<{ keys: JWK[] }>
  sign(claims: Readonly<Record<string, unknown>>, signing?: Signing): Promise<string>
}

export async function createTransmitterKeys(): Promise<TransmitterKeys> {
  const all: TransmitterKey[] = []
  const hidden = new Set<string>()
  let how: KeySetAnswer = 'good'

  async function rotate(alg = 'RS256'): Promise<TransmitterKey> {
    const key = { ...(await generateKeyPair(alg, { extractable: true })), kid: randomUUID(), alg }
    all.push(key)
    return key
  }
  await rotate()

  return {
    get newest() {
      return all.at(-1)!
    },
    fetches: 0,
    get how() {
      return how
    },
    serve(next) {
      how = next
    },
    rotate,
    hide: ({ kid }) => void hidden.add(kid),
    show: ({ kid }) => void hidden.delete(kid),
    async published() {
      return { keys: await Promise.all(all.filter(({ kid }) => !hidden.has(kid)).map(publicHalf)) }
    },
    async sign(claims, { header = {}, key = all.at(-1)!, isForged = false } = {}) {
      const own = { alg: key.alg, kid: key.kid, typ: 'secevent+jwt' }
      const set = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
        .setProtectedHeader({ ...own, ...header } as CompactJWSHeaderParameters)
        .sign(key.privateKey)
      if (!isForged) return set
      const [protectedHeader, , signature] = set.split('.')
      const other = Buffer.from(JSON.stringify({ ...claims, iat: Number(claims.iat) - 1 })).toString('base64url')
      return `${protectedHeader}.${other}.${signature}`
    },
  }
}

async function publicHalf({ publicKey, kid, alg }: TransmitterKey): Promise<JWK> {
  return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
}
