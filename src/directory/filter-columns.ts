import { type RawBuilder, sql } from 'kysely'
import type { AttributePath, Compare, Filter } from '../filter/ast.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'
import { type Condition, compareId, compareText, compareTime, unsupportedOp } from './filter-compare.ts'
import { unsupported } from './filter-parts.ts'
import type { Listing } from './listing.ts'

/** The table that a filter is compiled for: which resources it holds, and its alias in the query. */
export interface FilterColumns {
  readonly resourceType: ResourceType
  readonly alias: string
}

type Columns = Readonly<Record<string, string>>

const texts: Readonly<Record<'User' | 'Group', Columns>> = {
  User: { userName: 'user_name_key', externalId: 'external_id' },
  Group: { displayName: 'display_name_key', externalId: 'external_id' },
}
const times: Columns = { created: 'created_at', lastModified: 'last_modified' }
const special = new Set(['id', 'meta', 'schemas', 'active'])

/** Whether the attribute is kept outside the folded document, or found sooner outside. */
export function hasColumn({ urn, attribute }: AttributePath, { resourceType }: FilterColumns): boolean {
  return urn === undefined && (special.has(attribute.name) || textColumn(attribute, resourceType) !== undefined)
}

export function compareColumn(compare: Compare, columns: FilterColumns): Condition {
  const { attribute, sub } = compare.path
  const text = textColumn(attribute, columns.resourceType)
  if (text !== undefined && compare.value !== null) return compareText(column(columns, text), attribute, compare)
  if (compare.value === null) return compareNull(compare, columns)
  if (attribute.name === 'id') return compareId(column(columns, 'id'), attribute, compare)
  if (attribute.name === 'active') return compareActive(compare, columns)
  if (attribute.name === 'meta' && sub) return compareMeta(compare, sub, columns)
  if (attribute.name === 'schemas') return compareSchemas(compare, columns)
  throw unsupported(compare.path)
}

export function presentColumn(path: AttributePath, columns: FilterColumns): Condition {
  const { name } = path.attribute
  if (name === 'externalId') return sql`${column(columns, 'external_id')} is not null`
  const isAlways =
    name === 'id' || name === 'schemas' || name === 'active' || name === 'userName' || name === 'displayName'
  if (isAlways || name === 'meta') return sql`true`
  throw unsupported(path)
}

/** Whether the filter asks for one value of a key that an index begins with. */
export function asksForKey(filter: Filter, columns: FilterColumns): Listing['key'] {
  if (filter.kind === 'and')
    return filter.filters.some((each) => asksForKey(each, columns)) ? 'among others' : undefined
  if (filter.kind !== 'compare' || filter.op !== 'eq' || filter.value === null) return undefined
  const { urn, attribute } = filter.path
  const isKey = attribute.name === 'id' || textColumn(attribute, columns.resourceType) !== undefined
  return urn === undefined && isKey ? 'alone' : undefined
}

function compareNull({ path, op }: Compare, columns: FilterColumns): Condition {
  const present = presentColumn(path, columns)
  return op === 'eq' ? sql`(${present}) is not true` : present
}

function compareActive({ op, value }: Compare, columns: FilterColumns): Condition {
  return op === 'eq' ? sql`${column(columns, 'active')} = ${value}` : sql`${column(columns, 'active')} <> ${value}`
}

function compareMeta(compare: Compare, sub: Attribute, columns: FilterColumns): Condition {
  const time = times[sub.name]
  if (time !== undefined) return compareTime(column(columns, time), sub, compare)
  if (sub.name === 'version') return compareText(sql`'W/"' || ${column(columns, 'version')} || '"'`, sub, compare, true)
  if (sub.name !== 'resourceType') throw unsupported(compare.path)
  return compareText(sql`${columns.resourceType.name}::text`, sub, compare)
}

/** The core schema is always there, an extension when the resource has data under it. */
function compareSchemas({ path, op, value }: Compare, { resourceType, alias }: FilterColumns): Condition {
  if (op !== 'eq') throw unsupportedOp(path.attribute, op)
  const urn = String(value).toLowerCase()
  if (urn === resourceType.schema.id.toLowerCase()) return sql`true`
  const extension = resourceType.extensions.find(({ schema }) => schema.id.toLowerCase() === urn)
  if (!extension) throw unsupported(path)
  return sql`${sql.ref(`${alias}.folded`)} -> ${sql.lit(extension.schema.id)} is not null`
}

function textColumn({ name }: Attribute, { name: type }: ResourceType): string | undefined {
  return texts[type][name]
}

function column({ alias }: FilterColumns, name: string): RawBuilder<unknown> {
  return sql.ref(`${alias}.${name}`)
}
