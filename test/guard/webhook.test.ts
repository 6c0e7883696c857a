import express from 'express'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGuard } from '../../src/guard/guard.ts'
import { createStates } from '../../src/guard/states.ts'
import { newSigningSecret } from '../../src/secrets.ts'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { type StandIn, secondsAgo, startStandIn, type ToldState } from './stand-in.ts'

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
  app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
})
afterEach(async () => {
  await app.close()
  await tenure.close()
})

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000)

/** Whether a token of before is refused, Tenure saying that it is good: so it was the webhook. */
async function isRefused(token: string): Promise<boolean> {
  const { status } = await app.get(token)
  expect([200, 401]).toContain(status)
  return status === 401
}

async function post(message: { headers: Record<string, string>; body: string }): Promise<number> {
  return (await fetch(app.webhookUrl, { method: 'POST', ...message })).status
}

describe('webhooks (Standard Webhooks)', () => {
  it('takes one that is signed', async () => {
    const token = tenure.issue({ iat: secondsAgo(60) })
    expect(await isRefused(token)).toBe(false)
    expect(await tenure.tell(app.webhookUrl)).toBe(204)
    expect(await isRefused(token)).toBe(true)
  })

  it.each<[string, ToldState | ((sent: { headers: Record<string, string>; body: string }) => object)]>([
    ['signed with another secret', { secrets: [newSigningSecret()] }],
    ['sent more than 5 minutes ago', { sentAt: minutesAgo(5.1) }],
    ['sent more than 5 minutes from now', { sentAt: minutesAgo(-5.1) }],
    [
      'of another id than was signed',
      ({ headers, body }) => ({ body, headers: { ...headers, 'webhook-id': 'msg_2' } }),
    ],
    ['changed on its way', ({ headers, body }) => ({ headers, body: body.replace('ada', 'eve') })],
    ['not signed', ({ headers: { 'webhook-signature': _, ...headers }, body }) => ({ headers, body })],
    [
      'signed by a scheme it does not know',
      ({ headers, body }) => ({
        body,
        headers: { ...headers, 'webhook-signature': headers['webhook-signature']!.replace('v1,', 'v1a,') },
      }),
    ],
  ])('answers 401 to one that is %s, and does nothing', async (_what, how) => {
    const token = tenure.issue({ iat: secondsAgo(60) })
    const sent = tenure.message(typeof how === 'function' ? {} : how)
    const status = await post(typeof how === 'function' ? { ...sent, ...how(sent) } : sent)
    expect(status).toBe(401)
    expect(await isRefused(token)).toBe(false)
    expect(app.errors).toEqual([expect.objectContaining({ code: 'ERR_GUARD_SIGNATURE' })])
  })

  it('takes one whose signatures are of the old and the new secret, and either secret of its own', async () => {
    const [older, newer] = [newSigningSecret(), newSigningSecret()]
    expect(await tenure.tell(app.webhookUrl, { secrets: [newer, tenure.webhookSecret] })).toBe(204)
    const rotating = await startGuardedApp({ ...tenure.options, webhookSecret: [newer, older] })
    for (const secrets of [[older], [newer], [older, newer]])
      expect(await tenure.tell(rotating.webhookUrl, { secrets })).toBe(204)
    expect(await tenure.tell(rotating.webhookUrl)).toBe(401)
    await rotating.close()
  })

  it.each<[string, (message: Record<string, unknown>) => unknown]>([
    ['no JSON', () => 'what'],
    ['a list', () => []],
    ['without data', ({ data: _, ...rest }) => rest],
    ['without a time', ({ timestamp: _, ...rest }) => rest],
    ['of nobody', (message) => ({ ...message, data: { ...(message.data as object), user: {} } })],
    ['without a generation', (message) => ({ ...message, data: { ...(message.data as object), generation: '7' } })],
    ['of unclear access', (message) => ({ ...message, data: { ...(message.data as object), active: 'yes' } })],
    ['of wrong scopes', (message) => ({ ...message, data: { ...(message.data as object), scopes: [1] } })],
  ])('answers 400 to one that is signed and is %s', async (_what, change) => {
    const sent = tenure.message()
    const changed = change(JSON.parse(sent.body))
    const body = typeof changed === 'string' ? changed : JSON.stringify(changed)
    const signature = new Webhook(tenure.webhookSecret).sign(sent.headers['webhook-id']!, new Date(), body)
    expect(await post({ headers: { ...sent.headers, 'webhook-signature': signature }, body })).toBe(400)
  })

  it('takes what it does not know, and does nothing', async () => {
    const sent = tenure.message()
    const body = '{"type":"weather.changed"}'
    const signature = new Webhook(tenure.webhookSecret).sign(sent.headers['webhook-id']!, new Date(), body)
    expect(await post({ headers: { ...sent.headers, 'webhook-signature': signature }, body })).toBe(204)
  })

  it('answers 405 to a GET where it is mounted for every method', async () => {
    const open = express()
    open.all('/tenure', createGuard({ ...tenure.options, webhookSecret: tenure.webhookSecret }).webhook())
    const http = open.listen(0, '127.0.0.1')
    await new Promise((resolve) => http.once('listening', resolve))
    const { port } = http.address() as { port: number }
    const response = await fetch(`http://127.0.0.1:${port}/tenure`)
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    await new Promise((resolve) => http.close(resolve))
  })
})

describe('the body of a webhook', () => {
  it.each([
    ['express.json', express.json()],
    ['express.raw', express.raw({ type: '*/*' })],
    ['express.text', express.text({ type: '*/*' })],
  ])('may have been read by %s', async (_name, parser) => {
    const parsed = await startGuardedApp(
      { ...tenure.options, webhookSecret: tenure.webhookSecret },
      { parsers: [parser] },
    )
    expect(await tenure.tell(parsed.webhookUrl, { user: 'Ådä "\u2028" ' })).toBe(204)
    expect(await tenure.tell(parsed.webhookUrl, { secrets: [newSigningSecret()] })).toBe(401)
    await parsed.close()
  })

  it('may not have been swallowed: 500, and the operator is told', async () => {
    const swallow: express.RequestHandler = (req, _res, next) => void req.resume().once('end', () => setImmediate(next))
    const deaf = await startGuardedApp(
      { ...tenure.options, webhookSecret: tenure.webhookSecret },
      { parsers: [swallow] },
    )
    expect(await tenure.tell(deaf.webhookUrl)).toBe(500)
    expect(deaf.errors).toEqual([expect.objectContaining({ code: 'ERR_GUARD_BODY' })])
    await deaf.close()
  })

  it('may be 1 MiB', async () => {
    const { headers } = tenure.message()
    expect(await post({ headers, body: `"${'x'.repeat(1_048_576)}"` })).toBe(413)
  })
})

describe('what webhooks say is a state (docs/webhooks.md)', () => {
  it('keeps the highest generation of each user: an older one and a replay are answered 2xx and change nothing', async () => {
    const token = tenure.issue({ iat: secondsAgo(60) })
    const cut = { active: false, generation: 7, at: minutesAgo(10) }
    expect(await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'], generation: 9 })).toBe(204)
    expect(await tenure.tell(app.webhookUrl, { ...cut, at: new Date() })).toBe(204)
    expect(await isRefused(token)).toBe(false)

    const left = tenure.message({ active: false, generation: 10 })
    expect(await post(left)).toBe(204)
    expect(await isRefused(token)).toBe(true)
    expect(
      await tenure.tell(app.webhookUrl, { active: true, scopes: ['read', 'write'], generation: 11, at: minutesAgo(2) }),
    ).toBe(204)
    expect(await isRefused(token)).toBe(false)
    expect(await post(left)).toBe(204)
    expect(await isRefused(token)).toBe(false)
  })

  it('speaks of one user', async () => {
    await tenure.tell(app.webhookUrl, { user: 'bob' })
    expect(await isRefused(tenure.issue({ iat: secondsAgo(60) }))).toBe(false)
  })

  it.each<[string, boolean, ToldState, object]>([
    ['a leaver’s', true, { active: false }, {}],
    ['one that a leaver got on returning, before that was told', false, { active: false, at: minutesAgo(2) }, {}],
    ['one from before notBefore', true, { active: true, scopes: ['read', 'write'], notBefore: minutesAgo(0.5) }, {}],
    ['one from after notBefore', false, { active: true, scopes: ['read', 'write'], notBefore: minutesAgo(2) }, {}],
    ['a mover’s with a scope that was lost', true, { active: true, scopes: ['read'] }, {}],
    ['a mover’s with what is left', false, { active: true, scopes: ['read'] }, { scope: 'read' }],
    [
      'one of an MCP client that has nothing any more',
      true,
      { active: true, scopes: ['read', 'write'], clients: ['vscode'] },
      {},
    ],
    [
      'one of an MCP client that still has',
      false,
      { active: true, scopes: ['read', 'write'], clients: ['claude'] },
      {},
    ],
    [
      'a grant that was revoked alone',
      true,
      { active: true, scopes: ['read', 'write'], jtis: ['a-grant'] },
      { jti: 'a-grant' },
    ],
    [
      'another grant than was revoked',
      false,
      { active: true, scopes: ['read', 'write'], jtis: ['a-grant'] },
      { jti: 'b-grant' },
    ],
  ])('%s: refused is %s', async (_what, refused, state, fields) => {
    const token = tenure.issue({ iat: secondsAgo(60), ...fields })
    expect(await tenure.tell(app.webhookUrl, state)).toBe(204)
    expect(await isRefused(token)).toBe(refused)
  })

  it('goes for what was issued in the very second: tokens count in seconds', async () => {
    const iat = secondsAgo(60)
    const token = tenure.issue({ iat })
    await tenure.tell(app.webhookUrl, { active: false, at: new Date(iat * 1_000) })
    expect(await isRefused(token)).toBe(true)
    expect(await isRefused(tenure.issue({ iat: iat + 1 }))).toBe(false)
  })

  it('asks about what was issued in the very second in which all was lost without a cut: it may have been given anew', async () => {
    const iat = secondsAgo(60)
    const token = tenure.issue({ iat })
    const lost = { active: false, at: new Date(iat * 1_000 + 500), notBefore: minutesAgo(2) }
    await tenure.tell(app.webhookUrl, lost)
    expect(await isRefused(token)).toBe(false)
    expect(tenure.asked).toEqual([token])
    expect(await isRefused(tenure.issue({ iat: iat - 1 }))).toBe(true)
    tenure.cut('ada')
    await tenure.tell(app.webhookUrl, lost)
    expect(await isRefused(token)).toBe(true)
  })

  it('is kept of 10,000 users; whoever is forgotten is looked up again', async () => {
    const states = createStates({ isWired: true, most: 2 })
    const issuedAt = secondsAgo(-20)
    const claims = { clientId: 'claude', scopes: [], expiresAt: secondsAgo(-60), issuedAt, jti: undefined }
    const told = { active: true, scopes: [], clients: [], at: secondsAgo(0), notBefore: undefined, revoked: [] }
    expect(states.verdict({ ...claims, userId: 'ada' })).toBe('fine')
    for (const [generation, userId] of ['ada', 'bob', 'eve'].entries()) states.take({ ...told, userId, generation })
    expect(states.verdict({ ...claims, userId: 'ada' })).toBe('unsaid')
    expect(states.verdict({ ...claims, userId: 'bob' })).toBe('fine')
    expect(states.isAfter(0, 'ada')).toBe(true)
    expect(states.isAfter(1, 'ada')).toBe(false)
  })
})
