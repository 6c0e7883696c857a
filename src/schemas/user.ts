import { externalId } from './common.ts'
import { enterpriseUserSchema } from './enterprise-user.ts'
import { attribute, complex, plural, type ResourceType, reference, type Schema } from './schema.ts'

const readOnly = { mutability: 'readOnly' } as const

/** Core User (RFC 7643 §4.1, §8.7.1). `addresses` accept `primary` and `display`, which §2.4 has and §8.7.1 omits. */
export const userSchema: Schema = {
  id: 'urn:ietf:params:scim:schemas:core:2.0:User',
  name: 'User',
  description: 'User Account',
  attributes: [
    externalId,
    attribute('userName', {
      required: true,
      uniqueness: 'server',
      description: 'The name by which the user signs in; compared without case, kept as written',
    }),
    complex('name', [
      attribute('formatted'),
      attribute('familyName'),
      attribute('givenName'),
      attribute('middleName'),
      attribute('honorificPrefix'),
      attribute('honorificSuffix'),
    ]),
    attribute('displayName'),
    attribute('nickName'),
    reference('profileUrl', ['external']),
    attribute('title'),
    attribute('userType'),
    attribute('preferredLanguage'),
    attribute('locale'),
    attribute('timezone'),
    attribute('active', { type: 'boolean', description: 'Whether the user may hold any access' }),
    attribute('password', {
      mutability: 'writeOnly',
      returned: 'never',
      caseExact: true,
      description: 'Accepted and never kept',
    }),
    plural('emails', ['work', 'home', 'other']),
    plural('phoneNumbers', ['work', 'home', 'mobile', 'fax', 'pager', 'other']),
    plural('ims', ['aim', 'gtalk', 'icq', 'xmpp', 'msn', 'skype', 'qq', 'yahoo']),
    plural('photos', ['photo', 'thumbnail'], reference('value', ['external'])),
    complex(
      'addresses',
      [
        attribute('formatted'),
        attribute('streetAddress'),
        attribute('locality'),
        attribute('region'),
        attribute('postalCode'),
        attribute('country'),
        attribute('type', { canonicalValues: ['work', 'home', 'other'] }),
        attribute('display'),
        attribute('primary', { type: 'boolean' }),
      ],
      { multiValued: true },
    ),
    complex(
      'groups',
      [
        attribute('value', { ...readOnly, caseExact: true }),
        reference('$ref', ['Group'], readOnly),
        attribute('display', readOnly),
        attribute('type', { ...readOnly, canonicalValues: ['direct', 'indirect'] }),
      ],
      { ...readOnly, multiValued: true, description: 'Groups the user is in, directly or through another group' },
    ),
    plural('entitlements', []),
    plural('roles', []),
    plural('x509Certificates', [], attribute('value', { type: 'binary', caseExact: true })),
  ],
}

export const userResourceType: ResourceType = {
  name: 'User',
  endpoint: '/Users',
  schema: userSchema,
  extensions: [{ schema: enterpriseUserSchema, required: false }],
}
