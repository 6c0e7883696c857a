import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../support/clients.ts'
import { type IdJagIssuer, startIdJagIssuer } from '../support/id-jag-issuer.ts'
import {
  expectInvalidGrant,
  expectRefused,
  type OAuthWorld,
  type Person,
  resourceOf,
  startOAuthWorld,
} from '../support/oauth-world.ts'
import { waitFor } from '../support/wait-for.ts'

let world: OAuthWorld
const started: IdJagIssuer[] = []

beforeAll(async () => {
  world = await startOAuthWorld()
})
afterAll(async () => {
  await world?.close()
  for (const idp of started) await idp.close()
})

/** An identity provider that is trusted for `acme` and whose keys have not been asked for yet. */
async function trustAnother(): Promise<{ idp: IdJagIssuer; mint(person: Person): Promise<string> }> {
  const idp = await startIdJagIssuer()
  started.push(idp)
  const given = { issuer: idp.issuer, jwksUri: idp.jwksUri, subject: 'externalId' }
  await world.admin.put(`/directories/acme/issuers/idp-${started.length}`, given)
  return {
    idp,
    mint: ({ externalId: sub }) =>
      idp.mint({ sub, aud: world.tenure.url, client_id: 'claude', resource: resourceOf('linear'), scope: 'read' }),
  }
}

function expectTryAgain(answer: Answer): void {
  expectRefused(answer, 503, 'temporarily_unavailable')
  expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  expect(answer.body.error_description).not.toMatch(/127\.0\.0\.1|jwks/)
}

describe('§1.8: trouble on our side is 503 in JSON, and leaves the assertion good', () => {
  it.each(['broken', 'garbage'] as const)('with a key set that is %s', async (how) => {
    const { idp, mint } = await trustAnother()
    const assertion = await mint(await world.engineer())
    idp.serve(how)
    expectTryAgain(await world.redeem(assertion))
    idp.serve('good')
    const answer = await waitFor(
      async () => {
        const again = await world.redeem(assertion)
        return again.status === 503 ? undefined : again
      },
      { what: 'the key set to be asked for again', intervalMs: 250 },
    )
    expect(answer.status).toBe(200)
  })

  it('with a key set at an address that nobody listens at', async () => {
    const { idp, mint } = await trustAnother()
    const assertion = await mint(await world.engineer())
    await idp.close()
    started.splice(started.indexOf(idp), 1)
    expectTryAgain(await world.redeem(assertion))
  })

  it('and a key set that stalls holds up nobody else, a cut least of all', async () => {
    const { idp, mint } = await trustAnother()
    const [person, other] = [await world.engineer(), await world.engineer()]
    idp.serve('stalled')
    const waiting = world.redeem(await mint(person))
    await waitFor(() => idp.fetches === 1, { what: 'the key set to be asked for' })
    expect(await world.redeem(await world.mint(other))).toMatchObject({ status: 200 })
    expect(await world.redeem(await world.mint(person))).toMatchObject({ status: 200 })
    await world.okta.setActive(person.id, false)
    idp.serve('good')
    expectInvalidGrant(world, await waiting, 'user_inactive')
  })

  it('asks for a key set once for many at the same time', async () => {
    const { idp, mint } = await trustAnother()
    const people = await Promise.all([1, 2, 3].map(() => world.engineer()))
    const answers = await Promise.all(people.map(async (person) => world.redeem(await mint(person))))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(idp.fetches).toBe(1)
  })

  it('takes the signatures of every key that is served, while a new one is on its way in', async () => {
    const { idp, mint } = await trustAnother()
    const person = await world.engineer()
    const old = await mint(person)
    await idp.rotate('RS256')
    const young = await mint(person)
    await idp.rotate('EdDSA')
    for (const assertion of [old, young, await mint(person)])
      expect(await world.redeem(assertion)).toMatchObject({ status: 200 })
  })
})
