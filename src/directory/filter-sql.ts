import { type RawBuilder, sql } from 'kysely'
import {
  type AttributePath,
  type Compare,
  type Element,
  type Filter,
  leafOf,
  type Present,
  type Term,
} from '../filter/ast.ts'
import { compareColumn, type FilterColumns, hasColumn, presentColumn } from './filter-columns.ts'
import { type Condition, compareText, compareTyped, operandOf } from './filter-compare.ts'
import { compileParts, joined, type Parts, unsupported } from './filter-parts.ts'
import { areRows, compileRows, requireFewRowTerms } from './filter-rows.ts'

export type { FilterColumns } from './filter-columns.ts'
export { foldDocument } from './folded.ts'

/**
 * The filter as a condition on `scim_user` or `scim_group`, with every operand a parameter. It selects what `matches`
 * selects. A null inside counts as false, so a positive condition can use the indexes as it is, and `not` is written
 * `is not true`.
 *
 * @throws FilterError for what the columns cannot answer, or not at a fair cost; never an empty list, after which the provider creates twins
 */
export function compileFilter(filter: Filter, columns: FilterColumns): RawBuilder<boolean> {
  requireFewRowTerms(filter, columns)
  return compile(filter, columns)
}

function compile(filter: Filter, columns: FilterColumns): Condition {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return joined(
        filter.kind,
        filter.filters.map((each) => compile(each, columns)),
      )
    case 'not':
      return sql`(${compile(filter.filter, columns)}) is not true`
    default:
      return areRows(filter.path, columns) ? compileRows(filter, columns) : compileTerm(filter, columns)
  }
}

function compileTerm(term: Term, columns: FilterColumns): Condition {
  if (term.kind === 'element') return compileElement(term, columns)
  return term.kind === 'present' ? compilePresent(term, columns) : compileCompare(term, columns)
}

function compileCompare(compare: Compare, columns: FilterColumns): Condition {
  const { path, op, value } = compare
  if (hasColumn(path, columns)) return compareColumn(compare, columns)
  if (value === null) {
    const present = compilePresent({ kind: 'present', path }, columns)
    return op === 'eq' ? sql`(${present}) is not true` : present
  }
  const { attribute, sub } = path
  if (!attribute.multiValued)
    return compareLeaf(compare, containerOf(path, columns), sub ? [attribute.name, sub.name] : [attribute.name])
  if (!sub) throw unsupported(path)
  const list = jsonAt(containerOf(path, columns), [attribute.name])
  if (op === 'eq') return contains(list, { [sub.name]: operandOf(sub, value) })
  const some = anyElement(list, compareLeaf({ ...compare, op }, sql`e.value`, [sub.name], true))
  return op === 'ne'
    ? sql`(${some} or not ${anyElement(list, sql`e.value ->> ${sql.lit(sub.name)} is not null`)})`
    : some
}

/** `present`: the caller sees to missing values itself, so that `ne` must not count them. */
function compareLeaf(
  compare: Compare,
  container: RawBuilder<unknown>,
  names: readonly string[],
  present = false,
): Condition {
  const leaf = leafOf(compare.path)
  return leaf.type === 'boolean' || leaf.type === 'integer' || leaf.type === 'decimal'
    ? compareTyped(jsonAt(container, names), leaf, compare, present)
    : compareText(textAt(container, names), leaf, compare, present)
}

function compilePresent({ path }: Present, columns: FilterColumns): Condition {
  if (hasColumn(path, columns)) return presentColumn(path, columns)
  const { attribute, sub } = path
  const container = containerOf(path, columns)
  if (!attribute.multiValued)
    return sql`${jsonAt(container, sub ? [attribute.name, sub.name] : [attribute.name])} is not null`
  const list = jsonAt(container, [attribute.name])
  return sub ? anyElement(list, sql`e.value -> ${sql.lit(sub.name)} is not null`) : anyElement(list, sql`true`)
}

/** A conjunction of `eq` is one containment, which the GIN index on `folded -> 'emails'` answers. */
function compileElement({ path, filter }: Element, columns: FilterColumns): Condition {
  const { attribute } = path
  if (hasColumn(path, columns)) {
    if (filter.kind !== 'compare') throw unsupported(path)
    return compareColumn({ ...filter, path: { attribute, sub: filter.path.attribute } }, columns)
  }
  const list = jsonAt(containerOf(path, columns), [attribute.name])
  const wanted = containmentOf(filter)
  if (attribute.multiValued)
    return wanted ? contains(list, wanted) : anyElement(list, compileParts(filter, partsOf(sql`e.value`)))
  return sql`(${list} is not null and ${compileParts(filter, partsOf(list))})`
}

/** Of the one value that `element` is. */
function partsOf(element: RawBuilder<unknown>): Parts {
  return {
    compare: (compare, { name }) => compareLeaf(compare, element, [name]),
    present: ({ name }) => sql`${jsonAt(element, [name])} is not null`,
  }
}

function containmentOf(filter: Filter): Record<string, unknown> | undefined {
  if (filter.kind === 'compare' && filter.op === 'eq' && filter.value !== null) {
    const { attribute } = filter.path
    return { [attribute.name]: operandOf(attribute, filter.value) }
  }
  if (filter.kind !== 'and') return undefined
  const parts = filter.filters.map(containmentOf)
  const names = parts.flatMap((part) => (part ? Object.keys(part) : []))
  const isOneEach = new Set(names).size === names.length && parts.every((part) => part !== undefined)
  return isOneEach ? Object.assign({}, ...parts) : undefined
}

function contains(list: RawBuilder<unknown>, element: Record<string, unknown>): Condition {
  return sql`(${list}) @> ${JSON.stringify([element])}::jsonb`
}

function anyElement(list: RawBuilder<unknown>, condition: RawBuilder<unknown>): Condition {
  return sql`exists (select from jsonb_array_elements(${list}) as e where ${condition})`
}

export function containerOf({ urn }: AttributePath, { alias }: FilterColumns): RawBuilder<unknown> {
  const folded = sql.ref(`${alias}.folded`)
  return urn === undefined ? folded : sql`${folded} -> ${sql.lit(urn)}`
}

export function jsonAt(container: RawBuilder<unknown>, names: readonly string[]): RawBuilder<unknown> {
  return names.reduce((inner, name) => sql`${inner} -> ${sql.lit(name)}`, container)
}

function textAt(container: RawBuilder<unknown>, names: readonly string[]): RawBuilder<unknown> {
  return sql`${jsonAt(container, names.slice(0, -1))} ->> ${sql.lit(names.at(-1)!)}`
}
