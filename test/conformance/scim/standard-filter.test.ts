import { beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import {
  enterprise,
  expectError,
  expectList,
  filtered,
  searchOf,
  serviceProvider,
  stranger,
} from './service-provider.ts'

const running = serviceProvider()
/** As Entra asks, which is more than the grammar has. Nobody but these: one letter each, so that a hit is told at a glance. */
let scim: ScimClient
const ids: Record<string, string> = {}

const people: Record<string, Json> = {
  a: {
    userName: 'Ann@acme.example',
    externalId: '0123',
    title: 'Dr',
    nickName: '100%_sure',
    active: true,
    emails: [
      { type: 'work', value: 'ann@acme.example', primary: true },
      { type: 'home', value: 'ann@home.example' },
    ],
    [enterprise]: { manager: { value: '26' }, department: 'Ops' },
  },
  b: { userName: 'Bob', externalId: 'jyoung', title: 'dr', nickName: '100 sure', active: false, userType: 'E' },
  c: {
    userName: 'DOM\\cy "the" é',
    externalId: 'JYoung',
    active: true,
    emails: [{ type: 'home', value: 'cy@acme.example' }],
    [enterprise]: { manager: { value: '27' } },
  },
  d: { userName: 'Dee [x] (EU)', title: 'Mr', name: { familyName: 'Ek' }, addresses: [{ country: 'NO' }] },
}

beforeAll(async () => {
  scim = running.scim('entra')
  for (const [letter, each] of Object.entries(people))
    ids[letter] = (await scim.call('POST', '/Users', { schemas: [userSchema], ...each })).id
  ids.g = (await scim.createGroup('R&D (EU) [x] "q"', [ids.a!])).id
})

/** The letters of those whom the filter finds, in a URL and in a search alike. */
async function found(filter: string, path = '/Users'): Promise<string> {
  const answer = await scim.send('GET', `${path}${filtered(filter)}`)
  expect(answer.status, `${filter}: ${JSON.stringify(answer.body)}`).toBe(200)
  const listed = expectList(answer, answer.body.totalResults)
  expect((await scim.call('POST', `${path}/.search`, searchOf({ filter }))).Resources).toEqual(listed)
  return listed.map(({ id }) => Object.keys(ids).find((letter) => ids[letter] === id)).join('')
}
const refused = async (filter: string, path = '/Users') => {
  const answer = await scim.send('GET', `${path}${filtered(filter)}`)
  expectError(answer, 400, 'invalidFilter')
  expectError(await scim.send('POST', `${path}/.search`, searchOf({ filter })), 400, 'invalidFilter')
  return answer.body.detail as string
}

describe('§1.7 filter (RFC 7644 §3.4.2.2)', () => {
  it.each([
    ['title eq "Dr"', 'ab'],
    ['title ne "Dr"', 'cd'],
    ['userName co "CM"', 'a'],
    ['userName sw "d"', 'cd'],
    ['userName ew "ob"', 'b'],
    ['userName gt "bob"', 'cd'],
    ['userName ge "bob"', 'bcd'],
    ['userName lt "bob"', 'a'],
    ['userName le "bob"', 'ab'],
    ['title pr', 'abd'],
    ['not (title pr)', 'c'],
    ['userType eq "E" or title eq "Mr" and active eq false', 'b'],
    ['title eq "Mr" or title eq "Dr" and active eq true', 'ad'],
    ['(title eq "Mr" or title eq "Dr") and active eq false', 'b'],
    ['not (title eq "Mr") and active eq true', 'ac'],
    ['not (title eq "Dr" and active eq false)', 'acd'],
    ['not (title eq "Dr" or active eq false)', 'cd'],
    ['emails[type eq "work"]', 'a'],
    ['USERNAME EQ "bob"', 'b'],
    ['Not (TITLE Pr) AND Active Eq TRUE', 'c'],
  ])('§1.7.1 %s: grouping before not before and before or, names and operators in any case', async (filter, hits) => {
    expect(await found(filter)).toBe(hits)
  })

  it.each([
    ['title pr and not title eq "Mr"', 'ab'],
    ['emails[type eq "work" and not (value co "home")]', 'a'],
    ['emails[type eq "work" or primary eq true].value sw "ann"', 'a'],
    ['name.familyName eq "Ek"', 'd'],
    [`${enterprise}:manager.value pr`, 'ac'],
    ['active eq True', 'acd'],
    ['active eq FALSE', 'b'],
    ['active eq false', 'b'],
    ['title eq null', 'c'],
    ['  title   eq\t"mr"  ', 'd'],
  ])('§1.7.2 %s is in the grammar', async (filter, hits) => {
    expect(await found(filter)).toBe(hits)
  })

  it('§1.7.3 not with and without a space before its bracket', async () => {
    expect(await found('not(title pr)')).toBe('c')
    expect(await found('not (title pr)')).toBe('c')
    expect(await found('not(title pr)and(active eq true)')).toBe('c')
  })

  it('§1.7.4 a part after a bracket is of the same element', async () => {
    expect(await found('emails[type eq "work"].value eq "ann@acme.example"')).toBe('a')
    expect(await found('emails[type eq "work"].value eq "ann@home.example"')).toBe('')
    expect(await found('emails[type eq "home"].value ew "acme.example"')).toBe('c')
    expect(await found('emails[type eq "work" and value eq "ann@home.example"]')).toBe('')
    expect(await found('emails.type eq "work" and emails.value eq "ann@home.example"')).toBe('a')
  })

  it('§1.7.5 a URN ends where a schema that is known ends, in any case', async () => {
    expect(await found(`${userSchema}:userName sw "B"`)).toBe('b')
    expect(await found(`${enterprise.toUpperCase()}:Manager.Value eq "26"`)).toBe('a')
    expect(await found(`${enterprise}:department eq "ops" and ${userSchema}:title eq "DR"`)).toBe('a')
    expect(await found(`${groupSchema}:displayName sw "r&d"`, '/Groups')).toBe('g')
    await refused(`${enterprise}:userName eq "bob"`)
    await refused('urn:nobody:2.0:User:userName eq "bob"')
  })

  it('§1.7.6 $ref is a name: what cannot be answered of it is said to be unsupported, not misread', async () => {
    expect(await found('manager.$ref pr')).toBe('')
    expect(await refused('members.$ref ew "/26"', '/Groups')).toMatch(/\$ref is not supported/)
  })

  it('§1.7.7 unquoted words are texts, no space is needed before a quote, single quotes are refused', async () => {
    expect(await found('externalId eq jyoung')).toBe('b')
    expect(await found('meta.resourceType eq User')).toBe('abcd')
    expect(await found('userName eq"bob"')).toBe('b')
    for (const filter of ["displayName sw 'Group'", 'title eq and', 'title eq pr', 'title eq not'])
      await refused(filter)
  })

  it('§1.7.8 escapes of JSON are decoded, and a lone backslash is itself', async () => {
    expect(await found(`userName eq ${JSON.stringify(people.c!.userName)}`)).toBe('c')
    expect(await found('userName eq "DOM\\cy \\"the\\" \\u00e9"')).toBe('c')
    expect(await found('userName sw "DOM\\\\"')).toBe('c')
    expect(await found('userName ew "\\u00E9" and userName co "\\""')).toBe('c')
    expect(await found('displayName eq "R&D (EU) [x] \\"q\\""', '/Groups')).toBe('g')
  })

  it('§1.7.9 of several values one is enough; of complex ones value is meant', async () => {
    expect(await found('emails co "home.example"')).toBe('a')
    expect(await found('emails.value ew "acme.example"')).toBe('ac')
    expect(await found('emails eq "CY@acme.example"')).toBe('c')
    expect(await found('manager eq "26"')).toBe('a')
    expect(await found(`schemas eq "${userSchema}"`)).toBe('abcd')
    expect(await found(`schemas eq "${enterprise.toUpperCase()}"`)).toBe('ac')
    expect(await found(`members eq "${ids.a}"`, '/Groups')).toBe('g')
  })

  it('§1.7.10 pr wants a value that is not empty, of complex attributes any part', async () => {
    const empty = { title: '', emails: [], name: { givenName: '' }, roles: null, [enterprise]: { department: '' } }
    const { id } = await scim.call('POST', '/Users', { schemas: [userSchema], userName: 'empty', ...empty })
    for (const name of ['title', 'emails', 'emails.value', 'name', 'roles', 'manager', `${enterprise}:department`])
      expect(await found(`id eq "${id}" and ${name} pr`)).toBe('')
    await scim.call('DELETE', `/Users/${id}`)
    expect([await found('name pr'), await found('manager pr'), await found('emails pr')]).toEqual(['d', 'ac', 'ac'])
    expect(await found('addresses pr and emails.primary eq true or addresses.country pr')).toBe('d')
  })

  it.each([
    ['userType eq "E"', 'b'],
    ['userType ne "E"', 'acd'],
    ['userType eq null', 'acd'],
    ['userType ne null', 'b'],
    ['not (userType eq "E")', 'acd'],
    ['not (userType ne "E")', 'b'],
    ['not (userType co "E" and title pr)', 'acd'],
    ['not (not (userType eq "E"))', 'b'],
    ['userType gt "A"', 'b'],
    ['not (userType gt "A")', 'acd'],
    ['not (emails[type eq "work"])', 'bcd'],
    ['not (emails.value co "@")', 'bd'],
    [`${enterprise}:department ne "Ops"`, 'bcd'],
  ])('§1.7.11 %s: no value equals nothing, differs from everything, and not is plain', async (filter, hits) => {
    expect(await found(filter)).toBe(hits)
  })

  it.each([
    'shoeSize eq "39"',
    'name.shoeSize pr',
    'emails[colour eq "red"]',
    'members.value pr',
    'a eq 1',
    'usernam eq "bob"',
  ])('§1.7.12 %s: what no schema of users has is refused, never nobody', async (filter) => {
    expect(await refused(filter)).not.toBe('')
  })

  it('§1.7.13 texts compare by caseExact, times as times', async () => {
    expect(await found('externalId eq "jyoung"')).toBe('b')
    expect(await found('externalId sw "JY"')).toBe('c')
    expect(await found('externalId eq "0123"')).toBe('a')
    const { created } = (await scim.call('GET', `/Users/${ids.c}`)).meta
    const moment = Date.parse(created)
    const at = (offset: number) => new Date(moment + offset * 3_600_000).toISOString().slice(0, -1)
    expect(await found(`id eq "${ids.c}" and meta.created eq "${at(2)}+02:00"`)).toBe('c')
    expect(await found(`meta.created gt "${at(2)}+02:00" and id eq "${ids.c}"`)).toBe('')
    expect(await found(`meta.created ge "${at(-5)}-05:00" and id eq "${ids.c}"`)).toBe('c')
    expect(await found('meta.lastModified lt "2001-01-01T00:00:00Z"')).toBe('')
    expect(await found('active eq "True" and title eq "dr"')).toBe('a')
    for (const filter of [
      'active gt true',
      'active co "t"',
      'active eq "perhaps"',
      'emails.primary sw true',
      'x509Certificates.value gt "a"',
      'meta.created co "2026"',
      'meta.created eq "yesterday"',
      'userName eq 7 and',
    ])
      await refused(filter)
  })

  it('§1.7.14 is bounded, says where it cannot be read, and is never a part of SQL', async () => {
    expect(await refused('userName foo "x"')).toMatch(/position 9\b/)
    expect(await refused('title pr and userName eq')).toMatch(/position 24\b/)
    const terms = (n: number) => Array.from({ length: n }, () => 'title eq "x"').join(' or ')
    expect(await found(terms(64))).toBe('')
    await refused(terms(65))
    const nested = (n: number) => `${'('.repeat(n)}title eq "x"${')'.repeat(n)}`
    expect(await found(nested(32))).toBe('')
    await refused(nested(33))
    const long = (n: number) => `title eq "${'x'.repeat(n - 11)}"`
    expect(await found(long(4_096))).toBe('')
    await refused(long(4_097))
    expect(await found('nickName co "%_"')).toBe('a')
    expect(await found('nickName sw "100%"')).toBe('a')
    expect(await found('nickName co "_"')).toBe('a')
    expect(await found('userName co "\\\\"')).toBe('c')
    expect(await found(`title eq "' or 1=1 --" or title eq "'; drop table scim_user; --"`)).toBe('')
    expect(await found('userName pr')).toBe('abcd')
  })

  it('§1.7.15 what identity providers send by habit: eq, and and', async () => {
    expect(await found('userName eq "BOB" and active eq false')).toBe('b')
    expect(await found(`id eq "${ids.a}" and manager eq "26"`)).toBe('a')
    expect(await found(`id eq "${stranger}" and manager eq "26"`)).toBe('')
    expect(await found('displayName eq "r&d (eu) [x] \\"Q\\""', '/Groups')).toBe('g')
  })

  describe('§1.7.16 test vectors', () => {
    const a = 'title eq "1"'
    const b = 'nickName eq "2"'
    const c = 'userType eq "3"'

    it.each<[string, string?]>([
      ['userName eq "bjensen"'],
      ['USERNAME EQ "BJENSEN"'],
      ['title pr and userType eq "E"'],
      ['not (title pr)'],
      ['not(title pr)and(active eq true)'],
      [`${a} or ${b} and ${c}`],
      [`((${a}) and ${b}) or ${c}`],
      [`not (${a} or ${b}) and ${c}`],
      ['active eq True'],
      ['active eq "False"'],
      ['emails co "example.com"'],
      ['emails[type eq "work" and value co "@x"]'],
      ['emails[type eq "work"].value eq "a@b"'],
      ['emails[not (type eq "home")]'],
      [`schemas eq "${enterprise}"`],
      [`${userSchema}:userName sw "J"`],
      ['meta.lastModified ge "2026-01-01T00:00:00+02:00"'],
      [`${enterprise}:manager.value eq "26"`],
      ['id eq "1" and manager eq "2"'],
      ['displayName eq "R&D (EU) [x] \\"q\\""'],
      ['displayName eq "R&D (EU) [x] \\"q\\""', '/Groups'],
      ['externalId eq jyoung'],
      ['externalId eq "0123"'],
    ])('%s is read', async (filter, path = '/Users') => {
      expect((await scim.send('GET', `${path}${filtered(filter)}`)).status).toBe(200)
    })

    it.each(['userName', 'userName foo "x"', 'userName eq', `!(${a}`, `(${a}`, 'emails[]', 'active gt true'])(
      '%s is not',
      async (filter) => {
        await refused(filter)
      },
    )
  })
})
