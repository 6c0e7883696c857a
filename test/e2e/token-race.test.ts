import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import { type Answer, patchSchema, ServerClient } from '../support/clients.ts'
import { startIdJagIssuer } from '../support/id-jag-issuer.ts'
import { basic, jwtBearer, postForm } from '../support/oauth-world.ts'
import { expectNothingGoodAfter, inLanes, type Subject } from '../support/race.ts'
import { registerDirectory, registerServer, spawnTenure } from '../support/tenure.ts'

/** Who has good tokens, and an identity provider that goes on minting. */
interface Person extends Subject {
  readonly id: string
  readonly externalId: string
  readonly tokens: string[]
  /** What their ID-JAGs say, in seconds since 1970. */
  readonly mintedAt: number
}

const publicUrl = 'https://tenure.example'
const resource = 'https://linear.example/mcp'

describe.each(backends())('promise 2, for token requests, with workers and jobs on $name', ({ start }) => {
  let world: World
  let backend: RunningBackend

  beforeAll(async () => {
    backend = await start()
    world = await startWorld(backend)
  })
  afterAll(async () => {
    await world?.stop()
    await backend?.stop()
  })

  it('lets no token be issued or be good that is asked for after the 2xx of one of 60 deactivations', async () => {
    const people = await world.hire('leaver', 60, ({ id }) => ({
      cut: (process) => world.scims[process]!.send('PATCH', `/Users/${id}`, patch({ op: 'replace', value: inactive })),
    }))
    await world.race(people)
  }, 300_000)

  it('nor after one of 20 removals from the group that the rule names', async () => {
    const people = await world.hire('mover', 20, ({ id, group }) => ({
      cut: (process) =>
        world.scims[process]!.send(
          'PATCH',
          `/Groups/${group}`,
          patch({ op: 'remove', path: `members[value eq "${id}"]` }),
        ),
    }))
    await world.race(people)
  }, 300_000)

  it("nor after one of 20 operator's cuts, for an ID-JAG from before: the rules still give", async () => {
    const mintedAt = Math.floor(Date.now() / 1_000)
    const people = await world.hire('cut', 20, ({ id }) => ({
      mintedAt,
      cut: (process) => world.admins[process]!.send('POST', `/users/${id}/cut`),
    }))
    await world.race(people)
    const { id, externalId } = people[0]!
    const { notBefore } = await world.admins[0]!.get(`/users/${id}`)
    const fresh = { id, externalId, mintedAt: Math.floor(Date.parse(notBefore) / 1_000) + 1 }
    expect(await world.redeem(fresh, 1)).toMatchObject({ status: 200 })
  }, 300_000)
})

const inactive = { active: false }

function patch(...operations: unknown[]) {
  return { schemas: [patchSchema], Operations: operations }
}

/** Two `tenure api` processes and a worker over one database, a directory with an issuer, and a server. */
async function startWorld(backend: RunningBackend) {
  const stores = { ...backend.database, redisUrl: backend.redisUrl }
  const roles = ['api', 'api', 'worker'] as const
  const processes = await Promise.all(roles.map((role) => spawnTenure(role, stores, { PUBLIC_URL: publicUrl })))
  const apis = processes.slice(0, 2)
  const admins = apis.map(({ admin }) => admin)
  const admin = admins[0]!
  const idp = await startIdJagIssuer()
  const okta = await registerDirectory(admin, 'acme').then((scim) => scim.at(apis[0]!.url))
  const scims = apis.map(({ url }) => okta.at(url))
  await admin.put('/directories/acme/issuer', { issuer: idp.issuer, jwksUri: idp.jwksUri, subject: 'externalId' })
  const linear = await registerServer(admin, 'linear', { resource })
  const credentials = await admin.post('/servers/linear/credentials')
  const servers = apis.map(({ url }) => new ServerClient(url, credentials))
  const { secret } = await admin.post('/clients', { id: 'claude', auth: 'client_secret_basic' })
  const { headers } = basic('claude', secret)

  /** One ID-JAG, made for this and used once. */
  async function redeem(
    { externalId, mintedAt }: Pick<Person, 'externalId' | 'mintedAt'>,
    process: number,
  ): Promise<Answer> {
    const assertion = await idp.mint({
      sub: externalId,
      aud: publicUrl,
      client_id: 'claude',
      resource,
      scope: 'read',
      iat: mintedAt,
      exp: mintedAt + 300,
    })
    return postForm(`${apis[process]!.url}/oauth2/token`, { grant_type: jwtBearer, assertion }, headers)
  }

  return {
    admins,
    scims,
    redeem,
    /** Users in one group, each with a token of what the group's rule gives. Their ID-JAGs are of a minute ahead, so that only the gate decides. */
    async hire(
      name: string,
      count: number,
      fate: (user: { id: string; group: string }) => Pick<Person, 'cut'> & { mintedAt?: number },
    ): Promise<Person[]> {
      await admin.put(`/rules/${name}`, { server: 'linear', when: `groups.display eq "${name}"`, scopes: ['read'] })
      const users = await inLanes(count, async (index) => {
        const externalId = `00u-${name}-${index}`
        const { id } = await scims[index % 2]!.createUser(`${name}-${index}@acme.example`, { externalId })
        return { id: id as string, externalId }
      })
      const members = users.map(({ id }) => id)
      const { id: group } = await okta.createGroup(name, members)
      const mintedAt = Math.floor(Date.now() / 1_000) + 50
      return inLanes(count, async (index) => {
        const user = users[index]!
        const person: Person = { mintedAt, ...user, ...fate({ id: user.id, group }), tokens: [] }
        const { status, body } = await redeem(person, index % 2)
        if (status !== 200) throw new Error(`no token to begin with: ${JSON.stringify(body)}`)
        person.tokens.push(body.access_token)
        return person
      })
    },
    async race(people: readonly Person[]): Promise<void> {
      await expectNothingGoodAfter(people, {
        processes: apis.length,
        introspect: async (token, process) => (await servers[process]!.introspect(token)).active,
        async issue(person, process) {
          const { status, body } = await redeem(person, process)
          if (status === 200) person.tokens.push(body.access_token)
          return { good: status === 200, answer: body.error }
        },
        refusal: 'invalid_grant',
      })
    },
    async stop() {
      await Promise.all(processes.map(({ process }) => process.kill('SIGTERM')))
      await linear.receiver.close()
      await idp.close()
    },
  }
}

type World = Awaited<ReturnType<typeof startWorld>>
