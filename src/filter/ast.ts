import type { AttributePath } from '../schemas/resolve.ts'
import type { Attribute } from '../schemas/schema.ts'

export type { AttributePath }

export type CompareOp = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le'

/** Already of the attribute's type; `null` stands for "unassigned" and comes with `eq` and `ne` only. */
export type Operand = string | number | boolean | null

export interface Compare {
  readonly kind: 'compare'
  readonly path: AttributePath
  readonly op: CompareOp
  readonly value: Operand
}

export interface Present {
  readonly kind: 'present'
  readonly path: AttributePath
}

export interface Logic {
  readonly kind: 'and' | 'or'
  readonly filters: readonly Filter[]
}

export interface Not {
  readonly kind: 'not'
  readonly filter: Filter
}

/** True of a resource one of whose values of `path` satisfies all of `filter`, whose paths are that value's sub-attributes. */
export interface Element {
  readonly kind: 'element'
  readonly path: AttributePath
  readonly filter: Filter
}

/** What is true or false of a resource by itself; the rest of the language only combines them. */
export type Term = Compare | Present | Element

export type Filter = Term | Logic | Not

/** The attribute whose type and case rule decide a comparison on `path`. */
export function leafOf(path: AttributePath): Attribute {
  return path.sub ?? path.attribute
}
