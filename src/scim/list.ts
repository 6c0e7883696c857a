import { asksForKey } from '../directory/filter-columns.ts'
import { compileFilter } from '../directory/filter-sql.ts'
import type { Listing, Page, Start } from '../directory/listing.ts'
import { parseFilter } from '../filter/parse.ts'
import type { ResourceType } from '../schemas/schema.ts'
import type { Cursors } from './cursor.ts'
import { ScimError, type ScimType } from './errors.ts'
import { type Json, property } from './json.ts'
import { orderOf, readSort } from './sort.ts'

export const defaultPageSize = 100
/** ServiceProviderConfig's `filter.maxResults`. */
export const largestPage = 200

/** What a query asks for: the parameters of a URL, or the members of a search request. `cursor` is '' for the beginning. */
export interface ListQuery {
  readonly filter: string | undefined
  readonly sortBy: string | undefined
  readonly descending: boolean
  readonly startIndex: number
  readonly count: number
  readonly cursor: string | undefined
}

/**
 * Filter, sort and page (RFC 7644 §3.4.2, RFC 9865). A startIndex below 1 is 1, a negative count 0, a count beyond the
 * largest page is cut. A parameter that is given twice is refused, and one in other letters is read: to pass over a filter
 * would answer everybody.
 *
 * @throws ScimError 400 `invalidFilter`, `invalidValue`, `invalidCursor` or `invalidCount`
 */
export function readListQuery(query: Readonly<Json>): ListQuery {
  const cursor = readText(query, 'cursor', 'invalidCursor')
  const sortOrder = readText(query, 'sortOrder')?.toLowerCase() || 'ascending'
  if (sortOrder !== 'ascending' && sortOrder !== 'descending')
    throw new ScimError(400, 'invalidValue', 'sortOrder is ascending or descending')
  const count = readInteger(query, 'count', cursor === undefined ? 'invalidValue' : 'invalidCount')
  return {
    filter: readText(query, 'filter', 'invalidFilter') || undefined,
    sortBy: readText(query, 'sortBy') || undefined,
    descending: sortOrder === 'descending',
    startIndex: Math.max(1, readInteger(query, 'startIndex') ?? 1),
    count: Math.min(largestPage, Math.max(0, count ?? defaultPageSize)),
    cursor,
  }
}

/** The query's filter and sort over one type of resource. @throws ScimError, FilterError */
export function compileQuery(
  query: ListQuery,
  resourceType: ResourceType,
  alias: string,
): Pick<Listing, 'where' | 'key' | 'order'> {
  const columns = { resourceType, alias }
  const sort = readSort(query, resourceType)
  const filter = query.filter === undefined ? undefined : parseFilter(query.filter, resourceType)
  return {
    where: filter && compileFilter(filter, columns),
    key: filter && asksForKey(filter, columns),
    order: sort && orderOf(sort, columns),
  }
}

/**
 * Runs the query's page and answers it as a ListResponse; `read` reads and represents the resources. A page by cursor
 * has no `startIndex`, and `nextCursor` unless it is the last.
 */
export async function answerPage(
  { query, scope, cursors }: { query: ListQuery; scope: string; cursors: Cursors },
  directoryId: string,
  read: (part: Pick<Listing, 'from' | 'limit'>) => Promise<Page<unknown>>,
): Promise<Json> {
  const { cursor, count, startIndex, filter, sortBy, descending } = query
  const bound = [directoryId, scope, filter, sortBy, String(descending)]
  const from: Start =
    cursor === undefined
      ? { offset: startIndex - 1 }
      : { after: cursor === '' ? undefined : await cursors.read(bound, cursor) }
  const { items, total, next } = await read({ from, limit: count })
  const { startIndex: _, ...page } = listResponse(items, total, startIndex)
  if (cursor === undefined) return listResponse(items, total, startIndex)
  return next ? { ...page, nextCursor: await cursors.issue(bound, next) } : page
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

function readText(query: Readonly<Json>, name: string, scimType: ScimType = 'invalidValue'): string | undefined {
  const text = property(query, name)
  if (text === undefined || text === null) return undefined
  if (typeof text !== 'string') throw new ScimError(400, scimType, `${name} must be one text`)
  return text
}

function readInteger(query: Readonly<Json>, name: string, scimType: ScimType = 'invalidValue'): number | undefined {
  const given = property(query, name)
  if (given === undefined || given === null) return undefined
  const text = typeof given === 'number' ? String(given) : given
  if (typeof text !== 'string' || !/^-?\d{1,9}$/.test(text))
    throw new ScimError(400, scimType, `${name} must be an integer`)
  return Number(text)
}
