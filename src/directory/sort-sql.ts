import { type RawBuilder, sql } from 'kysely'
import type { AttributePath } from '../filter/ast.ts'
import type { Attribute } from '../schemas/schema.ts'
import type { FilterColumns } from './filter-columns.ts'
import { containerOf, jsonAt } from './filter-sql.ts'
import type { SortKey } from './listing.ts'

/**
 * What resources are sorted by at `path` (RFC 7644 §3.4.2.3), null without a value: folded text where case does not
 * count, and of several values the primary one, else the first. Undefined for a complex attribute as a whole, which
 * has no order, and for what is never shown.
 */
export function sortKeyOf(path: AttributePath, columns: FilterColumns): SortKey | undefined {
  const { attribute, sub } = path
  const leaf = sub ?? attribute
  if (leaf.type === 'complex' || attribute.returned === 'never') return undefined
  const kept = path.urn === undefined ? keptOutside(attribute, sub, columns) : undefined
  if (kept) return kept
  const value = jsonAt(containerOf(path, columns), [attribute.name])
  if (!sub) return typed(attribute.multiValued ? sql`${value} -> 0` : value, leaf)
  return typed(sql`${attribute.multiValued ? firstOf(value) : value} -> ${sql.lit(sub.name)}`, leaf)
}

function firstOf(list: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(select e.value from jsonb_array_elements(${list}) with ordinality as e (value, place)
    order by e.value -> 'primary' = 'true'::jsonb is true desc, e.place limit 1)`
}

function typed(json: RawBuilder<unknown>, { type }: Attribute): SortKey {
  const text = sql`nullif((${json}) #>> '{}', '')`
  if (type === 'boolean') return { expression: sql`(${text})::boolean`, kind: 'boolean' }
  if (type === 'integer' || type === 'decimal') return { expression: sql`(${text})::numeric`, kind: 'number' }
  if (type === 'dateTime') return { expression: sql`(${text})::timestamptz`, kind: 'time' }
  return { expression: text, kind: 'text' }
}

/** What the folded document does not hold, and the columns that an index orders. */
function keptOutside(attribute: Attribute, sub: Attribute | undefined, columns: FilterColumns): SortKey | undefined {
  const { alias, resourceType } = columns
  const column = (name: string) => sql.ref(`${alias}.${name}`)
  const text = (expression: RawBuilder<unknown>): SortKey => ({ expression, kind: 'text' })
  /** To the millisecond that the resource shows. */
  const time = (name: string): SortKey => ({
    expression: sql`date_trunc('milliseconds', ${column(name)})`,
    kind: 'time',
  })
  const { endpoint, name: type } = resourceType
  switch (sub ? `${attribute.name}.${sub.name}` : attribute.name) {
    case 'id':
      return text(sql`${column('id')}::text`)
    case 'schemas':
      return text(sql`${resourceType.schema.id.toLowerCase()}::text`)
    case 'externalId':
      return text(column('external_id'))
    case 'userName':
      return text(column('user_name_key'))
    case 'displayName':
      return type === 'Group' ? text(column('display_name_key')) : undefined
    case 'active':
      return { expression: column('active'), kind: 'boolean' }
    case 'meta.created':
      return time('created_at')
    case 'meta.lastModified':
      return time('last_modified')
    case 'meta.resourceType':
      return text(sql`${type}::text`)
    case 'meta.location':
      return text(sql`${endpoint}::text || '/' || ${column('id')}`)
    case 'meta.version':
      return text(sql`'W/"' || ${column('version')} || '"'`)
    default:
      if (!sub) return undefined
      if (attribute.name === 'groups') return text(sql`${firstGroup(column('id'))} ->> ${sql.lit(sub.name)}`)
      return attribute.name === 'members' ? text(sql`${firstMember(column('id'))} ->> ${sql.lit(sub.name)}`) : undefined
  }
}

/** In the order in which a user shows its groups. */
function firstGroup(user: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(select jsonb_build_object('value', fg.id, 'display', fg.display_name_key, 'type', 'direct', '$ref', '/Groups/' || fg.id)
    from group_user fm join scim_group fg on fg.id = fm.group_id where fm.user_id = ${user} order by fg.display_name limit 1)`
}

/** In the order in which a group shows its members: groups, then users, by id. */
function firstMember(group: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`coalesce(
    (select jsonb_build_object('value', fg.id, 'display', fg.display_name_key, 'type', 'group', '$ref', '/Groups/' || fg.id)
     from group_nesting fn join scim_group fg on fg.id = fn.child_id where fn.parent_id = ${group} order by fn.child_id limit 1),
    (select jsonb_build_object('value', fu.id, 'display', coalesce(fu.folded ->> 'displayName', fu.user_name_key), 'type', 'user', '$ref', '/Users/' || fu.id)
     from group_user fm join scim_user fu on fu.id = fm.user_id where fm.group_id = ${group} order by fm.user_id limit 1))`
}
