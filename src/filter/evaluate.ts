import { fold } from '../fold.ts'
import type { Attribute } from '../schemas/schema.ts'
import {
  type AttributePath,
  type Compare,
  type CompareOp,
  type Filter,
  leafOf,
  type Operand,
  type Term,
} from './ast.ts'

/**
 * Whether `resource` satisfies `filter` (RFC 7644 §3.4.2.2). The resource carries canonical attribute names, extension
 * data under the schema's URN.
 *
 * Of several values one that matches is enough, for `ne` too. Without a value `eq` is false, `ne` true, `eq null` true;
 * `not` is plain negation, of missing values as well.
 */
export function matches(filter: Filter, resource: Readonly<Record<string, unknown>>): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.filters.every((each) => matches(each, resource))
    case 'or':
      return filter.filters.some((each) => matches(each, resource))
    case 'not':
      return !matches(filter.filter, resource)
    default:
      return witnessOf(filter, resource) !== undefined
  }
}

/**
 * What makes a term true of `resource`: the value that satisfies it, null where it is the want of any. Undefined when
 * the term is false.
 */
export function witnessOf(term: Term, resource: Readonly<Record<string, unknown>>): unknown {
  const values = valuesAt(term.path, resource)
  switch (term.kind) {
    case 'present':
      return values[0]
    case 'element':
      return values.find((value) => isRecord(value) && matches(term.filter, value))
    case 'compare':
      return compared(term, values)
  }
}

/** Every present value at `path`, multi-valued attributes spread out. Null, `""`, `[]` and `{}` are not present. */
function valuesAt({ urn, attribute, sub }: AttributePath, resource: Readonly<Record<string, unknown>>): unknown[] {
  const container = urn === undefined ? resource : resource[urn]
  const values = isRecord(container) ? spread(container[attribute.name]) : []
  return (sub ? values.flatMap((value) => (isRecord(value) ? spread(value[sub.name]) : [])) : values).filter(isPresent)
}

function spread(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value]
}

function isPresent(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false
  if (Array.isArray(value)) return value.some(isPresent)
  return !isRecord(value) || Object.values(value).some(isPresent)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function compared({ path, op, value }: Compare, values: readonly unknown[]): unknown {
  if (values.length === 0) return op === (value === null ? 'eq' : 'ne') ? null : undefined
  if (value === null) return op === 'ne' ? values[0] : undefined
  const leaf = leafOf(path)
  const wanted = comparable(leaf, value)
  return values.find((each) => holds(op, comparable(leaf, each), wanted))
}

/** What two values of the attribute are compared by: time for dateTime, folded text where case does not count. */
function comparable({ type, caseExact }: Attribute, value: unknown): Operand {
  if (typeof value === 'string' && type === 'dateTime') return Date.parse(value)
  if (typeof value === 'string') return caseExact ? value : fold(value)
  return typeof value === 'number' || typeof value === 'boolean' ? value : null
}

function holds(op: CompareOp, value: Operand, wanted: Operand): boolean {
  if (op === 'eq') return value === wanted
  if (op === 'ne') return value !== wanted
  if (typeof value === 'string' && typeof wanted === 'string') {
    if (op === 'co') return value.includes(wanted)
    if (op === 'sw') return value.startsWith(wanted)
    if (op === 'ew') return value.endsWith(wanted)
    return ordered(op, codePointOrder(value, wanted))
  }
  return typeof value === 'number' && typeof wanted === 'number' && ordered(op, value - wanted)
}

function ordered(op: CompareOp, difference: number): boolean {
  if (op === 'gt') return difference > 0
  if (op === 'ge') return difference >= 0
  if (op === 'lt') return difference < 0
  return op === 'le' && difference <= 0
}

/** UTF-8 bytes order as collation "C" in Postgres does, which UTF-16 units above the surrogates do not. */
function codePointOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
