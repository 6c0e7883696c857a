import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { explainUser } from '../../src/entitlement/explanation.ts'
import { createImpact, type Impact } from '../../src/entitlement/impact.ts'
import type { NewRule, RuleChange } from '../../src/entitlement/rules.ts'
import { createWhy } from '../../src/entitlement/why.ts'
import { parseFilter } from '../../src/filter/parse.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { type Company, createCompany } from '../support/company.ts'
import { insertPeople } from '../support/people.ts'
import { connect } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'

let company: Company
let impact: Impact

describe('what a change of a rule alters', () => {
  let ada: string
  let grace: string

  beforeEach(async () => {
    company = await createCompany()
    impact = createImpact(company)
    ada = await company.join('ada', { title: 'CTO' })
    grace = await company.join('grace')
    await company.join('joan')
    await company.team('Engineering', [ada, grace])
  })
  afterEach(() => company?.close())

  async function touched(id: string, when: string, fields: Partial<NewRule> = {}): Promise<number | null> {
    const { change } = await company.rules.put(
      { id, server: 'linear', when, scopes: ['read'], ...fields },
      { dryRun: true },
    )
    return impact.touchedBy(change)
  }

  it('is who gains it, by a new rule', async () => {
    expect(await touched('engineers', 'groups.display eq "Engineering"')).toBe(2)
  })

  it('is who gains and who loses it, by a rule that is replaced', async () => {
    await company.rule('engineers', 'groups.display eq "Engineering"')
    expect(await touched('engineers', 'userName eq "ada" or userName eq "joan"')).toBe(2)
    expect(await touched('engineers', 'groups.display eq "Engineering"')).toBe(0)
    expect(await touched('engineers', 'groups.display eq "Engineering"', { clients: ['claude'] })).toBe(2)
  })

  it('is nobody to whom another rule gives as much', async () => {
    await company.rule('chiefs', 'title eq "CTO"', { scopes: ['read', 'write'] })
    expect(await touched('engineers', 'groups.display eq "Engineering"')).toBe(1)
    expect(await touched('engineers', 'groups.display eq "Engineering"', { scopes: ['admin'] })).toBe(2)
  })

  it('is who loses it at one server and gains it at another, each once', async () => {
    await company.rule('everyone', 'userName pr')
    await company.rule('chiefs', 'title eq "CTO"', { server: 'slack' })
    expect(await touched('everyone', 'title eq "CTO"', { server: 'slack' })).toBe(3)
    expect(await touched('everyone', 'userName eq "grace"', { server: 'slack' })).toBe(3)
  })

  it('is who loses it by a removal', async () => {
    await company.rule('chiefs', 'title eq "CTO"')
    const { change } = await company.rule('everyone', 'userName pr')
    const removal: RuleChange = { directoryId: 'acme', before: change.after, others: change.others }
    expect(await impact.touchedBy(removal)).toBe(2)
  })

  it('counts nobody who may have nothing', async () => {
    await company.update(ada, { active: false })
    await sql`update user_state set hold_source = 'okta', hold_at = clock_timestamp() where user_id = ${grace}`.execute(
      company.db,
    )
    expect(await touched('everyone', 'userName pr')).toBe(1)
    expect(await impact.matching('acme', parseFilter('userName pr', userResourceType))).toEqual({ matches: 1, of: 1 })
  })

  it('changes nothing when it is only tried', async () => {
    const { rule: before } = await company.rule('everyone', 'userName pr')
    const version = () => sql`select policy_version from directory where id = 'acme'`.execute(company.db)
    const { rows } = await version()
    const tried = await company.rules.put(
      { id: 'everyone', server: 'slack', when: 'title pr', scopes: ['write'] },
      { dryRun: true },
    )
    expect(tried).toMatchObject({
      isNew: false,
      rule: { server: 'slack', when: 'title pr', createdAt: before.createdAt },
    })
    expect(await company.rules.get('everyone')).toEqual(before)
    expect((await version()).rows).toEqual(rows)
  })
})

describe('in a company of more than a batch', () => {
  const random = createRandom()
  let people: string[]

  beforeAll(async () => {
    company = await createCompany()
    impact = createImpact(company)
    const client = await connect({ url: company.url })
    await insertPeople(client, { directory: 'acme', prefix: 'p', count: 2_000 })
    await client.end()
    people = []
    for (let index = 0; index < 40; index++) people.push(await company.join(`person-${index}`))
    const groups: string[] = []
    for (let index = 0; index < 12; index++) {
      const members = [random.pick(people), random.pick(people), ...(groups.length > 0 ? [random.pick(groups)] : [])]
      groups.push(await company.team(`Team ${index}`, [...new Set(members)]))
    }
    await company.update(people[0]!, { active: false })
  })
  afterAll(() => company?.close())

  it('counts everyone once', async () => {
    expect(await impact.matching('acme', parseFilter('userName sw "p-1"', userResourceType))).toEqual({
      matches: 1_111,
      of: 2_039,
    })
  })

  it.each([
    'groups.display eq "Team 11"',
    'groups[display sw "Team" and type eq "indirect"]',
    'groups.display eq null',
  ])('counts by %s as everyone is judged alone', async (when) => {
    const filter = parseFilter(when, userResourceType)
    const alone = await Promise.all(people.slice(1).map((id) => explainUser(company.db, id, filter)))
    const among = parseFilter(`userName sw "person-" and ${when}`, userResourceType)
    const expected = alone.filter((each) => each!.matches).length
    expect(await impact.matching('acme', among), `seed ${random.seed}`).toEqual({ matches: expected, of: 2_039 })
  })

  it('foretells what the gate then says', async () => {
    const why = createWhy(company)
    const accesses = () => Promise.all(people.map(async (id) => JSON.stringify((await why(id, 'linear')).access)))
    const only = 'userName sw "person-" and '
    await company.rule('some', `${only} groups.display sw "Team 1"`)
    for (const when of ['groups.display eq "Team 5" or groups.display eq "Team 11"', 'not (groups.display pr)']) {
      const before = await accesses()
      const { change } = await company.rule('others', `${only} (${when})`)
      const after = await accesses()
      const changed = people.filter((_, index) => before[index] !== after[index])
      expect(await impact.touchedBy(change), `seed ${random.seed}`).toBe(changed.length)
    }
  })
})
