import { attribute, complex, reference, type Schema } from './schema.ts'

/** Enterprise User (RFC 7643 §4.3). `manager.value` is a text, not a foreign key: Entra names managers that do not exist yet. */
export const enterpriseUserSchema: Schema = {
  id: 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User',
  name: 'EnterpriseUser',
  description: 'Enterprise User',
  attributes: [
    attribute('employeeNumber'),
    attribute('costCenter'),
    attribute('organization'),
    attribute('division'),
    attribute('department'),
    complex('manager', [
      attribute('value', { caseExact: true }),
      reference('$ref', ['User']),
      attribute('displayName', { mutability: 'readOnly' }),
    ]),
  ],
}
