import { createPool, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { SsfConfig } from '../../src/directory/channel-config.ts'
import { createChannels } from '../../src/directory/channels.ts'
import { createSealer } from '../../src/secrets.ts'
import type { Answer, Json, ScimClient } from './clients.ts'
import { connect, createDatabase } from './postgres.ts'
import { audience, type SetTransmitter, startTransmitter } from './set-transmitter.ts'
import { registerDirectory, runTenure, secretKey } from './tenure.ts'
import { waitFor } from './wait-for.ts'

/** A directory to which a transmitter pushes. */
export interface PushedDirectory {
  readonly id: string
  readonly scim: ScimClient
  /** Where SETs go. */
  readonly pushUrl: string
}

/** A SET as it is pushed; `headers` over the usual ones, undefined leaves one out. */
export async function push(
  url: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string | undefined>> = {},
): Promise<Answer> {
  const sent = Object.entries({ 'content-type': 'application/secevent+jwt', ...headers }).filter(
    (header): header is [string, string] => header[1] !== undefined,
  )
  // Bytes, since fetch gives a text without a type one of its own.
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  const response = await fetch(url, { method: 'POST', headers: sent, body: Buffer.from(bytes) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/** A Tenure, and a transmitter that directories may have a push channel with. */
export async function startSsfWorld(role: 'api' | 'all' = 'api') {
  const database = await createDatabase()
  const tenure = await runTenure(role, database)
  const transmitter: SetTransmitter = await startTransmitter()
  const owner = await connect({ url: database.ownerUrl })
  const db = openDatabase(createPool(database.url, { max: 2, name: 'the test' }))
  const channels = createChannels({ db, sealer: createSealer([secretKey]) })

  async function setUp(id: string, config: Partial<SsfConfig> = {}, ...inbound: string[]): Promise<void> {
    const { issuer, jwksUri } = transmitter
    await channels.put(
      { directoryId: id, kind: 'ssf' },
      {
        config: { issuer, jwksUri, audience: [audience], delivery: 'push', ...config },
        inbound,
        outbound: undefined,
        works: false,
        source: ['issuer'],
      },
    )
  }

  return {
    admin: tenure.admin,
    channels,
    database,
    owner,
    tenure,
    transmitter,
    setUp,
    /** A directory with a channel. */
    async directory(id: string, config?: Partial<SsfConfig>, ...inbound: string[]): Promise<PushedDirectory> {
      const scim = await registerDirectory(tenure.admin, id)
      await setUp(id, config, ...inbound)
      return { id, scim, pushUrl: `${tenure.url}/directories/${id}/events/ssf` }
    },
    /** What was recorded of a directory, oldest first. */
    async events(directoryId: string): Promise<Json[]> {
      const { rows } = await owner.query(
        `select type, kind, effect, user_id as "userId", occurred_at as "occurredAt", detail, subject
         from inbound_event where directory_id = $1 order by seq`,
        [directoryId],
      )
      return rows
    },
    /** Calls turned away, by reason, as soon as there are `count` of them. */
    async refusals(directoryId: string, count: number): Promise<Record<string, number>> {
      const read = async () => {
        const { rows } = await owner.query(
          'select reason, count::int from channel_refusal where directory_id = $1 order by reason',
          [directoryId],
        )
        return rows.reduce((sum, row) => sum + row.count, 0) >= count ? rows : undefined
      }
      const rows = await waitFor(read, { what: `${count} refusals of ${directoryId} to be counted` })
      return Object.fromEntries(rows.map((row) => [row.reason, row.count]))
    },
    async close() {
      await owner.end()
      await db.destroy()
      await tenure.close()
      await transmitter.close()
      await database.drop()
    },
  }
}

export type SsfWorld = Awaited<ReturnType<typeof startSsfWorld>>
