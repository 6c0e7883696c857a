import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Cause } from '../../src/directory/state.ts'
import { createGate } from '../../src/entitlement/gate.ts'
import { createGrants, type Grants } from '../../src/ledger/grants.ts'
import { createIssuance, type Issued, type IssueToken, type TokenRequest } from '../../src/ledger/issuance.ts'
import { hashSecret, newSecret } from '../../src/secrets.ts'
import { type Clients, createClients } from '../../src/trust/clients.ts'
import { type Company, createCompany } from '../support/company.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect } from '../support/postgres.ts'

const cause: Cause = { source: 'scim', actor: 'tok_test' }
const noHint = () => {}

let company: Company
let gate: ReturnType<typeof createGate>
let issue: IssueToken
let grants: Grants
let clients: Clients
let locks: LockWatch
/** The statements of a transaction, one at a time, each when the test says so. */
let byHand: pg.Client
let names = 0

beforeAll(async () => {
  company = await createCompany()
  const { db, policies, url } = company
  gate = createGate({ policies })
  issue = createIssuance({ db, gate })
  grants = createGrants({ db, gate, hintUser: noHint })
  const refuseNothing = { checkConfiguredUrl: (text: string) => new URL(text) }
  clients = createClients({ db, egress: refuseNothing, documents: { find: async () => undefined }, hintUser: noHint })
  locks = await watchLocks({ db, url })
  byHand = await connect({ url })
  await company.rule('engineers', 'title eq "Engineer"', { scopes: ['read', 'write'] })
})
afterEach(() => byHand.query('rollback'))
afterAll(async () => {
  await byHand?.end()
  await locks?.close()
  await company?.close()
})

const engineer = () => company.join(`engineer-${names++}@acme.example`, { title: 'Engineer' })

/** A token for this user, by an assertion of a minute ahead, so that only the gate decides. */
function request(userId: string, given: Partial<TokenRequest> = {}): Promise<Issued> {
  return issue({
    userId,
    serverId: 'linear',
    client: 'claude',
    scopes: ['read'],
    lifeSeconds: 600,
    format: 'opaque',
    assertion: {
      issuerId: 'iss_test',
      jtiHash: hashSecret(randomUUID()),
      reuse: 'forbid',
      issuedAtSeconds: Math.floor(Date.now() / 1_000) + 60,
      overAt: new Date(Date.now() + 300_000),
      actor: undefined,
    },
    holdClient: async () => true,
    contradiction: () => undefined,
    mint: async () => newSecret('tnr_at'),
    ...given,
  })
}

/** Out of now, so that an assertion of now is from before. */
const assertionOfNow = (): Partial<TokenRequest> => ({
  assertion: {
    issuerId: 'iss_test',
    jtiHash: hashSecret(randomUUID()),
    reuse: 'forbid',
    issuedAtSeconds: Math.floor(Date.now() / 1_000),
    overAt: new Date(Date.now() + 300_000),
    actor: undefined,
  },
})

async function isGood({ token }: { readonly token: string }): Promise<boolean> {
  return (await gate.check(company.db, sql<boolean>`g.token_hash = ${hashSecret(token)}`))!.good
}

function issued(outcome: Issued): Extract<Issued, { token: string }> {
  if (outcome.refused !== undefined) throw new Error(`refused: ${outcome.refused}`)
  return outcome
}

describe('promise 2: a token request that meets a cut, by order', () => {
  it.each([
    ['a deactivation', (user: string) => company.update(user, { active: false }), 'user_inactive'],
    ['a deletion', (user: string) => company.leave(user), 'user_deleted'],
    ["an operator's cut", (user: string) => company.users.cut(user, cause), 'issued_before_cut'],
    ['an attribute that the rule names', (user: string) => company.update(user, { title: 'Sales' }), 'not_entitled'],
  ])('waits for %s that came first and has yet to commit, and is refused', async (_what, take, refused) => {
    const user = await engineer()
    await byHand.query('begin')
    await byHand.query('lock table lifecycle_event in share mode')
    const taken = take(user)
    await locks.waitUntilWaiting(1)
    const outcome = request(user, assertionOfNow())
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    await taken
    expect(await outcome).toEqual({ refused })
    expect(await grants.list({ userId: user, limit: 10 })).toEqual([])
    const { rows } = await byHand.query("select 1 from ledger_entry where user_id = $1 and kind = 'granted'", [user])
    expect(rows).toEqual([])
  })

  it('waits for a cut, and is given its token when that is rolled back', async () => {
    const user = await engineer()
    await byHand.query('begin')
    await byHand.query('update user_state set epoch = epoch + 1, not_before = clock_timestamp() where user_id = $1', [
      user,
    ])
    const outcome = request(user, assertionOfNow())
    await locks.waitUntilWaiting(1)
    await byHand.query('rollback')
    expect(await isGood(issued(await outcome))).toBe(true)
  })

  it('makes a cut wait that comes second, which then voids the token', async () => {
    const user = await engineer()
    await byHand.query('begin')
    await byHand.query('lock table assertion_use in share mode')
    const outcome = request(user)
    await locks.waitUntilWaiting(1)
    const cut = company.users.cut(user, cause)
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    const token = issued(await outcome)
    await cut
    expect(await isGood(token)).toBe(false)
    const [grant] = await grants.list({ userId: user, limit: 10 })
    expect(grant).toMatchObject({ id: token.grantId, state: 'closed', closedReason: 'cut', expectedDeadBy: null })
  })

  it('issues to several requests at once, which do not wait for one another', async () => {
    const user = await engineer()
    await byHand.query('begin')
    await byHand.query('select 1 from user_state where user_id = $1 for share', [user])
    const outcomes = await Promise.all([1, 2, 3].map(() => request(user)))
    expect(outcomes.map(({ refused }) => refused)).toEqual([undefined, undefined, undefined])
  })

  it('is refused its client when the removal of that came first, and otherwise loses the token to it', async () => {
    const user = await engineer()
    await clients.create({ id: 'cursor', auth: 'none' })
    const client = (await clients.find('cursor'))!
    const through: Partial<TokenRequest> = { client: 'cursor', holdClient: (trx) => clients.hold(trx, client) }
    await byHand.query('begin')
    await byHand.query('lock table assertion_use in share mode')
    const outcome = request(user, through)
    await locks.waitUntilWaiting(1)
    const removed = clients.remove('cursor', cause)
    await locks.waitUntilWaiting(2)
    await byHand.query('commit')
    const token = issued(await outcome)
    await removed
    expect(await isGood(token)).toBe(false)
    expect(await request(user, through)).toEqual({ refused: 'client_removed' })
  })

  it('neither deadlocks nor leaves a good token behind in a crowd of requests, cuts, converges and revocations', async () => {
    await locks.expectNoDeadlock(async () => {
      const crowd = await Promise.all(Array.from({ length: 12 }, engineer))
      for (let round = 0; round < 8; round++) {
        const requested = crowd.flatMap((user) => [request(user), request(user, assertionOfNow())])
        const others = crowd.flatMap((user, index) => [
          index % 3 === 0 ? company.converge(user) : company.users.cut(user, cause),
          index % 2 === 0 ? grants.revokeAll(user, {}, cause) : company.converge(user),
        ])
        await Promise.all(others)
        const outcomes = await Promise.all(requested)
        // Whatever was issued before the last cut of its user is dead, by the epoch it was written under.
        for (const [index, outcome] of outcomes.entries()) {
          if (outcome.refused !== undefined) continue
          const user = crowd[Math.floor(index / 2)]!
          await company.users.cut(user, cause)
          expect(await isGood(issued(outcome))).toBe(false)
        }
      }
    })
  })

  it('uses one assertion up for one of two that are at it together, and only if that one commits', async () => {
    const user = await engineer()
    const { assertion } = assertionOfNow()
    await byHand.query('begin')
    await byHand.query(
      'insert into assertion_use (issuer_id, jti_hash, client, expires_at) values ($1, $2, $3, now())',
      ['iss_test', assertion!.jtiHash, 'claude'],
    )
    const outcome = request(user, { assertion: assertion! })
    await locks.waitUntilWaiting(1)
    await byHand.query('rollback')
    const token = issued(await outcome)
    expect(await isGood(token)).toBe(true)
    expect(await request(user, { assertion: assertion! })).toEqual({ refused: 'reused' })
  })

  it('leaves the assertion good when the token cannot be made', async () => {
    const user = await engineer()
    const { assertion } = assertionOfNow()
    const broken = request(user, { assertion: assertion!, mint: () => Promise.reject(new Error('no key')) })
    await expect(broken).rejects.toThrow('no key')
    expect(await isGood(issued(await request(user, { assertion: assertion! })))).toBe(true)
  })
})
