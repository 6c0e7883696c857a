import type { GlobalTokenRevocationConfig } from '../../directory/channel-config.ts'
import { isStorable } from '../../filter/lex.ts'
import type { Identifier } from '../../lifecycle/signals.ts'
import { isObject } from '../../trust/json-object.ts'

const longest = 512

/**
 * Whom a `sub_id` (RFC 9493) names. Okta sends `email`, or an `iss_sub` with the id that SCIM gave the user here; what
 * another sender means by its `sub` or `id` is for the channel to say. An `iss` is that of the sender where the
 * identifier is the sender's.
 *
 * @returns undefined for a form that is not read here, or what is none
 */
export function subjectOf(
  subId: unknown,
  { issuer, subject = 'id' }: Pick<GlobalTokenRevocationConfig, 'issuer' | 'subject'>,
): Identifier | undefined {
  if (!isObject(subId)) return undefined
  const own = (value: unknown): Identifier | undefined => {
    if (!isName(value)) return undefined
    return subject === 'id' ? { by: 'id', value } : { by: 'subject', issuer, value, attribute: subject }
  }
  switch (subId.format) {
    case 'email':
      return isName(subId.email) ? { by: 'email', value: subId.email } : undefined
    case 'iss_sub':
      return isName(subId.iss) && (subject === 'id' || subId.iss === issuer) ? own(subId.sub) : undefined
    case 'opaque':
      return own(subId.id)
    default:
      return undefined
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longest && isStorable(value)
}
