import type { Attribute } from '../schemas/schema.ts'
import type { CompareOp, Operand } from './ast.ts'
import { FilterError } from './errors.ts'
import type { Placeholder } from './guard.ts'
import { isStorable } from './lex.ts'

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/
const DATE_TIME = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[-+]\d{2}:\d{2})?)?$/i
const textual = new Set<CompareOp>(['co', 'sw', 'ew'])
const ordering = new Set<CompareOp>(['gt', 'ge', 'lt', 'le'])

/**
 * The literal as a value of the attribute's type, or a FilterError where the RFC gives the comparison no meaning.
 * `strict`: texts are quoted, and nothing else is.
 */
export function readOperand(attribute: Attribute, op: CompareOp, literal: Placeholder, strict = false): Operand {
  const { type } = attribute
  if (textual.has(op) && type !== 'string' && type !== 'reference') {
    throw new FilterError(`"${op}" needs a text, and ${attribute.name} is of type ${type}`, literal.position)
  }
  if (ordering.has(op) && (type === 'boolean' || type === 'binary')) {
    throw new FilterError(`"${op}" has no meaning for ${attribute.name}, which is of type ${type}`, literal.position)
  }
  if (isNull(literal, strict)) {
    if (op === 'eq' || op === 'ne') return null
    throw new FilterError('null can be compared with "eq" and "ne" only', literal.position)
  }
  if (!isStorable(literal.text)) throw new FilterError('no value holds such characters', literal.position)
  const value = strict && !isOfJsonType(attribute, literal) ? undefined : coerce(attribute, literal)
  if (value === undefined) {
    throw new FilterError(`${attribute.name} is of type ${type}, and the value is not`, literal.position)
  }
  return value
}

export function isNull({ text, quoted }: Placeholder, strict = false): boolean {
  return !quoted && (strict ? text : text.toLowerCase()) === 'null'
}

/** The words and numbers of JSON as they are, everything else a string of it (RFC 7644 §3.4.2.2, `compValue`). */
function isOfJsonType({ type }: Attribute, { text, quoted }: Placeholder): boolean {
  if (type === 'boolean') return !quoted && (text === 'true' || text === 'false')
  return quoted === (type !== 'integer' && type !== 'decimal')
}

/** `"True"` is Entra's boolean; an unquoted text is Microsoft's sample `externalId eq jyoung`. */
function coerce({ type }: Attribute, { text, quoted }: Placeholder): Operand | undefined {
  const lowered = text.toLowerCase()
  const isBoolean = lowered === 'true' || lowered === 'false'
  switch (type) {
    case 'boolean':
      return isBoolean ? lowered === 'true' : undefined
    case 'integer':
    case 'decimal':
      return !quoted && NUMBER.test(text) ? Number(text) : undefined
    case 'dateTime':
      return DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)) ? text : undefined
    case 'complex':
      return undefined
    default:
      return quoted || !isBoolean ? text : undefined
  }
}
