import { type RawBuilder, sql } from 'kysely'
import type { AttributePath, Compare } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import { isResourceId } from '../ids.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'
import { type Condition, compareText, compareTime, unsupportedOp } from './filter-compare.ts'

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
const special = new Set(['id', 'meta', 'schemas', 'active', 'groups', 'members'])

/** Whether the attribute is kept outside the folded document, or found sooner outside. */
export function hasColumn({ urn, attribute }: AttributePath, { resourceType }: FilterColumns): boolean {
  return urn === undefined && (special.has(attribute.name) || textColumn(attribute, resourceType) !== undefined)
}

export function compareColumn(compare: Compare, columns: FilterColumns): Condition {
  const { attribute, sub } = compare.path
  const text = textColumn(attribute, columns.resourceType)
  if (text !== undefined && compare.value !== null) return compareText(column(columns, text), attribute, compare)
  if (compare.value === null) return compareNull(compare, columns)
  if (attribute.name === 'id') return compareId(compare, columns)
  if (attribute.name === 'active') return compareActive(compare, columns)
  if (attribute.name === 'meta' && sub) return compareMeta(compare, sub, columns)
  if (attribute.name === 'schemas') return compareSchemas(compare, columns)
  if (attribute.name === 'members' && sub?.name === 'value') return compareMember(compare, columns)
  throw unsupported(compare.path)
}

export function presentColumn(path: AttributePath, columns: FilterColumns): Condition {
  const { attribute, sub } = path
  const { name } = attribute
  if (name === 'externalId') return sql`${column(columns, 'external_id')} is not null`
  const isAlways =
    name === 'id' || name === 'schemas' || name === 'active' || name === 'userName' || name === 'displayName'
  if (isAlways || (name === 'meta' && sub?.name !== 'version')) return sql`true`
  throw unsupported(path)
}

function compareNull({ path, op }: Compare, columns: FilterColumns): Condition {
  const present = presentColumn(path, columns)
  return op === 'eq' ? sql`(${present}) is not true` : present
}

/** Ids are compared as ids, so that the primary key serves; one that cannot be an id is nobody's, and no database error. */
function compareId({ path, op, value }: Compare, columns: FilterColumns): Condition {
  const id = String(value)
  if (op !== 'eq' && op !== 'ne') {
    return compareText(sql`${column(columns, 'id')}::text`, path.attribute, { kind: 'compare', path, op, value: id })
  }
  if (!isResourceId(id)) return op === 'eq' ? sql`false` : sql`true`
  return op === 'eq' ? sql`${column(columns, 'id')} = ${id}::uuid` : sql`${column(columns, 'id')} <> ${id}::uuid`
}

function compareActive({ op, value }: Compare, columns: FilterColumns): Condition {
  return op === 'eq' ? sql`${column(columns, 'active')} = ${value}` : sql`${column(columns, 'active')} <> ${value}`
}

function compareMeta(compare: Compare, sub: Attribute, columns: FilterColumns): Condition {
  const time = times[sub.name]
  if (time !== undefined) return compareTime(column(columns, time), sub, compare)
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

/** Members are rows of their own, users and nested groups apart. */
function compareMember({ path, op, value }: Compare, columns: FilterColumns): Condition {
  if (op !== 'eq') throw unsupportedOp(path.attribute, op)
  const id = String(value)
  if (!isResourceId(id)) return sql`false`
  const group = column(columns, 'id')
  return sql`(exists (select from group_user m where m.group_id = ${group} and m.user_id = ${id}::uuid)
    or exists (select from group_nesting n where n.parent_id = ${group} and n.child_id = ${id}::uuid))`
}

function textColumn({ name }: Attribute, { name: type }: ResourceType): string | undefined {
  return texts[type][name]
}

function column({ alias }: FilterColumns, name: string): RawBuilder<unknown> {
  return sql.ref(`${alias}.${name}`)
}

function unsupported({ attribute, sub }: AttributePath): FilterError {
  return new FilterError(`this filter on ${sub ? `${attribute.name}.${sub.name}` : attribute.name} is not supported`)
}
