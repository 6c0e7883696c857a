import { createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose'
import { TenureError } from './errors.ts'

/** A bearer secret of 256 bits with a readable prefix, so that a leaked one is recognised for what it is. */
export function newSecret(prefix: string): string {
  return `${prefix}_${randomBytes(32).toString('base64url')}`
}

/** A signing secret as Standard Webhooks writes it: `whsec_` and base64 of 32 bytes. */
export function newSigningSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`
}

/**
 * What is stored of a secret that only has to be recognised. Plain SHA-256: our secrets carry 256 random bits, so
 * there is nothing to slow a guesser down for, and every request pays for it.
 */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** Compares without telling by its time how much was right. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(hashSecret(given), hashSecret(expected))
}

/** The stored secret was sealed under none of the keys at hand. */
export class UnsealError extends TenureError {
  constructor(options?: ErrorOptions) {
    super('ERR_UNSEAL', 'A stored secret cannot be opened with any key in TENURE_SECRET_KEY', options)
  }
}

/** Seals what must be read again (signing secrets, keys) as a compact JWE: `dir`, A256GCM (RFC 7516). */
export interface Sealer {
  /** Names the key that seals, as it stands in what it sealed. Says nothing about the key. */
  readonly kid: string
  seal(plain: string): Promise<string>
  /** @throws UnsealError when no key opens it */
  unseal(sealed: string): Promise<string>
}

/** `keys`: the first seals, all open, so that a key can be rotated without a moment of neither. */
export function createSealer(keys: readonly string[]): Sealer {
  const derived = keys.map((key) => {
    const bytes = new Uint8Array(hkdfSync('sha256', key, '', 'tenure sealing key v1', 32))
    return { bytes, kid: createHash('sha256').update(bytes).digest('base64url').slice(0, 16) }
  })
  const [first] = derived
  if (!first) throw new TypeError('a sealer needs at least one key')
  return {
    kid: first.kid,
    seal: (plain) =>
      new CompactEncrypt(new TextEncoder().encode(plain))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: first.kid })
        .encrypt(first.bytes),
    unseal: async (sealed) => {
      try {
        const { plaintext } = await compactDecrypt(sealed, ({ kid }) => {
          const key = derived.find((candidate) => candidate.kid === kid)
          if (!key) throw new UnsealError()
          return key.bytes
        })
        return new TextDecoder().decode(plaintext)
      } catch (cause) {
        throw new UnsealError({ cause })
      }
    },
  }
}

/** The `kid` of the key under which this was sealed. */
export function keyIdOf(sealed: string): string | undefined {
  return decodeProtectedHeader(sealed).kid
}
