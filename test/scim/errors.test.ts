import { describe, expect, it } from 'vitest'
import { Conflict, NotFound, TenureError, Unavailable } from '../../src/errors.ts'
import { FilterError } from '../../src/filter/errors.ts'
import { ScimError, scimErrorBody, toScimError } from '../../src/scim/errors.ts'

describe('errors (RFC 7644 §3.12)', () => {
  it('carries the status as a text', () => {
    expect(scimErrorBody(new ScimError(409, 'uniqueness', 'userName is taken'))).toEqual({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
      status: '409',
      scimType: 'uniqueness',
      detail: 'userName is taken',
    })
    expect(scimErrorBody(new ScimError(404, undefined, 'gone'))).not.toHaveProperty('scimType')
  })

  it.each([
    [new FilterError('expected a value', 11), 400, 'invalidFilter', 'expected a value (at position 11)'],
    [new NotFound('no'), 404, undefined, 'no'],
    [new Conflict('no'), 409, undefined, 'no'],
    [new TenureError('ERR_NOT_UNIQUE', 'taken'), 409, 'uniqueness', 'taken'],
    [new TenureError('ERR_UNKNOWN_MEMBER', 'who'), 400, 'invalidValue', 'who'],
    [new Unavailable('later'), 503, undefined, 'later'],
  ])('maps %s', (error, status, scimType, message) => {
    expect(toScimError(error)).toMatchObject({ status, scimType, message, cause: error })
  })

  it('has no word for what no client can act on', () => {
    expect(toScimError(new TenureError('ERR_UNSEAL', 'x'))).toBeUndefined()
  })
})
