import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import {
  basic,
  expectInvalidGrant,
  expectRefused,
  type OAuthWorld,
  type Person,
  startOAuthWorld,
} from '../support/oauth-world.ts'
import { registerDirectory } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

let world: OAuthWorld

beforeAll(async () => {
  world = await startOAuthWorld()
})
afterAll(() => world?.close())

const secondOf = (time: string) => Math.floor(Date.parse(time) / 1_000)

/** As the identity provider mints it from the second after the last cut on. */
async function mintAfterCut(person: Person, claims: Record<string, unknown> = {}): Promise<string> {
  const { notBefore } = await world.admin.get(`/users/${person.id}`)
  const iat = secondOf(notBefore) + 1
  return world.mint(person, { iat, exp: iat + 300, ...claims })
}

/** Somebody waits for what the transaction by hand holds. */
async function isWaitedFor(): Promise<boolean> {
  const { rows } = await world.owner.query(`
    select 1 from pg_locks mine join pg_locks theirs on theirs.transactionid = mine.transactionid and not theirs.granted
    where mine.pid = pg_backend_pid() and mine.granted`)
  return rows.length > 0
}

describe('§1.7 step 16: the gate', () => {
  it("gives a joiner's first log-in a token with no step by hand", async () => {
    const userName = 'joiner@acme.example'
    const { id } = await world.okta.createUser(userName, { externalId: '00u-joiner' })
    await world.okta.addMembers(world.engineering, id)
    const answer = await world.redeem(await world.mint({ id, userName, externalId: '00u-joiner' }))
    expect(answer.status).toBe(200)
    expect(await world.asLinear.introspect(answer.body.access_token)).toMatchObject({ active: true, sub: id })
  })

  it('refuses a joiner who comes before SCIM does, and the same assertion is good once SCIM has', async () => {
    const early = { id: '', userName: 'early@acme.example', externalId: '00u-early' }
    const assertion = await world.mint(early)
    expectInvalidGrant(world, await world.redeem(assertion), 'subject_unknown')
    const { id } = await world.okta.createUser(early.userName, { externalId: early.externalId })
    expectInvalidGrant(world, await world.redeem(assertion), 'not_entitled')
    await world.okta.addMembers(world.engineering, id)
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })

  it.each([
    ['deactivated', (id: string) => world.okta.setActive(id, false), 'user_inactive'],
    ['deleted', (id: string) => world.okta.send('DELETE', `/Users/${id}`), 'subject_unknown'],
    ['taken out of the group', (id: string) => world.okta.removeMember(world.engineering, id), 'not_entitled'],
  ])('refuses a leaver who was %s: the token is dead, and every further ID-JAG', async (_what, leave, reason) => {
    const person = await world.engineer()
    const { body } = await world.redeem(await world.mint(person))
    const minted = await world.mint(person)
    await leave(person.id)
    expect(await world.asLinear.introspect(body.access_token)).toEqual({ active: false })
    expectInvalidGrant(world, await world.redeem(minted), reason)
    // What an MCP client does on its own: a new ID-JAG, twice.
    for (const _attempt of [1, 2]) expectInvalidGrant(world, await world.redeem(await world.mint(person)), reason)
  })

  it('refuses whoever is held, and gives again what the rules give when the hold ends', async () => {
    const person = await world.engineer()
    await world.owner.query(
      "update user_state set hold_source = 'okta', hold_at = now(), epoch = epoch + 1, not_before = clock_timestamp() where user_id = $1",
      [person.id],
    )
    const assertion = await mintAfterCut(person)
    expectInvalidGrant(world, await world.redeem(assertion), 'user_held')
    await world.admin.post(`/users/${person.id}/release`)
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })

  it('gives a rejoiner a new token, and leaves the old one dead', async () => {
    const person = await world.engineer()
    const old = await world.redeem(await world.mint(person))
    const before = await world.mint(person)
    await world.okta.setActive(person.id, false)
    await world.okta.setActive(person.id, true)
    expectInvalidGrant(world, await world.redeem(before), 'issued_before_cut')
    const young = await world.redeem(await mintAfterCut(person))
    expect(young.status).toBe(200)
    expect(await world.asLinear.introspect(old.body.access_token)).toEqual({ active: false })
    expect(await world.asLinear.introspect(young.body.access_token)).toMatchObject({ active: true })
  })

  it('refuses an ID-JAG minted in the very second of the cut, before it or after; the retry in the next is good', async () => {
    const person = await world.engineer()
    await world.admin.post(`/users/${person.id}/cut`)
    const { notBefore } = await world.admin.get(`/users/${person.id}`)
    const second = secondOf(notBefore)
    for (const iat of [second - 1, second])
      expectInvalidGrant(
        world,
        await world.redeem(await world.mint(person, { iat, exp: iat + 300 })),
        'issued_before_cut',
      )
    // NumericDate may have a fraction; only its whole seconds are believed.
    const late = await world.mint(person, { iat: second + 0.999, exp: second + 300 })
    expectInvalidGrant(world, await world.redeem(late), 'issued_before_cut')
    expect(await world.redeem(await mintAfterCut(person))).toMatchObject({ status: 200 })
  })

  it('narrows a mover to what the rules still give', async () => {
    const person = await world.engineer()
    const readers = await world.okta.createGroup('Readers', [person.id])
    const rule = { directory: 'acme', server: 'linear', when: `groups.value eq "${readers.id}"`, scopes: ['read'] }
    await world.admin.put('/rules/readers', rule)
    const wide = await world.redeem(await world.mint(person))
    expect(wide.body.scope).toBe('read write')
    await world.okta.removeMember(world.engineering, person.id)
    expect(await world.asLinear.introspect(wide.body.access_token)).toEqual({ active: false })
    const narrow = await world.redeem(await world.mint(person), { scope: 'read write' })
    expect(narrow).toMatchObject({ status: 200, body: { scope: 'read' } })
    expectRefused(await world.redeem(await world.mint(person), { scope: 'write' }), 400, 'invalid_scope')
  })

  it('follows a rule that is changed, and one that names MCP clients', async () => {
    const person = await world.join()
    const group = await world.okta.createGroup('Sales', [person.id])
    const rule = { directory: 'acme', server: 'linear', when: `groups.value eq "${group.id}"`, scopes: ['read'] }
    await world.admin.put('/rules/sales', { ...rule, clients: ['cursor'] })
    expectInvalidGrant(world, await world.redeem(await world.mint(person)), 'not_entitled')
    const { secret } = await world.admin.post('/clients', { id: 'cursor', auth: 'client_secret_post' })
    const asCursor = await world.redeem(await world.mint(person, { client_id: 'cursor' }), {}, basic('cursor', secret))
    expect(asCursor).toMatchObject({ status: 200, body: { scope: 'read' } })
    await world.admin.put('/rules/sales', { ...rule, clients: ['claude'], scopes: ['write'] })
    expect(await world.asLinear.introspect(asCursor.body.access_token)).toEqual({ active: false })
    expect(await world.redeem(await world.mint(person))).toMatchObject({ status: 200, body: { scope: 'write' } })
    await world.admin.delete('/rules/sales')
    expectInvalidGrant(world, await world.redeem(await world.mint(person)), 'not_entitled')
  })

  it('gives nothing to a client that was removed, not even for an ID-JAG from before', async () => {
    const person = await world.engineer()
    const { secret } = await world.admin.post('/clients', { id: 'gone', auth: 'client_secret_basic' })
    const assertion = await world.mint(person, { client_id: 'gone' })
    await world.admin.delete('/clients/gone')
    expectRefused(await world.redeem(assertion, {}, basic('gone', secret)), 401, 'invalid_client')
  })

  it('gives nothing to a client whose removal is under way when it proves itself, and commits first', async () => {
    const person = await world.engineer()
    const { secret } = await world.admin.post('/clients', { id: 'going', auth: 'client_secret_basic' })
    await world.owner.query('begin')
    await world.owner.query("delete from mcp_client where id = 'going'")
    const waiting = world.redeem(await world.mint(person, { client_id: 'going' }), {}, basic('going', secret))
    await waitFor(isWaitedFor, { what: 'the request to wait for the removal' })
    await world.owner.query('commit')
    expectInvalidGrant(world, await waiting, 'client_removed')
  })
})

describe('§1.7 step 15: the subject', () => {
  /** An issuer of its own for the directory, that says who somebody is in another way. */
  async function trust(subject: string, tenant?: string) {
    const key = `by-${subject.toLowerCase()}${tenant ?? ''}`
    const given = { issuer: `${world.idp.issuer}/${key}`, jwksUri: world.idp.jwksUri, subject, tenant }
    await world.admin.put(`/directories/acme/issuers/${key}`, given)
    return (person: Person, sub: string, claims: Record<string, unknown> = {}) =>
      world.mint(person, { iss: given.issuer, tenant, sub, ...claims })
  }

  it('is the attribute that the issuer was registered with, and no other', async () => {
    const person = await world.engineer()
    const byUserName = await trust('userName')
    expect(await world.redeem(await byUserName(person, person.userName.toUpperCase()))).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(await byUserName(person, person.externalId)), 'subject_unknown')
    expectInvalidGrant(world, await world.redeem(await world.mint(person, { sub: person.userName })), 'subject_unknown')
    expectInvalidGrant(world, await world.redeem(await world.mint(person, { sub: person.id })), 'subject_unknown')
    const folded = await world.mint(person, { sub: person.externalId.toUpperCase() })
    expectInvalidGrant(world, await world.redeem(folded), 'subject_unknown')
  })

  it('of an e-mail address is its userName or primary address, without case', async () => {
    const byEmail = await trust('email')
    const emails = [
      { value: 'second@acme.example', type: 'home' },
      { value: 'First@acme.example', type: 'work', primary: true },
    ]
    const person = await world.engineer({ emails })
    expect(await world.redeem(await byEmail(person, 'fIRST@acme.example'))).toMatchObject({ status: 200 })
    expect(await world.redeem(await byEmail(person, person.userName))).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(await byEmail(person, 'second@acme.example')), 'subject_unknown')
  })

  it('of an e-mail address is whose primary one it is, whoever else has it too', async () => {
    const byEmail = await trust('email')
    const value = 'team@acme.example'
    await world.engineer({ emails: [{ value: 'own@acme.example', primary: true }, { value }] })
    const person = await world.engineer({ emails: [{ value, primary: true }] })
    const { status, body } = await world.redeem(await byEmail(person, value))
    expect(status).toBe(200)
    expect((await world.admin.introspect(body.access_token)).sub).toBe(person.id)
  })

  it('of an e-mail address that two people have is nobody', async () => {
    const byEmail = await trust('email')
    const emails = [{ value: 'shared@acme.example', type: 'work', primary: true }]
    const [one, other] = [await world.engineer({ emails }), await world.engineer({ emails })]
    expectInvalidGrant(world, await world.redeem(await byEmail(one, 'shared@acme.example')), 'subject_ambiguous')
    await world.okta.send('DELETE', `/Users/${other.id}`)
    expect(await world.redeem(await byEmail(one, 'shared@acme.example'))).toMatchObject({ status: 200 })
  })

  it.each([
    ['the primary address', 'claimed-0@acme.example', 200],
    ['another address of the user, in another case', 'OTHER-1@acme.example', 200],
    ['the address of nobody', 'somebody-else@acme.example', 400],
    ['an empty one', '', 400],
    ['one that is no text', 7, 400],
  ])('with an email claim of %s', async (what, email, status) => {
    const n = what.length
    const emails = [
      { value: 'claimed-0@acme.example', primary: true },
      { value: 'other-1@acme.example' },
      { value: `filler-${n}@acme.example` },
    ]
    const person = await world.engineer({ emails })
    const answer = await world.redeem(await world.mint(person, { email }))
    if (status === 200) expect(answer.status).toBe(200)
    else expectInvalidGrant(world, answer, 'email_contradicts')
  })

  it('is looked at once more under the lock: a subject that moved on meanwhile is somebody else', async () => {
    const person = await world.engineer()
    await world.owner.query('begin')
    await world.owner.query('select 1 from user_state where user_id = $1 for no key update', [person.id])
    const waiting = world.redeem(await world.mint(person))
    await waitFor(isWaitedFor, { what: 'the request to wait for the lock' })
    const moved = `document = document || '{"externalId": "00u-moved"}', external_id = '00u-moved'`
    await world.owner.query(`update scim_user set ${moved} where id = $1`, [person.id])
    await world.owner.query('commit')
    expectInvalidGrant(world, await waiting, 'subject_unknown')
  })

  it('is one only together with its tenant, where an issuer has several', async () => {
    const person = await world.engineer()
    const byTenant = await trust('externalId', 't1')
    expect(await world.redeem(await byTenant(person, person.externalId))).toMatchObject({ status: 200 })
    for (const tenant of ['t2', undefined, '', 7]) {
      const other = await byTenant(person, person.externalId, { tenant })
      expectInvalidGrant(world, await world.redeem(other), 'issuer_unknown')
    }
  })

  it("finds nobody of another directory, and an issuer opens one directory's people only", async () => {
    const umbrella = await registerDirectory(world.admin, 'umbrella', 'entra')
    const stranger = { id: '', userName: 'stranger@umbrella.example', externalId: '00u-stranger' }
    stranger.id = (await umbrella.createUser(stranger.userName, { externalId: stranger.externalId })).id
    const rule = { directory: 'umbrella', server: 'linear', when: 'userName pr', scopes: ['read'] }
    await world.admin.put('/rules/umbrella', rule)
    expectInvalidGrant(world, await world.redeem(await world.mint(stranger)), 'subject_unknown')
    const issuer = `${world.idp.issuer}/umbrella`
    const given = { issuer, jwksUri: world.idp.jwksUri, subject: 'externalId' }
    await world.admin.put('/directories/umbrella/issuer', given)
    expect(await world.redeem(await world.mint(stranger, { iss: issuer }))).toMatchObject({ status: 200 })
    const person = await world.engineer()
    expectInvalidGrant(world, await world.redeem(await world.mint(person, { iss: issuer })), 'subject_unknown')
  })

  it('is unknown from an issuer that was removed', async () => {
    const person = await world.engineer()
    const byUserName = await trust('userName')
    const assertion = await byUserName(person, person.userName)
    await world.admin.delete('/directories/acme/issuers/by-username')
    expectInvalidGrant(world, await world.redeem(assertion), 'issuer_unknown')
  })
})

describe('§1.7 step 17: the sign-in', () => {
  const issuer = () => `${world.idp.issuer}/step-up`
  const now = () => Math.floor(Date.now() / 1_000)

  beforeAll(async () => {
    const given = { issuer: issuer(), jwksUri: world.idp.jwksUri, subject: 'externalId' }
    const asked = { maxAuthAgeSeconds: 3_600, acrValues: ['phr', 'phrh'] }
    await world.admin.put('/directories/acme/issuers/step-up', { ...given, ...asked })
  })

  it.each([
    ['too long ago', () => ({ auth_time: now() - 3_700, acr: 'phr' })],
    ['nobody knows when', () => ({ acr: 'phr' })],
    ['at a time that is none', () => ({ auth_time: String(now()), acr: 'phr' })],
    ['too weak', () => ({ auth_time: now(), acr: 'pwd' })],
    ['nobody knows how', () => ({ auth_time: now() })],
  ])(
    '§7.21: asks for another where it was %s, says what is enough as a JSON OAuth error, and leaves the assertion good',
    async (_what, claims) => {
      const person = await world.engineer()
      const assertion = await world.mint(person, { iss: issuer(), ...claims() })
      const answer = await world.redeem(assertion)
      expectRefused(answer, 400, 'insufficient_user_authentication')
      expect(answer.body).toMatchObject({ max_age: 3_600, acr_values: 'phr phrh' })
      // Not used up: the same again is refused for the same reason.
      expectRefused(await world.redeem(assertion), 400, 'insufficient_user_authentication')
      expect((await world.admin.get(`/grants?user=${person.id}`)).items).toEqual([])
    },
  )

  it('is enough when it was recent and strong; of whoever is cut it is not even asked', async () => {
    const person = await world.engineer()
    const good = { iss: issuer(), auth_time: now() - 600, acr: 'phrh' }
    expect(await world.redeem(await world.mint(person, good))).toMatchObject({ status: 200 })
    await world.okta.setActive(person.id, false)
    expectInvalidGrant(world, await world.redeem(await world.mint(person, { iss: issuer() })), 'user_inactive')
  })

  it('is not asked for by an issuer that was registered without', async () => {
    expect(await world.redeem(await world.mint(await world.engineer()))).toMatchObject({ status: 200 })
  })
})

describe('§1.7 step 18: once only', () => {
  it('takes an ID-JAG once, however often it is presented at the same time', async () => {
    const person = await world.engineer()
    const assertion = await world.mint(person)
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => world.redeem(assertion)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400])
    expectInvalidGrant(world, await world.redeem(assertion), 'reused')
    expect((await world.admin.get(`/grants?user=${person.id}`)).items).toHaveLength(1)
  })

  it('knows a jti by its issuer', async () => {
    const person = await world.engineer()
    const jti = randomUUID()
    const issuer = `${world.idp.issuer}/another`
    const given = { issuer, jwksUri: world.idp.jwksUri, subject: 'externalId' }
    await world.admin.put('/directories/acme/issuers/another', given)
    expect(await world.redeem(await world.mint(person, { jti }))).toMatchObject({ status: 200 })
    expect(await world.redeem(await world.mint(person, { jti, iss: issuer }))).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(await world.mint(person, { jti })), 'reused')
  })

  it.each([
    [
      'its client could not prove itself',
      (assertion: string) => world.redeem(assertion, {}, basic('claude', 'x')),
      401,
    ],
    [
      'it asked for another resource',
      (assertion: string) => world.redeem(assertion, { resource: 'https://x.example' }),
      400,
    ],
    ['it asked for other scopes', (assertion: string) => world.redeem(assertion, { scope: 'admin' }), 400],
  ])('is not used up by a request that failed because %s', async (_what, fail, status) => {
    const assertion = await world.mint(await world.engineer())
    expect(await fail(assertion)).toMatchObject({ status })
    expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })

  it('takes it again from the same client where the directory says so, and from no other', async () => {
    const person = await world.engineer()
    await world.admin.send('PATCH', '/directories/acme', { assertionReuse: 'same_client_until_exp' })
    const assertion = await world.mint(person)
    const [first, second] = [await world.redeem(assertion), await world.redeem(assertion)]
    expect([first.status, second.status]).toEqual([200, 200])
    expect(first.body.access_token).not.toBe(second.body.access_token)
    const { secret } = await world.admin.post('/clients', { id: 'thief', auth: 'client_secret_basic' })
    expectInvalidGrant(world, await world.redeem(assertion, {}, basic('thief', secret)), 'client')
    await world.okta.setActive(person.id, false)
    expectInvalidGrant(world, await world.redeem(assertion), 'user_inactive')
    await world.okta.setActive(person.id, true)
    expectInvalidGrant(world, await world.redeem(assertion), 'issued_before_cut')
    await world.admin.send('PATCH', '/directories/acme', { assertionReuse: 'forbid' })
  })
})

describe('§1.8: busy', () => {
  it('counts requests per client and person, survives two attempts for one, and says when to come back', async () => {
    const { secret } = await world.admin.post('/clients', {
      id: 'slow',
      auth: 'client_secret_basic',
      tokenRequestsPerMinute: 3,
    })
    const [person, other] = [await world.engineer(), await world.engineer()]
    const ask = async (who: Person, client = 'slow', credentials = basic('slow', secret)) =>
      world.redeem(await world.mint(who, { client_id: client }), {}, credentials)
    const replayed = await world.mint(person, { client_id: 'slow' })
    expect(await world.redeem(replayed, {}, basic('slow', secret))).toMatchObject({ status: 200 })
    expectInvalidGrant(world, await world.redeem(replayed, {}, basic('slow', secret)), 'reused')
    expect(await ask(person)).toMatchObject({ status: 200 })
    const refused = await ask(person)
    expectRefused(refused, 429, 'temporarily_unavailable')
    expect(refused.headers.get('retry-after')).toMatch(/^(1\d|20)$/)
    expect(await ask(other)).toMatchObject({ status: 200 })
    expect(await ask(person, 'claude', world.claude)).toMatchObject({ status: 200 })
  })

  it('does not count what carries no signature of the issuer', async () => {
    const { secret } = await world.admin.post('/clients', {
      id: 'single',
      auth: 'client_secret_basic',
      tokenRequestsPerMinute: 1,
    })
    const person = await world.engineer()
    const key = await world.idp.makeKey()
    const forged = await world.mint(person, { client_id: 'single' }, { key })
    for (const _attempt of [1, 2, 3]) await world.redeem(forged, {}, basic('single', secret))
    expect(
      await world.redeem(await world.mint(person, { client_id: 'single' }), {}, basic('single', secret)),
    ).toMatchObject({
      status: 200,
    })
  })
})

describe('the line of a request', () => {
  it('says who, which issuer, which assertion by its hash, and why; and what came of it', async () => {
    const person = await world.engineer()
    const assertion = await world.mint(person)
    await world.redeem(assertion)
    const granted = world.lastLine()
    const facts = {
      client: 'claude',
      issuer: world.idp.issuer,
      jtiHash: expect.stringMatching(/^[\w-]{43}$/),
      userId: person.id,
    }
    expect(granted).toMatchObject({
      ...facts,
      status: 200,
      serverId: 'linear',
      grantId: expect.stringMatching(/^grt_/),
    })
    await world.redeem(assertion)
    expect(world.lastLine()).toMatchObject({ ...facts, jtiHash: granted.jtiHash, reason: 'reused' })
    const log = JSON.stringify(world.tenure.log)
    expect(world.tenure.log.some(({ msg }: Json) => msg === 'request.failed')).toBe(false)
    for (const part of assertion.split('.').slice(1)) expect(log).not.toContain(part)
    expect(log).not.toContain(world.claudeSecret)
  })
})
