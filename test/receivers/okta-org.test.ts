import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import { type OktaOrg, startOkta } from '../support/idps/okta.ts'
import { sessionRevoked } from '../support/idps/okta-tokens.ts'
import { registerDirectory } from '../support/tenure.ts'
import { type ChannelWorld, startChannelWorld } from './world.ts'

/** What stands for Okta in the tests does what the reference says of Okta; Tenure is tested against no kinder one. */
const timeoutMs = 200

let okta: OktaOrg
let sink: Awaited<ReturnType<typeof startSink>>

beforeAll(async () => {
  okta = await startOkta({ hookTimeoutMs: timeoutMs })
  sink = await startSink()
})
afterAll(async () => {
  await okta?.close()
  await sink?.close()
})

const events = (calls: readonly Json[]) => calls.map(({ body }) => body.data.events.map(({ uuid }: Json) => uuid))

describe('an event hook of the Okta of the tests (reference §1.1 to §1.3)', () => {
  const addHook = (types?: readonly string[]) =>
    okta.addHook({ uri: sink.uri, secret: 'header value', ...(types && { events: types }) })

  it('is verified by a GET, and sends what it is for in the envelope that Okta sends', async () => {
    const hook = await addHook(['user.lifecycle.suspend'])
    const person = await okta.hire('ada.lovelace@acme.example', { hasApp: false })
    const suspended = await okta.suspend(person)
    await okta.unsuspend(person)
    expect(sink.take()).toEqual([
      {
        authorization: 'header value',
        body: {
          eventType: 'com.okta.event_hook',
          eventTypeVersion: '1.0',
          cloudEventsVersion: '0.1',
          source: `${okta.url}/api/v1/eventHooks/${hook.id}`,
          eventId: expect.any(String),
          eventTime: expect.any(String),
          contentType: 'application/json',
          data: { events: [JSON.parse(JSON.stringify(suspended))] },
        },
      },
    ])
    hook.behave({ loses: true })
  })

  it('is not verified by whoever does not say the challenge back', async () => {
    await expect(okta.addHook({ uri: `${okta.url}/nothing`, secret: 'x' })).rejects.toThrow('not verified')
  })

  it.each([
    ['500', 500, [500, 500]],
    ['silence', 'silence', ['none', 'none']],
    ['404', 404, [404]],
    ['204', 204, [204]],
  ] as const)('is tried again once after a 5xx or silence, and then never: %s', async (_what, how, statuses) => {
    const hook = await addHook(['user.account.lock'])
    const person = await okta.hire('someone@acme.example', { hasApp: false })
    sink.answer(how)
    await okta.lock(person)
    sink.answer(200)
    expect(hook.attempts.map(({ status }) => status)).toEqual(statuses)
    expect(new Set(hook.attempts.map(({ eventId }) => eventId)).size).toBe(1)
    const failures = okta.log.entries.filter(
      ({ eventType, target }) => eventType === 'event_hook.delivery' && target[0]!.id === hook.id,
    )
    expect(failures.length).toBe(how === 204 ? 0 : 1)
    hook.behave({ loses: true })
    sink.take()
  })

  it('loses, repeats, reorders and gathers what it is told to', async () => {
    const hook = await addHook(['user.lifecycle.suspend', 'user.lifecycle.unsuspend'])
    const person = await okta.hire('someone.else@acme.example', { hasApp: false })
    hook.behave({ loses: true })
    await okta.suspend(person)
    expect(sink.take()).toEqual([])
    hook.behave({ duplicates: true })
    const { uuid } = await okta.unsuspend(person)
    expect(events(sink.take())).toEqual([[uuid], [uuid]])
    hook.behave({ holdsBack: true })
    const [a, b, c] = [await okta.suspend(person), await okta.unsuspend(person), await okta.suspend(person)]
    expect(sink.take()).toEqual([])
    hook.behave()
    await hook.flush({ perCall: 2, reversed: true })
    expect(events(sink.take())).toEqual([[c.uuid, b.uuid], [a.uuid]])
    hook.behave({ loses: true })
  })
})

describe('its System Log (reference §1.6)', () => {
  const read = async (query: string) => {
    const response = await fetch(`${okta.url}/api/v1/logs?${query}`, { headers: { authorization: okta.api.apiToken } })
    return {
      next: /<([^>]*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1],
      body: (await response.json()) as Json,
    }
  }

  it('always has a next page when polled, and between two times only as long as there is more', async () => {
    const since = new Date().toISOString()
    await okta.hire('polled@acme.example', { hasApp: false })
    const polled = await read(`since=${since}&sortOrder=ASCENDING&limit=1`)
    expect(polled.body).toHaveLength(1)
    const second = await read(new URL(polled.next!).search.slice(1))
    expect(second.body).toHaveLength(1)
    const third = await read(new URL(second.next!).search.slice(1))
    expect([third.body, third.next === undefined]).toEqual([[], false])
    const bounded = await read(`since=${since}&until=2100-01-01T00:00:00Z&sortOrder=ASCENDING`)
    expect([bounded.body.length, bounded.next]).toEqual([2, undefined])
  })
})

describe('what it sends to Tenure', () => {
  let world: ChannelWorld
  beforeAll(async () => {
    world = await startChannelWorld('api')
  })
  afterAll(() => world?.close())

  it.each(['PATCH', 'PUT'] as const)(
    'provisions as an app that uses %s: assigned, taken away, assigned again',
    async (verb) => {
      const scim = await registerDirectory(world.admin, `okta-${verb.toLowerCase()}`)
      const app = okta.provision({ scimBaseUrl: scim.base, token: scim.token, verb })
      const person = await okta.hire(`provisioned@${verb.toLowerCase()}.example`)
      const id = app.idOf(person)
      const isActive = async () => (await world.admin.get(`/users/${id}`)).active
      expect(await scim.call('GET', `/Users/${id}`)).toMatchObject({
        userName: person.userName,
        externalId: person.oktaId,
      })
      await okta.unassign(person)
      expect(await isActive()).toBe(false)
      await okta.assign(person)
      expect(await isActive()).toBe(true)
      await okta.suspend(person)
      expect(await isActive()).toBe(true)
      await okta.deactivate(person)
      expect(await isActive()).toBe(false)
      await app.close()
    },
  )

  it('logs somebody out everywhere by Global Token Revocation, signed with its own key (reference §1.9)', async () => {
    const endpoint = world.url('global-token-revocation')
    const issuer = okta.url
    await world.setUp('global-token-revocation', { issuer, jwksUri: `${issuer}/oauth2/v1/keys` })
    const person = await world.join()
    const user = { ...(await okta.hire('mail@acme.example', { hasApp: false })), userName: person.userName }
    expect((await okta.revokeTokens(endpoint, user)).status).toBe(204)
    expect(await world.isGood(person)).toBe(false)
    expect((await okta.revokeTokens(endpoint, user, { claims: { aud: 'https://another.example' } })).status).toBe(401)
  })

  it('makes SETs as before the final specifications (reference §1.7)', async () => {
    const set = await okta.signer.securityEvent({ audience: 'https://rx.example', type: sessionRevoked, user: '00u1' })
    const keys = createRemoteJWKSet(new URL(`${okta.url}/oauth2/v1/keys`))
    const { payload, protectedHeader } = await jwtVerify(set, keys, {
      issuer: okta.url,
      audience: 'https://rx.example',
    })
    expect(protectedHeader).toMatchObject({ alg: 'RS256', typ: 'secevent+jwt', kid: expect.any(String) })
    expect(Object.keys(payload).toSorted()).toEqual(['aud', 'events', 'iat', 'iss', 'jti'])
    const event = (payload.events as Json)[sessionRevoked]
    expect(event.subject).toEqual({ format: 'iss_sub', iss: okta.url, sub: '00u1' })
    expect(event.event_timestamp).toBeGreaterThan(1e11)
  })
})

/** Says challenges back, and keeps what is posted. */
async function startSink() {
  let how: number | 'silence' = 200
  let calls: Json[] = []
  const silent = new Set<ServerResponse>()
  const server = createServer((req, res) => {
    const challenge = req.headers['x-okta-verification-challenge']
    if (challenge) return void res.end(JSON.stringify({ verification: challenge }))
    const chunks: Buffer[] = []
    req.on('data', (chunk) => chunks.push(chunk))
    req.on('end', () => {
      calls.push({ authorization: req.headers.authorization, body: JSON.parse(Buffer.concat(chunks).toString()) })
      if (how === 'silence') silent.add(res)
      else res.writeHead(how).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    answer(next: number | 'silence') {
      how = next
    },
    take() {
      const taken = calls
      calls = []
      return taken
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
