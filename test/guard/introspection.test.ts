import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCheck } from '../../src/guard/check.ts'
import { readOptions } from '../../src/guard/settings.ts'
import { createStates } from '../../src/guard/states.ts'
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

const statuses = async (answers: Promise<{ status: number }>[]) =>
  (await Promise.all(answers)).map(({ status }) => status)

describe('introspection without a webhook (RFC 7662 §4): nothing is kept', () => {
  beforeEach(async () => {
    app = await startGuardedApp(tenure.options)
  })

  it('asks for every call', async () => {
    const token = tenure.issue()
    expect((await app.get(token)).status).toBe(200)
    tenure.cut('ada')
    expect((await app.get(token)).status).toBe(401)
    expect(tenure.asked).toEqual([token, token])
  })

  it('has one question of a token under way, whatever comes meanwhile, and another token does not wait for it', async () => {
    const [token, other] = [tenure.issue(), tenure.issue()]
    tenure.behave({ hang: true })
    const calls = [app.get(token), app.get(token), app.get(token)]
    await waitFor(() => tenure.open === 1, { what: 'the first question' })
    calls.push(app.get(other))
    await waitFor(() => tenure.open === 2, { what: 'the question of the other token' })
    tenure.release()
    expect(await statuses(calls)).toEqual([200, 200, 200, 200])
    // The two that came while the first was asked share the next.
    expect(tenure.asked).toEqual([token, other, token])
  })

  it('lets nobody in by an answer to a question that was asked before they came', async () => {
    const token = tenure.issue()
    tenure.behave({ hang: true })
    const before = app.get(token)
    await waitFor(() => tenure.open === 1, { what: 'the question' })
    tenure.cut('ada')
    const after = app.get(token)
    // It has reached the guard when one that came after it, over a connection of the same kind, has reached Tenure.
    const later = app.get(tenure.issue({ sub: 'bob' }))
    await waitFor(() => tenure.open === 2, { what: 'a later question' })
    tenure.release()
    expect((await later).status).toBe(200)
    expect(await statuses([before, after])).toEqual([200, 401])
  })
})

describe('introspection with a webhook: kept for at most 5 seconds', () => {
  it('asks once, and drops what it has kept as soon as a webhook speaks of the user', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const [ada, bob] = [tenure.issue({ iat: secondsAgo(60) }), tenure.issue({ sub: 'bob', iat: secondsAgo(60) })]
    for (const token of [ada, ada, bob, bob]) expect((await app.get(token)).status).toBe(200)
    expect(tenure.asked).toEqual([ada, bob])

    const told = tenure.message({ active: true, scopes: ['read', 'write'] })
    const tell = () => fetch(app.webhookUrl, { method: 'POST', ...told })
    await tell()
    expect((await app.get(ada)).status).toBe(200)
    expect(tenure.asked).toEqual([ada, bob, ada])
    await tell() // again, which is not news
    tenure.revoke(ada)
    expect((await app.get(ada)).status).toBe(200)
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'] })
    expect((await app.get(ada)).status).toBe(401)
    expect((await app.get(bob)).status).toBe(200)
    expect(tenure.asked).toEqual([ada, bob, ada, ada])
  })

  it('keeps a token no longer than it lives', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const exp = secondsAgo(-2)
    const token = tenure.issue({ exp })
    expect((await app.get(token)).status).toBe(200)
    await waitFor(() => Date.now() >= exp * 1_000, { what: 'the token to expire' })
    expect((await app.get(token)).status).toBe(401)
  })

  it('asks again after 5 seconds', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const token = tenure.issue()
    expect((await app.get(token)).status).toBe(200)
    tenure.cut('ada')
    await waitFor(async () => (await app.get(token)).status === 401, { what: 'the answer to be too old' })
    expect(tenure.asked).toEqual([token, token])
  })

  it('does not let an answer in that a webhook has overtaken', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const token = tenure.issue({ iat: secondsAgo(60) })
    tenure.behave({ hang: true })
    const call = app.get(token)
    await waitFor(() => tenure.open === 1, { what: 'the question' })
    tenure.revoke(token)
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'] })
    tenure.release()
    expect((await call).status).toBe(401)
    expect(tenure.asked).toEqual([token, token])
  })
})

describe('an answer of Tenure that is none', () => {
  const elsewhere = 'http://127.0.0.1:9/'

  it.each<[string, Behaviour, string]>([
    ['500', { status: 500 }, 'ERR_GUARD_UNREACHABLE'],
    ['429', { status: 429, headers: { 'retry-after': '1' } }, 'ERR_GUARD_UNREACHABLE'],
    ['a broken connection', { drop: true }, 'ERR_GUARD_UNREACHABLE'],
    ['nothing in time', { hang: true }, 'ERR_GUARD_UNREACHABLE'],
    ['401', { status: 401 }, 'ERR_GUARD_CREDENTIALS'],
    ['a redirect', { status: 307, headers: { location: elsewhere } }, 'ERR_GUARD_ANSWER'],
    ['no JSON', { body: '<html>' }, 'ERR_GUARD_ANSWER'],
    ['no introspection', { body: '{"active":"true"}' }, 'ERR_GUARD_ANSWER'],
    ['an active token of nobody', { body: '{"active":true}' }, 'ERR_GUARD_ANSWER'],
    ['more than 64 KiB', { body: `{"active":true,"pad":"${'x'.repeat(70_000)}"}` }, 'ERR_GUARD_UNREACHABLE'],
  ])('%s: 503 with Retry-After, and the operator is told once', async (_what, behaviour, code) => {
    app = await startGuardedApp({ ...tenure.options, timeoutSeconds: 0.3 })
    const token = tenure.issue()
    tenure.behave(behaviour)
    for (let call = 0; call < 2; call++) {
      const { status, headers, body } = await app.get(token)
      expect(status).toBe(503)
      expect(headers.get('retry-after')).toBe('5')
      expect(headers.has('www-authenticate')).toBe(false)
      expect(body.error).toBe('temporarily_unavailable')
    }
    expect(app.errors.map((error) => error.code)).toEqual([code])
    expect(app.failures).toEqual([])

    tenure.release()
    expect((await app.get(token)).status).toBe(200)
  })

  it('says so when the credentials are wrong', async () => {
    app = await startGuardedApp({ ...tenure.options, clientSecret: 'another-secret-than-given' })
    expect((await app.get(tenure.issue())).status).toBe(503)
    expect(app.errors).toEqual([expect.objectContaining({ code: 'ERR_GUARD_CREDENTIALS' })])
  })

  it('tries once more when a connection that was kept open is closed under it', async () => {
    app = await startGuardedApp(tenure.options)
    const token = tenure.issue()
    expect((await app.get(token)).status).toBe(200)
    tenure.behave({ drop: true, times: 1 })
    expect((await app.get(token)).status).toBe(200)
  })
})

describe('questions under way', () => {
  it('are bounded: beyond, nobody waits, and there is room again when one is answered', async () => {
    app = await startGuardedApp(tenure.options)
    const settings = readOptions({ ...tenure.options, timeoutSeconds: 30 })
    const check = createCheck(settings, createStates({ isWired: false }), { mostQuestions: 2 })
    tenure.behave({ hang: true })
    const waiting = [check.token('guess-1'), check.token('guess-2')]
    await waitFor(() => tenure.open === 2, { what: 'both questions' })
    expect(await check.token('guess-3')).toEqual({ kind: 'unknown' })
    tenure.release()
    expect(await Promise.all(waiting)).toEqual([{ kind: 'bad' }, { kind: 'bad' }])
    expect(await check.token('guess-3')).toEqual({ kind: 'bad' })
    expect(tenure.asked).toEqual(['guess-1', 'guess-2', 'guess-3'])
  })
})
