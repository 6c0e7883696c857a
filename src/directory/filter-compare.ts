import { type RawBuilder, sql } from 'kysely'
import type { Compare, CompareOp } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import { fold } from '../fold.ts'
import type { Attribute } from '../schemas/schema.ts'

export type Condition = RawBuilder<boolean>

const orderings: Partial<Record<CompareOp, RawBuilder<unknown>>> = {
  gt: sql`>`,
  ge: sql`>=`,
  lt: sql`<`,
  le: sql`<=`,
}

/** The operand as the folded document has it. */
export function operandOf({ type, caseExact }: Attribute, value: string | number | boolean): string | number | boolean {
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
  const isPlain = typeof value === 'boolean' || typeof value === 'number'
  if (!isPlain || (op !== 'eq' && op !== 'ne')) throw unsupportedOp(attribute, op)
  const operand = sql`${JSON.stringify(value)}::jsonb`
  if (op === 'eq') return sql`${json} = ${operand}`
  return present ? sql`${json} <> ${operand}` : sql`${json} is distinct from ${operand}`
}

/** A point in time, to the millisecond that the resource shows. */
export function compareTime(column: RawBuilder<unknown>, attribute: Attribute, { op, value }: Compare): Condition {
  if (typeof value !== 'string') throw unsupportedOp(attribute, op)
  const operand = sql`to_timestamp(${Date.parse(value) / 1000}::double precision)`
  const shown = sql`date_trunc('milliseconds', ${column})`
  if (op === 'eq') return sql`${shown} = ${operand}`
  if (op === 'ne') return sql`${shown} <> ${operand}`
  const ordering = orderings[op]
  if (!ordering) throw unsupportedOp(attribute, op)
  return sql`${shown} ${ordering} ${operand}`
}

function patternOf(op: CompareOp, operand: string): string {
  const literal = operand.replace(/[\\%_]/g, '\\$&')
  if (op === 'co') return `%${literal}%`
  return op === 'sw' ? `${literal}%` : `%${literal}`
}

export function unsupportedOp({ name }: Attribute, op: CompareOp): FilterError {
  return new FilterError(`"${op}" on ${name} is not supported`)
}
