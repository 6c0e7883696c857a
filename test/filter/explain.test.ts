import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches } from '../../src/filter/evaluate.ts'
import { type Explanation, explain } from '../../src/filter/explain.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { enterpriseUserSchema } from '../../src/schemas/enterprise-user.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { filterSource, subject } from '../support/filters.ts'

const ada = {
  userName: 'ada@acme.example',
  active: true,
  emails: [
    { type: 'home', value: 'ada@home.example' },
    { type: 'work', value: 'Ada@acme.example' },
  ],
  groups: [
    { value: 'g1', display: 'Platform', type: 'direct' },
    { value: 'g2', display: 'Engineering', type: 'indirect' },
  ],
  [enterpriseUserSchema.id]: { department: 'R&D' },
}

function explained(source: string): Explanation {
  return explain(parseFilter(source, userResourceType), ada, userResourceType)
}

/** The conditions as text, with what satisfies them. */
function told({ satisfied, missing }: Explanation) {
  return {
    satisfied: satisfied.map(({ text, because }) => [text, because?.attribute, because?.value]),
    missing: missing.map(({ text }) => text),
  }
}

describe('the explanation of a filter', () => {
  it('agrees with the evaluation, and lacks nothing exactly when the filter matches', () => {
    fc.assert(
      fc.property(filterSource, subject, (source, resource) => {
        const filter = parseFilter(source, userResourceType)
        const { matches: says, missing } = explain(filter, resource, userResourceType)
        expect(says).toBe(matches(filter, resource))
        expect(missing.length === 0).toBe(says)
      }),
      { numRuns: 1_000 },
    )
  })

  it('names only conditions that are as it says they are', () => {
    fc.assert(
      fc.property(filterSource, subject, (source, resource) => {
        const { satisfied, missing } = explain(parseFilter(source, userResourceType), resource, userResourceType)
        const holds = (text: string) => matches(parseFilter(text, userResourceType), resource)
        expect(satisfied.every(({ text }) => holds(text))).toBe(true)
        expect(missing.some(({ text }) => holds(text))).toBe(false)
      }),
    )
  })

  it.each([
    ['groups.display eq "engineering"', ['groups.display eq "engineering"', 'groups.display', 'Engineering']],
    ['department sw "r"', ['department sw "r"', 'department', 'R&D']],
    ['emails pr', ['emails pr', 'emails', { type: 'home', value: 'ada@home.example' }]],
    [
      'emails[type eq "work"].value ew "@acme.example"',
      ['emails[type eq "work" and value ew "@acme.example"]', 'emails', { type: 'work', value: 'Ada@acme.example' }],
    ],
    ['title eq null', ['title eq null', 'title', null]],
    ['title ne "Dr"', ['title ne "Dr"', 'title', null]],
    ['department ne "Sales"', ['department ne "Sales"', 'department', 'R&D']],
    ['not (department eq "Sales")', ['not (department eq "Sales")', 'department', 'R&D']],
    ['not (title pr)', ['not (title pr)', 'title', null]],
    ['not (groups.display eq "Sales")', ['not (groups.display eq "Sales")', undefined, undefined]],
    ['not (title pr or nickName pr)', ['not (title pr or nickName pr)', undefined, undefined]],
  ])('of %s says what satisfies it', (source, condition) => {
    expect(told(explained(source))).toEqual({ satisfied: [condition], missing: [] })
  })

  it('tells of an and what is there and what is not', () => {
    expect(told(explained('groups.display eq "Platform" and title pr and active eq false'))).toEqual({
      satisfied: [['groups.display eq "Platform"', 'groups.display', 'Platform']],
      missing: ['title pr', 'active eq false'],
    })
  })

  it('tells of an or that does not hold the branch that lacks the fewest conditions', () => {
    expect(told(explained('(title pr and nickName pr) or (active eq true and locale pr) or timezone pr'))).toEqual({
      satisfied: [['active eq true', 'active', true]],
      missing: ['locale pr'],
    })
  })

  it('tells of an or that holds every branch that does', () => {
    expect(told(explained('active eq true or title pr or department pr'))).toEqual({
      satisfied: [
        ['active eq true', 'active', true],
        ['department pr', 'department', 'R&D'],
      ],
      missing: [],
    })
  })

  it('tells a condition that stands twice once', () => {
    expect(told(explained('title pr and (title pr or nickName pr)'))).toEqual({ satisfied: [], missing: ['title pr'] })
  })
})
