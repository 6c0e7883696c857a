import fc from 'fast-check'
import { enterpriseUserSchema } from '../../src/schemas/enterprise-user.ts'

/** Few texts, so that filters and users often meet; the last needs every kind of escape. */
const text = fc.constantFrom('a', 'A', 'ab', 'b', 'R&D (EU) [x] "q" \\ \n é')
const quoted = text.map((each) => JSON.stringify(each))
const texts = [
  'userName',
  'title',
  'department',
  'name.familyName',
  'manager',
  'emails',
  'emails.type',
  'groups.display',
]
const operators = ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le']

const term = fc.oneof(
  fc.tuple(fc.constantFrom(...texts), fc.constantFrom(...operators), quoted).map((words) => words.join(' ')),
  fc
    .tuple(fc.constantFrom(...texts, 'name', 'active'), fc.constantFrom('pr', 'eq null', 'ne null'))
    .map((words) => words.join(' ')),
  fc.constantFrom('active eq true', 'active ne "False"', 'meta.created gt "2026-01-01T00:00:00Z"'),
  fc.tuple(quoted, quoted).map(([type, value]) => `emails[type eq ${type}].value eq ${value}`),
  fc.tuple(quoted, quoted).map(([type, value]) => `emails[not (type eq ${type}) or value co ${value}]`),
  quoted.map((value) => `groups[display eq ${value} and type eq "direct"]`),
  quoted.map((value) => `manager[value eq ${value}]`),
)

/** Sources of filters over users, within the limits of the parser. */
export const filterSource: fc.Arbitrary<string> = fc.letrec<{ filter: string }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    term,
    fc
      .tuple(fc.constantFrom(' and ', ' or '), fc.array(tie('filter'), { minLength: 2, maxLength: 3 }))
      .map(([word, parts]) => parts.map((part) => `(${part})`).join(word)),
    tie('filter').map((part) => `not (${part})`),
  ),
})).filter

const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })
const element = fc.record({ type: text, value: text })

/** Users as rules see them, with few values, many of them absent. */
export const subject: fc.Arbitrary<Record<string, unknown>> = fc.record({
  userName: text,
  title: optional(text),
  active: fc.boolean(),
  name: optional(fc.record({ familyName: optional(text) })),
  emails: optional(fc.array(element, { maxLength: 2 })),
  groups: fc.array(fc.record({ value: text, display: text, type: fc.constantFrom('direct', 'indirect') }), {
    maxLength: 2,
  }),
  meta: fc.record({ created: fc.constantFrom('2025-06-01T00:00:00Z', '2026-06-01T00:00:00Z') }),
  [enterpriseUserSchema.id]: optional(
    fc.record({ department: optional(text), manager: optional(fc.record({ value: text })) }),
  ),
})
