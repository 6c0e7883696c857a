import { type Attribute, attribute, complex, reference } from './schema.ts'

/** Client-issued and unique per directory; published with each schema because Microsoft's validator looks for it there. */
export const externalId: Attribute = attribute('externalId', {
  caseExact: true,
  description: 'The identifier that the provisioning client gave the resource',
})

const readOnly = { mutability: 'readOnly' } as const

/** Part of every resource and of no schema document (RFC 7643 §3.1). `schemas` is derived, so a client cannot set it. */
export const commonAttributes: readonly Attribute[] = [
  reference('schemas', ['uri'], { ...readOnly, multiValued: true, caseExact: false, returned: 'always' }),
  attribute('id', { ...readOnly, caseExact: true, returned: 'always', uniqueness: 'server' }),
  complex(
    'meta',
    [
      attribute('resourceType', { ...readOnly, caseExact: true }),
      attribute('created', { ...readOnly, type: 'dateTime' }),
      attribute('lastModified', { ...readOnly, type: 'dateTime' }),
      reference('location', ['uri'], readOnly),
      attribute('version', { ...readOnly, caseExact: true }),
    ],
    readOnly,
  ),
]
