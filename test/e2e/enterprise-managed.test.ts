import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Agent, Era, Shape } from '../support/agent.ts'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type Enterprise, slowNeeds, startEnterprise, type Team } from '../support/enterprise.ts'
import type { Person } from '../support/oauth-world.ts'
import { waitFor } from '../support/wait-for.ts'

/** Requests for a token that the SDK makes of one 401, when the authorization server answers `invalid_grant`. */
const attempts: Record<Shape, number> = { provider: 2, helpers: 1 }

const notAccepted = /The assertion is not accepted/

describe.each(backends())('Enterprise-Managed Authorization, with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let acme: Enterprise
  /** Whose access no story touches. */
  let bob: { person: Person; agent: Agent }

  beforeAll(async () => {
    // The SDK warns of each attempt that is refused.
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    backend = await start()
    acme = await startEnterprise(backend)
    const person = await acme.hire(await acme.team('read', 'write'))
    bob = { person, agent: await acme.agentOf(person) }
  })
  afterEach(async () => {
    acme.idp.pinSecond()
    expect(acme.mcp.failures).toEqual([])
    expect(await bob.agent.call('whoami')).toBe(bob.person.id)
    expect(bob.agent).toMatchObject({ assertions: 1, tokenAnswers: [200] })
  })
  afterAll(async () => {
    await acme?.close()
    await backend?.stop()
  })

  interface AtWork {
    readonly ada: Person
    readonly agent: Agent
    readonly team: Team
  }

  async function atWork(options: { shape?: Shape; era?: Era } = {}): Promise<AtWork> {
    const team = await acme.team('read', 'write')
    const ada = await acme.hire(team)
    const agent = await acme.agentOf(ada, options)
    expect(await agent.call('whoami')).toBe(ada.id)
    return { ada, agent, team }
  }

  /** Nobody asks the identity provider to be stricter: the client tries again and again, and gets nothing. */
  async function expectNoWayBack({ ada, agent }: AtWork, shape: Shape, reason: string): Promise<void> {
    const before = { assertions: agent.assertions, answers: agent.tokenAnswers.length, refused: acme.refusals().length }
    const tries = 3 * attempts[shape]
    for (const _call of [1, 2, 3]) await expect(agent.call('whoami')).rejects.toThrow(notAccepted)
    expect(agent.assertions - before.assertions).toBe(tries)
    expect(agent.tokenAnswers.slice(before.answers)).toEqual(Array(tries).fill(400))
    expect(acme.refusals().slice(before.refused)).toEqual(Array(tries).fill(reason))
    const exchanges = acme.idp.exchanges.filter(({ sub }) => sub === ada.externalId)
    expect(exchanges).toHaveLength(agent.assertions)
    expect(exchanges.every(({ isMinted }) => isMinted)).toBe(true)
  }

  /** What everybody goes through who loses all they had, whoever took it. */
  async function expectLoss(
    { ada, agent, team }: AtWork,
    take: (ada: Person, team: Team) => Promise<unknown>,
    { shape = 'provider', era = 'modern', reason }: { shape?: Shape; era?: Era; reason: string },
  ): Promise<void> {
    const token = await agent.token()
    const [slow, streaming] = [await agent.run('slow'), await agent.run('streaming')]
    const others = await bob.agent.run('streaming')
    await take(ada, team)
    // From the moment of the answer, whatever the webhook is doing.
    expect(await acme.admin.introspect(token)).toEqual({ active: false })

    // What was not begun to be answered is a 401, which the modern client at once tries to mend.
    expect((await slow.outcome).message).toMatch(era === 'modern' ? notAccepted : /^Access has ended$/)
    expect((await streaming.outcome).message).toBe('Access has ended')
    await waitFor(() => slow.run.isStopped && streaming.run.isStopped, { what: 'both tools to stop' })
    await expectNoWayBack({ ada, agent, team }, shape, reason)
    expect(agent.tokenAnswers.filter((status) => status === 200)).toEqual([200])

    await acme.admin.waitUntilSettled()
    const { items } = await acme.admin.get(`/deliveries?user=${ada.id}&server=notes`)
    expect(items).toMatchObject([{ state: 'delivered' }])
    expect(await acme.grantsOf(ada)).toMatchObject([{ state: 'closed', expectedDeadBy: null }])
    expect((await acme.callWith(token)).status).toBe(401)
    expect(others.run).toMatchObject({ isStopped: false, isEnded: false })
  }

  describe('a joiner', () => {
    it.each([
      ['provider', ['grant_type', 'assertion', 'scope', 'resource']],
      ['helpers', ['grant_type', 'assertion']],
    ] as const)('calls a tool at their first login, with no step by hand and no redirect (%s)', async (shape, sent) => {
      const ada = await acme.hire(await acme.team('read', 'write'))
      const agent = await acme.agentOf(ada, { shape })
      expect(await agent.call('whoami')).toBe(ada.id)
      expect(agent.hops).toEqual([
        'mcp POST /mcp 401',
        'mcp GET /.well-known/oauth-protected-resource/mcp 200',
        'tenure GET /.well-known/oauth-authorization-server 200',
        'idp GET /.well-known/oauth-authorization-server 200',
        'idp POST /token 200',
        'tenure POST /oauth2/token 200',
        'mcp POST /mcp 200',
        'mcp POST /mcp 200',
      ])
      expect(agent.tokenParameters).toEqual(sent)
      expect(acme.idp.exchanges.at(-1)).toEqual({
        sub: ada.externalId,
        audience: acme.tenure.url,
        resource: acme.mcp.url,
        scope: 'read write',
        isMinted: true,
      })
      expect(await acme.grantsOf(ada)).toMatchObject([{ state: 'active', client: 'claude', scopes: slowNeeds }])
    })

    it('gets nothing before SCIM has said what they are, and everything at once when it has', async () => {
      const ada = await acme.hire()
      const before = acme.refusals().length
      await expect(acme.agentOf(ada)).rejects.toThrow(notAccepted)
      expect(acme.refusals().slice(before)).toEqual(['not_entitled', 'not_entitled'])
      const { group } = await acme.team('read')
      await acme.scim.addMembers(group, ada.id)
      expect(await (await acme.agentOf(ada)).call('whoami')).toBe(ada.id)
    })
  })

  describe('the call that runs, the next one, and every silent retry', () => {
    const clients = (['provider', 'helpers'] as const).flatMap((shape) =>
      (['modern', 'legacy'] as const).map((era) => ({ shape, era })),
    )

    it.each(clients)('are refused to a leaver whom SCIM deactivates ($shape, $era)', async ({ shape, era }) => {
      const take = (ada: Person) => acme.scim.setActive(ada.id, false)
      await expectLoss(await atWork({ shape, era }), take, { shape, era, reason: 'user_inactive' })
    })

    it('are refused to a leaver whom SCIM deletes', async () => {
      const take = (ada: Person) => acme.scim.call('DELETE', `/Users/${ada.id}`)
      await expectLoss(await atWork(), take, { reason: 'subject_unknown' })
    })

    it('are refused to a mover who is taken out of the group that the rule names', async () => {
      const take = (ada: Person, { group }: Team) => acme.scim.removeMember(group, ada.id)
      await expectLoss(await atWork(), take, { reason: 'not_entitled' })
    })

    it.each([
      ['deleted', ({ rule }: Team) => acme.admin.delete(`/rules/${rule.id}`)],
      ['given to others', ({ rule }: Team) => putRule(rule, { when: 'title eq "Chief"' })],
      ['kept to another MCP client', ({ rule }: Team) => putRule(rule, { clients: ['cursor'] })],
    ])('are refused to those whose rule is %s', async (_what, change) => {
      await expectLoss(await atWork(), (_ada, team) => change(team), { reason: 'not_entitled' })
    })

    it('are refused to whoever is held, until the hold ends', async () => {
      const work = await atWork()
      const token = await work.agent.token()
      await expectLoss(work, hold, { reason: 'user_held' })
      await acme.admin.post(`/users/${work.ada.id}/release`)
      await acme.waitForNextSecond(await acme.secondOfCut(work.ada))
      expect(await work.agent.call('whoami')).toBe(work.ada.id)
      await acme.admin.waitUntilSettled()
      expect((await acme.callWith(token)).status).toBe(401)
      expect((await acme.callWith(await work.agent.token())).status).toBe(200)
    })

    function putRule({ id, body }: Team['rule'], changed: Record<string, unknown>): Promise<unknown> {
      return acme.admin.put(`/rules/${id}`, { ...body, ...changed })
    }

    /** As an event channel would, of which there is none yet. */
    function hold({ id }: Person): Promise<unknown> {
      return acme.owner.query(
        `update user_state set hold_source = 'okta', hold_at = now(), epoch = epoch + 1, not_before = clock_timestamp(),
           version = version + 1, urgent = true, converge_due_at = now() where user_id = $1`,
        [id],
      )
    }
  })

  describe('who loses one scope of two', () => {
    it.each([
      ['as a mover', (ada: Person, { group }: Team) => acme.scim.removeMember(group, ada.id)],
      [
        'by a changed rule',
        (_ada: Person, { rule }: Team) => acme.admin.put(`/rules/${rule.id}`, { ...rule.body, scopes: ['read'] }),
      ],
    ])('%s loses the running call that needs it, and goes on with what is left', async (_how, take) => {
      const [readers, writers] = [await acme.team('read'), await acme.team('write')]
      const ada = await acme.hire(readers, writers)
      const agent = await acme.agentOf(ada)
      const old = await agent.token()
      const reader = await acme.agentOf(ada, { shape: 'helpers', scope: 'read' })
      const [writing, reading] = [await agent.run('slow'), await reader.run('streaming')]
      await take(ada, writers)

      // It gets another token by itself and is told that more is needed, asks for more, and gets no more.
      expect(await writing.outcome).toMatchObject({ code: 'CLIENT_HTTP_FORBIDDEN', status: 403 })
      await waitFor(() => writing.run.isStopped, { what: 'the tool to stop' })
      expect(agent).toMatchObject({ assertions: 3, tokenAnswers: [200, 200, 200] })
      const open = (await acme.grantsOf(ada)).filter(({ state }) => state === 'active')
      expect(open.map(({ scopes }) => scopes)).toEqual([['read'], ['read'], ['read']])
      const { status, challenge } = await acme.callWith(await agent.token(), 'slow')
      expect({ status, challenge }).toEqual({
        status: 403,
        challenge: expect.stringMatching(/error="insufficient_scope".* scope="read write"/),
      })

      expect(await agent.call('whoami')).toBe(ada.id)
      await acme.admin.waitUntilSettled()
      expect(await agent.call('whoami')).toBe(ada.id)
      expect(agent.assertions).toBe(3)
      expect(reading.run).toMatchObject({ isStopped: false, isEnded: false })
      expect((await acme.callWith(old)).status).toBe(401)

      await acme.admin.put(`/rules/${writers.rule.id}`, writers.rule.body)
      await acme.scim.addMembers(writers.group, ada.id)
      const again = await agent.run('slow')
      expect(again.run).toMatchObject({ userId: ada.id, isStopped: false })
      expect((await acme.callWith(old)).status).toBe(401)
    })
  })

  describe('a rejoiner', () => {
    it('gets in by an ID-JAG from after the second of the cut, and by nothing older', async () => {
      const { ada, agent } = await atWork()
      const old = await agent.token()
      const kept = await agent.mint()
      await acme.scim.setActive(ada.id, false)
      await acme.scim.setActive(ada.id, true)
      // The guard may believe what it has just seen until it is told.
      await acme.admin.waitUntilSettled()
      const second = await acme.secondOfCut(ada)
      acme.idp.pinSecond(second)
      const before = acme.refusals().length
      await expect(agent.call('whoami')).rejects.toThrow(notAccepted)
      expect(await acme.redeem(kept)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      expect(acme.refusals().slice(before)).toEqual(Array(3).fill('issued_before_cut'))

      acme.idp.pinSecond()
      await acme.waitForNextSecond(second)
      expect(await agent.call('whoami')).toBe(ada.id)
      const { run } = await agent.run('slow')
      expect(await agent.token()).not.toBe(old)
      expect(agent.tokenAnswers).toEqual([200, 400, 400, 200])
      await acme.admin.waitUntilSettled()
      expect((await acme.callWith(old)).status).toBe(401)
      expect(await acme.admin.introspect(old)).toEqual({ active: false })
      expect((await acme.redeem(kept)).status).toBe(400)
      // The message of the cut, late as it may be, is about the token of before.
      expect(run).toMatchObject({ isStopped: false, isEnded: false })
    })
  })

  describe("an operator's cut", () => {
    it('ends what runs and every token, and the client silently gets another, since the rules still give', async () => {
      const { ada, agent } = await atWork()
      const old = await agent.token()
      const { run } = await agent.run('slow')
      // The client tries again in the very second of the cut, unless the identity provider's clock is a little ahead.
      acme.idp.pinSecond(Math.floor(Date.now() / 1_000) + 30)
      const before = acme.mcp.runs.length
      await acme.admin.post(`/users/${ada.id}/cut`)
      expect(await acme.admin.introspect(old)).toEqual({ active: false })
      const again = await waitFor(() => acme.mcp.runs[before], { what: 'the client to call again' })
      await waitFor(() => run.isStopped, { what: 'the tool to stop' })
      expect(again).toMatchObject({ tool: 'slow', userId: ada.id, isStopped: false })
      expect(agent).toMatchObject({ assertions: 2, tokenAnswers: [200, 200] })
      await acme.admin.waitUntilSettled()
      expect((await acme.callWith(old)).status).toBe(401)
      expect(again).toMatchObject({ isStopped: false, isEnded: false })
      expect((await acme.grantsOf(ada)).map(({ state }) => state).sort()).toEqual(['active', 'closed'])
    })
  })

  describe('the identity provider alone', () => {
    it('stops the next ID-JAG, and nothing that is out already: that takes Tenure', async () => {
      const { ada, agent } = await atWork()
      const { run, outcome } = await agent.run('streaming')
      acme.idp.refuse(ada.externalId)
      expect(await agent.call('whoami')).toBe(ada.id)
      await acme.admin.waitUntilSettled()
      expect(run).toMatchObject({ isStopped: false, isEnded: false })
      await acme.scim.setActive(ada.id, false)
      expect((await outcome).message).toBe('Access has ended')
      await expect(agent.call('whoami')).rejects.toThrow('Token exchange failed: access_denied')
      expect(agent.tokenAnswers).toEqual([200])
    })
  })
})
