import { TenureError, Unavailable } from '../errors.ts'
import { bodyProblem, isUnstorable } from '../http/problem.ts'
import { TooManyRequests } from '../http/rate-limit.ts'
import { asUnavailable } from '../unreachable.ts'
import { ScimError, toScimError } from './errors.ts'
import { largestBodyBytes } from './limits.ts'

/** Whatever a request or an operation of a bulk request threw, as SCIM says it; undefined: a bug of ours. */
export function refusalOf(error: unknown): ScimError | undefined {
  const unavailable = asUnavailable(error)
  if (unavailable) return new ScimError(503, undefined, unavailable.message, { cause: unavailable })
  if (isUnstorable(error)) return new ScimError(400, 'invalidValue', 'A text holds a character that cannot be stored')
  const malformed = bodyProblem(error)
  if (malformed?.status === 413)
    return new ScimError(413, undefined, `The body is larger than ${largestBodyBytes} bytes`)
  if (malformed)
    return new ScimError(
      malformed.status,
      malformed.status === 400 ? 'invalidSyntax' : undefined,
      malformed.detail ?? malformed.title,
    )
  return error instanceof TenureError ? toScimError(error) : undefined
}

/** In whole seconds, for a refusal that passes by itself. */
export function retryAfterOf({ cause }: ScimError): number | undefined {
  return cause instanceof TooManyRequests || cause instanceof Unavailable ? cause.retryAfterSeconds : undefined
}
