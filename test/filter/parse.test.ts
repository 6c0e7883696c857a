import { describe, expect, it } from 'vitest'
import type { Filter } from '../../src/filter/ast.ts'
import { parseElementFilter, parseFilter } from '../../src/filter/parse.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import { findAttribute } from '../../src/schemas/resolve.ts'
import { attribute, type ResourceType } from '../../src/schemas/schema.ts'
import { userResourceType } from '../../src/schemas/user.ts'

const numbered: ResourceType = {
  ...userResourceType,
  schema: {
    ...userResourceType.schema,
    attributes: [
      ...userResourceType.schema.attributes,
      ...['a', 'b', 'c'].map((name) => attribute(name, { type: 'integer' })),
    ],
  },
}

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

/** A compact spelling of the tree: what binds to what, and what each value became. */
function show(filter: Filter): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return `(${filter.filters.map(show).join(` ${filter.kind} `)})`
    case 'not':
      return `!${show(filter.filter)}`
    case 'element':
      return `${filter.path.attribute.name}[${show(filter.filter)}]`
    default: {
      const { urn, attribute, sub } = filter.path
      const path = `${urn ? 'ext:' : ''}${attribute.name}${sub ? `.${sub.name}` : ''}`
      return filter.kind === 'present' ? `${path} pr` : `${path} ${filter.op} ${JSON.stringify(filter.value)}`
    }
  }
}

describe('filter grammar (RFC 7644 §3.4.2.2)', () => {
  it.each([
    ['userName eq "bjensen"', 'userName eq "bjensen"'],
    ['USERNAME EQ "BJENSEN"', 'userName eq "BJENSEN"'],
    ['userName eq"x"', 'userName eq "x"'],
    ['\tuserName\n eq  "x" ', 'userName eq "x"'],
    ['title pr and userType eq "E"', '(title pr and userType eq "E")'],
    ['not (title pr)', '!title pr'],
    ['not title pr and active eq true', '(!title pr and active eq true)'],
    ['not not title pr', '!!title pr'],
    ['not(title pr)and(active eq true)', '(!title pr and active eq true)'],
    ['a eq 1 or b eq 2 and c eq 3', '(a eq 1 or (b eq 2 and c eq 3))'],
    ['a eq 1 and b eq 2 or c eq 3 and a eq 4', '((a eq 1 and b eq 2) or (c eq 3 and a eq 4))'],
    ['((a eq 1) and b eq 2) or c eq 3', '((a eq 1 and b eq 2) or c eq 3)'],
    ['not (a eq 1 or b eq 2) and c pr', '(!(a eq 1 or b eq 2) and c pr)'],
    ['a gt -1.5e3', 'a gt -1500'],
    ['a eq null', 'a eq null'],
    ['active eq True', 'active eq true'],
    ['active eq "False"', 'active eq false'],
    ['emails co "example.com"', 'emails.value co "example.com"'],
    ['emails[type eq "work" and value co "@x"]', 'emails[(type eq "work" and value co "@x")]'],
    ['emails[type eq "work"].value eq "a@b"', 'emails[(type eq "work" and value eq "a@b")]'],
    ['emails[type eq "work"] and emails.value eq "a"', '(emails[type eq "work"] and emails.value eq "a")'],
    ['emails[type eq "work"].value eq "a" and title pr', '(emails[(type eq "work" and value eq "a")] and title pr)'],
    ['not emails[type eq "work"].value pr', '!emails[(type eq "work" and value pr)]'],
    ['emails[not (type eq "home")]', 'emails[!type eq "home"]'],
    [`schemas eq "${enterprise}"`, `schemas eq "${enterprise}"`],
    ['urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"', 'userName sw "J"'],
    ['URN:IETF:params:scim:schemas:core:2.0:user:USERNAME sw "J"', 'userName sw "J"'],
    ['meta.lastModified ge "2026-01-01T00:00:00+02:00"', 'meta.lastModified ge "2026-01-01T00:00:00+02:00"'],
    [`${enterprise}:manager.value eq "26"`, 'ext:manager.value eq "26"'],
    [`${enterprise}.manager eq "26"`, 'ext:manager.value eq "26"'],
    ['urn:ietf:params:scim:schemas:extension:enterprise:2.0User:department pr', 'ext:department pr'],
    ['id eq "1" and manager eq "2"', '(id eq "1" and ext:manager.value eq "2")'],
    ['manager[value eq "2"]', 'manager[value eq "2"]'],
    ['displayName eq "R&D (EU) [x] \\"q\\""', 'displayName eq "R&D (EU) [x] \\"q\\""'],
    ['externalId eq jyoung', 'externalId eq "jyoung"'],
    ['externalId eq 0a21-77', 'externalId eq "0a21-77"'],
    ['externalId eq 0123', 'externalId eq "0123"'],
    ['externalId eq "0123"', 'externalId eq "0123"'],
    ['groups[display eq "X"]', 'groups[display eq "X"]'],
    ['userName eq "ends\\\\"', 'userName eq "ends\\\\"'],
    ['userName eq "\\u00e9\\n\\/"', 'userName eq "é\\n/"'],
    ['userName eq "DOM\\user"', 'userName eq "DOM\\\\user"'],
    ['userName eq "C:\\windows"', 'userName eq "C:\\\\windows"'],
  ])('reads %s', (source, tree) => {
    expect(show(parseFilter(source, numbered))).toBe(tree)
  })

  it('lexes $ref', () => {
    expect(show(parseFilter('members.$ref ew "/26"', groupResourceType))).toBe('members.$ref ew "/26"')
    expect(show(parseFilter('members[$ref pr]', groupResourceType))).toBe('members[$ref pr]')
  })

  it('reads the filter of one element of an attribute', () => {
    const emails = findAttribute(userResourceType.schema.attributes, 'EMAILS')!
    expect(show(parseElementFilter('PRIMARY eq "True"', emails))).toBe('primary eq true')
  })
})

describe('a filter that cannot be meant', () => {
  it.each([
    ['', 0, 'an attribute name'],
    ['userName', 8, 'an operator'],
    ['userName foo "x"', 9, 'an operator'],
    ['userName eq', 11, 'a value'],
    ['userName eq (', 12, 'a value'],
    ['userName eq and', 12, 'a value'],
    ["userName sw 'x'", 12, 'a value'],
    ['userName eq "x', 12, 'closing double quote'],
    ['userName eq "x" title pr', 16, '"and" or "or"'],
    ['userName eq "x" and', 19, 'an attribute name'],
    ['(a eq 1', 7, '")"'],
    ['a eq 1)', 6, '"and" or "or"'],
    ['(emails[type eq "x")]', 19, '"]"'],
    ['emails[]', 7, 'an attribute name'],
    ['emails[type eq "x"].value', 25, 'an operator'],
    ['emails[type eq "x"].value[a eq 1]', 25, 'an operator'],
    ['emails[type eq "x"].nope eq 1', 20, 'nope'],
    ['emails[value[a eq 1]]', 12, 'an operator'],
    ['active gt true', 10, 'no meaning'],
    ['active eq "yes"', 10, 'boolean'],
    ['active co "t"', 10, 'needs a text'],
    ['a eq "5"', 5, 'integer'],
    ['userName eq true', 12, 'string'],
    ['userName co null', 12, 'null'],
    ['meta.created gt "soon"', 16, 'dateTime'],
    ['name eq "x"', 0, 'several parts'],
    ['title pr and nope eq "x"', 13, 'nope'],
    ['urn:example:custom:2.0:User:badge eq "x"', 0, 'badge'],
    ['a.b.c eq 1', 0, 'a.b.c'],
    ['password eq "x"', 0, 'cannot be filtered'],
    ['userName[value eq "x"]', 0, 'no sub-attributes'],
    ['userName eq "\\u0000"', 12, 'characters'],
  ])('refuses %s at %i, wanting %s', (source, position, wanted) => {
    const code = 'ERR_FILTER'
    expect(() => parseFilter(source, numbered)).toThrow(
      expect.objectContaining({ code, position, message: expect.stringContaining(wanted) }),
    )
  })

  it.each([
    ['length', `userName eq "${'x'.repeat(4096)}"`],
    ['parentheses', `${'('.repeat(33)}title pr${')'.repeat(33)}`],
    ['negations', `${'not '.repeat(33)}title pr`],
    ['terms', Array.from({ length: 65 }, () => 'title pr').join(' and ')],
  ])('refuses too much %s before anything recurses', (_what, source) => {
    expect(() => parseFilter(source, userResourceType)).toThrow(/at most/)
  })

  it.each([
    `${'('.repeat(32)}title pr${')'.repeat(32)}`,
    Array.from({ length: 64 }, () => 'title pr').join(' and '),
    Array.from({ length: 40 }, () => '(not title pr)').join(' or '),
  ])('accepts what stays within the limits', (source) => {
    expect(() => parseFilter(source, userResourceType)).not.toThrow()
  })
})
