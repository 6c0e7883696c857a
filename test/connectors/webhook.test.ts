import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConnectorMessage, ConnectorTarget, Outcome } from '../../src/connectors/connector.ts'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { createConnectors } from '../../src/connectors/registry.ts'
import { createWebhookConnector } from '../../src/connectors/webhook/webhook.ts'
import { Invalid } from '../../src/errors.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'

const newSecret = () => `whsec_${randomBytes(32).toString('base64')}`
const secret = newSecret()
const never = new AbortController().signal

let egress: Egress
let receiver: Receiver

beforeEach(async () => {
  egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
  receiver = await startReceiver({ secrets: [secret] })
})
afterEach(async () => {
  await egress.close()
  await receiver.close()
})

function target(config: Record<string, unknown> = {}, secrets = [secret]): ConnectorTarget {
  return { connectorId: 'con_1', serverId: 'linear', config: { url: `${receiver.url}?key=hidden`, ...config }, secrets }
}

function message(generation: number, changes: Record<string, unknown> = {}): ConnectorMessage {
  const data = { server: 'linear', generation, active: true, scopes: ['read'], user: { id: 'u1' }, ...changes }
  return {
    id: `dlv_${generation}`,
    body: JSON.stringify({ type: 'access.granted', timestamp: '2026-11-22T10:00:00.000Z', data }),
  }
}

/** One attempt; whatever comes of it must give nothing away. */
async function send(
  options: { timeoutMs?: number; now?: () => Date; signal?: AbortSignal; target?: ConnectorTarget } = {},
): Promise<Outcome> {
  const { timeoutMs = 5_000, now = () => new Date() } = options
  const outcome = await createWebhookConnector({ egress, timeoutMs, now }).send(
    options.target ?? target(),
    message(1),
    options.signal ?? never,
  )
  const told = JSON.stringify(outcome)
  for (const hidden of [secret, secret.slice(6), 'hidden', '/webhooks', 'u1', 'says the server']) {
    expect(told).not.toContain(hidden)
  }
  return outcome
}

describe('a webhook (Standard Webhooks)', () => {
  it('carries id, time, signature and body so that the reference verifier accepts them', async () => {
    const now = new Date(Date.now() - 60_000)
    expect(await send({ now: () => now })).toEqual({ kind: 'applied', status: 200 })
    const [request] = receiver.requests
    expect(request).toMatchObject({ method: 'POST', path: '/webhooks?key=hidden', signatureValid: true })
    expect(request?.body).toBe(message(1).body)
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': expect.stringMatching(/^Tenure\/\d+\.\d+\.\d+$/),
      'webhook-id': 'dlv_1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    })
    const verified = new Webhook(secret).verify(request!.body, request!.headers as Record<string, string>)
    expect(verified).toEqual(JSON.parse(message(1).body))
  })

  it('is signed with every secret while one is rotated', async () => {
    const [newer, older] = [newSecret(), newSecret()]
    for (const trusted of [newer, older]) {
      receiver.trust(trusted)
      expect(await send({ target: target({}, [newer, older]) })).toMatchObject({ kind: 'applied' })
    }
    expect(receiver.requests[0]?.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/)
    receiver.trust(secret)
    expect(await send({ target: target({}, [newer, older]) })).toMatchObject({ kind: 'refused', status: 401 })
  })

  it('has the same id and body at every attempt', async () => {
    receiver.behave({ status: 503, times: 1 })
    await send()
    await send({ now: () => new Date(Date.now() + 5_000) })
    const [first, second] = receiver.requests
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    expect(second?.body).toBe(first?.body)
    expect(second?.headers['webhook-timestamp']).not.toBe(first?.headers['webhook-timestamp'])
  })

  it('is never sent unsigned or without a url', async () => {
    await expect(send({ target: target({}, []) })).rejects.toThrow('unsigned')
    await expect(send({ target: target({ url: undefined }) })).rejects.toThrow('no url')
    expect(receiver.requests).toEqual([])
  })
})

describe('what becomes of a webhook', () => {
  it.each([200, 201, 202, 204])('%i: applied', async (status) => {
    receiver.behave({ status })
    expect(await send()).toEqual({ kind: 'applied', status })
  })

  it.each([400, 401, 403, 404, 405, 409, 413, 422])('%i: refused', async (status) => {
    receiver.behave({ status, body: 'says the server' })
    expect(await send()).toEqual({ kind: 'refused', status, reason: `answered ${status}` })
  })

  it('410: refused and gone', async () => {
    receiver.behave({ status: 410 })
    expect(await send()).toMatchObject({ kind: 'refused', status: 410, gone: true })
  })

  it.each([301, 302, 303, 307, 308])('%i: refused, not followed', async (status) => {
    receiver.behave({ status, redirect: `http://127.0.0.1:${receiver.port}/elsewhere?key=hidden` })
    const reason = expect.stringContaining('redirects are not followed')
    expect(await send()).toEqual({ kind: 'refused', status, reason })
    expect(receiver.requests).toHaveLength(1)
  })

  it.each([408, 425, 429, 500, 502, 503, 504, 599])('%i: unavailable', async (status) => {
    receiver.behave({ status, body: 'says the server' })
    expect(await send()).toEqual({ kind: 'unavailable', status, reason: `answered ${status}` })
  })

  it.each<[string, number | undefined]>([
    ['7', 7_000],
    ['900', 900_000],
    ['86400', 86_400_000],
    ['86401', undefined],
    ['99999999999999999999', undefined],
    ['0', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['Sun, 22 Nov 2026 10:02:00 GMT', 120_000],
    ['Sun, 22 Nov 2026 09:59:00 GMT', undefined],
    ['Sun, 22 Nov 2099 10:00:00 GMT', undefined],
    ['2026-11-22', undefined],
  ])('Retry-After: %s is a wait of %s ms', async (value, retryAfterMs) => {
    // The verifier would refuse this clock, so no receiver here.
    const answer = { status: 503, headers: { 'retry-after': value }, body: Buffer.alloc(0), truncated: false }
    const connector = createWebhookConnector({
      egress: { request: async () => answer },
      now: () => new Date('2026-11-22T10:00:00Z'),
    })
    const outcome = await connector.send(target(), message(1), never)
    expect(outcome).toEqual({
      kind: 'unavailable',
      status: 503,
      reason: 'answered 503',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    })
  })

  it('a port that nobody listens on: unavailable', async () => {
    const outcome = await send({ target: target({ url: 'http://127.0.0.1:1/webhooks?key=hidden' }) })
    expect(outcome).toEqual({ kind: 'unavailable', reason: 'Could not connect to 127.0.0.1:1: ECONNREFUSED' })
  })

  it('a name that does not resolve: unavailable', async () => {
    await egress.close()
    const resolve = async () => {
      throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
    }
    egress = createEgress({ allowPrivateTargets: [], resolve })
    const outcome = await send({ target: target({ url: 'https://gone.example/webhooks?key=hidden' }) })
    expect(outcome).toEqual({ kind: 'unavailable', reason: 'Could not connect to gone.example: ENOTFOUND' })
  })

  it.each(['https://10.0.0.7/webhooks?key=hidden', 'https://user:hidden@example.com/webhooks'])(
    'a target that the policy forbids: refused, naming the host of %s',
    async (url) => {
      const outcome = await send({ target: target({ url }) })
      expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining(new URL(url).host) })
    },
  )

  it('a name that has turned private: refused', async () => {
    await egress.close()
    egress = createEgress({ allowPrivateTargets: [], resolve: async () => [{ address: '127.0.0.1', family: 4 }] })
    const outcome = await send({ target: target({ url: 'https://rebind.example/webhooks?key=hidden' }) })
    expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining('rebind.example') })
  })

  it('no answer in time: unanswered', async () => {
    receiver.behave({ hang: true })
    expect(await send({ timeoutMs: 100 })).toMatchObject({ kind: 'unanswered' })
    expect(receiver.requests).toHaveLength(1)
  })

  it('a connection lost after sending: unanswered, though it may have been applied', async () => {
    receiver.behave({ drop: true, apply: true })
    expect(await send()).toMatchObject({ kind: 'unanswered' })
    expect(receiver.users.get('u1')?.generation).toBe(1)
  })

  it('aborted: unanswered, whether or not it has left', async () => {
    receiver.behave({ hang: true })
    const abort = new AbortController()
    const sending = send({ signal: abort.signal })
    await receiver.waitForRequests(1)
    abort.abort()
    expect(await sending).toMatchObject({ kind: 'unanswered' })
    expect(await send({ signal: abort.signal })).toMatchObject({ kind: 'unanswered' })
    expect(receiver.requests).toHaveLength(1)
  })

  it('a bug of ours: thrown', async () => {
    const connector = createWebhookConnector({ egress: { request: () => Promise.reject(new TypeError('bug')) } })
    await expect(connector.send(target(), message(1), never)).rejects.toThrow('bug')
  })
})

describe('the configuration of a webhook', () => {
  const connectors = () => createConnectors({ egress })

  it('is its url, as it was written', () => {
    const config = connectors().parseConfig('webhook', { type: 'webhook', url: 'https://hooks.example.com' })
    expect(config).toEqual({ url: 'https://hooks.example.com' })
  })

  it.each<[string, unknown, string]>([
    ['no url', {}, 'url'],
    ['a url that is no text', { url: 7 }, 'url'],
    ['a url without end', { url: `https://example.com/${'a'.repeat(3_000)}` }, 'url'],
    ['a plain http url', { url: 'http://example.com/' }, 'url'],
    ['a private url', { url: 'https://10.0.0.1/' }, 'url'],
    ['credentials in the url', { url: 'https://a:b@example.com/' }, 'url'],
    ['a field it does not have', { url: 'https://example.com/', uri: 1 }, 'uri'],
    ['nothing', undefined, ''],
  ])('is refused with %s', (_what, input, field) => {
    expect(() => connectors().parseConfig('webhook', input)).toThrow(Invalid)
    expect(() => connectors().parseConfig('webhook', input)).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ field })] }),
    )
  })

  it('knows its kinds and refuses others', () => {
    expect(connectors().kinds).toEqual(['webhook'])
    expect(connectors().for('webhook').kind).toBe('webhook')
    for (const kind of ['pigeon', 'constructor', '']) {
      expect(() => connectors().for(kind)).toThrow(Invalid)
      expect(() => connectors().parseConfig(kind, {})).toThrow(
        expect.objectContaining({ problems: [{ field: 'type', message: 'must be one of webhook' }] }),
      )
    }
  })
})

describe('the receiver that tests use', () => {
  const connector = () => createWebhookConnector({ egress })

  it('keeps the highest generation of each user', async () => {
    await connector().send(target(), message(5), never)
    await connector().send(target(), message(4), never)
    await connector().send(target(), message(3, { user: { id: 'u2' } }), never)
    expect(receiver.requests.map(({ kept }) => kept)).toEqual(['kept', 'behind', 'kept'])
    expect([...receiver.users].map(([id, { generation }]) => [id, generation])).toEqual([
      ['u1', 5],
      ['u2', 3],
    ])
  })

  it('answers what hangs once released, and waits for what is yet to come', async () => {
    receiver.behave({ hang: true })
    const sending = connector().send(target(), message(1), never)
    const later = receiver.waitFor(({ message: told }) => told?.data.generation === 2)
    await receiver.waitForRequests(1)
    receiver.release()
    expect(await sending).toMatchObject({ kind: 'applied' })
    receiver.behave()
    await connector().send(target(), message(2), never)
    expect((await later).index).toBe(1)
  })

  it('behaves by request, by count and with delay', async () => {
    receiver.behave(({ message: told }) => (told?.data.user.id === 'u2' ? { status: 500 } : undefined))
    expect(await connector().send(target(), message(1), never)).toMatchObject({ kind: 'applied' })
    expect(await connector().send(target(), message(1, { user: { id: 'u2' } }), never)).toMatchObject({ status: 500 })
    receiver.behave({ status: 202, delayMs: 20, times: 1 })
    expect(await connector().send(target(), message(2), never)).toMatchObject({ status: 202 })
    expect(await connector().send(target(), message(3), never)).toMatchObject({ status: 200 })
  })

  it('says what it has when it has waited in vain', async () => {
    await connector().send(target(), message(1), never)
    await expect(receiver.waitForRequests(2, 20)).rejects.toThrow('1 requests, the last: access.granted of u1 at 1')
  })
})
