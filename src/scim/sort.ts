import type { FilterColumns } from '../directory/filter-columns.ts'
import type { Order, SortKey } from '../directory/listing.ts'
import { sortKeyOf } from '../directory/sort-sql.ts'
import type { AttributePath } from '../filter/ast.ts'
import { findAttribute, resolvePath } from '../schemas/resolve.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'

/** `sortBy` and `sortOrder` (RFC 7644 §3.4.2.3). */
export interface Sort {
  readonly path: AttributePath
  readonly descending: boolean
}

/**
 * A complex attribute that has a `value` is sorted by it, as `emails`.
 *
 * @throws ScimError 400 `invalidValue` for an attribute that no schema has, and an order that there is not
 */
export function readSort(
  { sortBy, descending }: { readonly sortBy?: string | undefined; readonly descending: boolean },
  resourceType: ResourceType,
): Sort | undefined {
  if (sortBy === undefined) return undefined
  const resolved = resolvePath(resourceType, sortBy)
  if (resolved?.kind !== 'attribute') throw new ScimError(400, 'invalidValue', 'sortBy names no attribute')
  const { path } = resolved
  const value = path.sub ? undefined : findAttribute(path.attribute.subAttributes, 'value')
  return { path: value ? { ...path, sub: value } : path, descending }
}

/** @throws ScimError 400 `invalidValue` for what has no order: `name` as a whole, `password` */
export function orderOf({ path, descending }: Sort, columns: FilterColumns): Order {
  return { key: sortKeyOf(path, columns) ?? refuseToSort(path), descending }
}

export function refuseToSort({ attribute, sub }: AttributePath): SortKey {
  throw new ScimError(400, 'invalidValue', `${sub ? `${attribute.name}.${sub.name}` : attribute.name} has no order`)
}
