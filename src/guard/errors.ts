export type GuardErrorCode =
  /** `createGuard` was given something that cannot be meant. */
  | 'ERR_GUARD_OPTIONS'
  /** Tenure did not answer in time, or said that it cannot. */
  | 'ERR_GUARD_UNREACHABLE'
  /** Tenure does not know this server's credentials. */
  | 'ERR_GUARD_CREDENTIALS'
  /** Tenure's answer cannot be understood: often the URL is somebody else's. */
  | 'ERR_GUARD_ANSWER'
  /** Tokens are for another resource or of another issuer than the options say. */
  | 'ERR_GUARD_MISMATCH'
  /** A webhook that was not signed with the secret that was given. */
  | 'ERR_GUARD_SIGNATURE'
  /** The body of a webhook was read by somebody else before. */
  | 'ERR_GUARD_BODY'

/** What an operator of the server should know. Holds no token and no secret. */
export class GuardError extends Error {
  readonly code: GuardErrorCode

  constructor(code: GuardErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'GuardError'
    this.code = code
  }
}
