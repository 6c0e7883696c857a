import { TenureError } from '../errors.ts'

/**
 * Why a client or an assertion was refused, for the log alone: on the wire every `invalid_grant` reads the same, and so
 * does every `invalid_client`.
 */
export type Reason =
  // the MCP client
  | 'client_unidentified'
  | 'client_unknown'
  | 'client_secret'
  | 'client_must_authenticate'
  | 'client_assertion_malformed'
  | 'client_assertion_key'
  | 'client_assertion_signature'
  | 'client_assertion_audience'
  | 'client_assertion_expired'
  | 'client_assertion_reused'
  // the assertion, in the order in which it is looked at
  | 'malformed'
  | 'type'
  | 'critical_header'
  | 'issuer_unknown'
  | 'algorithm'
  | 'key_unknown'
  | 'signature'
  | 'claim_missing'
  | 'audience'
  | 'client'
  | 'expired'
  | 'issued_in_future'
  | 'not_yet_valid'
  | 'life_too_long'
  | 'resource_unnamed'
  | 'resource_unknown'
  | 'resource_mismatch'
  | 'confirmation_unsupported'
  | 'authorization_details_unsupported'
  | 'scope_malformed'
  | 'tenant'
  | 'subject_unknown'
  | 'subject_ambiguous'
  | 'email_contradicts'
  // the gate, and what is written with it
  | 'client_removed'
  | 'user_inactive'
  | 'user_held'
  | 'user_deleted'
  | 'user_directory_deleted'
  | 'issued_before_cut'
  | 'not_entitled'
  | 'reused'

/** A refusal in OAuth's own words (RFC 6749 §5.2): `error` goes on the wire, the message as `error_description`. */
export class OAuthError extends TenureError {
  readonly status: number
  readonly error: string
  readonly reason: Reason | undefined
  /** What else the error's own specification puts beside it. */
  readonly parameters: Readonly<Record<string, unknown>>

  constructor(
    status: number,
    error: string,
    description: string,
    options?: ErrorOptions & { reason?: Reason; parameters?: Readonly<Record<string, unknown>> },
  ) {
    super('ERR_OAUTH', description, options)
    this.status = status
    this.error = error
    this.reason = options?.reason
    this.parameters = options?.parameters ?? {}
  }
}

export function invalidRequest(description: string): OAuthError {
  return new OAuthError(400, 'invalid_request', description)
}

export function invalidClient(reason: Reason, options?: ErrorOptions): OAuthError {
  return new OAuthError(401, 'invalid_client', 'Client authentication failed', { ...options, reason })
}

export function invalidGrant(reason: Reason, options?: ErrorOptions): OAuthError {
  return new OAuthError(400, 'invalid_grant', 'The assertion is not accepted', { ...options, reason })
}

export function invalidScope(): OAuthError {
  return new OAuthError(400, 'invalid_scope', 'None of these scopes can be granted')
}
