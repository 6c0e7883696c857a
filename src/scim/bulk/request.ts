import { ScimError } from '../errors.ts'
import { isObject, type Json, property } from '../json.ts'
import { mostOperations } from '../limits.ts'

export interface BulkRequest {
  /** After so many failures the rest is left undone; undefined: never. */
  readonly failOnErrors: number | undefined
  /** As received: what is wrong with one of them is that one's failure. */
  readonly operations: readonly unknown[]
}

const bulkRequestSchema = 'urn:ietf:params:scim:api:messages:2.0:BulkRequest'

/**
 * What a bulk request says as a whole (RFC 7644 §3.7).
 *
 * @throws ScimError 400, or 413 for more operations than ServiceProviderConfig declares
 */
export function readBulkRequest(body: unknown): BulkRequest {
  if (!isObject(body)) throw new ScimError(400, 'invalidSyntax', 'The body must be a JSON object')
  const schemas = property(body, 'schemas')
  const isDeclared = (each: unknown) =>
    typeof each === 'string' && each.toLowerCase() === bulkRequestSchema.toLowerCase()
  if (!Array.isArray(schemas) || !schemas.some(isDeclared))
    throw new ScimError(400, 'invalidSyntax', `schemas must contain ${bulkRequestSchema}`)
  const operations = property(body, 'Operations')
  if (!Array.isArray(operations)) throw new ScimError(400, 'invalidSyntax', 'Operations must be a list')
  if (operations.length > mostOperations)
    throw new ScimError(413, undefined, `A bulk request may have at most ${mostOperations} operations (maxOperations)`)
  return { failOnErrors: readFailOnErrors(body), operations }
}

function readFailOnErrors(body: Json): number | undefined {
  const value = property(body, 'failOnErrors') ?? undefined
  if (value === undefined || (typeof value === 'number' && Number.isInteger(value) && value >= 1)) return value
  throw new ScimError(400, 'invalidValue', 'failOnErrors must be an integer of at least 1')
}
