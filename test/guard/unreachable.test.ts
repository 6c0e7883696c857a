import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/wait-for.ts'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { type Behaviour, type StandIn, secondsAgo, startStandIn } from './stand-in.ts'

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
})
afterEach(async () => {
  tenure.release()
  await app.close()
  await tenure.close()
})

const down: Behaviour = { drop: true }
const statusOf = async (token: string) => (await app.get(token)).status

describe.each(['closed', 'open'] as const)('while Tenure cannot be reached, %s', (whenUnreachable) => {
  const isOpen = whenUnreachable === 'open'
  const seen = isOpen ? 200 : 503

  it('a token that was seen to be good', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable })
    const token = tenure.issue()
    expect(await statusOf(token)).toBe(200)
    tenure.behave(down)
    expect(await statusOf(token)).toBe(seen)
  })

  it('a token that was never seen is not let in, nor one that was last seen to be bad', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable })
    const token = tenure.issue()
    expect(await statusOf(token)).toBe(200)
    tenure.revoke(token)
    expect(await statusOf(token)).toBe(401)
    tenure.behave(down)
    expect(await statusOf(token)).toBe(503)
    expect(await statusOf(tenure.issue())).toBe(503)
  })

  it('a token that has expired since is refused', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable })
    const token = tenure.issue({ exp: secondsAgo(-2) })
    expect(await statusOf(token)).toBe(200)
    tenure.behave(down)
    await waitFor(async () => (await statusOf(token)) === 401, { what: 'the token to expire' })
  })

  it.each(['introspection', 'jwt'] as const)('a cut that a webhook told holds, by %s', async (check) => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable, check, webhookSecret: tenure.webhookSecret })
    const issue = (claims = {}) => (check === 'jwt' ? tenure.issueJwt(claims) : tenure.issue(claims))
    const [ada, later] = [await issue({ iat: secondsAgo(60) }), await issue({ iat: secondsAgo(10) })]
    expect(await statusOf(ada)).toBe(200)
    expect(await statusOf(later)).toBe(200)
    await tenure.tell(app.webhookUrl, { active: false, at: new Date(secondsAgo(30) * 1_000) })
    tenure.behave(down)
    expect(await statusOf(ada)).toBe(401)
    // Whoever was cut and has a later token may have returned, which only Tenure could say.
    expect(await statusOf(later)).toBe(503)
  })

  it('a mover keeps what a webhook has left', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable, webhookSecret: tenure.webhookSecret })
    const [wide, narrow] = [tenure.issue({ iat: secondsAgo(60) }), tenure.issue({ iat: secondsAgo(60), scope: 'read' })]
    for (const token of [wide, narrow]) expect(await statusOf(token)).toBe(200)
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read'] })
    tenure.behave(down)
    expect(await statusOf(wide)).toBe(401)
    expect(await statusOf(narrow)).toBe(seen)
  })

  it('a JWT that is signed is checked without Tenure', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable, check: 'jwt' })
    expect(await statusOf(await tenure.issueJwt())).toBe(200)
    tenure.behave(down)
    expect(await statusOf(await tenure.issueJwt())).toBe(200)
  })

  it('a JWT of somebody of whom a webhook spoke is let in only when open', async () => {
    app = await startGuardedApp({
      ...tenure.options,
      whenUnreachable,
      check: 'jwt',
      webhookSecret: tenure.webhookSecret,
    })
    const iat = secondsAgo(-20)
    const token = await tenure.issueJwt({ iat })
    expect(await statusOf(token)).toBe(200)
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'], at: new Date((iat + 1) * 1_000) })
    tenure.behave(down)
    expect(await statusOf(token)).toBe(seen)
  })

  it('a JWT cannot be checked when the keys were never read', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable, check: 'jwt' })
    tenure.behave(down)
    expect(await statusOf(await tenure.issueJwt())).toBe(503)
    expect(app.errors.map(({ code }) => code)).toEqual(['ERR_GUARD_UNREACHABLE'])
  })

  it('a running call', async () => {
    app = await startGuardedApp({ ...tenure.options, whenUnreachable, recheckSeconds: 0.1 })
    const token = tenure.issue()
    const answer = app.run('hold', token)
    const run = await waitFor(() => app.runs[0], { what: 'the call to be let in' })
    tenure.behave({ status: 503 })
    const asked = tenure.asked.length
    await waitFor(() => tenure.asked.length >= asked + 2, { what: 'it to be asked about twice in vain' })
    expect(run.signal.aborted).toBe(false)
    if (isOpen) {
      await waitFor(() => tenure.asked.length >= asked + 6, { what: 'it to be asked about in vain' })
      expect(run.signal.aborted).toBe(false)
      run.answer()
      expect((await answer).status).toBe(200)
    } else {
      expect((await answer).status).toBe(503)
      expect(run.signal.aborted).toBe(true)
      expect(tenure.asked.length).toBe(asked + 3)
    }
  })
})

describe('while Tenure is reached now and then', () => {
  it('a running call goes on', async () => {
    app = await startGuardedApp({ ...tenure.options, recheckSeconds: 0.1 })
    app.run('hold', tenure.issue()).catch(() => {})
    const run = await waitFor(() => app.runs[0], { what: 'the call to be let in' })
    for (let round = 0; round < 3; round++) {
      const asked = tenure.asked.length
      tenure.behave({ status: 503, times: 2 })
      await waitFor(() => tenure.asked.length >= asked + 3, { what: 'two questions in vain and a good one' })
    }
    expect(run.signal.aborted).toBe(false)
  })
})

describe('a leaver with a later token, who may have returned', () => {
  it('is not let run on unconfirmed, even when open', async () => {
    const options = { ...tenure.options, webhookSecret: tenure.webhookSecret, recheckSeconds: 0.1 }
    app = await startGuardedApp({ ...options, whenUnreachable: 'open' })
    const answer = app.run('hold', tenure.issue({ iat: secondsAgo(10) }))
    const run = await waitFor(() => app.runs[0], { what: 'the call to be let in' })
    tenure.behave(down)
    await tenure.tell(app.webhookUrl, { active: false, at: new Date(secondsAgo(30) * 1_000) })
    expect(run.signal.aborted).toBe(false)
    expect((await answer).status).toBe(503)
  })
})
