import { TenureError } from '../errors.ts'

/** A refusal in OAuth's own words (RFC 6749 §5.2): `error` goes on the wire, the message as `error_description`. */
export class OAuthError extends TenureError {
  readonly status: number
  readonly error: string

  constructor(status: number, error: string, description: string) {
    super('ERR_OAUTH', description)
    this.status = status
    this.error = error
  }
}
