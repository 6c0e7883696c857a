import type { RawBuilder } from 'kysely'
import { compileFilter } from '../directory/filter-sql.ts'
import { parseFilter } from '../filter/parse.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import type { Json } from './json.ts'

export const defaultPageSize = 100
/** ServiceProviderConfig's `filter.maxResults`. */
export const largestPage = 200

export interface ListQuery {
  readonly where: RawBuilder<boolean> | undefined
  readonly startIndex: number
  readonly count: number
}

/**
 * `filter`, `startIndex` and `count` (RFC 7644 §3.4.2). A startIndex below 1 is 1, a negative count 0, a count beyond
 * the largest page is cut.
 *
 * @throws ScimError 400 `invalidFilter` or `invalidValue`
 */
export function readListQuery(query: Readonly<Json>, resourceType: ResourceType, alias: string): ListQuery {
  const { filter } = query
  return {
    where:
      typeof filter === 'string' && filter !== ''
        ? compileFilter(parseFilter(filter, resourceType), { resourceType, alias })
        : undefined,
    startIndex: Math.max(1, readInteger(query, 'startIndex') ?? 1),
    count: Math.min(largestPage, Math.max(0, readInteger(query, 'count') ?? defaultPageSize)),
  }
}

function readInteger(query: Readonly<Json>, name: string): number | undefined {
  const text = query[name]
  if (text === undefined) return undefined
  if (typeof text !== 'string' || !/^-?\d{1,9}$/.test(text))
    throw new ScimError(400, 'invalidValue', `${name} must be an integer`)
  return Number(text)
}

/** Every list answers all five members; numbers are integers, `Resources` is there when empty. */
export function listResponse(resources: readonly unknown[], total: number, startIndex: number) {
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
    totalResults: total,
    startIndex,
    itemsPerPage: resources.length,
    Resources: resources,
  }
}
