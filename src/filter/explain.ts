import type { ResourceType } from '../schemas/schema.ts'
import type { Filter, Not, Term } from './ast.ts'
import { matches, witnessOf } from './evaluate.ts'
import { printFilter, printPath } from './print.ts'

/** One condition of a filter: a term, a value path as a whole, or a negation as a whole. */
export interface Condition {
  readonly filter: Term | Not
  readonly text: string
  /**
   * Of a satisfied one: the value that satisfies it, null where it is the want of one. Absent of a negation over
   * several values, which no single value satisfies.
   */
  readonly because?: { readonly attribute: string; readonly value: unknown }
}

export interface Explanation {
  readonly matches: boolean
  readonly satisfied: readonly Condition[]
  /** Empty exactly when the filter matches. */
  readonly missing: readonly Condition[]
}

type Resource = Readonly<Record<string, unknown>>

/**
 * Why `resource` satisfies `filter`, or what it lacks, condition by condition, as `matches` decides each.
 *
 * Of an `or` that holds, every branch that holds is told; of one that does not, the branch that lacks the fewest
 * conditions, the first of equals. Of an `and`, what each part has and lacks.
 */
export function explain(filter: Filter, resource: Resource, resourceType: ResourceType): Explanation {
  const explained = (each: Filter) => explain(each, resource, resourceType)
  switch (filter.kind) {
    case 'and':
      return together(filter.filters.map(explained))
    case 'or': {
      const branches = filter.filters.map(explained)
      const holding = branches.filter((branch) => branch.matches)
      return holding.length > 0 ? together(holding) : nearestOf(branches)!
    }
    default:
      return single(filter, resource, resourceType)
  }
}

/** The one that lacks the fewest conditions, the first of equals. */
export function nearestOf<T extends { readonly missing: readonly unknown[] }>(
  explanations: readonly T[],
): T | undefined {
  return explanations.toSorted((a, b) => a.missing.length - b.missing.length)[0]
}

function together(parts: readonly Explanation[]): Explanation {
  return {
    matches: parts.every((part) => part.matches),
    satisfied: distinct(parts.flatMap((part) => part.satisfied)),
    missing: distinct(parts.flatMap((part) => part.missing)),
  }
}

function distinct(conditions: readonly Condition[]): Condition[] {
  return [...new Map(conditions.map((condition) => [condition.text, condition])).values()]
}

function single(filter: Term | Not, resource: Resource, resourceType: ResourceType): Explanation {
  const condition = { filter, text: printFilter(filter, resourceType) }
  if (!matches(filter, resource)) return { matches: false, satisfied: [], missing: [condition] }
  const because = becauseOf(filter, resource, resourceType)
  return { matches: true, satisfied: [because ? { ...condition, because } : condition], missing: [] }
}

function becauseOf(filter: Term | Not, resource: Resource, resourceType: ResourceType): Condition['because'] {
  if (filter.kind !== 'not')
    return { attribute: printPath(filter.path, resourceType), value: witnessOf(filter, resource) }
  const { filter: negated } = filter
  if (!('path' in negated) || negated.path.attribute.multiValued) return undefined
  const value = witnessOf({ kind: 'present', path: negated.path }, resource) ?? null
  return { attribute: printPath(negated.path, resourceType), value }
}
