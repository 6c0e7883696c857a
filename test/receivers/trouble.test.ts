import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type IdJagIssuer, startIdJagIssuer } from '../support/id-jag-issuer.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { waitFor } from '../support/wait-for.ts'
import { appId, envelope, logEvent, post, userTarget } from './okta-calls.ts'
import { type ChannelWorld, makeSecret, startChannelWorld } from './world.ts'

let postgres: OwnPostgres
let world: ChannelWorld
let idp: IdJagIssuer
let secret: string

beforeAll(async () => {
  postgres = await startPostgres()
  world = await startChannelWorld('api', postgres)
  idp = await startIdJagIssuer()
  secret = makeSecret('event hook')
  await world.setUp('okta', { appId }, [secret])
  await world.setUp('global-token-revocation', { issuer: idp.issuer, jwksUri: idp.jwksUri })
})
afterAll(async () => {
  await world?.close()
  await idp?.close()
})

describe('P29: a database that is gone is 503, and the sender’s next try counts', () => {
  it('for a hook call and for a revocation', async () => {
    const [left, loggedOut] = [await world.join(), await world.join()]
    const body = envelope([logEvent('user.lifecycle.deactivate', [userTarget(left)])])
    const now = Math.floor(Date.now() / 1_000)
    const token = await idp.mint(
      { sub: 'client', aud: world.url('global-token-revocation'), nbf: now - 300, exp: now + 300 },
      { header: { typ: 'global-token-revocation+jwt' } },
    )
    const calls = [
      () => post(world.url('okta'), secret, body),
      () =>
        post(world.url('global-token-revocation'), `Bearer ${token}`, {
          sub_id: { format: 'email', email: loggedOut.userName },
        }),
      // Not even the address can be looked up; Okta asks once, and an admin again.
      () => fetch(world.url('okta'), { headers: { 'x-okta-verification-challenge': 'anybody' } }),
    ]
    await postgres.stop()
    for (const call of calls) {
      const { status, headers } = await call()
      expect(status).toBe(503)
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    }
    await postgres.start()
    for (const call of calls) {
      const answer = await waitFor(
        async () => {
          const { status } = await call()
          return status === 503 ? undefined : status
        },
        { what: 'the database to be back' },
      )
      expect(answer).toBeLessThan(300)
    }
    for (const person of [left, loggedOut]) expect(await world.isGood(person)).toBe(false)
  })
})
