import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyResourceType, filterFor } from '../../src/filter/across.ts'
import { matches } from '../../src/filter/evaluate.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { filterSource, subject } from '../support/filters.ts'

const userSchema = userResourceType.schema.id
const groupSchema = groupResourceType.schema.id
const enterprise = userResourceType.extensions[0]!.schema.id
const user = {
  schemas: [userSchema, enterprise],
  id: 'u1',
  userName: 'ada',
  displayName: 'Ada',
  [enterprise]: { department: 'Ops' },
  meta: { resourceType: 'User' },
}
const group = {
  schemas: [groupSchema],
  id: 'g1',
  displayName: 'Ada',
  members: [{ value: 'u1' }],
  meta: { resourceType: 'Group' },
}

function finds(source: string): string {
  const filter = parseFilter(source, anyResourceType)
  const hits = [
    matches(filterFor(filter, userResourceType), user) ? 'user' : '',
    matches(filterFor(filter, groupResourceType), group) ? 'group' : '',
  ]
  return hits.filter(Boolean).join(' and ')
}

describe('a filter across types (RFC 7644 §3.4.2.1)', () => {
  it.each([
    ['displayName eq "ada"', 'user and group'],
    ['userName eq "ada"', 'user'],
    ['userName ne "x"', 'user and group'],
    ['userName eq null', 'group'],
    ['userName ne null', 'user'],
    ['userName sw "x"', ''],
    ['not (userName sw "x")', 'user and group'],
    ['members pr', 'group'],
    ['members[value eq "u1"]', 'group'],
    ['not (members[value eq "u1"])', 'user'],
    ['department eq "ops"', 'user'],
    [`${enterprise}:department ne "x"`, 'user and group'],
    [`${userSchema}:displayName pr`, 'user'],
    [`${groupSchema}:displayName pr`, 'group'],
    [`${groupSchema}:displayName eq "ada" or userName eq "ada"`, 'user and group'],
    [`schemas eq "${groupSchema}"`, 'group'],
    [`schemas eq "${enterprise}"`, 'user'],
    ['meta.resourceType eq "Group"', 'group'],
    ['id pr', 'user and group'],
  ])('%s finds: %s', (source, found) => {
    expect(finds(source)).toBe(found)
  })

  it.each(['nope eq "x"', `${groupSchema}:userName eq "x"`, 'urn:example:x eq "x"'])('refuses %s', (source) => {
    expect(() => parseFilter(source, anyResourceType)).toThrow(expect.objectContaining({ code: 'ERR_FILTER' }))
  })

  it('says of users what the same filter over users says', () => {
    fc.assert(
      fc.property(filterSource, subject, (source, each) => {
        const across = filterFor(parseFilter(source, anyResourceType), userResourceType)
        expect(matches(across, each)).toBe(matches(parseFilter(source, userResourceType), each))
      }),
    )
  })
})
