import { sql } from 'kysely'
import type { Connectors } from '../connectors/registry.ts'
import type { Database } from '../db/pool.ts'
import { transaction, violatedUnique } from '../db/transaction.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret, newSigningSecret, type Sealer } from '../secrets.ts'

export interface NewServer {
  readonly id: string
  readonly name: string
  readonly resource: string
  readonly connectors: ReadonlyArray<{ readonly type: string } & Readonly<Record<string, unknown>>>
  readonly scopes?: readonly string[]
  readonly tokenLifeSeconds?: number
  readonly tokenFormat?: 'opaque' | 'jwt'
  readonly concurrency?: number
}

export interface ConnectorRecord {
  readonly id: string
  readonly type: string
  readonly [option: string]: unknown
}

export interface ServerRecord {
  readonly id: string
  readonly name: string
  readonly resource: string
  readonly connectors: readonly ConnectorRecord[]
  readonly scopes: readonly string[] | null
  readonly tokenLifeSeconds: number | null
  readonly tokenFormat: 'opaque' | 'jwt'
  readonly concurrency: number
  readonly paused: boolean
  /** Failures in a row; from ten on the normal lane is only probed. */
  readonly failing: number
  readonly createdAt: Date
}

const defaultConcurrency = 10

/** Downstream MCP servers: their limits, how each is told, and the credentials with which it asks. */
export function createServers({ db, connectors, sealer }: { db: Database; connectors: Connectors; sealer: Sealer }) {
  return {
    /** Each webhook connector comes with its `signingSecret`, this once. @throws Conflict, Invalid */
    async create(given: NewServer): Promise<ServerRecord> {
      const made = await Promise.all(given.connectors.map((connector, index) => makeConnector(connector, index)))
      try {
        await transaction(db, async (trx) => {
          await trx
            .insertInto('server')
            .values({
              id: given.id,
              name: given.name,
              resource: given.resource,
              scopes: given.scopes ? [...given.scopes] : null,
              token_life_seconds: given.tokenLifeSeconds ?? null,
              token_format: given.tokenFormat ?? 'opaque',
              concurrency: given.concurrency ?? defaultConcurrency,
            })
            .execute()
          for (const { row } of made) {
            await trx
              .insertInto('connector')
              .values({ ...row, server_id: given.id, config: JSON.stringify(row.config) })
              .execute()
          }
        })
      } catch (error) {
        const index = violatedUnique(error)
        if (index === 'server_resource')
          throw new Conflict(`Another server already has the resource "${given.resource}"`)
        if (index !== undefined) throw new Conflict(`Server "${given.id}" already exists`)
        throw error
      }
      const record = await find(given.id)
      return {
        ...record,
        connectors: made.map(({ row, signingSecret }) => ({
          id: row.id,
          type: row.type,
          ...row.config,
          signingSecret,
        })),
      }
    },

    get: find,

    async list(page: { limit: number; after?: string }): Promise<ServerRecord[]> {
      return read(page.after === undefined ? sql`true` : sql`s.id > ${page.after}`, page.limit)
    },

    /** `clientSecret` is returned this once and stored hashed. */
    async issueCredential(serverId: string): Promise<{ clientId: string; clientSecret: string }> {
      await find(serverId)
      const credential = { clientId: newId('srv'), clientSecret: newSecret('cred') }
      await db
        .insertInto('server_credential')
        .values({
          client_id: credential.clientId,
          server_id: serverId,
          secret_hash: hashSecret(credential.clientSecret),
        })
        .execute()
      return credential
    },

    /** The server that these credentials belong to, if they are right. */
    async serverOf(credential: { id: string; secret: string }): Promise<string | undefined> {
      const row = await db
        .selectFrom('server_credential as c')
        .innerJoin('server as s', 's.id', 'c.server_id')
        .select(['c.server_id', 'c.secret_hash'])
        .where('c.client_id', '=', credential.id)
        .where('s.deleted_at', 'is', null)
        .executeTakeFirst()
      return row?.secret_hash.equals(hashSecret(credential.secret)) ? row.server_id : undefined
    },
  }

  async function makeConnector(connector: NewServer['connectors'][number], index: number) {
    const signingSecret = newSigningSecret()
    const row = {
      id: newId('con'),
      type: connector.type,
      config: { ...readOptions(connector, index) },
      sealed_secrets: [await sealer.seal(signingSecret)],
    }
    return { row, signingSecret }
  }

  function readOptions(
    { type, ...options }: NewServer['connectors'][number],
    index: number,
  ): Readonly<Record<string, unknown>> {
    try {
      return connectors.parseConfig(type, options)
    } catch (error) {
      if (!(error instanceof Invalid)) throw error
      const problems = error.problems.map((problem) => ({
        ...problem,
        field: `connectors.${index}.${problem.field}`.replace(/\.$/, ''),
      }))
      throw new Invalid(error.message, problems)
    }
  }

  async function find(id: string): Promise<ServerRecord> {
    const [record] = await read(sql`s.id = ${id}`, 1)
    if (!record) throw new NotFound(`Server "${id}" not found`)
    return record
  }

  async function read(where: ReturnType<typeof sql>, limit: number): Promise<ServerRecord[]> {
    const { rows } = await sql<ServerRecord>`
      select s.id, s.name, s.resource, s.scopes, s.token_life_seconds as "tokenLifeSeconds", s.token_format as "tokenFormat", s.concurrency,
        s.paused_at is not null as paused, s.failures_in_a_row as failing, s.created_at as "createdAt",
        (select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'type', c.type) || c.config order by c.id), '[]')
         from connector c where c.server_id = s.id and c.deleted_at is null) as connectors
      from server s where s.deleted_at is null and ${where} order by s.id limit ${limit}`.execute(db)
    return rows
  }
}

export type Servers = ReturnType<typeof createServers>
