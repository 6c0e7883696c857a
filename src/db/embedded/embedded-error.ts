import { TenureError } from '../../errors.ts'

export type EmbeddedErrorCode = 'ERR_HOME_IN_USE' | 'ERR_HOME_OWNER' | 'ERR_EMBEDDED_DATABASE'

/** The embedded database cannot be had, or was lost; the message is for the operator and says what to do about it. */
export class EmbeddedDatabaseError extends TenureError {
  declare readonly code: EmbeddedErrorCode

  constructor(code: EmbeddedErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}
