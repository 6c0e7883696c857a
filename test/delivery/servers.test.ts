import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createEgress } from '../../src/connectors/egress.ts'
import { createConnectors } from '../../src/connectors/registry.ts'
import { createServers, type ServerChange, type ServerRecord, type Servers } from '../../src/delivery/servers.ts'
import { createDirectories } from '../../src/directory/directories.ts'
import { createGate } from '../../src/entitlement/gate.ts'
import { Conflict } from '../../src/errors.ts'
import { purgeLeft } from '../../src/housekeeping/leaving.ts'
import { createGrants } from '../../src/ledger/grants.ts'
import { parsePrivateTargets } from '../../src/private-targets.ts'
import { createSealer } from '../../src/secrets.ts'
import { type Company, createCompany } from '../support/company.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect } from '../support/postgres.ts'

let company: Company
let servers: Servers
let locks: LockWatch
/** The statements of a transaction that another process has under way. */
let byHand: pg.Client
let names = 0

beforeAll(async () => {
  company = await createCompany()
  byHand = await connect({ url: company.url })
  locks = await watchLocks(company)
  const egress = createEgress({ allowPrivateTargets: parsePrivateTargets('true') })
  servers = createServers({
    db: company.db,
    connectors: createConnectors({ egress }),
    sealer: createSealer(['a-sealing-key-of-this-test-of-40-letters']),
    onPolicy: () => {},
    onDue: () => {},
  })
})
afterEach(async () => {
  // A test that failed half way must not leave the others waiting.
  await byHand.query('rollback')
})
afterAll(async () => {
  await byHand?.end()
  await locks?.close()
  await company?.close()
})

const another = { connectors: [{ type: 'webhook', url: 'https://new.example/hooks' }] }

async function newServer(): Promise<ServerRecord> {
  const id = `server-${names++}`
  const connectors = [{ type: 'webhook', url: `https://${id}.example/hooks` }]
  await servers.create({ id, name: id, resource: `https://${id}.example/mcp`, connectors })
  return servers.get(id)
}

/** A server, and somebody who has access there, of whom it has yet to be told. */
async function joiner(): Promise<{ server: ServerRecord; user: string }> {
  const server = await newServer()
  const userName = `${server.id}@acme.example`
  const user = await company.join(userName)
  await company.rule(server.id, `userName eq "${userName}"`, { server: server.id })
  await company.converge(user)
  return { server, user }
}

/** A server, and somebody who has lost access there, of whom it was told only that they have it. */
async function leaver(): Promise<{ server: ServerRecord; user: string }> {
  const { server, user } = await joiner()
  await settleAll(server)
  await company.leave(user)
  await company.converge(user)
  expect(await deliveries(server)).toEqual([{ user, connector: server.connectors[0]!.id, urgent: true, owed: true }])
  return { server, user }
}

/** As if the server had taken whatever it was sent. */
async function settleAll({ id }: ServerRecord): Promise<void> {
  await byHand.query(
    `update delivery set delivered_generation = wanted_generation, urgent = false, due_at = null, behind_since = null where server_id = $1`,
    [id],
  )
}

async function deliveries({ id }: ServerRecord) {
  const { rows } = await byHand.query(
    `select user_id as "user", connector_id as connector, urgent, wanted_generation is distinct from delivered_generation as owed
     from delivery where server_id = $1 order by connector_id`,
    [id],
  )
  return rows
}

async function isPurged({ id }: ServerRecord): Promise<boolean> {
  await purgeLeft(company.db, { tombstoneDays: undefined })
  const { rows } = await byHand.query('select purged_at is not null as purged from server where id = $1', [id])
  return rows[0].purged
}

describe('a connector that is removed while a send through it is settled', () => {
  it.each([
    ['with its server', ({ id }: ServerRecord) => servers.remove(id, { tell: false })],
    ['by a change of its server', ({ id }: ServerRecord) => servers.change(id, another, { tell: true })],
  ])('takes the attempt with it, %s', async (_what, remove) => {
    const { server, user } = await joiner()
    const { rows } = await byHand.query('select id from delivery where server_id = $1', [server.id])
    await byHand.query('begin')
    await byHand.query('select 1 from delivery where id = $1 for no key update', [rows[0].id])
    await byHand.query(
      `insert into attempt (id, delivery_id, generation, started_at, outcome) values ($1, $2, 1, now(), 'applied')`,
      [`att_${server.id}`, rows[0].id],
    )
    const removed = remove(server)
    await Promise.race([removed, locks.waitUntilWaiting(1)])
    await byHand.query('commit')
    await removed
    expect((await byHand.query('select 1 from attempt where id = $1', [`att_${server.id}`])).rows).toEqual([])
    await company.converge(user)
    expect((await deliveries(server)).map(({ connector }) => connector)).not.toContain(server.connectors[0]!.id)
  })
})

describe('what a connector that is removed has yet to hear of people who lost access', () => {
  it('is owed to the one that comes in its place, at once', async () => {
    const { server, user } = await leaver()
    const { connectors } = await servers.change(server.id, another, { tell: true })
    expect(await deliveries(server)).toEqual([{ user, connector: connectors[0]!.id, urgent: true, owed: true }])
    await company.converge(user)
    expect(await deliveries(server)).toEqual([{ user, connector: connectors[0]!.id, urgent: true, owed: true }])
  })

  it('is owed to the new one also when the access is lost in the very moment of the change', async () => {
    const { server, user } = await joiner()
    await settleAll(server)
    // A converge that has written what it has to say, and is about to commit.
    await byHand.query('begin')
    await byHand.query(
      `update entitlement set active = false, generation = nextval('generation') where user_id = $1 and server_id = $2`,
      [user, server.id],
    )
    await byHand.query(
      `update delivery set wanted_generation = currval('generation'), urgent = true, due_at = now() where user_id = $1 and server_id = $2`,
      [user, server.id],
    )
    const changed = servers.change(server.id, another, { tell: true })
    await locks.waitUntilWaiting(1)
    await byHand.query('commit')
    const { connectors } = await changed
    expect(await deliveries(server)).toEqual([{ user, connector: connectors[0]!.id, urgent: true, owed: true }])
  })

  it('is owed to the new one also when a converge that began before the change ends after it', async () => {
    const { server, user } = await leaver()
    const [removed] = server.connectors
    const { connectors } = await servers.change(server.id, another, { tell: false })
    // It knew the old connector and not the new one.
    await byHand.query(
      `insert into delivery (id, connector_id, server_id, user_id, wanted_generation, urgent, due_at)
       select $1, $2, server_id, user_id, generation, true, now() from entitlement where server_id = $3`,
      [`dlv_${server.id}`, removed!.id, server.id],
    )
    await purgeLeft(company.db, { tombstoneDays: undefined })
    expect(await deliveries(server)).toEqual([{ user, connector: connectors[0]!.id, urgent: true, owed: true }])
  })

  it('keeps it from being removed when there is no new one', async () => {
    const { server } = await leaver()
    const before = await deliveries(server)
    const removed = servers.change(server.id, { name: 'Changed', connectors: [] }, { tell: true })
    await expect(removed).rejects.toThrow(Conflict)
    await expect(removed).rejects.toThrow('Of 1 people')
    expect(await deliveries(server)).toEqual(before)
    expect(await servers.get(server.id)).toEqual(server)
  })

  it.each([
    ['with a new one', another],
    ['without', { connectors: [] }],
  ])('is told to nobody with tell=false, %s', async (_what, change: ServerChange) => {
    const { server, user } = await leaver()
    await servers.change(server.id, change, { tell: false })
    expect(await deliveries(server)).toEqual([])
    await company.converge(user)
    expect(await deliveries(server)).toEqual([])
  })

  it('is nothing when it has heard it all, or owes only news of who has access', async () => {
    const told = await leaver()
    await settleAll(told.server)
    const untold = await joiner()
    for (const { server } of [told, untold]) {
      const { connectors } = await servers.change(server.id, { connectors: [] }, { tell: true })
      expect(connectors).toEqual([])
      expect(await deliveries(server)).toEqual([])
    }
  })
})

describe('a server that is deleted', () => {
  it('stays until somebody with a grant there, whom nobody had converged, was converged and told of', async () => {
    const server = await newServer()
    const userName = `${server.id}@acme.example`
    const user = await company.join(userName)
    await company.converge(user)
    await company.rule(server.id, `userName eq "${userName}"`, { server: server.id })
    const grants = createGrants({ db: company.db, gate: createGate(company), hintUser: () => {} })
    const expiresAt = new Date(Date.now() + 3_600_000)
    const given = { directoryId: 'acme', userId: user, serverId: server.id, client: 'claude', scopes: ['read'] }
    const { grant } = await grants.record({ ...given, jti: server.id, expiresAt }, 'key:test')

    await servers.remove(server.id, { tell: true })
    expect(await isPurged(server)).toBe(false)
    await company.converge(user)
    expect(await grants.get(grant.id)).toMatchObject({ state: 'closed', closedReason: 'access' })
    expect(await deliveries(server)).toEqual([{ user, connector: server.connectors[0]!.id, urgent: true, owed: true }])
    expect(await isPurged(server)).toBe(false)
    await settleAll(server)
    expect(await isPurged(server)).toBe(true)
  })
})

describe('a connector that is added', () => {
  it('hears of the people of a directory whose first rule is written while the change waits', async () => {
    const { server } = await joiner()
    const other = `other-${names++}`
    await createDirectories({ db: company.db, hintUser: () => {} }).create({
      id: other,
      provider: 'okta',
      name: 'Other',
    })
    const { id: user } = await company.users.create(
      other,
      { userName: 'ada', active: true },
      { source: 'scim', actor: 't' },
    )
    // Whoever changes a rule of the directory that the change knows of.
    await byHand.query('begin')
    await byHand.query(`select 1 from directory where id = 'acme' for no key update`)
    const kept = server.connectors.map(({ id }) => ({ id }))
    const changed = servers.change(server.id, { connectors: [...kept, ...another.connectors] }, { tell: true })
    await locks.waitUntilWaiting(1)
    await company.rules.put({ id: other, directory: other, server: server.id, when: 'userName pr', scopes: ['read'] })
    await company.converge(user)
    await byHand.query('commit')
    const { connectors } = await changed

    expect(await isBehind(user)).toBe(true)
    await company.converge(user)
    const told = (await deliveries(server)).filter((delivery) => delivery.user === user)
    expect(told.map(({ connector }) => connector)).toEqual(connectors.map(({ id }) => id))
  })
})

/** Whether the sweep would have somebody converged anew because a policy has changed. */
async function isBehind(user: string): Promise<boolean> {
  const { rows } = await byHand.query(
    `select s.converged_policy_version < d.policy_version as behind
     from user_state s join directory d on d.id = s.directory_id where s.user_id = $1`,
    [user],
  )
  return rows[0].behind
}
