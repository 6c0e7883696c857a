import { isTime, skewSeconds } from '../trust/jwt.ts'
import type { IdJag } from './assertion.ts'
import { OAuthError } from './errors.ts'

/**
 * Whether the person signed in recently and strongly enough for this issuer. Asked of those alone who would get a token
 * otherwise: whoever was cut learns nothing of it, and signing in again would not help them.
 *
 * @throws OAuthError `insufficient_user_authentication` (RFC 9470 §3) with what would be enough
 */
export function requireSignIn({ issuer, authTime, acr }: IdJag): void {
  const { maxAuthAgeSeconds: maxAge, acrValues } = issuer
  const isRecent = maxAge === null || (isTime(authTime) && authTime >= Date.now() / 1_000 - maxAge - skewSeconds)
  const isStrong = acrValues === null || acrValues.some((value) => value === acr)
  if (isRecent && isStrong) return
  throw new OAuthError(400, 'insufficient_user_authentication', 'The person must sign in again', {
    parameters: {
      ...(maxAge === null ? {} : { max_age: maxAge }),
      ...(acrValues === null ? {} : { acr_values: acrValues.join(' ') }),
    },
  })
}
