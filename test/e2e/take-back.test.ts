import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  AdminClient,
  type Answer,
  type Json,
  patchSchema,
  type ScimClient,
  ServerClient,
  userSchema,
} from '../support/clients.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type ReceivedRequest, type Receiver, startReceiver } from '../support/receiver.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

/** Whatever an operator gave can be taken back: each way of doing so, from the call to what every server hears. */

let database: TestDatabase
let owner: pg.Client
let tenure: RunningTenure
let admin: AdminClient
const receivers: Receiver[] = []
let names = 0

beforeAll(async () => {
  database = await createDatabase()
  owner = await connect({ url: database.ownerUrl })
  tenure = await runTenure('all', database)
  admin = tenure.admin
})
afterEach(() => {
  // One that is left failing would keep the others from ever being settled.
  for (const receiver of receivers) receiver.behave()
})
afterAll(async () => {
  await tenure?.close()
  await owner?.end()
  await Promise.all(receivers.map((receiver) => receiver.close()))
  await database?.drop()
})

interface World {
  readonly directory: string
  readonly scim: ScimClient
  readonly server: RegisteredServer
  readonly rule: string
  readonly group: string
}

/** A directory, a server, and a rule that gives a group access to it. */
async function world({ server = undefined as RegisteredServer | undefined } = {}): Promise<World> {
  const name = `w${names++}`
  const scim = await registerDirectory(admin, name)
  const told = server ?? (await registerServer(admin, `${name}-server`))
  receivers.push(told.receiver)
  const rule = { directory: name, server: told.id, when: 'groups.display eq "Staff"', scopes: ['read'] }
  await admin.put(`/rules/${name}`, rule)
  const { id: group } = await scim.createGroup('Staff')
  return { directory: name, scim, server: told, rule: name, group }
}

/** Somebody in the group, of whom the server has heard. */
async function hire({ scim, group, server }: World): Promise<string> {
  const { id } = await scim.createUser(`person-${names++}@acme.example`)
  await scim.addMembers(group, id)
  await server.receiver.waitFor(({ message }) => message.data.user.id === id && message.data.active)
  return id
}

async function grantTo({ directory, server }: World, user: string): Promise<Json> {
  const token = `at-${names++}`
  const { status, body } = await admin.grant({
    directory,
    user: { id: user },
    server: server.id,
    scopes: ['read'],
    token,
  })
  expect(status).toBe(201)
  expect(await admin.introspect(token)).toMatchObject({ active: true })
  return { ...body, token }
}

function toldOf(user: string, { receiver }: RegisteredServer): ReceivedRequest[] {
  return receiver.requests.filter(({ message }) => message.data.user.id === user)
}

function lastTold(user: string, server: RegisteredServer): Json {
  return toldOf(user, server).at(-1)?.message
}

/** How many rows name what is asked for. */
async function count(from: string, value: string): Promise<number> {
  const { rows } = await owner.query(`select count(*)::int as count from ${from}`, [value])
  return rows[0].count
}

describe('DELETE /directories/{id}: everyone in it has left', () => {
  it('answers 202, and from then on nobody of it holds anything, its tokens included', async () => {
    const here = await world()
    const people = [await hire(here), await hire(here), await hire(here)]
    const grants = [await grantTo(here, people[0]!), await grantTo(here, people[1]!)]
    const inactive = await here.scim.createUser('inactive@acme.example', { active: false })

    const { status, body } = await admin.send('DELETE', `/directories/${here.directory}`)
    expect(status).toBe(202)
    expect(body).toMatchObject({ id: here.directory, users: 4 })
    for (const { token } of grants) expect(await admin.introspect(token)).toEqual({ active: false })
    expect((await here.scim.send('GET', '/Users')).status).toBe(401)
    expect((await admin.send('GET', `/directories/${here.directory}`)).status).toBe(404)
    expect((await admin.get('/rules?limit=1000')).items.map(({ id }: Json) => id)).not.toContain(here.rule)
    expect((await admin.send('POST', '/directories', { id: here.directory, provider: 'okta' })).status).toBe(409)

    for (const id of people) {
      const request = await here.server.receiver.waitFor(
        ({ message }) => message.data.user.id === id && message.data.active === false,
      )
      expect(request.message).toMatchObject({
        type: 'access.revoked',
        data: { cause: { kind: 'left', source: 'admin' } },
      })
    }
    expect(toldOf(inactive.id, here.server)).toEqual([])
  })

  it('keeps its rows while a server has yet to hear, and only the ledger afterwards', async () => {
    const here = await world()
    const user = await hire(here)
    await grantTo(here, user)
    here.server.receiver.behave({ status: 503 })
    await admin.delete(`/directories/${here.directory}`)
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === user && !message.data.active)
    const leaving = (await admin.get('/directories?leaving=true')).items.find(({ id }: Json) => id === here.directory)
    expect(leaving).toMatchObject({ pending: 1 })
    expect(await admin.get(`/users/${user}`)).toMatchObject({ deleted: true, active: false })
    const { items } = await admin.get(`/users/${user}/timeline`)
    expect(items.map(({ kind }: Json) => kind)).toEqual(expect.arrayContaining(['cut', 'closed', 'attempt']))

    here.server.receiver.behave()
    await admin.post('/jobs/replay', { server: here.server.id })
    await waitFor(async () => (await admin.send('GET', `/users/${user}`)).status === 404, { what: 'the rows to go' })
    await waitFor(async () => (await admin.get('/directories?leaving=true')).items.length === 0, {
      what: 'the directory to have left',
    })
    for (const table of ['scim_user', 'scim_group', 'user_state', 'lifecycle_event', 'access_grant']) {
      expect(await count(`${table} where directory_id = $1`, here.directory)).toBe(0)
    }
    for (const table of ['entitlement', 'delivery', 'group_user']) {
      expect(await count(`${table} where user_id = $1`, user)).toBe(0)
    }
    const { rows } = await owner.query('select distinct kind from ledger_entry where user_id = $1 order by kind', [
      user,
    ])
    expect(rows.map(({ kind }) => kind)).toEqual(['closed', 'cut', 'delivered', 'entitled', 'granted'])
  })

  it('touches nobody of another directory', async () => {
    const [one, other] = [await world(), await world()]
    const user = await hire(other)
    const { token } = await grantTo(other, user)
    await hire(one)
    await admin.delete(`/directories/${one.directory}`)
    expect(await admin.introspect(token)).toMatchObject({ active: true })
    expect((await other.scim.send('GET', `/Users/${user}`)).status).toBe(200)
  })
})

describe('DELETE /directories/{id} while its identity provider writes and its servers record grants', () => {
  it('leaves nothing that is good, nobody who is active, and no rows', async () => {
    const server = await registerServer(admin, `w${names++}-server`, { concurrency: 50 })
    for (let round = 0; round < 3; round++) await deleteUnderLoad(await world({ server }))

    await admin.waitUntilSettled()
    expect([...server.receiver.users.values()].filter(({ active }) => active)).toEqual([])
    await waitFor(async () => (await admin.get('/directories?leaving=true')).items.length === 0, {
      what: 'the directories to have left',
      timeoutMs: 30_000,
    })
    expect(await count('delivery where server_id = $1', server.id)).toBe(0)
  })

  /** Every loop goes on from before the deletion until it has had some answers after it. */
  async function deleteUnderLoad({ directory, scim, server, group }: World): Promise<void> {
    const newPerson = () => scim.createUser(`person-${names++}@acme.example`)
    const people: string[] = (await Promise.all(Array.from({ length: 40 }, newPerson))).map(({ id }) => id)
    await scim.addMembers(group, ...people)
    const tokens: string[] = []
    const answers: Answer[] = []
    let deletedAfter = Number.POSITIVE_INFINITY
    let next = 0
    const deleted = people.splice(0, 10)
    const person = () => people[next++ % people.length]!

    const loops = [
      () => scim.send('POST', '/Users', { schemas: [userSchema], userName: `person-${names++}@acme.example` }),
      () => scim.send('PATCH', `/Users/${person()}`, patch({ op: 'replace', value: { active: next % 3 !== 0 } })),
      () => scim.send('PATCH', `/Groups/${group}`, patch(member(next % 2 === 0 ? 'add' : 'remove', person()))),
      () => scim.send('DELETE', `/Users/${deleted[next++ % deleted.length]}`),
      async () => {
        const token = `at-${names++}`
        const grant = { directory, user: { id: person() }, server: server.id, scopes: ['read'], token }
        const answer = await admin.grant(grant)
        if (answer.status === 201) tokens.push(token)
        return answer
      },
    ].map(async (ask) => {
      for (let after = 0; after < 5; ) {
        answers.push(await ask())
        if (answers.length > deletedAfter) after++
      }
    })
    await waitFor(() => tokens.length >= 5, { what: 'some grants to be recorded' })
    const { status } = await admin.send('DELETE', `/directories/${directory}`)
    const stillGood = await goodOf(tokens)
    deletedAfter = answers.length
    await Promise.all(loops)

    expect(status).toBe(202)
    expect(stillGood).toEqual([])
    expect(await goodOf(tokens)).toEqual([])
    // 400: members to be added who have just left.
    const expected = [200, 201, 204, 400, 401, 403, 404, 409]
    expect(answers.filter((answer) => !expected.includes(answer.status))).toEqual([])
    await waitFor(async () => (await count('directory where id = $1 and purged_at is not null', directory)) === 1, {
      what: 'its rows to go',
      timeoutMs: 30_000,
    })
    for (const table of ['scim_user', 'scim_group', 'user_state', 'lifecycle_event', 'access_grant', 'rule'])
      expect(await count(`${table} where directory_id = $1`, directory)).toBe(0)
  }

  const patch = (...Operations: Json[]) => ({ schemas: [patchSchema], Operations })
  const member = (op: 'add' | 'remove', value: string) => ({ op, path: 'members', value: [{ value }] })

  async function goodOf(tokens: readonly string[]): Promise<string[]> {
    const good: string[] = []
    for (const token of tokens) if ((await admin.introspect(token)).active) good.push(token)
    return good
  }
})

describe('DELETE /servers/{id}: nobody may hold anything there', () => {
  it('denies at once, tells everyone out, and is gone once they were told', async () => {
    const here = await world()
    const [user, leaver] = [await hire(here), await hire(here)]
    const { token } = await grantTo(here, user)
    const asServer = new ServerClient(admin.url, await admin.post(`/servers/${here.server.id}/credentials`))
    here.server.receiver.behave({ status: 500 })
    await here.scim.setActive(leaver, false)

    await admin.delete(`/servers/${here.server.id}`)
    expect(await admin.introspect(token)).toEqual({ active: false })
    expect((await asServer.send('POST', '/admin/v1/grants', {})).status).toBe(401)
    expect((await admin.send('GET', `/servers/${here.server.id}`)).status).toBe(404)
    expect((await admin.send('GET', `/rules/${here.rule}`)).status).toBe(404)
    expect(
      (
        await admin.grant({
          directory: here.directory,
          user: { id: user },
          server: here.server.id,
          scopes: ['read'],
          jti: 'x',
        })
      ).status,
    ).toBe(404)

    here.server.receiver.behave()
    for (const id of [user, leaver]) {
      await here.server.receiver.waitFor(
        (request) => request.message.data.user.id === id && !request.message.data.active && request.kept === 'kept',
        20_000,
      )
    }
    await waitFor(
      async () =>
        (await count(
          'connector_secret k join connector c on c.id = k.connector_id where c.server_id = $1',
          here.server.id,
        )) === 0,
      {
        what: 'its secrets to go',
      },
    )
    expect(await count('delivery where server_id = $1', here.server.id)).toBe(0)
    const { rows } = await owner.query('select closed_reason from access_grant where server_id = $1', [here.server.id])
    expect(rows).toEqual([{ closed_reason: 'access' }])
  })

  it('tells nobody any more with tell=false, not even what is parked', async () => {
    const here = await world()
    const [user, leaver] = [await hire(here), await hire(here)]
    const { token } = await grantTo(here, user)
    here.server.receiver.behave({ status: 400 })
    await here.scim.setActive(leaver, false)
    await waitFor(async () => (await admin.get(`/jobs?server=${here.server.id}&state=parked`)).items.length === 1, {
      what: 'the refused revocation to park',
    })
    await admin.delete(`/servers/${here.server.id}?tell=false`)
    expect(await admin.introspect(token)).toEqual({ active: false })
    expect((await admin.get(`/jobs?server=${here.server.id}`)).items).toEqual([])
    const requests = here.server.receiver.requests.length
    await waitFor(async () => (await count('server where id = $1 and purged_at is not null', here.server.id)) === 1, {
      what: 'the server to be gone',
    })
    await admin.waitUntilSettled()
    expect(here.server.receiver.requests).toHaveLength(requests)
  })
})

describe('DELETE /servers/{id}?tell=false while it is being told', () => {
  it('succeeds, however many sends are under way', async () => {
    const directory = `w${names++}`
    const scim = await registerDirectory(admin, directory)
    for (let round = 0; round < 4; round++) {
      const server = await registerServer(admin, `w${names++}-server`, { concurrency: 50 })
      receivers.push(server.receiver)
      server.receiver.behave({ delayMs: 3 })
      await admin.put(`/rules/${server.id}`, { directory, server: server.id, when: 'userName pr', scopes: ['read'] })
      await Promise.all(Array.from({ length: 40 }, () => scim.createUser(`person-${names++}@acme.example`)))
      await server.receiver.waitForRequests(5)
      expect(await admin.send('DELETE', `/servers/${server.id}?tell=false`)).toMatchObject({ status: 204 })
      expect((await admin.get(`/jobs?server=${server.id}`)).items).toEqual([])
    }
  })
})

describe('PATCH /servers/{id}', () => {
  it('tells a connector that is new of everyone who has access, and one that is removed nothing more', async () => {
    const here = await world()
    const user = await hire(here)
    const { connectors } = await admin.get(`/servers/${here.server.id}`)
    const added = await startReceiver()
    receivers.push(added)

    const { status, body } = await admin.send('PATCH', `/servers/${here.server.id}`, {
      connectors: [{ id: connectors[0].id }, { type: 'webhook', url: added.url }],
    })
    expect(status).toBe(200)
    expect(body.connectors.map((connector: Json) => 'signingSecret' in connector)).toEqual([false, true])
    added.trust(body.connectors[1].signingSecret)
    await added.waitFor(
      ({ message, signatureValid }) => signatureValid && message.data.user.id === user && message.data.active,
    )
    expect(toldOf(user, here.server)).toHaveLength(1)

    await admin.send('PATCH', `/servers/${here.server.id}`, { connectors: [{ id: body.connectors[1].id }] })
    await here.scim.setActive(user, false)
    await added.waitFor(({ message }) => message.data.user.id === user && !message.data.active)
    await admin.waitUntilSettled()
    expect(toldOf(user, here.server)).toHaveLength(1)
  })

  it('has a new connector told of whoever lost access before the removed one had heard', async () => {
    const here = await world()
    const user = await hire(here)
    here.server.receiver.behave({ status: 503 })
    await here.scim.setActive(user, false)
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === user && !message.data.active)

    const path = `/servers/${here.server.id}`
    const refused = await admin.send('PATCH', path, { connectors: [] })
    expect(refused.status).toBe(409)
    const added = await startReceiver()
    receivers.push(added)
    const { status, body } = await admin.send('PATCH', path, { connectors: [{ type: 'webhook', url: added.url }] })
    expect(status).toBe(200)
    added.trust(body.connectors[0].signingSecret)
    const { message } = await added.waitFor(
      (request) => request.message.data.user.id === user && request.kept === 'kept',
    )
    expect(message).toMatchObject({ type: 'access.revoked', data: { active: false, cause: { kind: 'left' } } })
  })

  it('forgets what a removed connector owes with tell=false', async () => {
    const here = await world()
    const user = await hire(here)
    here.server.receiver.behave({ status: 400 })
    await here.scim.setActive(user, false)
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === user && !message.data.active)
    expect(await admin.send('PATCH', `/servers/${here.server.id}?tell=false`, { connectors: [] })).toMatchObject({
      status: 200,
      body: { connectors: [] },
    })
    expect(await count('delivery where server_id = $1', here.server.id)).toBe(0)
  })

  it('changes where a kept connector sends to', async () => {
    const here = await world()
    const moved = await startReceiver()
    receivers.push(moved)
    const { connectors } = await admin.get(`/servers/${here.server.id}`)
    const { body } = await admin.send('PATCH', `/servers/${here.server.id}`, {
      name: 'Renamed',
      concurrency: 3,
      connectors: [{ id: connectors[0].id, url: moved.url }],
    })
    expect(body).toMatchObject({
      name: 'Renamed',
      concurrency: 3,
      connectors: [{ id: connectors[0].id, url: moved.url }],
    })
    const { id } = await here.scim.createUser('moved@acme.example')
    await here.scim.addMembers(here.group, id)
    await moved.waitFor(({ message }) => message.data.user.id === id)
    expect(toldOf(id, here.server)).toEqual([])
  })

  it.each([
    ['a connector that is not its own', { connectors: [{ id: 'con_none' }] }, 'connectors.0.id'],
    ['a new connector without a type', { connectors: [{ url: 'http://127.0.0.1:1/' }] }, 'connectors.0.type'],
    ['a private address', { connectors: [{ type: 'webhook', url: 'http://10.0.0.1/' }] }, 'connectors.0.url'],
    ['scopes without those that a rule gives', { scopes: ['other'] }, 'scopes'],
    ['a field that nobody knows', { color: 'red' }, 'color'],
  ])('refuses %s, and changes nothing', async (_what, change, field) => {
    const here = await world()
    const before = await admin.get(`/servers/${here.server.id}`)
    const { status, body } = await admin.send('PATCH', `/servers/${here.server.id}`, { name: 'Changed', ...change })
    expect(status).toBe(422)
    expect(body.errors.map((problem: Json) => problem.field)).toContain(field)
    expect(await admin.get(`/servers/${here.server.id}`)).toEqual(before)
  })
})

describe('pause and resume', () => {
  it('holds back what is given and lets through what is taken, until it is resumed', async () => {
    const here = await world()
    const leaver = await hire(here)
    expect(await admin.post(`/servers/${here.server.id}/pause`, { reason: 'maintenance' })).toMatchObject({
      paused: true,
      pausedReason: 'maintenance',
    })
    const { id: joiner } = await here.scim.createUser('joiner@acme.example')
    await here.scim.addMembers(here.group, joiner)
    await here.scim.setActive(leaver, false)
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === leaver && !message.data.active)
    expect(toldOf(joiner, here.server)).toEqual([])
    expect(await admin.post(`/servers/${here.server.id}/resume`)).toMatchObject({ paused: false, pausedReason: null })
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === joiner && message.data.active)
  })

  it('sends again at once to a server that is resumed after its breaker opened', async () => {
    const here = await world()
    here.server.receiver.behave({ status: 503 })
    const { id } = await here.scim.createUser('early@acme.example')
    await here.scim.addMembers(here.group, id)
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === id)
    await owner.query(
      "update server set failures_in_a_row = 12, failing_since = now(), probe_at = now() + interval '1 hour' where id = $1",
      [here.server.id],
    )
    expect(await alarm('server_down', here.server.id)).toMatchObject({ severity: 'critical' })
    here.server.receiver.behave()
    await admin.post('/jobs/replay', { server: here.server.id })
    await admin.post(`/servers/${here.server.id}/resume`)
    await here.server.receiver.waitFor(({ message, kept }) => kept === 'kept' && message.data.user.id === id)
    expect(await alarm('server_down', here.server.id)).toBeUndefined()
  })
})

describe('POST /grants/{id}/revoke', () => {
  it('ends that grant for ever, has its server told, and leaves the user what the rules give', async () => {
    const here = await world()
    const user = await hire(here)
    const [gone, kept] = [await grantTo(here, user), await grantTo(here, user)]
    expect(await admin.post(`/grants/${gone.id}/revoke`)).toMatchObject({ state: 'closed', closedReason: 'revoked' })
    expect(await admin.introspect(gone.token)).toEqual({ active: false })
    expect(await admin.introspect(kept.token)).toMatchObject({ active: true })
    const request = await here.server.receiver.waitFor(({ message }) => message.data.revokedGrants?.[0]?.id === gone.id)
    expect(request.message).toMatchObject({
      type: 'access.changed',
      data: { active: true, scopes: ['read'], revokedGrants: [{ id: gone.id, client: 'claude' }] },
    })
    await admin.waitUntilSettled()
    const { rows } = await owner.query(
      "select detail ->> 'reason' as reason, detail ->> 'actor' as actor from ledger_entry where grant_id = $1 and kind = 'closed'",
      [gone.id],
    )
    expect(rows).toEqual([{ reason: 'revoked', actor: 'key:root' }])
    expect((await grantTo(here, user)).state).toBe('active')
    // Again: as it was, with nothing new to tell.
    const told = toldOf(user, here.server).length
    expect(await admin.post(`/grants/${gone.id}/revoke`)).toMatchObject({ state: 'closed', closedReason: 'revoked' })
    await admin.waitUntilSettled()
    expect(toldOf(user, here.server)).toHaveLength(told)
  })

  it('does not let a repeat of the record bring it back', async () => {
    const here = await world()
    const user = await hire(here)
    const given = {
      directory: here.directory,
      user: { id: user },
      server: here.server.id,
      scopes: ['read'],
      jti: `jti-${names++}`,
    }
    const { body } = await admin.grant(given)
    await admin.post(`/grants/${body.id}/revoke`)
    const again = await admin.grant(given)
    expect(again).toMatchObject({ status: 200, body: { id: body.id, state: 'closed' } })
  })
})

describe('POST /users/{id}/release', () => {
  it('ends a hold: the rules give again, and what was cut stays dead', async () => {
    const here = await world()
    const user = await hire(here)
    const { token } = await grantTo(here, user)
    await admin.post(`/users/${user}/cut`)
    await owner.query(
      "update user_state set hold_source = 'okta', hold_at = now(), version = version + 1, converge_due_at = now() where user_id = $1",
      [user],
    )
    await here.server.receiver.waitFor(({ message }) => message.data.user.id === user && !message.data.active)
    expect(await admin.get(`/users/${user}`)).toMatchObject({ hold: { source: 'okta' } })

    expect(await admin.post(`/users/${user}/release`)).toMatchObject({ hold: null })
    await admin.waitUntilSettled()
    expect(lastTold(user, here.server)).toMatchObject({ data: { active: true } })
    expect(await admin.introspect(token)).toEqual({ active: false })
    expect((await grantTo(here, user)).state).toBe('active')
    expect((await admin.send('POST', `/users/${user}/release`)).status).toBe(409)
  })
})

describe('named keys and the audit trail', () => {
  it('lets a named key do everything, under its name, until it is deleted', async () => {
    const { id, key, ...made } = await admin.post('/keys', { name: 'ada' })
    expect(made).toMatchObject({ name: 'ada', createdBy: 'root' })
    const ada = new AdminClient(admin.url, key)
    const here = await world()
    const user = await hire(here)
    await ada.post(`/users/${user}/cut`)
    const { items: events } = await admin.get(`/events?user=${user}`)
    expect(events[0]).toMatchObject({ kind: 'sessions_revoked', source: 'admin', detail: { actor: 'key:ada' } })
    const refused = await ada.send('PUT', '/rules/none', { server: 'none', when: 'active eq', scopes: ['x'] })
    expect(refused.status).toBe(422)
    await waitFor(
      async () => (await admin.get('/audit?actor=ada')).items.every(({ status }: Json) => status !== null),
      {
        what: 'both to be closed',
      },
    )
    const { items } = await admin.get('/audit?actor=ada')
    expect(items).toMatchObject([
      { actor: 'ada', operation: 'PUT /rules/{id}', path: '/rules/none', status: 422 },
      { actor: 'ada', operation: 'POST /users/{id}/cut', path: `/users/${user}/cut`, status: 200 },
    ])
    expect((await admin.send('POST', '/keys', { name: 'ada' })).status).toBe(409)
    expect(await ada.introspect('no token of ours')).toEqual({ active: false })
    await admin.delete(`/keys/${id}`)
    expect((await ada.send('GET', '/stats')).status).toBe(401)
    expect((await ada.sendIntrospection('x')).status).toBe(401)
    expect((await admin.get('/keys')).items.map(({ name }: Json) => name)).not.toContain('ada')
  })

  it('has the grants that an operator records, and not those of a server, which stand in the ledger', async () => {
    const here = await world()
    const user = await hire(here)
    const asServer = new ServerClient(admin.url, await admin.post(`/servers/${here.server.id}/credentials`))
    const recorded = { operation: 'POST /grants', path: '/grants', actor: 'root', status: 201 }
    const before = await grantsIn('/audit')
    await grantTo(here, user)
    await waitFor(async () => (await grantsIn('/audit')).length === before.length + 1, { what: 'it to be closed' })
    expect((await grantsIn('/audit?actor=root'))[0]).toMatchObject(recorded)
    const given = { directory: here.directory, user: { id: user }, server: here.server.id, client: 'claude' }
    const { status } = await asServer.send('POST', '/admin/v1/grants', {
      ...given,
      scopes: ['read'],
      jti: `jti-${names++}`,
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    })
    expect(status).toBe(201)
    expect(await grantsIn('/audit')).toHaveLength(before.length + 1)
    expect(await count(`admin_action where actor = $1`, here.server.id)).toBe(0)
  })

  /** The recordings of grants that the trail has, closed. */
  async function grantsIn(path: string): Promise<Json[]> {
    const { items } = await admin.get(`${path}${path.includes('?') ? '&' : '?'}limit=1000`)
    return items.filter(({ operation, status }: Json) => operation === 'POST /grants' && status !== null)
  }

  it('closes a call whose caller has gone, with the status that nobody read', async () => {
    const { directory } = await world()
    const { key } = await admin.post('/keys', { name: `gone-${directory}` })
    const path = `/audit?actor=gone-${directory}`
    await owner.query('begin')
    await owner.query('select 1 from directory where id = $1 for no key update', [directory])
    const hangsUp = new AbortController()
    const called = fetch(`${admin.url}/admin/v1/directories/${directory}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${key}` },
      signal: hangsUp.signal,
    }).catch((error) => error)
    await waitFor(async () => (await admin.get(path)).items.length === 1, { what: 'the call to be written down' })
    hangsUp.abort()
    expect(await called).toMatchObject({ name: 'AbortError' })
    await waitFor(() => tenure.log.some(({ aborted, actor }) => aborted === true && actor === `gone-${directory}`), {
      what: 'the end to be noticed',
    })
    await owner.query('commit')
    await waitFor(async () => (await admin.get(path)).items[0].status !== null, { what: 'the call to be closed' })
    expect((await admin.get(path)).items).toMatchObject([{ operation: 'DELETE /directories/{id}', status: 202 }])
  })

  it('refuses a key that has expired', async () => {
    const { key } = await admin.post('/keys', {
      name: 'short',
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    })
    const short = new AdminClient(admin.url, key)
    expect((await short.send('GET', '/stats')).status).toBe(200)
    await owner.query("update admin_key set expires_at = now() where name = 'short'")
    expect((await short.send('GET', '/stats')).status).toBe(401)
  })
})

describe('alarms', () => {
  it('opens and closes by itself: a revocation that is overdue, work that is parked, a server that is gone', async () => {
    const here = await world()
    const [leaver, other] = [await hire(here), await hire(here)]
    here.server.receiver.behave({ status: 410 })
    await here.scim.setActive(leaver, false)
    await waitFor(() => alarm('work_parked', here.server.id), { what: 'the refused revocation to alarm' })
    expect(await alarm('server_gone', here.server.id)).toMatchObject({ severity: 'critical' })
    expect(await alarm('revocation_overdue', here.server.id)).toBeUndefined()
    await owner.query(
      "update delivery set behind_since = now() - interval '6 minutes' where server_id = $1 and user_id = $2",
      [here.server.id, leaver],
    )
    expect(await alarm('revocation_overdue', here.server.id)).toMatchObject({ severity: 'critical', count: 1 })
    expect(other).not.toBe(leaver)

    here.server.receiver.behave()
    await admin.post(`/servers/${here.server.id}/resume`)
    await admin.post('/jobs/replay', { server: here.server.id })
    await admin.waitUntilSettled()
    for (const kind of ['work_parked', 'server_gone', 'revocation_overdue']) {
      expect(await alarm(kind, here.server.id)).toBeUndefined()
    }
  })

  it('tells of a directory whose identity provider has fallen silent, by its own measure', async () => {
    const here = await world()
    await admin.send('PATCH', `/directories/${here.directory}`, { silentAfterHours: 2 })
    await owner.query("update directory set last_seen_at = now() - interval '3 hours' where id = $1", [here.directory])
    expect(await alarm('directory_silent', here.directory)).toMatchObject({ severity: 'warning' })
    await admin.send('PATCH', `/directories/${here.directory}`, { silentAfterHours: 4 })
    expect(await alarm('directory_silent', here.directory)).toBeUndefined()
  })

  it('sees its identity provider call', async () => {
    const here = await world()
    await waitFor(async () => (await admin.get(`/directories/${here.directory}`)).lastSeenAt !== null, {
      what: 'the call to be noted',
    })
    const { items } = await admin.get(`/directories/${here.directory}/tokens`)
    expect(items).toMatchObject([{ lastUsedAt: expect.any(String) }])
  })
})

async function alarm(kind: string, subject: string): Promise<Json> {
  const { items } = await admin.get('/alarms')
  return items.find((each: Json) => each.kind === kind && Object.values(each.subject).includes(subject))
}
