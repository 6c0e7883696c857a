import { createHash } from 'node:crypto'

/** As what a token is remembered: not as itself, and never as another issuer's that happens to be spelt the same. */
export function tokenKey(issuer: string, token: string): string {
  return createHash('sha256').update(`${issuer}\0${token}`).digest('base64url')
}
