import { externalId } from './common.ts'
import { attribute, complex, type ResourceType, reference, type Schema } from './schema.ts'

const immutable = { mutability: 'immutable' } as const

/** Group (RFC 7643 §4.2, erratum 5368: `displayName` is required). Okta sends and reads `members.display`, which §8.7.1 lacks. */
export const groupSchema: Schema = {
  id: 'urn:ietf:params:scim:schemas:core:2.0:Group',
  name: 'Group',
  description: 'Group',
  attributes: [
    externalId,
    attribute('displayName', {
      required: true,
      uniqueness: 'server',
      description: 'The name of the group; compared without case, kept as written',
    }),
    complex(
      'members',
      [
        attribute('value', { ...immutable, caseExact: true }),
        reference('$ref', ['User', 'Group'], immutable),
        attribute('type', { ...immutable, canonicalValues: ['User', 'Group'] }),
        attribute('display', immutable),
      ],
      { multiValued: true },
    ),
  ],
}

export const groupResourceType: ResourceType = {
  name: 'Group',
  endpoint: '/Groups',
  schema: groupSchema,
  extensions: [],
}
