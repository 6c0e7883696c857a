import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import {
  expectInvalidGrant,
  type OAuthWorld,
  type Person,
  resourceOf,
  startOAuthWorld,
} from '../support/oauth-world.ts'
import { type RegisteredServer, registerServer } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

let world: OAuthWorld
let slack: RegisteredServer
let asFigma: (token: string) => Promise<Json>

beforeAll(async () => {
  world = await startOAuthWorld('all')
  slack = await registerServer(world.admin, 'slack', { tokenFormat: 'jwt' })
  const rule = { directory: 'acme', server: 'slack', when: 'groups.display eq "Engineering"', scopes: ['read'] }
  await world.admin.put('/rules/engineering-slack', rule)
  asFigma = (token) => world.admin.introspect(token, { server: 'figma' })
})
afterAll(async () => {
  await world?.close()
  await slack?.receiver.close()
})

async function tokenAt(server: string, person: Person): Promise<string> {
  const { status, body } = await world.redeem(await world.mint(person, { resource: resourceOf(server) }))
  expect(status).toBe(200)
  return body.access_token
}

async function grantOf(person: Person): Promise<Json> {
  return (await world.admin.get(`/grants?user=${person.id}`)).items[0]
}

describe('a JWT access token (RFC 9068)', () => {
  it('is signed with a key of our set, is of its own type, and says what the grant says', async () => {
    const person = await world.engineer()
    const answer = await world.redeem(await world.mint(person, { resource: resourceOf('figma') }), { scope: 'read' })
    expect(answer).toMatchObject({ status: 200, body: { expires_in: 300, scope: 'read', token_type: 'Bearer' } })
    const token = answer.body.access_token
    const keys = createRemoteJWKSet(new URL(`${world.tenure.url}/oauth2/jwks`))
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer: world.tenure.url,
      audience: resourceOf('figma'),
      typ: 'at+jwt',
      algorithms: ['ES256'],
    })
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
    const grant = await grantOf(person)
    expect(payload).toEqual({
      iss: world.tenure.url,
      aud: resourceOf('figma'),
      sub: person.id,
      client_id: 'claude',
      scope: 'read',
      jti: grant.id,
      iat: Math.floor(Date.parse(grant.issuedAt) / 1_000),
      exp: Date.parse(grant.expiresAt) / 1_000,
    })
    expect(payload.exp! - payload.iat!).toBe(300)
  })

  it('is introspected and ends like any other', async () => {
    const person = await world.engineer()
    const token = await tokenAt('figma', person)
    expect(await asFigma(token)).toMatchObject({ active: true, sub: person.id, aud: resourceOf('figma') })
    // Another signature over the same claims is another token.
    expect(await asFigma(`${token.slice(0, -4)}AAAA`)).toEqual({ active: false })
    await world.okta.setActive(person.id, false)
    expect(await asFigma(token)).toEqual({ active: false })
  })

  it('is no ID-JAG, whatever it is presented as, and an ID-JAG is no access token', async () => {
    const person = await world.engineer()
    const token = await tokenAt('figma', person)
    expect(decodeProtectedHeader(token).typ).toBe('at+jwt')
    expectInvalidGrant(world, await world.redeem(token), 'type')
    const assertion = await world.mint(person)
    expect(await world.asLinear.introspect(assertion)).toEqual({ active: false })
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })
})

describe('§7.4, §7.35: the first use of a grant', () => {
  it('is when its server first asks about it, not its issue, nor an operator who looks', async () => {
    const [person, other] = [await world.engineer(), await world.engineer()]
    const [token, later] = [await tokenAt('linear', person), await tokenAt('linear', other)]
    expect((await grantOf(person)).usedAt).toBeNull()
    await world.admin.introspect(token)
    // Uses are noted beside the answer: what came after it has been, so it would have been too.
    await world.asLinear.introspect(later)
    await waitFor(async () => (await grantOf(other)).usedAt, { what: 'the use of another to be noted' })
    expect((await grantOf(person)).usedAt).toBeNull()
    await world.asLinear.introspect(token)
    const usedAt = await waitFor(async () => (await grantOf(person)).usedAt, { what: 'the use to be noted' })
    const { issuedAt } = await grantOf(person)
    expect(Date.parse(usedAt)).toBeGreaterThanOrEqual(Date.parse(issuedAt))
    await world.asLinear.introspect(token)
    expect((await grantOf(person)).usedAt).toBe(usedAt)
  })

  it('is not a question about a grant that is dead', async () => {
    const person = await world.engineer()
    const [token, other] = [await tokenAt('linear', person), await tokenAt('linear', await world.engineer())]
    await world.okta.setActive(person.id, false)
    await world.asLinear.introspect(token)
    await world.asLinear.introspect(other)
    const { sub } = await world.admin.introspect(other)
    await waitFor(async () => (await world.admin.get(`/grants?user=${sub}`)).items[0].usedAt, {
      what: 'the use to be noted',
    })
    expect((await grantOf(person)).usedAt).toBeNull()
  })
})

describe('expectedDeadBy', () => {
  it('is nothing for a grant that is good, and for an opaque token of ours, which dies with its grant', async () => {
    const person = await world.engineer()
    await tokenAt('linear', person)
    expect(await grantOf(person)).toMatchObject({ state: 'active', expectedDeadBy: null })
    await world.okta.setActive(person.id, false)
    expect(await grantOf(person)).toMatchObject({ state: 'closed', expectedDeadBy: null })
  })

  it.each([
    ['a JWT of ours', async (person: Person) => void (await tokenAt('slack', person))],
    [
      'a grant that was recorded for another authorization server',
      async (person: Person) => {
        const grant = { directory: 'acme', user: { id: person.id }, server: 'slack', scopes: ['read'] }
        expect(await world.admin.grant({ ...grant, jti: `elsewhere-${person.id}` })).toMatchObject({ status: 201 })
      },
    ],
  ])('of %s is its expiry until the server has acknowledged, and from then on that moment', async (_what, give) => {
    const person = await world.engineer()
    await world.admin.waitUntilSettled()
    await give(person)
    const { expiresAt } = await grantOf(person)
    slack.receiver.behave({ hang: true })
    await world.okta.setActive(person.id, false)
    expect(await grantOf(person)).toMatchObject({ state: 'closed', closedReason: 'cut', expectedDeadBy: expiresAt })
    await slack.receiver.waitFor(({ message }) => message.data.user.id === person.id && !message.data.active)
    expect((await grantOf(person)).expectedDeadBy).toBe(expiresAt)
    slack.receiver.behave()
    slack.receiver.release()
    await world.admin.waitUntilSettled()
    const closed = await grantOf(person)
    expect(Date.parse(closed.expectedDeadBy)).toBeLessThan(Date.parse(expiresAt))
    expect(Date.parse(closed.expectedDeadBy)).toBeGreaterThan(Date.parse(closed.closedAt))

    // What is told later does not move it.
    await world.okta.setActive(person.id, true)
    await world.admin.waitUntilSettled()
    expect((await grantOf(person)).expectedDeadBy).toBe(closed.expectedDeadBy)
    const { items } = await world.admin.get(`/users/${person.id}/timeline`)
    const { detail } = items.find(({ kind }: Json) => kind === 'closed')
    expect(Date.parse(detail.expectedDeadBy)).toBe(Date.parse(closed.expectedDeadBy))
  })

  it('of a JWT at a server that cannot be told is its expiry', async () => {
    const person = await world.engineer()
    await tokenAt('figma', person)
    const { expiresAt } = await grantOf(person)
    await world.okta.setActive(person.id, false)
    await world.admin.waitUntilConverged()
    expect(await grantOf(person)).toMatchObject({ state: 'closed', expectedDeadBy: expiresAt })
  })
})
