import { ScimError } from './errors.ts'
import { type Json, property, requireBody } from './json.ts'

const searchSchema = 'urn:ietf:params:scim:api:messages:2.0:SearchRequest'
const parameters = [
  'attributes',
  'excludedAttributes',
  'filter',
  'sortBy',
  'sortOrder',
  'startIndex',
  'count',
  'cursor',
] as const

/**
 * The body of a POST to `.search` (RFC 7644 §3.4.3) as the same parameters in a URL would be, so that both are one query.
 *
 * @throws ScimError 400 `invalidSyntax` for what is no search request, `invalidValue` for names that are no texts
 */
export function readSearchRequest(raw: unknown): Json {
  const body = requireBody(raw, 'invalidValue')
  const schemas = property(body, 'schemas')
  const isSearch =
    Array.isArray(schemas) && schemas.some((urn) => String(urn).toLowerCase() === searchSchema.toLowerCase())
  if (!isSearch) throw new ScimError(400, 'invalidSyntax', `schemas must name ${searchSchema}`)
  for (const name of ['attributes', 'excludedAttributes']) requireNames(name, property(body, name))
  return Object.fromEntries(parameters.map((name) => [name, property(body, name)]))
}

/** A list; one text, as it stands in a URL, does too. */
function requireNames(parameter: string, value: unknown): void {
  const names = Array.isArray(value) ? value : [value ?? '']
  if (names.some((name) => typeof name !== 'string'))
    throw new ScimError(400, 'invalidValue', `${parameter} must be a list of names`)
}
