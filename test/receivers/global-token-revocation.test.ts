import { CompactSign, exportSPKI } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { GlobalTokenRevocationConfig } from '../../src/directory/channel-config.ts'
import { type IdJagIssuer, startIdJagIssuer } from '../support/id-jag-issuer.ts'
import { waitFor } from '../support/wait-for.ts'
import { type ChannelWorld, type Person, startChannelWorld } from './world.ts'

const kind = 'global-token-revocation'
const client = '0oaclient00000000001'
const typ = 'global-token-revocation+jwt'

let world: ChannelWorld
let idp: IdJagIssuer
const started: IdJagIssuer[] = []
/** The directory whose endpoint tokens are made for. */
let asked = 'acme'

beforeAll(async () => {
  world = await startChannelWorld('api')
  idp = await startIdJagIssuer()
  started.push(idp)
})
beforeEach(() => {
  asked = 'acme'
  return setUp()
})
afterAll(async () => {
  await world?.close()
  for (const each of started) await each.close()
})

function setUp(fields: Partial<GlobalTokenRevocationConfig> = {}, directory?: string): Promise<void> {
  return world.setUp(kind, { issuer: idp.issuer, jwksUri: idp.jwksUri, client, ...fields }, undefined, directory)
}

function now(): number {
  return Math.floor(Date.now() / 1_000)
}

/** As Okta makes one (reference §1.9): good from five minutes before to five after. */
function mint(claims: Record<string, unknown> = {}, minting: Parameters<IdJagIssuer['mint']>[1] = {}, by = idp) {
  const usual = { sub: client, aud: world.url(kind, asked), nbf: now() - 300 }
  return by.mint({ ...usual, ...claims }, { ...minting, header: { typ, ...minting.header } })
}

async function ask(token: string | undefined, body: unknown, directory?: string) {
  const response = await fetch(world.url(kind, directory), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

const byEmail = ({ userName }: Pick<Person, 'userName'>) => ({ sub_id: { format: 'email', email: userName } })

async function expectUncut(person: Person): Promise<void> {
  expect(await world.standing(person)).toMatchObject({ epoch: 0, hold: null })
  expect(await world.isGood(person)).toBe(true)
}

describe('a global token revocation (reference §1.9)', () => {
  it('is answered 204 when nothing issued before is good any more, and holds nobody', async () => {
    const person = await world.join()
    const jti = `good-${person.id}`
    expect(await ask(await mint({ jti }), byEmail(person))).toMatchObject({ status: 204, text: '' })
    expect(await world.isGood(person)).toBe(false)
    expect(await world.standing(person)).toMatchObject({ epoch: 1, hold: null, active: true, openGrants: 0 })
    expect(await world.taken(`${idp.issuer}\n${jti}`)).toMatchObject({
      kind: 'sessions_revoked',
      effect: 'cut',
      userId: person.id,
      detail: { client },
    })
  })

  const subjects: ReadonlyArray<
    readonly [string, GlobalTokenRevocationConfig['subject'], (person: Person) => Record<string, unknown>]
  > = [
    ['an e-mail address', undefined, ({ userName }) => ({ format: 'email', email: userName.toUpperCase() })],
    ['the id that SCIM gave', undefined, ({ id }) => ({ format: 'iss_sub', iss: idp.issuer, sub: id })],
    [
      'that id, of an issuer of another name',
      undefined,
      ({ id }) => ({ format: 'iss_sub', iss: 'https://x.example', sub: id }),
    ],
    ['that id, opaque', undefined, ({ id }) => ({ format: 'opaque', id })],
    ['the sender’s id', 'externalId', ({ oktaId }) => ({ format: 'iss_sub', iss: idp.issuer, sub: oktaId })],
    ['the sender’s id, opaque', 'externalId', ({ oktaId }) => ({ format: 'opaque', id: oktaId })],
    ['a login', 'userName', ({ userName }) => ({ format: 'iss_sub', iss: idp.issuer, sub: userName })],
  ]

  it.each(subjects)('names its user by %s', async (_what, subject, subId) => {
    await setUp(subject && { subject })
    const [person, other] = [await world.join(), await world.join()]
    expect(await ask(await mint(), { sub_id: subId(person) })).toMatchObject({ status: 204 })
    expect(await world.isGood(person)).toBe(false)
    await expectUncut(other)
  })

  it.each(['GLOBAL-TOKEN-REVOCATION+JWT', `application/${typ}`])('takes %s for its type', async (spelt) => {
    const person = await world.join()
    expect(await ask(await mint({}, { header: { typ: spelt } }), byEmail(person))).toMatchObject({ status: 204 })
  })

  it('takes any client where none is named', async () => {
    const person = await world.join()
    await world.setUp(kind, { issuer: idp.issuer, jwksUri: idp.jwksUri })
    expect(await ask(await mint({ sub: 'another-client' }), byEmail(person))).toMatchObject({ status: 204 })
  })

  it('is a success for who holds nothing any more', async () => {
    const person = await world.join()
    await world.scim.setActive(person.id, false)
    expect(await ask(await mint(), byEmail(person))).toMatchObject({ status: 204 })
    expect(await world.standing(person)).toMatchObject({ epoch: 1 })
  })

  it('is 404 for a user who is not known, and is not waited for', async () => {
    const nobody = { userName: 'nobody-at-all@acme.example' }
    const token = await mint({ jti: 'of-nobody-1' })
    const first = await ask(token, byEmail(nobody))
    expect(first.status).toBe(404)
    expect(first.text).not.toContain('nobody')
    expect(await world.taken(`${idp.issuer}\nof-nobody-1`)).toMatchObject({ effect: 'unmatched' })
    // The answer to a repetition is the answer that was lost.
    expect(await ask(token, byEmail(nobody))).toMatchObject({ status: 404 })
    const person = await world.join({ userName: nobody.userName })
    await expectUncut(person)
    expect(await ask(await mint(), byEmail(nobody))).toMatchObject({ status: 204 })
  })

  it('is 422 where two are named, of whom neither is cut', async () => {
    const emails = [{ primary: true, value: 'shared@acme.example' }]
    const people = [await world.join({ emails }), await world.join({ emails })]
    expect(await ask(await mint(), byEmail({ userName: 'shared@acme.example' }))).toMatchObject({ status: 422 })
    for (const person of people) await expectUncut(person)
  })

  it('P24: reaches nobody of another directory', async () => {
    await world.admin.post('/directories', { id: 'umbrella', provider: 'okta' })
    await setUp({}, 'umbrella')
    const person = await world.join()
    expect(await ask(await mint(), byEmail(person), 'umbrella')).toMatchObject({ status: 401 })
    const aud = world.url(kind, 'umbrella')
    expect(await ask(await mint({ aud }), byEmail(person), 'umbrella')).toMatchObject({ status: 404 })
    expect(await ask(await mint({ aud }), { sub_id: { format: 'opaque', id: person.id } }, 'umbrella')).toMatchObject({
      status: 404,
    })
    await expectUncut(person)
  })

  it('is not for a directory without this channel, or for none', async () => {
    await world.admin.post('/directories', { id: 'quiet', provider: 'okta' })
    for (const directory of ['quiet', 'nowhere'])
      expect(await ask(await mint(), {}, directory)).toMatchObject({ status: 404 })
  })
})

describe('the same token again', () => {
  it('is a success once more and does nothing, also five at a time', async () => {
    const person = await world.join()
    const token = await mint()
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(token, byEmail(person))))
    expect(answers.map(({ status }) => status)).toEqual([204, 204, 204, 204, 204])
    expect(await ask(token, byEmail(person))).toMatchObject({ status: 204 })
    expect(await world.standing(person)).toMatchObject({ epoch: 1 })
  })

  it('cuts nobody else: the name is not in it', async () => {
    const [person, other] = [await world.join(), await world.join()]
    const token = await mint()
    expect(await ask(token, byEmail(person))).toMatchObject({ status: 204 })
    expect(await ask(token, byEmail(other))).toMatchObject({ status: 401 })
    await expectUncut(other)
  })
})

describe('P5: a token that is not good for this endpoint is refused with 401', () => {
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = () => ({
    iss: idp.issuer,
    sub: client,
    aud: world.url(kind, asked),
    jti: `forged-${Math.random()}`,
    iat: now(),
    exp: now() + 300,
  })

  const refused: ReadonlyArray<readonly [string, string, () => Promise<string | undefined> | string | undefined]> = [
    ['none', 'credential', () => undefined],
    ['no JWT', 'content', () => 'not-a-token-at-all'],
    ['an ID-JAG of the same issuer', 'type', () => mint({}, { header: { typ: 'oauth-id-jag+jwt' } })],
    ['a SET of the same issuer', 'type', () => mint({}, { header: { typ: 'secevent+jwt' } })],
    ['a JWT', 'type', () => mint({}, { header: { typ: 'JWT' } })],
    ['one without a type', 'type', () => mint({}, { header: { typ: undefined } })],
    [
      'with a critical parameter',
      'content',
      () => mint({}, { header: { crit: ['urn:example:unknown'], 'urn:example:unknown': 1 } }),
    ],
    ['of another issuer', 'issuer', () => mint({ iss: 'https://other.okta.example' })],
    ['of an issuer with a slash behind', 'issuer', () => mint({ iss: `${idp.issuer}/` })],
    ['of no issuer', 'issuer', () => mint({ iss: undefined })],
    ['P4: without a signature', 'algorithm', () => `${encoded({ alg: 'none', typ })}.${encoded(claims())}.`],
    [
      'P4: signed with the public key as a secret',
      'algorithm',
      async () => {
        const { publicKey, kid } = await idp.makeKey()
        return new CompactSign(Buffer.from(JSON.stringify(claims())))
          .setProtectedHeader({ alg: 'HS256', kid, typ })
          .sign(Buffer.from(await exportSPKI(publicKey)))
      },
    ],
    ['P4: of an algorithm that is not listed', 'algorithm', async () => mint({}, { key: await idp.makeKey('ES384') })],
    [
      'signed by somebody else',
      'signature',
      async () => {
        const token = await mint()
        const another = await mint({}, { key: await idp.makeKey() })
        return [...token.split('.').slice(0, 2), another.split('.')[2]].join('.')
      },
    ],
    ['for another audience', 'audience', () => mint({ aud: world.tenure.url })],
    ['for this endpoint with a query', 'audience', () => mint({ aud: `${world.url(kind, asked)}?a=b` })],
    ['for no audience', 'audience', () => mint({ aud: undefined })],
    ['for two audiences', 'audience', () => mint({ aud: [world.url(kind, asked), 'https://other.example'] })],
    ['without a subject', 'content', () => mint({ sub: undefined })],
    ['without a jti', 'content', () => mint({ jti: undefined })],
    ['with a jti that is no text', 'content', () => mint({ jti: 7 })],
    ['with a jti beyond length', 'content', () => mint({ jti: 'j'.repeat(257) })],
    ['that is over', 'time', () => mint({ iat: now() - 600, exp: now() - 120 })],
    ['without an end', 'time', () => mint({ exp: undefined })],
    ['without a beginning', 'time', () => mint({ iat: undefined })],
    ['P1: from the future', 'time', () => mint({ iat: now() + 180, exp: now() + 480 })],
    ['not good yet', 'time', () => mint({ nbf: now() + 180 })],
    ['P13: with times in milliseconds', 'time', () => mint({ iat: Date.now(), exp: Date.now() + 300_000 })],
    ['for a day', 'time', () => mint({ exp: now() + 86_400 })],
  ]

  it.each(refused)('%s', async (_what, _reason, make) => {
    const person = await world.join()
    const before = await world.countTaken()
    const answer = await ask(await make(), byEmail(person))
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    // P14: the same words for each.
    expect(JSON.parse(answer.text).detail).toBe('The credentials are not accepted')
    expect(await world.countTaken()).toBe(before)
    await expectUncut(person)
  })

  it('and counted by what is wrong with it', async () => {
    await world.admin.post('/directories', { id: 'counted', provider: 'okta' })
    await setUp({}, 'counted')
    const counts: Record<string, number> = {}
    const count = (reason: string) => {
      counts[reason] = (counts[reason] ?? 0) + 1
    }
    asked = 'counted'
    for (const [, reason, make] of refused) {
      await ask(await make(), {}, asked)
      count(reason)
    }
    await ask(await mint(), '{', asked)
    count('content')
    await ask(await mint(), { sub_id: { format: 'phone_number' } }, asked)
    count('subject')
    await ask(await mint({ sub: 'another-client' }), {}, asked)
    count('credential')
    await ask(undefined, 'x'.repeat(16 * 1024 + 1), asked)
    count('size')
    await world.waitForRefusals(kind, counts, asked)
  })
})

describe('a call that is refused otherwise', () => {
  it('is 403 for another client', async () => {
    const person = await world.join()
    const answer = await ask(await mint({ sub: '0oaanother0000000001' }), byEmail(person))
    expect(answer.status).toBe(403)
    expect(answer.text).not.toContain(client)
    await expectUncut(person)
  })

  it.each([
    ['nothing', ''],
    ['no JSON', '{"sub_id":'],
    ['a list', []],
    ['no subject', {}],
    ['the subject of an older draft', { subject: { format: 'email', email: 'lee@acme.example' } }],
    ['a subject that is a text', { sub_id: 'lee@acme.example' }],
    ['a subject without a format', { sub_id: { email: 'lee@acme.example' } }],
    ['a format that is not read here', { sub_id: { format: 'phone_number', phone_number: '+15550100' } }],
    ['several names', { sub_id: { format: 'aliases', identifiers: [{ format: 'email', email: 'lee@acme.example' }] } }],
    ['an e-mail address that is none', { sub_id: { format: 'email', email: { $ne: '' } } }],
    ['no issuer beside a sub', { sub_id: { format: 'iss_sub', sub: 'lee' } }],
    ['an opaque id that is empty', { sub_id: { format: 'opaque', id: '' } }],
    ['a name that Postgres cannot hold', { sub_id: { format: 'email', email: 'lee\u0000@acme.example' } }],
    ['a name that is half a character', { sub_id: { format: 'opaque', id: 'lee\ud800' } }],
    ['a name beyond length', { sub_id: { format: 'opaque', id: 'l'.repeat(513) } }],
  ])('is 400 for a body that is %s', async (_what, body) => {
    const before = await world.countTaken()
    const answer = await ask(await mint(), body)
    expect(answer.status).toBe(400)
    expect(answer.text).not.toContain('lee')
    expect(await world.countTaken()).toBe(before)
  })

  it('is 400 for somebody of an issuer that is not the sender', async () => {
    await setUp({ subject: 'externalId' })
    const person = await world.join()
    const sub_id = { format: 'iss_sub', iss: 'https://other.okta.example', sub: person.oktaId }
    expect(await ask(await mint(), { sub_id })).toMatchObject({ status: 400 })
    await expectUncut(person)
  })

  it('is 413 when it is too large', async () => {
    const body = { ...byEmail({ userName: 'lee@acme.example' }), more: 'x'.repeat(16 * 1024) }
    expect(await ask(await mint(), body)).toMatchObject({ status: 413 })
  })

  it('is 404 for another method', async () => {
    expect(await fetch(world.url(kind))).toMatchObject({ status: 404 })
  })
})

describe('P16, P29: trouble with keys is ours, never a final refusal', () => {
  async function trustAnother(): Promise<IdJagIssuer> {
    const another = await startIdJagIssuer()
    started.push(another)
    await setUp({ issuer: another.issuer, jwksUri: another.jwksUri })
    return another
  }

  it.each(['broken', 'garbage'] as const)('a key set that is %s: 503, then the same token is good', async (how) => {
    const person = await world.join()
    const another = await trustAnother()
    another.serve(how)
    const token = await mint({}, {}, another)
    const answer = await ask(token, byEmail(person))
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    expect(answer.text).not.toMatch(/127\.0\.0\.1|jwks/)
    await expectUncut(person)
    another.serve('good')
    const again = await waitFor(
      async () => {
        const { status } = await ask(token, byEmail(person))
        return status === 503 ? undefined : status
      },
      { what: 'the key set to be asked for again', intervalMs: 250 },
    )
    expect(again).toBe(204)
    expect(await world.isGood(person)).toBe(false)
  })

  it('a key that is not in the set: 503, since it may be a new one, and counted', async () => {
    asked = 'strangers'
    await world.admin.post('/directories', { id: asked, provider: 'okta' })
    await setUp({}, asked)
    const answer = await ask(await mint({}, { key: await idp.makeKey() }), {}, asked)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('30')
    await world.waitForRefusals(kind, { key: 1 }, asked)
  })

  it('P15: keys that nobody has cost one fetch, however many', async () => {
    const another = await trustAnother()
    for (let count = 0; count < 5; count++)
      expect(await ask(await mint({}, { key: await another.makeKey() }, another), {})).toMatchObject({ status: 503 })
    expect(another.fetches).toBe(1)
  })
})
