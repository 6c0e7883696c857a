import { type RawBuilder, sql } from 'kysely'
import type { AttributePath, Compare, Filter } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import type { Attribute } from '../schemas/schema.ts'
import type { Condition } from './filter-compare.ts'

/** How the parts of one value are asked for: of an element of a JSON list, of a row. */
export interface Parts {
  /** `compare` has an operand; without a value `ne` is true. */
  compare(compare: Compare, part: Attribute): Condition
  present(part: Attribute): Condition
}

/** A filter over the sub-attributes of one value. */
export function compileParts(filter: Filter, parts: Parts): Condition {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return joined(
        filter.kind,
        filter.filters.map((each) => compileParts(each, parts)),
      )
    case 'not':
      return sql`(${compileParts(filter.filter, parts)}) is not true`
    case 'present':
      return parts.present(filter.path.attribute)
    case 'compare': {
      const { attribute } = filter.path
      if (filter.value !== null) return parts.compare(filter, attribute)
      return filter.op === 'eq' ? sql`(${parts.present(attribute)}) is not true` : parts.present(attribute)
    }
    case 'element':
      throw unsupported(filter.path)
  }
}

export function joined(kind: 'and' | 'or', conditions: readonly RawBuilder<boolean>[]): Condition {
  return sql`(${sql.join(conditions, kind === 'and' ? sql` and ` : sql` or `)})`
}

export function unsupported({ attribute, sub }: AttributePath): FilterError {
  return new FilterError(`this filter on ${sub ? `${attribute.name}.${sub.name}` : attribute.name} is not supported`)
}
