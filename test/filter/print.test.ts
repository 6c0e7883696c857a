import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseFilter } from '../../src/filter/parse.ts'
import { printFilter } from '../../src/filter/print.ts'
import { attribute, type ResourceType } from '../../src/schemas/schema.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { filterSource } from '../support/filters.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

function printed(source: string, resourceType = userResourceType): string {
  return printFilter(parseFilter(source, resourceType), resourceType)
}

describe('a filter as text', () => {
  it('is read back to the same filter', () => {
    fc.assert(
      fc.property(filterSource, (source) => {
        const filter = parseFilter(source, userResourceType)
        expect(parseFilter(printFilter(filter, userResourceType), userResourceType)).toEqual(filter)
      }),
    )
  })

  it.each([
    ['USERNAME EQ "Ada"', 'userName eq "Ada"'],
    ['externalId eq jyoung', 'externalId eq "jyoung"'],
    ['userName eq "DOM\\user"', 'userName eq "DOM\\\\user"'],
    ['active eq "True"', 'active eq true'],
    ['title eq NULL', 'title eq null'],
    ['emails co "@x"', 'emails.value co "@x"'],
    ['emails[type eq "work"].value eq "a"', 'emails[type eq "work" and value eq "a"]'],
    ['emails[type eq "a" or type eq "b"].value pr', 'emails[(type eq "a" or type eq "b") and value pr]'],
    ['not not title pr', 'not (not (title pr))'],
    ['(title pr and userName pr) or active eq true', 'title pr and userName pr or active eq true'],
    ['title pr and (userName pr or active eq true)', 'title pr and (userName pr or active eq true)'],
    [`${enterprise}:department eq "Ops"`, 'department eq "Ops"'],
    ['manager eq "26"', 'manager.value eq "26"'],
    [`${enterprise}:manager[value eq "26"]`, 'manager[value eq "26"]'],
  ])('of %s is %s', (source, expected) => {
    expect(printed(source)).toBe(expected)
  })

  it('names an attribute of an extension by its URN where the core schema has the same name', () => {
    const ambiguous: ResourceType = {
      ...userResourceType,
      extensions: [
        { schema: { id: enterprise, name: '', description: '', attributes: [attribute('title')] }, required: false },
      ],
    }
    expect(printed(`${enterprise}:title pr and title pr`, ambiguous)).toBe(`${enterprise}:title pr and title pr`)
  })
})
