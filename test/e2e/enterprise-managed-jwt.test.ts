import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Agent } from '../support/agent.ts'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type Enterprise, startEnterprise } from '../support/enterprise.ts'
import type { Person } from '../support/oauth-world.ts'
import { waitFor } from '../support/wait-for.ts'

const lifeSeconds = 120
const notAccepted = /The assertion is not accepted/

let backend: RunningBackend
let acme: Enterprise

beforeAll(() => {
  // The SDK warns of each attempt that is refused.
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})
afterEach(async () => {
  vi.useRealTimers()
  await acme?.close()
  await backend?.stop()
})
afterAll(() => vi.restoreAllMocks())

async function protect(options: { check: 'introspection' | 'jwt'; isWired: boolean }): Promise<void> {
  backend = await backends()[0]!.start()
  acme = await startEnterprise(backend, {
    isWired: options.isWired,
    server: { tokenFormat: 'jwt', tokenLifeSeconds: lifeSeconds },
    guard: { check: options.check, recheckSeconds: options.isWired ? 60 : 0.2 },
  })
}

/** Somebody with a JWT that was used before. */
async function atWork(): Promise<{ ada: Person; agent: Agent; token: string; exp: number }> {
  const ada = await acme.hire(await acme.team('read', 'write'))
  const agent = await acme.agentOf(ada)
  expect(await agent.call('whoami')).toBe(ada.id)
  const token = await agent.token()
  expect(decodeProtectedHeader(token).typ).toBe('at+jwt')
  const { exp, iat } = decodeJwt(token)
  expect(exp! - iat!).toBe(lifeSeconds)
  return { ada, agent, token, exp: exp! }
}

async function expectNoWayBack(agent: Agent): Promise<void> {
  const before = agent.tokenAnswers.length
  await expect(agent.call('whoami')).rejects.toThrow(notAccepted)
  expect(agent.tokenAnswers.slice(before)).toEqual([400, 400])
  expect(acme.idp.exchanges.every(({ isMinted }) => isMinted)).toBe(true)
}

describe('a server with JWTs, after a SCIM deactivation', () => {
  it('that checks them offline is late by what is left of the token, as the grant says, and by no more', async () => {
    await protect({ check: 'jwt', isWired: false })
    const { ada, agent, token, exp } = await atWork()
    await acme.scim.setActive(ada.id, false)
    expect(await acme.admin.introspect(token)).toEqual({ active: false })
    expect((await acme.callWith(token)).status).toBe(200)
    await acme.admin.waitUntilConverged()
    const expectedDeadBy = new Date(exp * 1_000).toISOString()
    expect(await acme.grantsOf(ada)).toMatchObject([{ state: 'closed', expectedDeadBy }])

    vi.useFakeTimers({ toFake: ['Date'], now: Date.parse(expectedDeadBy) - 1 })
    expect((await acme.callWith(token)).status).toBe(200)
    vi.setSystemTime(Date.parse(expectedDeadBy))
    expect((await acme.callWith(token)).status).toBe(401)
    await expectNoWayBack(agent)
  })

  it('that checks them offline ends the running call all the same: Tenure is asked about those', async () => {
    await protect({ check: 'jwt', isWired: false })
    const { ada, agent, token } = await atWork()
    const { run, outcome } = await agent.run('slow')
    await acme.scim.setActive(ada.id, false)
    // Nobody at the server could tell, but the client asks Tenure for another token.
    expect((await outcome).message).toMatch(notAccepted)
    await waitFor(() => run.isStopped, { what: 'the tool to stop' })
    expect(agent.tokenAnswers).toEqual([200, 400, 400])
    expect((await acme.callWith(token)).status).toBe(200)
  })

  it('that is told by webhook refuses the next call and ends the running one when it is told', async () => {
    await protect({ check: 'jwt', isWired: true })
    const { ada, agent, token, exp } = await atWork()
    const { run, outcome } = await agent.run('streaming')
    await acme.scim.setActive(ada.id, false)
    expect((await outcome).message).toBe('Access has ended')
    await waitFor(() => run.isStopped, { what: 'the tool to stop' })
    expect((await acme.callWith(token)).status).toBe(401)
    await expectNoWayBack(agent)
    await acme.admin.waitUntilSettled()
    const [{ expectedDeadBy, closedAt }] = await acme.grantsOf(ada)
    expect(Date.parse(expectedDeadBy)).toBeGreaterThan(Date.parse(closedAt))
    expect(Date.parse(expectedDeadBy)).toBeLessThan(exp * 1_000)
  })

  it('that introspects them refuses the next call at once', async () => {
    await protect({ check: 'introspection', isWired: false })
    const { ada, agent, token } = await atWork()
    await acme.scim.setActive(ada.id, false)
    expect((await acme.callWith(token)).status).toBe(401)
    await expectNoWayBack(agent)
  })

  it('lets a rejoiner in with a new one, while the old one is refused where a webhook has told of the cut', async () => {
    await protect({ check: 'jwt', isWired: true })
    const { ada, agent, token } = await atWork()
    await acme.scim.setActive(ada.id, false)
    await acme.scim.setActive(ada.id, true)
    await acme.admin.waitUntilSettled()
    await acme.waitForNextSecond(await acme.secondOfCut(ada))
    expect(await agent.call('whoami')).toBe(ada.id)
    expect(agent.tokenAnswers).toEqual([200, 200])
    expect((await acme.callWith(token)).status).toBe(401)
    expect((await acme.callWith(await agent.token())).status).toBe(200)
  })
})
