import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type Json, type ScimClient, ServerClient } from '../support/clients.ts'
import { connect } from '../support/postgres.ts'
import type { ReceivedRequest } from '../support/receiver.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

describe.each(backends())('with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let api: RunningTenure
  let okta: ScimClient
  let entra: ScimClient
  let linear: RegisteredServer
  let figma: RegisteredServer
  let asLinear: ServerClient
  let asFigma: ServerClient
  let engineering: string
  let owner: pg.Client
  let names = 0

  beforeAll(async () => {
    backend = await start()
    api = await runTenure('api', { ...backend.database, redisUrl: backend.redisUrl })
    owner = await connect({ url: backend.database.ownerUrl })
    okta = await registerDirectory(api.admin, 'acme')
    entra = await registerDirectory(api.admin, 'umbrella', 'entra')
    linear = await registerServer(api.admin, 'linear')
    figma = await registerServer(api.admin, 'figma')
    asLinear = new ServerClient(api.url, await api.admin.post('/servers/linear/credentials'))
    asFigma = new ServerClient(api.url, await api.admin.post('/servers/figma/credentials'))
    for (const server of ['linear', 'figma']) {
      const rule = { server, when: 'groups.display eq "Engineering"', scopes: ['read', 'write'] }
      await api.admin.put(`/rules/acme-${server}`, { directory: 'acme', ...rule })
    }
    engineering = (await okta.createGroup('Engineering')).id
  })
  afterAll(async () => {
    await owner?.end()
    await api?.close()
    await linear?.receiver.close()
    await figma?.receiver.close()
    await backend?.stop()
  })

  /** Workers, until there is nothing left to do for them; outside of it there are none. */
  async function work(): Promise<void> {
    const worker = await runTenure('worker', { ...backend.database, redisUrl: backend.redisUrl })
    try {
      await api.admin.waitUntilSettled()
    } finally {
      await worker.close()
    }
  }

  /** In both servers' rule, and both were told. */
  async function engineer(): Promise<{ id: string; userName: string }> {
    const userName = `engineer-${names++}@acme.example`
    const { id } = await okta.createUser(userName)
    await okta.addMembers(engineering, id)
    await work()
    return { id, userName }
  }

  async function grantTo(id: string, fields: Record<string, unknown> = {}): Promise<Json> {
    const name = `grant-${names++}`
    const given = {
      directory: 'acme',
      user: { id },
      server: 'linear',
      scopes: ['read'],
      jti: name,
      token: `at-${name}`,
    }
    const { status, body } = await api.admin.grant({ ...given, ...fields })
    expect(status).toBe(201)
    return { ...body, token: given.token }
  }

  function toldOf(id: string, { receiver }: RegisteredServer = linear): ReceivedRequest[] {
    return receiver.requests.filter(({ message }) => message.data.user.id === id)
  }

  async function grantNow(id: string): Promise<Json> {
    const { items } = await api.admin.get('/grants?limit=1000')
    return items.find((grant: Json) => grant.id === id)
  }

  describe('promise 3: off and on between two converges', () => {
    it('tells every server exactly once: active, from a new notBefore on, the old grants revoked', async () => {
      const { id } = await engineer()
      const before = toldOf(id)
      expect(before.map(({ message }) => message.type)).toEqual(['access.granted'])
      const old = await grantTo(id)

      await okta.setActive(id, false)
      await okta.setActive(id, true)
      expect(toldOf(id)).toHaveLength(1)
      expect(await api.admin.introspect(old.token)).toEqual({ active: false })
      const young = await grantTo(id)
      await work()

      const { notBefore } = await api.admin.get(`/users/${id}`)
      for (const server of [linear, figma]) {
        const [joined, ...since] = toldOf(id, server)
        expect(since).toHaveLength(1)
        const { type, data } = since[0]!.message
        expect({ type, ...data }).toMatchObject({
          type: 'sessions.revoked',
          active: true,
          scopes: ['read', 'write'],
          cause: { kind: 'left', source: 'scim' },
        })
        expect(data.generation).toBeGreaterThan(joined!.message.data.generation)
        expect(joined!.message.data.notBefore).toBeNull()
        // Rounded up to what the message can say: a token of that very millisecond is void too.
        expect(Date.parse(data.notBefore) - Date.parse(notBefore)).toBeOneOf([0, 1])
        expect(data.revokedGrants).toEqual(server === linear ? [{ id: old.id, client: 'claude', jti: old.jti }] : [])
      }
      expect(await grantNow(old.id)).toMatchObject({ state: 'closed', closedReason: 'cut', closedAt: notBefore })
      expect(await api.admin.introspect(old.token)).toEqual({ active: false })
      expect(await api.admin.introspect(young.token)).toMatchObject({ active: true })
    })

    it('tells a server of a grant that it issued between two converges and that is no longer earned', async () => {
      const { id } = await okta.createUser(`unseen-${names++}@acme.example`)
      await okta.addMembers(engineering, id)
      const grant = await grantTo(id)
      await okta.removeMember(engineering, id)
      await work()
      expect(toldOf(id).map(({ message }) => message)).toMatchObject([
        { type: 'access.revoked', data: { active: false, revokedGrants: [{ id: grant.id }] } },
      ])
      expect(toldOf(id, figma)).toEqual([])
      expect(await grantNow(grant.id)).toMatchObject({ state: 'closed', closedReason: 'access' })

      await okta.addMembers(engineering, id)
      await work()
      expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
    })

    it('tells a server of a grant beyond what was converged, widened and narrowed unseen', async () => {
      const { id } = await engineer()
      const admins = await okta.createGroup(`Admins ${names++}`, [])
      const rule = { directory: 'acme', server: 'linear', when: `groups.value eq "${admins.id}"`, scopes: ['admin'] }
      await api.admin.put('/rules/admins', rule)
      await work()
      await okta.addMembers(admins.id, id)
      const grant = await grantTo(id, { scopes: ['admin'] })
      await okta.removeMember(admins.id, id)
      await work()
      expect(toldOf(id).at(-1)!.message.data).toMatchObject({
        active: true,
        scopes: ['read', 'write'],
        revokedGrants: [{ id: grant.id }],
      })
      expect(toldOf(id, figma)).toHaveLength(1)
      await okta.addMembers(admins.id, id)
      await work()
      expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
    })
  })

  describe('what servers are told (design §7)', () => {
    it('names a leaver as the server knows them, whatever the leaving PATCH makes of the name', async () => {
      const userName = `leaver-${names++}@umbrella.example`
      await api.admin.put('/rules/umbrella-linear', {
        directory: 'umbrella',
        server: 'linear',
        when: 'active eq true',
        scopes: ['read'],
      })
      const { id } = await entra.createUser(userName)
      await work()
      const mangled = `0123456789abcdef0123456789abcdef${userName}`
      await entra.patchUser(
        id,
        { op: 'Replace', path: 'userName', value: mangled },
        { op: 'Replace', path: 'active', value: 'False' },
      )
      expect(await entra.call('GET', `/Users/${id}`)).toMatchObject({ userName: mangled, active: false })
      await work()
      expect(toldOf(id).map(({ message }) => message.data)).toMatchObject([
        { active: true, user: { userName } },
        { active: false, user: { userName, email: userName, externalId: `ext-${userName}`, directory: 'umbrella' } },
      ])
    })

    it('raises the generation for a new userName, email or externalId while access is active, for no other change', async () => {
      const { id } = await engineer()
      const userName = `renamed-${names++}@acme.example`
      await okta.patchUser(id, { op: 'replace', value: { userName } })
      await work()
      await okta.patchUser(id, { op: 'replace', path: 'externalId', value: 'ext-renamed' })
      await work()
      await okta.patchUser(id, { op: 'replace', path: 'title', value: 'Principal' })
      await work()
      for (const server of [linear, figma]) {
        const told = toldOf(id, server).map(({ message }) => message)
        expect(told.map(({ type }) => type)).toEqual(['access.granted', 'access.changed', 'access.changed'])
        expect(told.map(({ data }) => data.generation)).toEqual(
          told.map(({ data }) => data.generation).toSorted((a: number, b: number) => a - b),
        )
        expect(told[1].data).toMatchObject({ user: { userName }, scopes: ['read', 'write'], notBefore: null })
        expect(told[2].data.user.externalId).toBe('ext-renamed')
      }
    })
  })

  describe('promise 10: a grant once dead is dead for ever', () => {
    it('does not revive one that is recorded again after a cut and a rejoin', async () => {
      const { id } = await engineer()
      const grant = await grantTo(id)
      const again = {
        directory: 'acme',
        user: { id },
        server: 'linear',
        scopes: ['read'],
        jti: grant.jti,
        token: grant.token,
      }
      await okta.setActive(id, false)
      await okta.setActive(id, true)
      for (const converged of [false, true]) {
        if (converged) await work()
        const repeat = await api.admin.grant(again)
        expect(repeat).toMatchObject({ status: 200, body: { id: grant.id, state: 'closed', closedReason: 'cut' } })
        expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
      }
      const backdated = await api.admin.grant({
        ...again,
        jti: 'backdated',
        token: 'at-backdated',
        issuedAt: grant.issuedAt,
      })
      expect(backdated.status).toBe(403)
    })

    it('keeps the grant of a mover who is entitled again before converge: the same, and good', async () => {
      const { id } = await engineer()
      const grant = await grantTo(id)
      await okta.removeMember(engineering, id)
      expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
      await okta.addMembers(engineering, id)
      expect(await api.admin.introspect(grant.token)).toMatchObject({ active: true, jti: grant.jti })
      await work()
      expect(await api.admin.introspect(grant.token)).toMatchObject({ active: true, jti: grant.jti })
      expect(await grantNow(grant.id)).toMatchObject({ state: 'active', closedAt: null })
      expect(toldOf(id)).toHaveLength(1)
    })

    it('does not revive the grant of a mover whom converge has seen without it', async () => {
      const { id } = await engineer()
      const grant = await grantTo(id)
      await okta.removeMember(engineering, id)
      await work()
      await okta.addMembers(engineering, id)
      await work()
      expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
      expect(await grantNow(grant.id)).toMatchObject({ state: 'closed', closedReason: 'access' })
      expect(toldOf(id).map(({ message }) => message.type)).toEqual([
        'access.granted',
        'access.revoked',
        'access.granted',
      ])
    })

    it('computes expiry and records none: an expired grant is not closed, and nobody is told of it', async () => {
      const { id } = await engineer()
      const grant = await grantTo(id, { expiresAt: new Date(Date.now() + 1_000).toISOString() })
      await waitFor(async () => (await grantNow(grant.id)).state === 'expired', { what: 'the grant to expire' })
      expect(await api.admin.introspect(grant.token)).toEqual({ active: false })
      await okta.setActive(id, false)
      const expired = { state: 'expired', closedAt: null, closedReason: null }
      expect(await grantNow(grant.id)).toMatchObject(expired)
      await work()
      expect(await grantNow(grant.id)).toMatchObject(expired)
      expect(toldOf(id).at(-1)!.message.data).toMatchObject({ active: false, revokedGrants: [] })
      const { rows } = await owner.query('select kind from ledger_entry where grant_id = $1', [grant.id])
      expect(rows).toEqual([{ kind: 'granted' }])
    })
  })

  describe('introspection (design §6): a jti is no secret', () => {
    it('answers false to a bearer that is a jti, and true by hint within the asking server only', async () => {
      const { id } = await engineer()
      const { jti, token } = await grantTo(id)
      const inactive = { active: false }
      expect(await asLinear.introspect(token)).toMatchObject({ active: true, sub: id, jti })
      expect(await asLinear.introspect(jti)).toEqual(inactive)
      expect(await asLinear.introspect(jti, { token_type_hint: 'access_token' })).toEqual(inactive)
      expect(await asLinear.introspect(jti, { token_type_hint: 'jti' })).toMatchObject({ active: true, sub: id, jti })

      expect(await asFigma.introspect(token)).toEqual(inactive)
      expect(await asFigma.introspect(jti, { token_type_hint: 'jti' })).toEqual(inactive)
      expect(await asFigma.introspect(jti, { token_type_hint: 'jti', server: 'linear' })).toEqual(inactive)
      expect(await asFigma.introspect(token, { server: 'linear' })).toEqual(inactive)
    })

    it('finds by jti for an admin key, but not one that several servers know', async () => {
      const { id } = await engineer()
      const { jti } = await grantTo(id)
      expect(await api.admin.introspect(jti)).toMatchObject({ active: true, aud: 'https://linear.example/mcp' })
      await grantTo(id, { server: 'figma', jti })
      expect(await api.admin.introspect(jti)).toEqual({ active: false })
      expect(await api.admin.introspect(jti, { server: 'figma' })).toMatchObject({ aud: 'https://figma.example/mcp' })
      expect(await asFigma.introspect(jti, { token_type_hint: 'jti' })).toMatchObject({
        aud: 'https://figma.example/mcp',
      })
    })

    it("lets a server record grants for itself only, and nothing of the operators' API", async () => {
      const { id } = await engineer()
      const grant = { directory: 'acme', user: { id }, server: 'linear', client: 'c', scopes: ['read'] }
      const fields = { ...grant, expiresAt: new Date(Date.now() + 60_000).toISOString() }
      const own = await asLinear.send('POST', '/admin/v1/grants', { ...fields, jti: `own-${id}` })
      expect(own.status).toBe(201)
      const foreign = await asFigma.send('POST', '/admin/v1/grants', { ...fields, jti: `foreign-${id}` })
      expect(foreign.status).toBe(403)
      for (const path of ['/admin/v1/grants', `/admin/v1/users/${id}`, '/admin/v1/servers', '/admin/v1/nothing']) {
        expect((await asLinear.send('GET', path)).status).toBe(401)
      }
    })
  })

  describe('promise 9: directories never see or affect each other', () => {
    it('keeps the rule of one from a group of the same name in the other', async () => {
      const { id } = await entra.createUser(`stranger-${names++}@umbrella.example`)
      const group = await entra.createGroup('Engineering', [id])
      await work()
      const refused = await api.admin.grant({
        directory: 'umbrella',
        user: { id },
        server: 'figma',
        scopes: ['read'],
        jti: `stranger-${id}`,
      })
      expect(refused.status).toBe(403)
      expect(toldOf(id, figma)).toEqual([])

      const { id: ours } = await engineer()
      const grant = await grantTo(ours)
      await entra.call('DELETE', `/Groups/${group.id}`)
      expect(await api.admin.introspect(grant.token)).toMatchObject({ active: true })
      await api.admin.put('/rules/acme-figma-2', {
        directory: 'umbrella',
        server: 'figma',
        when: 'active eq true',
        scopes: ['x'],
      })
      const beyond = await api.admin.grant({
        directory: 'acme',
        user: { id: ours },
        server: 'figma',
        scopes: ['x'],
        jti: `x-${ours}`,
      })
      expect(beyond.status).toBe(403)
      await api.admin.delete('/rules/acme-figma-2')
    })

    it("finds nothing and changes nothing with one directory's token on the other's base", async () => {
      const { id, userName } = await engineer()
      const intruder = new (okta.constructor as typeof ScimClient)(okta.base, entra.token)
      const user = await okta.call('GET', `/Users/${id}`)
      const group = await okta.call('GET', `/Groups/${engineering}`)
      const patch = (operation: unknown) => ({
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [operation],
      })
      const calls: Array<[string, string, unknown?]> = [
        ['GET', '/Users'],
        ['GET', `/Users?filter=${encodeURIComponent(`userName eq "${userName}"`)}`],
        ['GET', `/Users/${id}`],
        ['POST', '/Users', { schemas: user.schemas, userName: 'intruder@umbrella.example' }],
        ['PUT', `/Users/${id}`, { ...user, active: false }],
        ['PATCH', `/Users/${id}`, patch({ op: 'replace', value: { active: false } })],
        ['DELETE', `/Users/${id}`],
        ['GET', '/Groups'],
        ['GET', `/Groups/${engineering}`],
        ['POST', '/Groups', { schemas: group.schemas, displayName: 'Intruders' }],
        ['PUT', `/Groups/${engineering}`, { ...group, members: [] }],
        ['PATCH', `/Groups/${engineering}`, patch({ op: 'remove', path: 'members' })],
        ['DELETE', `/Groups/${engineering}`],
        ['GET', '/Schemas'],
        ['GET', '/ServiceProviderConfig'],
      ]
      for (const [method, path, body] of calls) {
        const answer = await intruder.send(method, path, body)
        expect(answer, `${method} ${path}`).toMatchObject({ status: 404, body: { status: '404' } })
        expect(JSON.stringify(answer.body)).not.toContain(userName)
      }
      // Nor on its own base, with the other's ids.
      for (const [method, path, body] of calls.filter(([, path]) => path.includes(id) || path.includes(engineering))) {
        expect((await entra.send(method, path, body)).status, `${method} ${path}`).toBe(404)
      }
      const joins = await entra.createGroup(`Mixed ${names++}`)
      const mixed = await entra.send(
        'PATCH',
        `/Groups/${joins.id}`,
        patch({ op: 'add', path: 'members', value: [{ value: id }] }),
      )
      expect(mixed.status).toBe(400)
      expect(await okta.call('GET', `/Users/${id}`)).toEqual(user)
      expect(await okta.call('GET', `/Groups/${engineering}`)).toEqual(group)
    })
  })

  describe('promise 10: the ledger', () => {
    it('has an entry for every cut, grant and entitlement, of the transaction that made it true', async () => {
      const { id } = await engineer()
      const first = await grantTo(id)
      await okta.setActive(id, false)
      await work()
      await okta.setActive(id, true)
      await work()
      await api.admin.post(`/users/${id}/cut`)
      const { rows } = await owner.query(
        `select kind, server_id, epoch::int, detail ->> 'reason' as reason from ledger_entry
         where user_id = $1 and kind <> 'delivered' order by id`,
        [id],
      )
      const entitled = (epoch: number) =>
        ['figma', 'linear'].map((server_id) => ({ kind: 'entitled', server_id, epoch, reason: null }))
      const inOrder = (entries: Json[]) => entries.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      expect(inOrder(rows)).toEqual(
        inOrder([
          ...entitled(0),
          { kind: 'granted', server_id: 'linear', epoch: 0, reason: null },
          { kind: 'cut', server_id: null, epoch: 1, reason: null },
          ...entitled(1),
          { kind: 'closed', server_id: 'linear', epoch: 0, reason: 'cut' },
          ...entitled(1),
          { kind: 'cut', server_id: null, epoch: 2, reason: null },
        ]),
      )
      await work()

      const { rows: dated } = await owner.query(
        `select c.recorded_at as cut, g.closed_at as closed, (l.detail ->> 'closedAt')::timestamptz as noted
         from access_grant g join ledger_entry l on l.grant_id = g.id and l.kind = 'closed'
           join ledger_entry c on c.user_id = g.user_id and c.kind = 'cut' and c.epoch = g.epoch + 1
         where g.id = $1`,
        [first.id],
      )
      expect(dated).toEqual([{ cut: dated[0].cut, closed: dated[0].cut, noted: dated[0].cut }])
      await expectConsistentLedger()
    })

    /** Over all that the tests before this one did. */
    async function expectConsistentLedger(): Promise<void> {
      const none = async (what: string, text: string) => {
        const { rows } = await owner.query(text)
        expect(rows, what).toEqual([])
      }
      await none(
        'grants without exactly one entry',
        `select g.id from access_grant g left join ledger_entry l on l.grant_id = g.id and l.kind = 'granted'
         group by g.id having count(l.id) <> 1`,
      )
      await none(
        'closed grants without exactly one entry, open ones with one',
        `select g.id, g.closed_at from access_grant g left join ledger_entry l on l.grant_id = g.id and l.kind = 'closed'
         group by g.id having count(l.id) <> (case when g.closed_at is null then 0 else 1 end)`,
      )
      await none(
        'epochs without exactly one cut',
        `select s.user_id, e from user_state s cross join lateral generate_series(1, s.epoch) as e
           left join ledger_entry l on l.user_id = s.user_id and l.kind = 'cut' and l.epoch = e
         group by s.user_id, e having count(l.id) <> 1`,
      )
      await none(
        'entitlements whose last change was not entered by the transaction that made it',
        `select e.user_id, e.server_id from entitlement e
           left join ledger_entry l on l.user_id = e.user_id and l.server_id = e.server_id and l.kind = 'entitled' and l.generation = e.generation
             and l.xmin = e.xmin
         where l.id is null`,
      )
      await none(
        'grants whose last change was not entered by the transaction that made it',
        `select g.id from access_grant g
           left join ledger_entry l on l.grant_id = g.id and l.xmin = g.xmin and l.kind = case when g.closed_at is null then 'granted' else 'closed' end
         where l.id is null`,
      )
      await none(
        'cuts without the lifecycle event of their transaction',
        `select l.id from ledger_entry l left join lifecycle_event v on v.id = l.event_id and v.xmin = l.xmin and v.epoch = l.epoch
         where l.kind = 'cut' and v.id is null`,
      )
      await none(
        'grants closed by a cut and dated otherwise',
        `select g.id from access_grant g left join ledger_entry c on c.user_id = g.user_id and c.kind = 'cut' and c.epoch = g.epoch + 1
         where g.closed_reason = 'cut' and g.closed_at is distinct from c.recorded_at`,
      )
    }

    it.each(['update ledger_entry set detail = detail', 'delete from ledger_entry', 'truncate ledger_entry'])(
      'refuses %s, to the working role for want of a privilege and to the owner by its trigger',
      async (statement) => {
        const runtime = await connect(backend.database)
        try {
          const { rows } = await runtime.query('select current_user as role')
          expect(rows).toEqual([{ role: 'tenure' }])
          await expect(runtime.query(statement)).rejects.toThrow('permission denied for table ledger_entry')
          await expect(runtime.query('alter table ledger_entry disable trigger all')).rejects.toThrow('must be owner')
        } finally {
          await runtime.end()
        }
        await expect(owner.query(statement)).rejects.toThrow('ledger_entry is append-only')
      },
    )
  })
})
