export type AttributeType =
  | 'string'
  | 'boolean'
  | 'decimal'
  | 'integer'
  | 'dateTime'
  | 'binary'
  | 'reference'
  | 'complex'

/** One attribute with every characteristic spelled out (RFC 7643 §2.2, §7), ready to be published as it is. */
export interface Attribute {
  readonly name: string
  readonly type: AttributeType
  readonly multiValued: boolean
  readonly required: boolean
  readonly caseExact: boolean
  readonly mutability: 'readWrite' | 'readOnly' | 'immutable' | 'writeOnly'
  readonly returned: 'default' | 'always' | 'never' | 'request'
  readonly uniqueness: 'none' | 'server' | 'global'
  readonly description?: string
  readonly canonicalValues?: readonly string[]
  readonly referenceTypes?: readonly string[]
  readonly subAttributes?: readonly Attribute[]
}

/** `id` is the URN, in the spelling under which extension data is stored. */
export interface Schema {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly attributes: readonly Attribute[]
}

export interface ResourceType {
  readonly name: 'User' | 'Group'
  readonly endpoint: string
  readonly schema: Schema
  readonly extensions: readonly { readonly schema: Schema; readonly required: boolean }[]
  /** Requests about it are read by the letter of the RFCs, without any vendor's habits. */
  readonly strict?: boolean
}

type Characteristics = Partial<Omit<Attribute, 'name'>>

/** An attribute with the defaults of RFC 7643 §7 for whatever is left out. */
export function attribute(name: string, characteristics: Characteristics = {}): Attribute {
  return {
    name,
    type: 'string',
    multiValued: false,
    required: false,
    caseExact: false,
    mutability: 'readWrite',
    returned: 'default',
    uniqueness: 'none',
    ...characteristics,
  }
}

export function complex(
  name: string,
  subAttributes: readonly Attribute[],
  characteristics: Characteristics = {},
): Attribute {
  return attribute(name, { type: 'complex', subAttributes, ...characteristics })
}

/** A reference is case exact whatever the tables of §8.7.1 print (RFC 7643 §2.3.7). */
export function reference(
  name: string,
  referenceTypes: readonly string[],
  characteristics: Characteristics = {},
): Attribute {
  return attribute(name, { type: 'reference', caseExact: true, referenceTypes, ...characteristics })
}

/** A multi-valued complex attribute with the default sub-attributes of RFC 7643 §2.4. `types` are advisory. */
export function plural(
  name: string,
  types: readonly string[],
  value: Attribute = attribute('value'),
  characteristics: Characteristics = {},
): Attribute {
  const type = attribute('type', types.length > 0 ? { canonicalValues: types } : {})
  const subAttributes = [value, attribute('display'), type, attribute('primary', { type: 'boolean' })]
  return complex(name, subAttributes, { multiValued: true, ...characteristics })
}
