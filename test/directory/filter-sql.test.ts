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
      ['u.last_modified >= to_timestamp($1::double precision)', 1767225600.5],
    ],
    [
      'meta.created eq "2026-01-01T00:00:00.5Z"',
      [
        '(u.created_at >= to_timestamp($1::double precision) and u.created_at < to_timestamp($2::double precision))',
        1767225600.5,
        1767225600.501,
      ],
    ],
    ['meta.version eq "W/\\"3\\""', ["'W/' || u.version || '' = $1", 'W/"3"']],
    [
      'groups.display eq "R&D"',
      [
        '(exists (select from group_user gm join scim_group gg on gg.id = gm.group_id\n        where gm.user_id = u.id and gg.directory_id = u.directory_id and gg.deleted_at is null and gg.display_name_key = $1))',
        'r&d',
      ],
    ],
    [`schemas eq "${enterprise}"`, [`u.folded -> '${enterprise}' is not null`]],
    ['schemas eq "urn:ietf:params:scim:schemas:core:2.0:User"', ['true']],
  ])('%s', (source, expected) => {
    expect(compile(source)).toEqual(expected)
  })

  it.each([
    'groups.$ref eq "https://x/Groups/1"',
    'groups[$ref pr and $ref co "1"]',
    'meta.location ew "1"',
    'schemas eq "urn:x"',
    'schemas co "User"',
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
  ])('%s', (source, expected) => {
    expect(compile(source, groupResourceType)).toEqual(expected)
  })

  it.each([`members.value eq "${anna}"`, `members eq "${anna}"`, `members[value eq "${anna}"]`])('%s', (source) => {
    const [text, ...parameters] = compile(source, groupResourceType)
    expect(text).toContain('where mm.group_id = g.id and mm.user_id = $1::uuid')
    expect(text).toContain('where mn.parent_id = g.id and mn.child_id = $2::uuid')
    expect(parameters).toEqual([anna, anna])
  })

  it('knows users among the members from groups', () => {
    const [text, ...parameters] = compile('members.type eq "Group"', groupResourceType)
    expect(text).toMatch(
      /from group_user .* and 'user'::text = \$1\) or .*from group_nesting .* and 'group'::text = \$2\)/,
    )
    expect(parameters).toEqual(['group', 'group'])
  })

  it.each(['members.$ref eq "x"', 'members[$ref ew "1" or value pr]', 'meta.location pr and meta.location sw "x"'])(
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

it.each([
  ['groups.display co "a"', userResourceType],
  ['members[value eq "a"]', groupResourceType],
])('asks at most 16 times about rows: %s', (term, resourceType) => {
  const terms = (n: number) => Array(n).fill(`not (${term})`).join(' and ')
  expect(compile(terms(16), resourceType)[0].split('exists')).toHaveLength(term.startsWith('g') ? 17 : 33)
  const tooMany = expect.objectContaining({ code: 'ERR_FILTER', message: expect.stringContaining('16 terms') })
  expect(() => compile(terms(17), resourceType)).toThrow(tooMany)
  const [attribute, part] = term.split(/[.[]/)
  const parts = Array(17).fill(part!.replace(']', '')).join(' or ')
  expect(() => compile(`${attribute}[${parts}]`, resourceType)).toThrow(tooMany)
})
