import { type RawBuilder, sql } from 'kysely'
import type { AttributePath, Filter, Term } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import type { FilterColumns } from './filter-columns.ts'
import { type Condition, compareId, compareText } from './filter-compare.ts'
import { compileParts, joined, type Parts, unsupported } from './filter-parts.ts'

/** Where the values of an attribute are that is kept as rows, and what their parts are, folded where case does not count. */
interface Rows {
  readonly from: RawBuilder<unknown>
  readonly value: RawBuilder<unknown>
  readonly display: RawBuilder<unknown>
  readonly type: RawBuilder<unknown>
}

/** Whether the attribute is kept as rows: a user's groups, a group's members. As answers show them, direct ones alone. */
export function areRows({ urn, attribute }: AttributePath, { resourceType }: FilterColumns): boolean {
  return urn === undefined && attribute.name === (resourceType.name === 'User' ? 'groups' : 'members')
}

/** Each is asked of every group that anybody is in, or of every member that any group has, and no index serves most. */
const mostRowTerms = 16

/** @throws FilterError for more terms about such an attribute than a directory of any size can be asked */
export function requireFewRowTerms(filter: Filter, columns: FilterColumns): void {
  const terms = countTerms(filter, ({ path }) => areRows(path, columns))
  if (terms > mostRowTerms)
    throw new FilterError(
      `a filter may have at most ${mostRowTerms} terms about the groups of users or members of groups`,
    )
}

function countTerms(filter: Filter, isCounted: (term: Term) => boolean): number {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.reduce((sum, each) => sum + countTerms(each, isCounted), 0)
    case 'not':
      return countTerms(filter.filter, isCounted)
    case 'element':
      return isCounted(filter) ? countTerms(filter.filter, () => true) : 0
    default:
      return isCounted(filter) ? 1 : 0
  }
}

/** A term about an attribute that is kept as rows: true when one of them satisfies it. @throws FilterError */
export function compileRows(term: Term, columns: FilterColumns): Condition {
  const tables = columns.resourceType.name === 'User' ? groupsOf(columns) : membersOf(columns)
  const some = (condition: (parts: Parts) => Condition) =>
    joined(
      'or',
      tables.map((rows) => sql`exists (${rows.from} and ${condition(partsOf(rows))})`),
    )
  const any = some(() => sql`true`)
  switch (term.kind) {
    case 'element':
      return some((parts) => compileParts(term.filter, parts))
    case 'present':
      return any
    case 'compare': {
      if (term.value === null) return term.op === 'eq' ? sql`not ${any}` : any
      const { sub } = term.path
      if (!sub) throw unsupported(term.path)
      const found = some((parts) => parts.compare(term, sub))
      return term.op === 'ne' ? sql`(${found} or not ${any})` : found
    }
  }
}

/** Every row has every part. `$ref` is made of the address under which the directory is reached. */
function partsOf(rows: Rows): Parts {
  return {
    present: () => sql`true`,
    compare(compare, part) {
      if (part.name === 'value') return compareId(rows.value, part, compare)
      if (part.name !== 'display' && part.name !== 'type') throw unsupported({ attribute: part })
      return compareText(rows[part.name], part, compare, true)
    },
  }
}

/** What ties a row to its user is all in the `where`: there Postgres can turn it round, and go from the group to its users. */
function groupsOf({ alias }: FilterColumns): Rows[] {
  return [
    {
      from: sql`select from group_user gm join scim_group gg on gg.id = gm.group_id
        where gm.user_id = ${sql.ref(`${alias}.id`)} and gg.directory_id = ${sql.ref(`${alias}.directory_id`)} and gg.deleted_at is null`,
      value: sql.ref('gm.group_id'),
      display: sql.ref('gg.display_name_key'),
      type: sql`'direct'::text`,
    },
  ]
}

/** The joins are left ones, which Postgres leaves out where nothing of them is asked for. */
function membersOf({ alias }: FilterColumns): Rows[] {
  const group = sql.ref(`${alias}.id`)
  return [
    {
      from: sql`select from group_user mm left join scim_user mu on mu.id = mm.user_id where mm.group_id = ${group}`,
      value: sql.ref('mm.user_id'),
      display: sql`coalesce(mu.folded ->> 'displayName', mu.user_name_key)`,
      type: sql`'user'::text`,
    },
    {
      from: sql`select from group_nesting mn left join scim_group mg on mg.id = mn.child_id where mn.parent_id = ${group}`,
      value: sql.ref('mn.child_id'),
      display: sql.ref('mg.display_name_key'),
      type: sql`'group'::text`,
    },
  ]
}
