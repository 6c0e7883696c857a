import type { RefusalReason } from '../../directory/refusals.ts'
import { TenureError } from '../../errors.ts'

/** What a transmitter is told of a SET that is not taken (RFC 8935 §2.4; `invalid_state`: SSF 1.0 §8.1.4.1). */
export type SetErrorCode =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied'
  | 'invalid_state'

/** A SET that is not taken, now or later: `err` is for its sender, `reason` for the count. */
export class SetRefusal extends TenureError {
  readonly err: SetErrorCode
  readonly reason: RefusalReason

  constructor(err: SetErrorCode, reason: RefusalReason, options?: ErrorOptions) {
    super('ERR_SET', `The SET is not accepted: ${reason}`, options)
    this.err = err
    this.reason = reason
  }
}
