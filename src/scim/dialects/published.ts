import type { Attribute, Schema } from '../../schemas/schema.ts'
import type { Dialect } from './normalise.ts'

const hiddenFromEntra = new Set(['password', 'emails.display', 'emails.primary'])

/**
 * A schema as discovery shows it. Microsoft's validator makes up values for whatever it finds there and then fails over
 * a password that does not come back and over a second primary email: Entra is not shown these, which work as ever.
 */
export function publishedSchema(dialect: Dialect, schema: Schema): Schema {
  return dialect === 'entra' ? { ...schema, attributes: shown(schema.attributes, '') } : schema
}

function shown(attributes: readonly Attribute[], prefix: string): Attribute[] {
  return attributes
    .filter(({ name }) => !hiddenFromEntra.has(prefix + name))
    .map((each) => (each.subAttributes ? { ...each, subAttributes: shown(each.subAttributes, `${each.name}.`) } : each))
}
