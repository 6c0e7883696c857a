/**
 * The base of every refusal a caller can act on. `code` is stable and safe to log; each protocol folder maps its own
 * subclasses to its wire form once. Anything that is not a TenureError is a bug of ours and leaves as an empty 500.
 */
export class TenureError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** What is asked for does not exist, or belongs to somebody else: the two are never told apart on the wire. */
export class NotFound extends TenureError {
  constructor(message: string) {
    super('ERR_NOT_FOUND', message)
  }
}

/** The request contradicts what is stored: a taken name, an id that belongs elsewhere. */
export class Conflict extends TenureError {
  constructor(message: string) {
    super('ERR_CONFLICT', message)
  }
}

/** `field` is a path into the request body in dotted form, `position` a 0-based offset into that field's text. */
export interface FieldProblem {
  field: string
  message: string
  position?: number
}

/** The request is well-formed but cannot be meant. */
export class Invalid extends TenureError {
  readonly problems: readonly FieldProblem[]

  constructor(message: string, problems: readonly FieldProblem[] = []) {
    super('ERR_INVALID', message)
    this.problems = problems
  }
}

/** The gate said no: the caller may ask, but the user may not have. */
export class Forbidden extends TenureError {
  constructor(message: string) {
    super('ERR_FORBIDDEN', message)
  }
}

/** A part that we need does not answer; the same request may succeed later. */
export class Unavailable extends TenureError {
  readonly retryAfterSeconds: number

  constructor(message: string, options?: ErrorOptions & { retryAfterSeconds?: number }) {
    super('ERR_UNAVAILABLE', message, options)
    this.retryAfterSeconds = options?.retryAfterSeconds ?? 1
  }
}
