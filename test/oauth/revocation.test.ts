import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, type Json, ServerClient } from '../support/clients.ts'
import {
  basic,
  type ClientCredentials,
  expectRefused,
  type OAuthWorld,
  type Person,
  postForm,
  resourceOf,
  startOAuthWorld,
} from '../support/oauth-world.ts'
import { adminKey } from '../support/tenure.ts'

let world: OAuthWorld
let credentials: { clientId: string; clientSecret: string }
let cursor: ClientCredentials

beforeAll(async () => {
  world = await startOAuthWorld()
  credentials = await world.admin.post('/servers/linear/credentials')
  const { secret } = await world.admin.post('/clients', { id: 'cursor', auth: 'client_secret_basic' })
  cursor = basic('cursor', secret)
})
afterAll(() => world?.close())

const asAdmin: ClientCredentials = { headers: { authorization: `Bearer ${adminKey}` } }
const asLinear = (): ClientCredentials => basic(credentials.clientId, credentials.clientSecret)

function revoke(form: Record<string, string | string[]>, by: ClientCredentials): Promise<Answer> {
  return postForm(`${world.tenure.url}/oauth2/revoke`, { ...by.form, ...form }, by.headers)
}

async function tokenFor(person: Person, claims: Record<string, unknown> = {}, by = world.claude): Promise<string> {
  const { status, body } = await world.redeem(await world.mint(person, claims), {}, by)
  expect(status).toBe(200)
  return body.access_token
}

async function isActive(token: string): Promise<boolean> {
  return (await world.admin.introspect(token)).active
}

describe('revocation (RFC 7009 §2)', () => {
  it.each([
    ['the MCP client it was issued to', () => world.claude],
    [
      'the same by its secret in the body',
      () => ({ form: { client_id: 'claude', client_secret: world.claudeSecret } }),
    ],
    ['the server it is for', asLinear],
    ['an operator', () => asAdmin],
  ])(
    '§7.43: of one token by %s answers 200 and nothing more, also the second time, and introspection says no',
    async (_what, by) => {
      const person = await world.engineer()
      const [token, other] = [await tokenFor(person), await tokenFor(person)]
      for (const _attempt of [1, 2]) {
        const answer = await revoke({ token }, by())
        expect(answer).toMatchObject({ status: 200, body: undefined })
        expect(answer.headers.get('cache-control')).toBe('no-store')
      }
      // The 200 proves nothing by itself.
      expect([await isActive(token), await isActive(other)]).toEqual([false, true])
      // The user keeps what the rules give: only a cut, or the end of the role, ends that.
      expect(await world.redeem(await world.mint(person))).toMatchObject({ status: 200 })
    },
  )

  it('closes the grant with its ledger entry, which says by whom', async () => {
    const person = await world.engineer()
    const token = await tokenFor(person)
    await revoke({ token, token_type_hint: 'access_token' }, world.claude)
    const { items } = await world.admin.get(`/grants?user=${person.id}`)
    expect(items).toMatchObject([{ state: 'closed', closedReason: 'revoked' }])
    const { items: told } = await world.admin.get(`/users/${person.id}/timeline`)
    expect(told.find(({ kind }: Json) => kind === 'closed').detail).toMatchObject({
      reason: 'revoked',
      actor: 'client:claude',
    })
  })

  it('of a token that nobody knows is as good as done, whatever the hint', async () => {
    for (const token_type_hint of ['access_token', 'refresh_token', 'nonsense'])
      expect(await revoke({ token: 'tnr_at_of-nobody', token_type_hint }, world.claude)).toMatchObject({ status: 200 })
  })

  it("refuses another client's token, and leaves it good", async () => {
    const token = await tokenFor(await world.engineer())
    expectRefused(await revoke({ token }, cursor), 400, 'invalid_grant')
    expect(await isActive(token)).toBe(true)
  })

  it("does nothing to another server's token, nor for a bearer that is a jti", async () => {
    const person = await world.engineer()
    const forFigma = await tokenFor(person, { resource: resourceOf('figma') })
    const forLinear = await tokenFor(person)
    const { jti } = await world.admin.introspect(forLinear)
    await revoke({ token: forFigma }, asLinear())
    await revoke({ token: jti }, asLinear())
    await revoke({ token: jti }, world.claude)
    await revoke({ token: jti, token_type_hint: 'jti' }, world.claude)
    expect([await isActive(forFigma), await isActive(forLinear)]).toEqual([true, true])
    await revoke({ token: jti, token_type_hint: 'jti' }, asLinear())
    expect(await isActive(forLinear)).toBe(false)
  })

  it('of a jti that is known at several servers wants one of them named', async () => {
    const person = await world.engineer()
    const grant = { directory: 'acme', user: { id: person.id }, scopes: ['read'], jti: 'the-same' }
    for (const server of ['linear', 'figma'])
      expect(await world.admin.grant({ ...grant, server })).toMatchObject({ status: 201 })
    expectRefused(await revoke({ token: 'the-same' }, asAdmin), 400, 'invalid_request')
    expect((await world.admin.get(`/grants?user=${person.id}&active=true`)).items).toHaveLength(2)
    await revoke({ token: 'the-same', server: 'figma' }, asAdmin)
    expect((await world.admin.get(`/grants?user=${person.id}&active=true`)).items).toMatchObject([{ server: 'linear' }])
  })
})

describe('revocation of all of a user', () => {
  it('ends what every client holds at every server, of that user alone', async () => {
    const [person, other] = [await world.engineer(), await world.engineer()]
    const tokens = [
      await tokenFor(person),
      await tokenFor(person, { resource: resourceOf('figma') }),
      await tokenFor(person, { client_id: 'cursor' }, cursor),
    ]
    const untouched = await tokenFor(other)
    expect(await revoke({ sub: person.id }, asAdmin)).toMatchObject({ status: 200, body: undefined })
    expect(await Promise.all(tokens.map(isActive))).toEqual([false, false, false])
    expect(await isActive(untouched)).toBe(true)
  })

  it('is narrowed by client_id', async () => {
    const person = await world.engineer()
    const [byClaude, byCursor] = [await tokenFor(person), await tokenFor(person, { client_id: 'cursor' }, cursor)]
    await revoke({ sub: person.id, client_id: 'cursor' }, asAdmin)
    expect([await isActive(byClaude), await isActive(byCursor)]).toEqual([true, false])
  })

  it('is for operators alone', async () => {
    const person = await world.engineer()
    const token = await tokenFor(person)
    for (const by of [world.claude, asLinear()])
      expectRefused(await revoke({ sub: person.id }, by), 400, 'invalid_request')
    expect(await isActive(token)).toBe(true)
  })

  it.each([
    ['a token beside it', { sub: '00000000-0000-4000-8000-000000000000', token: 'x' }],
    ['an id that is none', { sub: 'ada@acme.example' }],
    ['a user who is not there', { sub: '00000000-0000-4000-8000-000000000000' }],
  ])('refuses %s', async (_what, form) => {
    expectRefused(await revoke(form as Record<string, string>, asAdmin), 400, 'invalid_request')
  })
})

describe('revocation: who asks, and how', () => {
  it.each([
    ['nobody', {}],
    ['a wrong secret', basic('claude', 'wrong')],
    ['a key that opens nothing', { headers: { authorization: 'Bearer nonsense' } }],
    ['an unknown client', { form: { client_id: 'nobody' } }],
  ])('answers %s with 401 invalid_client', async (_what, by) => {
    const answer = await revoke({ token: 'x' }, by)
    expectRefused(answer, 401, 'invalid_client')
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic/)
  })

  it('refuses a request without a token, with two, or in another form', async () => {
    expectRefused(await revoke({}, world.claude), 400, 'invalid_request')
    expectRefused(await revoke({ token: ['a', 'b'] }, world.claude), 400, 'invalid_request')
    const headers = { ...world.claude.headers, 'content-type': 'application/json' }
    const json = await fetch(`${world.tenure.url}/oauth2/revoke`, { method: 'POST', headers, body: '{"token":"x"}' })
    expect([json.status, ((await json.json()) as { error: string }).error]).toEqual([400, 'invalid_request'])
    const get = await fetch(`${world.tenure.url}/oauth2/revoke`)
    expect([get.status, get.headers.get('allow')]).toEqual([405, 'POST'])
  })

  it("lets a server's credentials ask about tokens while they are good, and no longer", async () => {
    const issued = await world.admin.post('/servers/linear/credentials')
    const token = await tokenFor(await world.engineer())
    await world.admin.delete(`/servers/linear/credentials/${issued.clientId}`)
    expectRefused(await revoke({ token }, basic(issued.clientId, issued.clientSecret)), 401, 'invalid_client')
    await expect(new ServerClient(world.tenure.url, issued).introspect(token)).rejects.toThrow('401')
  })
})
