import { type RawBuilder, sql } from 'kysely'
import type { Connectors } from '../connectors/registry.ts'
import { createUseNotes } from '../db/last-used.ts'
import type { Database, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { StartOver, transaction, violatedUnique } from '../db/transaction.ts'
import { raisePolicyVersion } from '../directory/directories.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, newSecret, newSigningSecret, type Sealer } from '../secrets.ts'
import {
  checkLiving,
  handOver,
  insertConnector,
  insertSecret,
  type MadeConnector,
  type MadeSecret,
  removeConnectors,
  removedBy,
  updateConnector,
} from './connector-rows.ts'

export interface NewConnector {
  readonly type: string
  readonly [option: string]: unknown
}

export interface ServerSettings {
  readonly name: string
  /** RFC 9728 resource identifier, compared byte for byte. */
  readonly resource: string
  /** null: whatever its rules name */
  readonly scopes: readonly string[] | null
  readonly tokenLifeSeconds: number | null
  readonly tokenFormat: 'opaque' | 'jwt'
  /** Requests under way at once, over all workers. */
  readonly concurrency: number
}

export interface NewServer
  extends Partial<Omit<ServerSettings, 'name' | 'resource'>>,
    Pick<ServerSettings, 'name' | 'resource'> {
  readonly id: string
  readonly connectors: readonly NewConnector[]
}

/** `connectors`, when given, is the whole list: one with an `id` is kept, one without is new, one left out is removed. */
export interface ServerChange extends Partial<ServerSettings> {
  readonly connectors?: ReadonlyArray<{
    readonly id?: string
    readonly type?: string
    readonly [option: string]: unknown
  }>
}

export interface ConnectorRecord {
  readonly id: string
  readonly type: string
  /** Newest first; the older still sign until their time is up. */
  readonly secrets: ReadonlyArray<{ readonly createdAt: string; readonly signsUntil: string | null }>
  /** Only in the answer that made it. */
  readonly signingSecret?: string
  readonly [option: string]: unknown
}

export interface ServerRecord extends ServerSettings {
  readonly id: string
  readonly connectors: readonly ConnectorRecord[]
  readonly paused: boolean
  readonly pausedReason: string | null
  /** Failures in a row; from ten on the normal lane is only probed. */
  readonly failing: number
  readonly createdAt: Date
}

export interface CredentialRecord {
  readonly clientId: string
  readonly label: string | null
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly lastUsedAt: Date | null
}

/** `onPolicy`: the users of this directory are behind. `onDue`: this server may have something to send. */
export interface ServersParts {
  readonly db: Database
  readonly connectors: Connectors
  readonly sealer: Sealer
  readonly onPolicy: (directoryId: string) => void
  readonly onDue: (serverId: string) => void
}

const defaultConcurrency = 10
/** How long a secret that was rotated away still signs beside the new one. */
const overlap = '24 hours'

/** Downstream MCP servers: their limits, how each is told, and the credentials with which it asks. */
export function createServers({ db, connectors, sealer, onPolicy, onDue }: ServersParts) {
  const noteUse = createUseNotes((clientId) =>
    sql`update server_credential set last_used_at = clock_timestamp() where client_id = ${clientId}`.execute(db),
  )

  return {
    /** Each webhook connector comes with its `signingSecret`, this once. @throws Conflict, Invalid */
    async create(given: NewServer): Promise<ServerRecord> {
      const made = await Promise.all(given.connectors.map((connector, index) => makeConnector(connector, index)))
      await namingServer(given, () =>
        transaction(db, async (trx) => {
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
          for (const connector of made) await insertConnector(trx, given.id, connector)
        }),
      )
      return withSecrets(await find(given.id), made)
    },

    get: find,

    async list(page: { limit: number; after?: string }): Promise<ServerRecord[]> {
      return read(page.after === undefined ? sql`true` : sql`s.id > ${page.after}`, page.limit)
    },

    /**
     * Whoever has access hears of it through a connector that is new, and so does whoever has lost it and of whom a
     * connector that is removed has yet to hear. Without a new one to tell that to, such a removal is refused, unless
     * nobody shall be told (`tell` false).
     *
     * @throws NotFound; Conflict; Invalid when a rule names a scope that would be gone
     */
    async change(id: string, change: ServerChange, { tell }: { tell: boolean }): Promise<ServerRecord> {
      const known = new Map((await find(id)).connectors.map((connector) => [connector.id, connector]))
      const kept = change.connectors?.map((connector, index) => readKept(known, connector, index)) ?? []
      const made = await Promise.all(
        (change.connectors ?? []).flatMap(({ id: connectorId, ...connector }, index) =>
          connectorId === undefined ? [makeConnector(connector, index)] : [],
        ),
      )
      const behind = await namingServer({ id, resource: change.resource ?? '' }, () =>
        transaction(db, async (trx) => {
          const directories = await lockServer(trx, id, { withPolicies: made.length > 0 })
          if (change.scopes) await checkRules(trx, id, change.scopes)
          await update(trx, id, change)
          if (change.connectors) {
            const keptIds = kept.flatMap((connector) => (connector ? [connector.id] : []))
            await checkLiving(trx, id, keptIds)
            for (const connector of kept) if (connector) await updateConnector(trx, connector)
            for (const connector of made) await insertConnector(trx, id, connector)
            const madeIds = made.map((connector) => connector.id)
            const removed = await removedBy(trx, id, [...keptIds, ...madeIds])
            if (tell) await handOver(trx, removed, madeIds)
            await removeConnectors(trx, removed)
          }
          return directories
        }),
      )
      for (const directoryId of behind) onPolicy(directoryId)
      onDue(id)
      return withSecrets(await find(id), made)
    },

    /**
     * Nobody may hold anything there from the commit on, and its rules are gone. Whoever had access is told out like
     * any leaver, and its rows go when the last has been (src/housekeeping/leaving.ts); without `tell` nothing more is
     * sent.
     *
     * @throws NotFound
     */
    async remove(id: string, { tell }: { tell: boolean }): Promise<void> {
      const behind = await transaction(db, async (trx) => {
        const directories = await lockServer(trx, id, { withPolicies: true })
        await trx.deleteFrom('rule').where('server_id', '=', id).execute()
        await trx.deleteFrom('server_credential').where('server_id', '=', id).execute()
        await sql`update server set deleted_at = clock_timestamp(), paused_at = null, paused_reason = null where id = ${id}`.execute(
          trx,
        )
        if (!tell) await removeConnectors(trx, await removedBy(trx, id, []))
        return directories
      })
      for (const directoryId of behind) onPolicy(directoryId)
    },

    /** Stops the normal lane; revocations go on. @throws NotFound */
    async pause(id: string, reason: string): Promise<ServerRecord> {
      await onLiving(
        id,
        sql`update server set paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = ${reason} where id = ${id} and deleted_at is null`,
      )
      return find(id)
    },

    /** Opens the normal lane, and closes the breaker: whoever resumes a server says that it is well. @throws NotFound */
    async resume(id: string): Promise<ServerRecord> {
      await onLiving(
        id,
        sql`update server set paused_at = null, paused_reason = null, failures_in_a_row = 0, failing_since = null, probe_at = null
          where id = ${id} and deleted_at is null`,
      )
      onDue(id)
      return find(id)
    },

    /** From now on the new secret signs, and for a day the older ones beside it. @returns it, this once @throws NotFound */
    async rotateSecret(serverId: string, connectorId: string): Promise<{ signingSecret: string }> {
      const secret = await makeSecret()
      await transaction(db, async (trx) => {
        const { rows } = await sql`
          select 1 from connector c join server s on s.id = c.server_id
          where c.id = ${connectorId} and s.id = ${serverId} and c.deleted_at is null and s.deleted_at is null
          for no key update of c`.execute(trx)
        if (rows.length === 0) throw new NotFound(`Connector "${connectorId}" not found`)
        await sql`
          update connector_secret set signs_until = clock_timestamp() + ${sql.lit(overlap)}::interval
          where connector_id = ${connectorId} and signs_until is null`.execute(trx)
        await insertSecret(trx, connectorId, secret)
      })
      return { signingSecret: secret.signingSecret }
    },

    /** `clientSecret` is returned this once and stored hashed. @throws NotFound */
    async issueCredential(
      serverId: string,
      given: { label?: string; expiresAt?: Date } = {},
    ): Promise<CredentialRecord & { clientSecret: string }> {
      await find(serverId)
      const clientSecret = newSecret('cred')
      const row = await db
        .insertInto('server_credential')
        .values({
          client_id: newId('srv'),
          server_id: serverId,
          secret_hash: hashSecret(clientSecret),
          label: given.label ?? null,
          expires_at: given.expiresAt ?? null,
        })
        .returning(['client_id', 'label', 'created_at', 'expires_at'])
        .executeTakeFirstOrThrow()
      return {
        clientId: row.client_id,
        label: row.label,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        lastUsedAt: null,
        clientSecret,
      }
    },

    /** @throws NotFound */
    async credentials(serverId: string, page: { limit: number; after?: string }): Promise<CredentialRecord[]> {
      await find(serverId)
      const { rows } = await sql<CredentialRecord>`
        select client_id as "clientId", label, created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt"
        from server_credential
        where server_id = ${serverId} and ${page.after === undefined ? sql`true` : sql`client_id > ${page.after}`}
        order by client_id limit ${page.limit}`.execute(db)
      return rows
    },

    /** @throws NotFound */
    async revokeCredential(serverId: string, clientId: string): Promise<void> {
      const { numDeletedRows } = await db
        .deleteFrom('server_credential')
        .where('client_id', '=', clientId)
        .where('server_id', '=', serverId)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new NotFound(`Credential "${clientId}" not found`)
    },

    /** The server that these credentials belong to, if they are right. */
    async serverOf(credential: { id: string; secret: string }): Promise<string | undefined> {
      const { rows } = await sql<{ server_id: string; secret_hash: Buffer }>`${prepared}
        select c.server_id, c.secret_hash from server_credential c join server s on s.id = c.server_id
        where c.client_id = ${credential.id} and s.deleted_at is null
          and (c.expires_at is null or c.expires_at > clock_timestamp())`.execute(db)
      const [row] = rows
      if (!row?.secret_hash.equals(hashSecret(credential.secret))) return undefined
      noteUse(credential.id)
      return row.server_id
    },
  }

  async function makeSecret(): Promise<MadeSecret> {
    const signingSecret = newSigningSecret()
    return { signingSecret, sealed: await sealer.seal(signingSecret), sealedUnder: sealer.kid }
  }

  async function makeConnector(connector: { type?: string }, index: number): Promise<MadeConnector> {
    const { type, ...options } = connector
    if (type === undefined)
      throw new Invalid('A new connector needs a type', [
        { field: `connectors.${index}.type`, message: 'is required where there is no id' },
      ])
    return { id: newId('con'), type, config: readOptions(type, options, index), secret: await makeSecret() }
  }

  /** What becomes of a connector that is named by its id; undefined for one that is new. */
  function readKept(
    known: ReadonlyMap<string, ConnectorRecord>,
    { id, type, ...options }: NonNullable<ServerChange['connectors']>[number],
    index: number,
  ): { id: string; config?: Readonly<Record<string, unknown>> } | undefined {
    if (id === undefined) return undefined
    const connector = known.get(id)
    const field = `connectors.${index}`
    if (!connector)
      throw new Invalid('There is no such connector', [{ field: `${field}.id`, message: 'does not exist' }])
    if (type !== undefined && type !== connector.type)
      throw new Invalid('A connector stays of its type', [{ field: `${field}.type`, message: 'cannot be changed' }])
    return Object.keys(options).length === 0 ? { id } : { id, config: readOptions(connector.type, options, index) }
  }

  function readOptions(type: string, options: object, index: number): Readonly<Record<string, unknown>> {
    try {
      return { ...connectors.parseConfig(type, options) }
    } catch (error) {
      if (!(error instanceof Invalid)) throw error
      const problems = error.problems.map((problem) => ({
        ...problem,
        field: `connectors.${index}.${problem.field}`.replace(/\.$/, ''),
      }))
      throw new Invalid(error.message, problems)
    }
  }

  async function onLiving(id: string, update: RawBuilder<unknown>): Promise<void> {
    const { numAffectedRows } = await update.execute(db)
    if (!numAffectedRows) throw new NotFound(`Server "${id}" not found`)
  }

  async function find(id: string): Promise<ServerRecord> {
    const [record] = await read(sql`s.id = ${id}`, 1)
    if (!record) throw new NotFound(`Server "${id}" not found`)
    return record
  }

  async function read(where: RawBuilder<unknown>, limit: number): Promise<ServerRecord[]> {
    const { rows } = await sql<ServerRecord>`
      select s.id, s.name, s.resource, s.scopes, s.token_life_seconds as "tokenLifeSeconds", s.token_format as "tokenFormat", s.concurrency,
        s.paused_at is not null as paused, s.paused_reason as "pausedReason", s.failures_in_a_row as failing, s.created_at as "createdAt",
        (select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'type', c.type) || c.config || jsonb_build_object('secrets', (
            select coalesce(jsonb_agg(jsonb_build_object('createdAt', k.created_at, 'signsUntil', k.signs_until) order by k.created_at desc, k.id desc), '[]')
            from connector_secret k where k.connector_id = c.id and (k.signs_until is null or k.signs_until > clock_timestamp()))) order by c.id), '[]')
         from connector c where c.server_id = s.id and c.deleted_at is null) as connectors
      from server s where s.deleted_at is null and ${where} order by s.id limit ${limit}`.execute(db)
    return rows
  }
}

export type Servers = ReturnType<typeof createServers>

function withSecrets(server: ServerRecord, made: readonly MadeConnector[]): ServerRecord {
  const secrets = new Map(made.map(({ id, secret }) => [id, secret.signingSecret]))
  return {
    ...server,
    connectors: server.connectors.map((connector) =>
      secrets.has(connector.id) ? { ...connector, signingSecret: secrets.get(connector.id)! } : connector,
    ),
  }
}

async function namingServer<T>(given: { id: string; resource: string }, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    const index = violatedUnique(error)
    if (index === 'server_resource') throw new Conflict(`Another server already has the resource "${given.resource}"`)
    if (index !== undefined) throw new Conflict(`Server "${given.id}" already exists`)
    throw error
  }
}

/**
 * Locks the server's row and, before it, those of the directories whose people it concerns, whom that makes behind.
 *
 * @returns these directories
 * @throws NotFound; StartOver when a rule has brought another directory in meanwhile
 */
async function lockServer(
  trx: Transaction,
  id: string,
  { withPolicies }: { withPolicies: boolean },
): Promise<readonly string[]> {
  const directories = withPolicies ? await directoriesAt(trx, id) : []
  await raisePolicyVersion(trx, directories)
  const { rows } = await sql`select 1 from server where id = ${id} and deleted_at is null for no key update`.execute(
    trx,
  )
  if (rows.length === 0) throw new NotFound(`Server "${id}" not found`)
  const now = withPolicies ? await directoriesAt(trx, id) : []
  if (now.some((directoryId) => !directories.includes(directoryId))) throw new StartOver()
  return directories
}

/** Directories whose people have, or could have, something at this server. */
async function directoriesAt(trx: Transaction, serverId: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select d.id from directory d
    where exists (select from rule where directory_id = d.id and server_id = ${serverId})
      or exists (select from entitlement e join user_state s on s.user_id = e.user_id
                 where e.server_id = ${serverId} and s.directory_id = d.id and e.active)`.execute(trx)
  return rows.map(({ id }) => id)
}

async function checkRules(trx: Transaction, serverId: string, scopes: readonly string[]): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    select id from rule where server_id = ${serverId} and not scopes <@ ${[...scopes]}::text[] order by id limit 10`.execute(
    trx,
  )
  if (rows.length > 0)
    throw new Invalid('Rules name scopes that the server would no longer have', [
      { field: 'scopes', message: `must hold what these rules give: ${rows.map(({ id }) => id).join(', ')}` },
    ])
}

async function update(trx: Transaction, id: string, change: ServerChange): Promise<void> {
  const { name, resource, scopes, tokenLifeSeconds, tokenFormat, concurrency } = change
  const set = {
    ...(name === undefined ? {} : { name }),
    ...(resource === undefined ? {} : { resource }),
    ...(scopes === undefined ? {} : { scopes: scopes && [...scopes] }),
    ...(tokenLifeSeconds === undefined ? {} : { token_life_seconds: tokenLifeSeconds }),
    ...(tokenFormat === undefined ? {} : { token_format: tokenFormat }),
    ...(concurrency === undefined ? {} : { concurrency }),
  }
  if (Object.keys(set).length > 0) await trx.updateTable('server').set(set).where('id', '=', id).execute()
}
