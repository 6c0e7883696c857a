import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import { describe, expect, it } from 'vitest'
import { compileFilter, foldDocument } from '../../src/directory/filter-sql.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { groupResourceType } from '../../src/schemas/group.ts'
import { userResourceType } from '../../src/schemas/user.ts'

const db = new Kysely<unknown>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (kysely) => new PostgresIntrospector(kysely),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const anna = '11111111-2222-4333-8444-555555555555'

function compile(source: string, resourceType = userResourceType): [string, ...unknown[]] {
  const alias = resourceType.name === 'User' ? 'u' : 'g'
  const filter = compileFilter(parseFilter(source, resourceType), { resourceType, alias })
  const { sql, parameters } = filter.compile(db)
  return [sql.replaceAll('"', ''), ...parameters]
}

describe('a filter over users as SQL', () => {
  it.each<[string, [string, ...unknown[]]]>([
    ['userName eq "Ada@X.io"', ['u.user_name_key = $1', 'ada@x.io']],
    ['userName ne "Ada"', ['u.user_name_key is distinct from $1', 'ada']],
    ['externalId eq "00uAbC"', ['u.external_id = $1', '00uAbC']],
    ['externalId pr', ['u.external_id is not null']],
    ['externalId eq null', ['(u.external_id is not null) is not true']],
    [`id eq "${anna}"`, ['u.id = $1::uuid', anna]],
    [`id ne "${anna}"`, ['u.id <> $1::uuid', anna]],
    ['id eq "not-a-uuid"', ['false']],
    ['id ne "not-a-uuid"', ['true']],
    ['active eq "True"', ['u.active = $1', true]],
    ['title eq "Dr"', ["u.folded -> 'title' = $1".replace("-> 'title'", "->> 'title'"), 'dr']],
    ['name.familyName eq "L"', ["u.folded -> 'name' ->> 'familyName' = $1", 'l']],
    ['title co "50%_\\\\"', ["u.folded ->> 'title' like $1", '%50\\%\\_\\\\%']],
    ['userName sw "A"', ['u.user_name_key like $1', 'a%']],
    ['userName gt "A"', ['(u.user_name_key) collate C > $1', 'a']],
    ['title pr', ["u.folded -> 'title' is not null"]],
    ['not (title eq "x")', ["(u.folded ->> 'title' = $1) is not true", 'x']],
    ['title ne "x"', ["u.folded ->> 'title' is distinct from $1", 'x']],
    ['title eq null', ["(u.folded -> 'title' is not null) is not true"]],
    [
      'title pr and (userName eq "a" or active eq true)',
      ["(u.folded -> 'title' is not null and (u.user_name_key = $1 or u.active = $2))", 'a', true],
    ],
    ['emails eq "A@b"', ["(u.folded -> 'emails') @> $1::jsonb", '[{"value":"a@b"}]']],
    [
      'emails[type eq "Work"].value eq "A@b"',
      ["(u.folded -> 'emails') @> $1::jsonb", '[{"type":"work","value":"a@b"}]'],
    ],
    ['emails[primary eq true]', ["(u.folded -> 'emails') @> $1::jsonb", '[{"primary":true}]']],
    [
      'emails co "@b"',
      [
        "exists (select from jsonb_array_elements(u.folded -> 'emails') as e where e.value ->> 'value' like $1)",
        '%@b%',
      ],
    ],
    [
      'emails.type ne "work"',
      [
        "(exists (select from jsonb_array_elements(u.folded -> 'emails') as e where e.value ->> 'type' <> $1) or not exists (select from jsonb_array_elements(u.folded -> 'emails') as e where e.value ->> 'type' is not null))",
        'work',
      ],
    ],
    [
      'emails[type eq "work" and value co "@b"]',
      [
        "exists (select from jsonb_array_elements(u.folded -> 'emails') as e where (e.value ->> 'type' = $1 and e.value ->> 'value' like $2))",
        'work',
        '%@b%',
      ],
    ],
    [
      'emails[not (type eq "home")]',
      [
        "exists (select from jsonb_array_elements(u.folded -> 'emails') as e where (e.value ->> 'type' = $1) is not true)",
        'home',
      ],
    ],
    ['emails pr', ["exists (select from jsonb_array_elements(u.folded -> 'emails') as e where true)"]],
    ['manager eq "M1"', [`u.folded -> '${enterprise}' -> 'manager' ->> 'value' = $1`, 'M1']],
    ['department eq "Ops"', [`u.folded -> '${enterprise}' ->> 'department' = $1`, 'ops']],
    [
      'meta.lastModified ge "2026-01-01T00:00:00.5Z"',
      ["date_trunc('milliseconds', u.last_modified) >= to_timestamp($1::double precision)", 1767225600.5],
    ],
    [`schemas eq "${enterprise}"`, [`u.folded -> '${enterprise}' is not null`]],
    ['schemas eq "urn:ietf:params:scim:schemas:core:2.0:User"', ['true']],
  ])('%s', (source, expected) => {
    expect(compile(source)).toEqual(expected)
  })

  it.each([
    'groups.display eq "X"',
    'groups[display eq "X"]',
    'groups pr',
    'meta.version eq "x"',
    'schemas eq "urn:x"',
  ])('says that it cannot answer %s instead of finding nobody', (source) => {
    expect(() => compile(source)).toThrow(expect.objectContaining({ code: 'ERR_FILTER' }))
  })

  it('puts no operand into the text', () => {
    const [text] = compile(
      `userName eq "'; drop" and title co "'; drop" and emails[type eq "'; drop" and value sw "'"]`,
    )
    expect(text).not.toContain('drop')
  })
})

describe('a filter over groups as SQL', () => {
  it.each<[string, [string, ...unknown[]]]>([
    ['displayName eq "R&D"', ['g.display_name_key = $1', 'r&d']],
    ['externalId eq "X"', ['g.external_id = $1', 'X']],
    ['members.value eq "nobody"', ['false']],
  ])('%s', (source, expected) => {
    expect(compile(source, groupResourceType)).toEqual(expected)
  })

  it.each([`members.value eq "${anna}"`, `members eq "${anna}"`, `members[value eq "${anna}"]`])('%s', (source) => {
    const [text, ...parameters] = compile(source, groupResourceType)
    expect(text).toContain('from group_user m where m.group_id = g.id and m.user_id = $1::uuid')
    expect(text).toContain('from group_nesting n where n.parent_id = g.id and n.child_id = $2::uuid')
    expect(parameters).toEqual([anna, anna])
  })

  it.each(['members.display eq "x"', 'members pr', 'members[type eq "User"]', 'not (members.value ne "x")'])(
    'says that it cannot answer %s',
    (source) => {
      expect(() => compile(source, groupResourceType)).toThrow(expect.objectContaining({ code: 'ERR_FILTER' }))
    },
  )
})

describe('the folded document', () => {
  it('folds what is compared without case, and nothing else', () => {
    const document = {
      userName: 'Ada',
      externalId: 'ABC',
      active: true,
      name: { givenName: 'Ada' },
      emails: [{ type: 'Work', value: 'A@B', primary: true }],
      profileUrl: 'https://X/A',
      [enterprise]: { department: 'Ops', manager: { value: 'M1' } },
      'urn:example:2.0:User': { badge: 'B' },
    }
    expect(foldDocument(userResourceType, document)).toEqual({
      userName: 'ada',
      externalId: 'ABC',
      active: true,
      name: { givenName: 'ada' },
      emails: [{ type: 'work', value: 'a@b', primary: true }],
      profileUrl: 'https://X/A',
      [enterprise]: { department: 'ops', manager: { value: 'M1' } },
      'urn:example:2.0:User': { badge: 'B' },
    })
  })
})
