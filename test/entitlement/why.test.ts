import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGate } from '../../src/entitlement/gate.ts'
import { createWhy, type ExplainAccess } from '../../src/entitlement/why.ts'
import { expire } from '../../src/housekeeping/expire.ts'
import { defaultRetention } from '../../src/retention.ts'
import { enterpriseUserSchema } from '../../src/schemas/enterprise-user.ts'
import { type Company, createCompany } from '../support/company.ts'

let company: Company
let why: ExplainAccess

beforeEach(async () => {
  company = await createCompany()
  why = createWhy(company)
})
afterEach(() => company?.close())

async function hold(userId: string): Promise<void> {
  await sql`update user_state set hold_source = 'okta', hold_at = clock_timestamp() where user_id = ${userId}`.execute(
    company.db,
  )
}

/** The user's lifecycle events, oldest first. */
async function eventsOf(userId: string) {
  return company.db.selectFrom('lifecycle_event').selectAll().where('user_id', '=', userId).orderBy('seq').execute()
}

describe('why somebody has access', () => {
  it('names the chain of groups from the one that holds the user, and the event that brought it', async () => {
    const ada = await company.join('ada')
    const core = await company.team('Core', [ada])
    const platform = await company.team('Platform', [core])
    const engineering = await company.team('Engineering', [platform])
    await company.rule('engineers', 'groups.display eq "engineering" and active eq true', { clients: ['claude'] })
    await company.converge(ada)

    const [, , , joined] = await eventsOf(ada)
    expect(await why(ada, 'linear')).toEqual({
      user: { id: ada, userName: 'ada', directory: 'acme' },
      server: 'linear',
      has: true,
      access: { scopes: ['read'], clients: ['claude'] },
      blockedBy: null,
      since: joined!.recorded_at,
      by: {
        kind: 'event',
        id: joined!.id,
        event: 'changed',
        source: 'scim',
        at: joined!.occurred_at,
        detail: { operation: 'POST', group: engineering, actor: 'tok_test' },
      },
      rules: [
        {
          rule: 'engineers',
          when: 'groups.display eq "engineering" and active eq true',
          scopes: ['read'],
          clients: ['claude'],
          matches: true,
          satisfied: [
            {
              text: 'groups.display eq "engineering"',
              because: {
                attribute: 'groups.display',
                value: 'Engineering',
                via: [
                  { id: core, displayName: 'Core' },
                  { id: platform, displayName: 'Platform' },
                  { id: engineering, displayName: 'Engineering' },
                ],
              },
            },
            { text: 'active eq true', because: { attribute: 'active', value: true } },
          ],
          missing: [],
        },
      ],
      nearest: null,
    })
  })

  it('names a shortest chain, and of several groups that will do the nearest', async () => {
    const ada = await company.join('ada')
    const core = await company.team('Core', [ada])
    const long = await company.team('A long way', [core])
    const short = await company.team('Team Short', [ada])
    const top = await company.team('Team Top', [long, short])
    await company.team('All', [top])
    await company.rule('all', 'groups.display eq "All"')
    await company.rule('teams', 'groups[display sw "Team" and type pr]', { server: 'slack' })

    const [all] = (await why(ada, 'linear')).rules
    expect(all!.satisfied[0]!.because!.via!.map(({ displayName }) => displayName)).toEqual([
      'Team Short',
      'Team Top',
      'All',
    ])
    const [teams] = (await why(ada, 'slack')).rules
    expect(teams!.satisfied[0]!.because).toMatchObject({
      attribute: 'groups',
      value: { display: 'Team Short' },
      via: [{ id: short }],
    })
  })

  it('names the value of an attribute', async () => {
    const ada = await company.join('ada', { [enterpriseUserSchema.id]: { department: 'R&D' } })
    await company.rule('research', 'department eq "r&d"')
    expect((await why(ada, 'linear')).rules).toMatchObject([
      { satisfied: [{ text: 'department eq "r&d"', because: { attribute: 'department', value: 'R&D' } }] },
    ])
  })

  it('tells every rule that gives it, and the union of what they give', async () => {
    const ada = await company.join('ada', { title: 'CTO' })
    await company.team('Engineering', [ada])
    await company.rule('engineers', 'groups.display eq "Engineering"')
    await company.rule('chiefs', 'title sw "C"', { scopes: ['admin'] })
    await company.rule('others', 'title eq "Intern"', { scopes: ['play'] })
    const { has, access, rules, nearest } = await why(ada, 'linear')
    expect({ has, access, nearest }).toEqual({
      has: true,
      access: { scopes: ['admin', 'read'], clients: [] },
      nearest: null,
    })
    expect(rules.map(({ rule }) => rule)).toEqual(['chiefs', 'engineers'])
  })

  it('has been so since it began, however often it was settled anew', async () => {
    const ada = await company.join('ada')
    await company.rule('everyone', 'userName pr')
    await company.converge(ada)
    const first = await why(ada, 'linear')
    await company.users.cut(ada, { source: 'admin', actor: 'key:ops' })
    await company.converge(ada)
    await company.rule('everyone', 'userName pr', { scopes: ['read', 'write'] })
    await company.converge(ada)
    const { since, by } = await why(ada, 'linear')
    expect({ since, by }).toEqual({ since: first.since, by: first.by })
    expect(by).toMatchObject({ kind: 'event', event: 'joined' })
  })

  it('has been so since the same time when the event that brought it is no longer kept, by nothing that is known', async () => {
    const ada = await company.join('ada')
    await company.rule('chiefs', 'title eq "CTO"')
    await company.converge(ada)
    await company.update(ada, { title: 'CTO' })
    await company.converge(ada)
    const event = (await eventsOf(ada)).at(-1)!
    expect(await why(ada, 'linear')).toMatchObject({ has: true, since: event.recorded_at, by: { id: event.id } })

    await sql`update lifecycle_event set recorded_at = now() - interval '800 days'`.execute(company.db)
    expect(await expire(company.db, defaultRetention)).toEqual({ lifecycle_event: 2 })
    const { recorded_at } = await company.db
      .selectFrom('ledger_entry')
      .select('recorded_at')
      .where('user_id', '=', ada)
      .where('kind', '=', 'entitled')
      .executeTakeFirstOrThrow()
    expect(await why(ada, 'linear')).toMatchObject({ has: true, since: recorded_at, by: null })
  })

  it('is put down to policy when only a rule changed', async () => {
    const ada = await company.join('ada')
    await company.converge(ada)
    const { rule } = await company.rule('everyone', 'userName pr')
    const before = await why(ada, 'linear')
    expect(before).toMatchObject({ has: true, since: rule.changedAt, by: { kind: 'policy', at: rule.changedAt } })
    await company.converge(ada)
    const after = await why(ada, 'linear')
    expect(after).toMatchObject({ has: true, by: { kind: 'policy' } })
    expect(after.by!.at!.getTime()).toBeGreaterThanOrEqual(rule.changedAt.getTime())
  })
})

describe('why somebody has no access', () => {
  it('names what the nearest rule misses, and the event that took it, before converge and after', async () => {
    const ada = await company.join('ada', { title: 'Engineer' })
    const group = await company.team('Engineering', [ada])
    await company.rule('engineers', 'title eq "Engineer" and groups.display eq "Engineering"')
    await company.rule('chiefs', 'title eq "CTO" and groups.display eq "Board"')
    await company.converge(ada)
    await company.removeMember(group, ada)

    const left = (await eventsOf(ada)).at(-1)!
    const expected = {
      has: false,
      access: { scopes: [], clients: [] },
      blockedBy: null,
      since: left.recorded_at,
      by: { kind: 'event', id: left.id, event: 'changed', detail: { group } },
      rules: [],
      nearest: {
        rule: 'engineers',
        matches: false,
        satisfied: [{ text: 'title eq "Engineer"', because: { attribute: 'title', value: 'Engineer' } }],
        missing: [{ text: 'groups.display eq "Engineering"' }],
      },
    }
    expect(await why(ada, 'linear')).toMatchObject(expected)
    await company.converge(ada)
    expect(await why(ada, 'linear')).toMatchObject(expected)
  })

  it.each([
    ['inactive', (id: string) => company.update(id, { active: false })],
    ['deleted', (id: string) => company.leave(id)],
    ['held', hold],
    [
      'directory_deleted',
      () => sql`update directory set deleted_at = clock_timestamp() where id = 'acme'`.execute(company.db),
    ],
  ])('says that the user is %s, although the rule would match', async (blockedBy, block) => {
    const ada = await company.join('ada')
    await company.rule('everyone', 'userName pr')
    await company.converge(ada)
    await block(ada)
    expect(await why(ada, 'linear')).toMatchObject({
      has: false,
      blockedBy,
      rules: [],
      nearest: { rule: 'everyone', matches: true, missing: [] },
    })
  })

  it('is put down to the removal of a rule once converge has seen it', async () => {
    const ada = await company.join('ada')
    await company.rule('everyone', 'userName pr')
    await company.converge(ada)
    await company.rules.remove('everyone')
    expect(await why(ada, 'linear')).toMatchObject({
      has: false,
      since: null,
      by: { kind: 'policy', at: null },
      nearest: null,
    })
    await company.converge(ada)
    const { since, by } = await why(ada, 'linear')
    expect(by).toEqual({ kind: 'policy', at: since })
    expect(since).toBeInstanceOf(Date)
  })

  it('says that the server is deleted', async () => {
    const ada = await company.join('ada')
    await sql`update server set deleted_at = clock_timestamp() where id = 'linear'`.execute(company.db)
    expect(await why(ada, 'linear')).toMatchObject({ has: false, blockedBy: 'server_deleted' })
  })

  it('has no beginning for somebody who never had any', async () => {
    const ada = await company.join('ada')
    await company.rule('engineers', 'groups.display eq "Engineering"')
    await company.converge(ada)
    expect(await why(ada, 'linear')).toMatchObject({ has: false, since: null, by: null, nearest: { missing: [{}] } })
    expect((await why(ada, 'slack')).nearest).toBeNull()
  })

  it('knows no user and no server that there is not', async () => {
    const ada = await company.join('ada')
    await expect(why(ada, 'asana')).rejects.toThrow('Server "asana" not found')
    await expect(why('ada', 'linear')).rejects.toThrow('User "ada" not found')
  })
})

it('says what the gate says, at any moment', async () => {
  const gate = createGate(company)
  const question = { serverId: 'linear', client: 'claude', scopes: ['read'] }
  const ada = await company.join('ada')
  const group = await company.team('Engineering', [ada])
  const steps = [
    () => company.rule('engineers', 'groups.display eq "Engineering"'),
    () => company.converge(ada),
    () => hold(ada),
    () => company.update(ada, { active: true }),
    () => company.removeMember(group, ada),
    () => company.rule('engineers', 'userName pr'),
    () => company.leave(ada),
  ]
  for (const step of steps) {
    await step()
    const answer = await gate.ask(company.db, ada, question)
    expect((await why(ada, 'linear')).has).toBe(answer!.allowed)
  }
})
