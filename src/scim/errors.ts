import { TenureError } from '../errors.ts'
import { FilterError } from '../filter/errors.ts'

/** The detail error keywords of RFC 7644 §3.12 and RFC 9865 §3.1. */
export type ScimType =
  | 'invalidFilter'
  | 'tooMany'
  | 'uniqueness'
  | 'mutability'
  | 'invalidSyntax'
  | 'invalidPath'
  | 'noTarget'
  | 'invalidValue'
  | 'invalidVers'
  | 'sensitive'
  | 'invalidCursor'
  | 'expiredCursor'
  | 'invalidCount'

/** A refusal the SCIM client can act on (RFC 7644 §3.12). `status` is the HTTP status; the body carries it as a string. */
export class ScimError extends TenureError {
  readonly status: number
  readonly scimType: ScimType | undefined

  constructor(status: number, scimType: ScimType | undefined, message: string, options?: ErrorOptions) {
    super('ERR_SCIM', message, options)
    this.status = status
    this.scimType = scimType
  }
}

const statuses: ReadonlyMap<string, readonly [number, ScimType?]> = new Map([
  ['ERR_FILTER', [400, 'invalidFilter']],
  ['ERR_INVALID', [400, 'invalidValue']],
  ['ERR_TOO_COSTLY', [400, 'tooMany']],
  ['ERR_UNKNOWN_MEMBER', [400, 'invalidValue']],
  ['ERR_MEMBERSHIP_CYCLE', [400, 'invalidValue']],
  ['ERR_FORBIDDEN', [403]],
  ['ERR_NOT_FOUND', [404]],
  ['ERR_CONFLICT', [409]],
  ['ERR_NOT_UNIQUE', [409, 'uniqueness']],
  ['ERR_MEDIA_TYPE', [415]],
  ['ERR_TOO_MANY_REQUESTS', [429]],
  ['ERR_UNAVAILABLE', [503]],
])

/**
 * The one mapping of our refusals to SCIM's, undefined for one that no SCIM client can act on. RFC 7644 §3.12 files
 * `uniqueness` under 400 where §3.3 demands 409: always 409.
 */
export function toScimError(error: TenureError): ScimError | undefined {
  if (error instanceof ScimError) return error
  const [status, scimType] = statuses.get(error.code) ?? []
  if (status === undefined) return undefined
  const position = error instanceof FilterError ? error.position : undefined
  const where = position === undefined ? '' : ` (at position ${position})`
  return new ScimError(status, scimType, `${error.message}${where}`, { cause: error })
}

export interface ScimErrorBody {
  schemas: ['urn:ietf:params:scim:api:messages:2.0:Error']
  status: string
  scimType?: ScimType
  detail: string
}

export function scimErrorBody(error: ScimError): ScimErrorBody {
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: String(error.status),
    ...(error.scimType && { scimType: error.scimType }),
    detail: error.message,
  }
}
