import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches } from '../../src/filter/evaluate.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { userResourceType } from '../../src/schemas/user.ts'

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

const user = {
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:User', enterprise],
  id: 'u1',
  externalId: '00uABC',
  userName: 'BJensen@x.io',
  name: { familyName: 'Jensen' },
  title: 'Straße',
  nickName: '',
  active: true,
  emails: [
    { type: 'work', value: 'bj@work.x', primary: true },
    { type: 'home', value: 'bj@home.x' },
  ],
  groups: [
    { value: 'g1', display: 'Engineering', type: 'direct' },
    { value: 'g2', display: 'All', type: 'indirect' },
  ],
  meta: { lastModified: '2026-01-01T00:00:00.500Z' },
  [enterprise]: { department: 'Ops', manager: { value: 'M1' } },
}

describe('evaluation (RFC 7644 §3.4.2.2)', () => {
  it.each([
    ['userName eq "bjensen@X.io"', true],
    ['externalId eq "00uABC"', true],
    ['externalId eq "00uabc"', false],
    ['userName sw "bj" and userName ew "X.IO" and userName co "sen@"', true],
    ['userName gt "a" and userName lt "c"', true],
    ['userName ge "bjensen@x.io" and userName le "bjensen@x.io"', true],
    ['name.familyName eq "jensen"', true],
    ['name pr', true],
    ['name eq null', false],
    ['roles eq null', true],
    ['nickName pr', false],
    ['nickName eq null', true],
    ['roles pr', false],
    ['displayName pr', false],
    ['displayName eq "x"', false],
    ['displayName ne "x"', true],
    ['displayName eq null', true],
    ['displayName ne null', false],
    ['title ne null', true],
    ['not (displayName eq "x")', true],
    ['not (displayName pr)', true],
    ['active eq "True"', true],
    ['active ne true', false],
    ['emails eq "BJ@work.x"', true],
    ['emails.type eq "home"', true],
    ['emails[type eq "work" and value eq "bj@home.x"]', false],
    ['emails[type eq "work"].value eq "bj@work.x"', true],
    ['emails[type eq "work"].value eq "bj@home.x"', false],
    ['emails[type eq "work"] and emails.value eq "bj@home.x"', true],
    ['emails[not (type eq "home")]', true],
    ['emails[primary eq "True"].value ew "work.x"', true],
    ['emails.type ne "work"', true],
    ['roles.value ne "x"', true],
    ['roles[not (value eq "x")]', false],
    ['groups.display eq "engineering"', true],
    ['groups[display eq "Engineering" and type eq "direct"]', true],
    ['groups[display eq "All" and type eq "direct"]', false],
    ['groups.value eq "G1"', false],
    ['manager eq "M1"', true],
    ['manager eq "m1"', false],
    ['manager[value eq "M1"]', true],
    [`${enterprise}:department eq "ops"`, true],
    ['department eq "ops"', true],
    [`schemas eq "${enterprise.toUpperCase()}"`, true],
    ['meta.lastModified eq "2026-01-01T02:00:00.5+02:00"', true],
    ['meta.lastModified gt "2026-01-01T02:00:00+02:00"', true],
    ['meta.lastModified lt "2026-01-01T00:00:00Z"', false],
  ])('%s is %s', (source, expected) => {
    expect(matches(parseFilter(source, userResourceType), user)).toBe(expected)
    expect(matches(parseFilter(`not (${source})`, userResourceType), user)).toBe(!expected)
  })

  it('takes ß and ss for two texts, as the stored keys do', () => {
    const filter = parseFilter('title eq "STRASSE"', userResourceType)
    expect(matches(filter, user)).toBe(false)
  })

  it('reads back any text that JSON can write', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((each) => each !== '' && !each.includes('\0'))
    fc.assert(
      fc.property(text, (value) => {
        const filter = parseFilter(`externalId eq ${JSON.stringify(value)}`, userResourceType)
        expect(matches(filter, { externalId: value })).toBe(true)
      }),
    )
  })

  it('binds and before or, whatever the length', () => {
    const term = fc.boolean().map((value) => ({ value, source: value ? 'userName pr' : 'title pr' }))
    const sums = fc.array(fc.array(term, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(sums, (products) => {
        const source = products.map((product) => product.map((each) => each.source).join(' and ')).join(' or ')
        const expected = products.some((product) => product.every((each) => each.value))
        expect(matches(parseFilter(source, userResourceType), { userName: 'x' })).toBe(expected)
      }),
    )
  })
})
