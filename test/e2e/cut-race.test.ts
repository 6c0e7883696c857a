import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { AdminClient, Answer, ScimClient } from '../support/clients.ts'
import { inLanes, expectNothingGoodAfter as race, type Subject } from '../support/race.ts'
import { registerDirectory, registerServer, spawnTenure } from '../support/tenure.ts'

type Spawned = Awaited<ReturnType<typeof spawnTenure>>

describe.each(backends())('promise 2, with workers and jobs on $name', ({ start }) => {
  let world: World
  let backend: RunningBackend
  let worker: Spawned

  beforeAll(async () => {
    backend = await start()
    world = await startWorld(backend)
    worker = await spawnTenure('worker', { ...backend.database, redisUrl: backend.redisUrl })
  })
  afterAll(async () => {
    await worker?.process.kill('SIGTERM')
    await world?.stop()
    await backend?.stop()
  })

  it('lets nothing that begins after the 2xx of one of 1,000 deactivations be good, on any process', async () => {
    const people = await world.hire('leaver', 1_000)
    await world.admins[0]!.waitUntilConverged()
    const subjects = people.map(({ id, token }) => ({
      userId: id,
      tokens: [token],
      cut: (process: number) =>
        world.scims[process]!.send('PATCH', `/Users/${id}`, patch({ op: 'replace', value: { active: false } })),
    }))
    await expectNothingGoodAfter(world, subjects)
  }, 300_000)
})

describe('promise 2, with no worker at all', () => {
  let world: World
  let backend: RunningBackend

  beforeAll(async () => {
    backend = await backends()[0]!.start()
    world = await startWorld(backend)
  })
  afterAll(async () => {
    await world?.stop()
    await backend?.stop()
  })

  it('holds for a leaver who is still in the group that the rule names', async () => {
    const people = await world.hire('stays', 80)
    await expectNothingGoodAfter(
      world,
      people.map(({ id, token }) => ({
        userId: id,
        tokens: [token],
        cut: (process) =>
          world.scims[process]!.send('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'active', value: 'False' })),
      })),
    )
    const { groups } = await world.scims[0]!.call('GET', `/Users/${people[0]!.id}`)
    expect(groups).toMatchObject([{ display: 'stays' }])
  })

  it('holds for a mover whose membership is removed', async () => {
    const people = await world.hire('movers', 80)
    await expectNothingGoodAfter(
      world,
      people.map(({ id, token, group }) => ({
        userId: id,
        tokens: [token],
        cut: (process) =>
          world.scims[process]!.send(
            'PATCH',
            `/Groups/${group}`,
            patch({ op: 'remove', path: `members[value eq "${id}"]` }),
          ),
      })),
    )
  })

  it('holds for a deleted user', async () => {
    const people = await world.hire('removed', 80)
    await expectNothingGoodAfter(
      world,
      people.map(({ id, token }) => ({
        userId: id,
        tokens: [token],
        cut: (process) => world.scims[process]!.send('DELETE', `/Users/${id}`),
      })),
    )
  })

  it("holds for an operator's cut, of grants issued before it", async () => {
    const people = await world.hire('cut', 80)
    const subjects = people.map(({ id, token }) => ({
      userId: id,
      tokens: [token],
      cut: (process: number) => world.admins[process]!.send('POST', `/users/${id}/cut`),
    }))
    // The user stays entitled, so a grant issued now is good again; one issued before is not.
    const issuedAt = new Date().toISOString()
    await expectNothingGoodAfter(world, subjects, { issuedAt })
  })

  it.each([
    ['PUT /rules, to other scopes', (rule: Rule) => ['PUT', `/rules/${rule.id}`, { ...rule.body, scopes: ['other'] }]],
    [
      'PUT /rules, to another filter',
      (rule: Rule) => ['PUT', `/rules/${rule.id}`, { ...rule.body, when: 'title eq "nobody"' }],
    ],
    [
      'PUT /rules, to other clients',
      (rule: Rule) => ['PUT', `/rules/${rule.id}`, { ...rule.body, clients: ['cursor'] }],
    ],
    ['DELETE /rules', (rule: Rule) => ['DELETE', `/rules/${rule.id}`, undefined]],
  ] as const)('holds for a rule changed by %s', async (what, change) => {
    const prefix = what.toLowerCase().replaceAll(/[^a-z]+/g, '-')
    const subjects = await world.inGroupsOfTheirOwn(prefix, 25, ({ rule }) => (process) => {
      const [method, path, body] = change(rule)
      return world.admins[process]!.send(method as string, path as string, body)
    })
    await expectNothingGoodAfter(world, subjects)
  })

  it.each([
    ['deleted', ({ group }: Group) => ['DELETE', `/Groups/${group}`, undefined]],
    [
      'renamed',
      ({ group }: Group) => [
        'PATCH',
        `/Groups/${group}`,
        patch({ op: 'replace', value: { id: group, displayName: `was ${group}` } }),
      ],
    ],
    [
      'replaced without its members',
      ({ group, name }: Group) => [
        'PUT',
        `/Groups/${group}`,
        { schemas: [groupSchema], displayName: name, members: [] },
      ],
    ],
  ] as const)('holds for the members of a group that is %s', async (what, change) => {
    const subjects = await world.inGroupsOfTheirOwn(what.replaceAll(' ', '-'), 25, (group) => (process) => {
      const [method, path, body] = change(group)
      return world.scims[process]!.send(method as string, path as string, body)
    })
    await expectNothingGoodAfter(world, subjects)
  })

  it('holds for the members of a nested group that is taken out of the one that the rule names', async () => {
    const subjects = await world.inGroupsOfTheirOwn(
      'inner',
      25,
      ({ group, outer }) =>
        (process) =>
          world.scims[process]!.send(
            'PATCH',
            `/Groups/${outer}`,
            patch({ op: 'remove', path: `members[value eq "${group}"]` }),
          ),
      { nested: true },
    )
    await expectNothingGoodAfter(world, subjects)
  })
})

const groupSchema = 'urn:ietf:params:scim:schemas:core:2.0:Group'

function patch(...operations: unknown[]) {
  return { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: operations }
}

/** With a good grant. */
interface Person extends Subject {
  readonly userId: string
}

interface Rule {
  readonly id: string
  readonly body: Record<string, unknown>
}

interface Group {
  readonly name: string
  readonly group: string
  /** The group that the rule names: the same, or one that contains it. */
  readonly outer: string
  readonly rule: Rule
}

/** Two `tenure api` processes over one database, a directory and a server. */
async function startWorld(backend: RunningBackend) {
  const stores = { ...backend.database, redisUrl: backend.redisUrl }
  const apis: Spawned[] = await Promise.all([spawnTenure('api', stores), spawnTenure('api', stores)])
  const admins = apis.map(({ admin }) => admin)
  const admin = admins[0]!
  const okta = await registerDirectory(admin, 'acme')
  const scims: ScimClient[] = apis.map(({ url }) => okta.at(url))
  const linear = await registerServer(admin, 'linear')

  const ruleFor = async (id: string, groupName: string): Promise<Rule> => {
    const body = { server: 'linear', when: `groups.display eq "${groupName}"`, scopes: ['read'] }
    await admin.put(`/rules/${id}`, body)
    return { id, body }
  }

  const hireOne = async (name: string) => {
    const { id } = await okta.createUser(`${name}@acme.example`)
    return { id: id as string, token: `at-${name}` }
  }
  const grantTo = async ({ id, token }: { id: string; token: string }) => {
    const granted = await record(admin, id, { token })
    if (granted.status !== 201) throw new Error(`no grant to begin with: ${JSON.stringify(granted.body)}`)
  }

  return {
    admins,
    scims,
    /** Users in one group of that name, each with a grant of what the group's rule gives. */
    async hire(name: string, count: number) {
      await ruleFor(name, name)
      const people = await inLanes(count, (index) => hireOne(`${name}-${index}`))
      const { id: group } = await okta.createGroup(
        name,
        people.map(({ id }) => id),
      )
      await inLanes(count, (index) => grantTo(people[index]!))
      return people.map((person) => ({ ...person, group: group as string }))
    },
    /** Users with a group and a rule each. */
    async inGroupsOfTheirOwn(
      prefix: string,
      count: number,
      cutOf: (group: Group) => Subject['cut'],
      { nested = false } = {},
    ): Promise<Person[]> {
      return inLanes(count, async (index) => {
        const name = `${prefix}-${index}`
        const person = await hireOne(name)
        const { id: group } = await okta.createGroup(nested ? `${name} inner` : name, [person.id])
        const outer = nested ? (await okta.createGroup(name, [group])).id : group
        const rule = await ruleFor(name, name)
        await grantTo(person)
        return { userId: person.id, tokens: [person.token], cut: cutOf({ name, group, outer, rule }) }
      })
    },
    async stop() {
      await Promise.all(apis.map(({ process }) => process.kill('SIGTERM')))
      await linear.receiver.close()
    },
  }
}

type World = Awaited<ReturnType<typeof startWorld>>

function record(admin: AdminClient, userId: string, fields: Record<string, unknown>): Promise<Answer> {
  return admin.grant({ directory: 'acme', user: { id: userId }, server: 'linear', scopes: ['read'], ...fields })
}

/** The gate, asked by introspection and by the recording of grants. `fields` are those of every grant that is recorded. */
async function expectNothingGoodAfter(world: World, subjects: readonly Person[], fields: Record<string, unknown> = {}) {
  let jtis = 0
  await race(subjects, {
    processes: world.admins.length,
    introspect: async (token, process) => (await world.admins[process]!.introspect(token)).active,
    async issue({ userId }, process) {
      const jti = `jti-of-${userId}-${jtis++}`
      const { status } = await record(world.admins[process]!, userId, { jti, ...fields })
      return { good: status < 300, answer: status }
    },
    refusal: 403,
  })
}
