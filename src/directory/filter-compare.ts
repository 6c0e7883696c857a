import { type RawBuilder, sql } from 'kysely'
import type { Compare, CompareOp } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import { fold } from '../fold.ts'
import { isResourceId } from '../ids.ts'
import type { Attribute } from '../schemas/schema.ts'
import { foldTime } from './folded.ts'

export type Condition = RawBuilder<boolean>

const orderings: Partial<Record<CompareOp, RawBuilder<unknown>>> = {
  gt: sql`>`,
  ge: sql`>=`,
  lt: sql`<`,
  le: sql`<=`,
}

/** The operand as the folded document has it. */
export function operandOf({ type, caseExact }: Attribute, value: string | number | boolean): string | number | boolean {
  if (typeof value === 'string' && type === 'dateTime') return foldTime(value)
  return typeof value === 'string' && !caseExact && (type === 'string' || type === 'reference') ? fold(value) : value
}

/** `text` yields the folded text, or null without a value; `present` when that cannot be. Bytes order, as `matches` does. */
export function compareText(
  text: RawBuilder<unknown>,
  attribute: Attribute,
  { op, value }: Compare,
  present = false,
): Condition {
  if (typeof value !== 'string') throw unsupportedOp(attribute, op)
  const operand = String(operandOf(attribute, value))
  if (op === 'eq') return sql`${text} = ${operand}`
  if (op === 'ne') return present ? sql`${text} <> ${operand}` : sql`${text} is distinct from ${operand}`
  const ordering = orderings[op]
  if (ordering) return sql`(${text}) collate "C" ${ordering} ${operand}`
  // An empty text is part of any value, and a missing value still matches nothing: null like '%' is null.
  return sql`${text} like ${patternOf(op, operand)}`
}

/** Booleans and numbers, compared as JSON. */
export function compareTyped(
  json: RawBuilder<unknown>,
  attribute: Attribute,
  { op, value }: Compare,
  present = false,
): Condition {
  const ordering = typeof value === 'number' ? orderings[op] : undefined
  const isPlain = typeof value === 'boolean' || typeof value === 'number'
  if (!isPlain || (op !== 'eq' && op !== 'ne' && !ordering)) throw unsupportedOp(attribute, op)
  const operand = sql`${JSON.stringify(value)}::jsonb`
  if (ordering) return sql`${json} ${ordering} ${operand}`
  if (op === 'eq') return sql`${json} = ${operand}`
  return present ? sql`${json} <> ${operand}` : sql`${json} is distinct from ${operand}`
}

/** Ids are compared as ids, so that a key serves; one that cannot be an id is nobody's, and no database error. */
export function compareId(id: RawBuilder<unknown>, attribute: Attribute, compare: Compare): Condition {
  const { op } = compare
  if (op !== 'eq' && op !== 'ne') return compareText(sql`${id}::text`, attribute, compare)
  const operand = String(compare.value)
  if (!isResourceId(operand)) return op === 'eq' ? sql`false` : sql`true`
  return op === 'eq' ? sql`${id} = ${operand}::uuid` : sql`${id} <> ${operand}::uuid`
}

/**
 * A point in time, to the millisecond that the resource shows. The column keeps more, and is compared as it is, so that
 * an index on it serves.
 */
export function compareTime(column: RawBuilder<unknown>, attribute: Attribute, { op, value }: Compare): Condition {
  if (typeof value !== 'string') throw unsupportedOp(attribute, op)
  const ms = Date.parse(value)
  const [from, to] = [at(ms), at(ms + 1)]
  if (op === 'eq') return sql`(${column} >= ${from} and ${column} < ${to})`
  if (op === 'ne') return sql`(${column} < ${from} or ${column} >= ${to})`
  if (op === 'gt') return sql`${column} >= ${to}`
  if (op === 'ge') return sql`${column} >= ${from}`
  if (op === 'lt') return sql`${column} < ${from}`
  if (op === 'le') return sql`${column} < ${to}`
  throw unsupportedOp(attribute, op)
}

function at(ms: number): RawBuilder<unknown> {
  return sql`to_timestamp(${ms / 1000}::double precision)`
}

function patternOf(op: CompareOp, operand: string): string {
  const literal = operand.replace(/[\\%_]/g, '\\$&')
  if (op === 'co') return `%${literal}%`
  return op === 'sw' ? `${literal}%` : `%${literal}`
}

export function unsupportedOp({ name }: Attribute, op: CompareOp): FilterError {
  return new FilterError(`"${op}" on ${name} is not supported`)
}
