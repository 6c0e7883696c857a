import { describe, expect, it } from 'vitest'
import { entityTag, isKnown, requireMatch } from '../../src/scim/precondition.ts'

const current = { version: 3 }

describe('preconditions (RFC 7644 §3.14, RFC 9110 §13.1)', () => {
  it.each<[string, boolean]>([
    ['W/"3"', true],
    ['"3"', true],
    ['*', true],
    [' * ', true],
    ['W/"2", W/"3"', true],
    ['W/"2","3"', true],
    ['W/"2"', false],
    ['W/"33"', false],
    ['W/"3 "', false],
    ['3', false],
    ['"*"', false],
    ['', false],
  ])('%s names version 3: %s', (header, named) => {
    expect(isKnown(header, current)).toBe(named)
    if (named) expect(() => requireMatch(header, current)).not.toThrow()
    else
      expect(() => requireMatch(header, current)).toThrow(expect.objectContaining({ status: 412, scimType: undefined }))
  })

  it('asks nothing of those who ask nothing', () => {
    expect(() => requireMatch(undefined, current)).not.toThrow()
    expect(isKnown(undefined, current)).toBe(false)
  })

  it('writes a version as a weak tag that it reads', () => {
    expect(entityTag(3)).toBe('W/"3"')
    expect(isKnown(entityTag(3), current)).toBe(true)
  })
})
