import { createHash, randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { createPool, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { ChannelConfigs } from '../../src/directory/channel-config.ts'
import { type Channels, type Config, createChannels } from '../../src/directory/channels.ts'
import { createSealer } from '../../src/secrets.ts'
import type { Json } from '../support/clients.ts'
import { connect, createDatabase, type OwnPostgres } from '../support/postgres.ts'
import { record } from '../support/secret-setup.ts'
import { registerDirectory, registerServer, runTenure, secretKey } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

export interface Person {
  readonly id: string
  readonly userName: string
  /** At the identity provider, where SCIM has its `externalId` from. */
  readonly oktaId: string
  /** An access token of the server `linear`, recorded as a grant. */
  readonly token: string
}

/** What a user's row says, and what is outstanding. */
export interface Standing {
  readonly epoch: number
  readonly hold: string | null
  readonly active: boolean
  readonly openGrants: number
  /** What `linear` is to be told of the user; null: nothing ever was. */
  readonly wanted: { readonly generation: number; readonly active: boolean } | null
}

/** What became of an event, by its row. */
export interface Taken {
  readonly kind: string
  readonly effect: string
  readonly userId: string | null
  readonly detail: Json
}

/** Like one that Okta makes up: nothing that could stand anywhere by chance. */
export function makeSecret(what: string): string {
  const secret = `${what} ${randomBytes(32).toString('base64url')}`
  record.secret(secret, what)
  return secret
}

/**
 * A Tenure whose directory `acme` hears of its people through event channels as well. `linear` gives `read` to everybody
 * in it. `own`: in a database that may go away, destroyed at the end.
 */
export async function startChannelWorld(role: 'api' | 'all' = 'api', own?: OwnPostgres) {
  const database = own ?? (await createDatabase())
  const tenure = await runTenure(role, database)
  const { admin } = tenure
  const db = openDatabase(createPool(database.url, { max: 2, name: 'channels of the test' }))
  const channels: Channels = createChannels({ db, sealer: createSealer([secretKey]) })
  const owner: pg.Client = await connect({ url: database.ownerUrl })
  const scim = await registerDirectory(admin, 'acme')
  const linear = await registerServer(admin, 'linear')
  await admin.put('/rules/everybody', { directory: 'acme', server: 'linear', when: 'active eq true', scopes: ['read'] })
  let names = 0

  return {
    admin,
    channels,
    database,
    linear,
    owner,
    scim,
    tenure,

    /** Sets a channel up, or anew. */
    async setUp<K extends keyof ChannelConfigs>(
      kind: K,
      config: ChannelConfigs[K],
      inbound?: readonly string[],
      directoryId = 'acme',
    ) {
      const given = { config: { ...config } as Config, inbound, outbound: undefined, works: false, source: [] }
      await channels.put({ directoryId, kind }, given)
    },
    url: (kind: string, directory = 'acme') => `${tenure.url}/directories/${directory}/events/${kind}`,

    /** Joined over SCIM, with a grant. */
    async join(fields: Record<string, unknown> = {}): Promise<Person> {
      const name = `person-${names++}`
      const userName = `${name}@acme.example`
      const oktaId = `00u${name.replace('-', '')}`
      const { id } = await scim.createUser(userName, { externalId: oktaId, ...fields })
      const token = `at_${randomBytes(32).toString('base64url')}`
      const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], token }
      const { status, body } = await admin.grant(grant)
      if (status !== 201) throw new Error(`the grant was answered ${status}: ${JSON.stringify(body)}`)
      return { id, userName, oktaId, token }
    },
    async isGood({ token }: Person): Promise<boolean> {
      return (await admin.introspect(token, { server: 'linear' })).active
    },
    async standing({ id }: Pick<Person, 'id'>): Promise<Standing> {
      const { rows } = await owner.query(
        `select s.epoch, s.hold_source as hold, u.active,
           (select count(*)::int from access_grant g where g.user_id = u.id and g.closed_at is null and g.epoch = s.epoch) as "openGrants",
           (select jsonb_build_object('generation', e.generation, 'active', e.active)
            from entitlement e join delivery d on d.user_id = e.user_id and d.server_id = e.server_id and d.wanted_generation = e.generation
            where e.user_id = u.id) as wanted
         from user_state s join scim_user u on u.id = s.user_id where u.id = $1`,
        [id],
      )
      return { ...rows[0], epoch: Number(rows[0].epoch) }
    },
    /** The event with this key; undefined while there is none. */
    async taken(dedupeKey: string): Promise<Taken | undefined> {
      const { rows } = await owner.query(
        `select kind, effect, user_id as "userId", detail from inbound_event where dedupe_hash = $1`,
        [createHash('sha256').update(dedupeKey).digest()],
      )
      return rows[0]
    },
    async countTaken(): Promise<number> {
      return (await owner.query('select count(*)::int as n from inbound_event')).rows[0].n
    },
    /** Until as many calls are written down as turned away, by reason; that is done a little later. */
    waitForRefusals(kind: string, counts: Readonly<Record<string, number>>, directory = 'acme'): Promise<unknown> {
      return waitFor(
        async () => {
          const { rows } = await owner.query(
            'select reason, count from channel_refusal where channel_kind = $1 and directory_id = $2',
            [kind, directory],
          )
          return isDeepStrictEqual(Object.fromEntries(rows.map(({ reason, count }) => [reason, Number(count)])), counts)
        },
        { what: `calls turned away to be counted: ${JSON.stringify(counts)}` },
      )
    },
    async close() {
      await owner.end()
      await db.destroy()
      await tenure.close()
      await linear.receiver.close()
      await ('drop' in database ? database.drop() : database.destroy())
    },
  }
}

export type ChannelWorld = Awaited<ReturnType<typeof startChannelWorld>>
