import { type RawBuilder, sql } from 'kysely'
import type { Egress } from '../connectors/egress.ts'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { ClientAuth } from '../db/tables.ts'
import { transaction, violatedUnique } from '../db/transaction.ts'
import type { Cause } from '../directory/state.ts'
import type { HintUser } from '../directory/users.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { closeGrants } from '../ledger/closing.ts'
import { hashSecret, newSecret } from '../secrets.ts'
import { type PresetName, presets } from './presets.ts'

/** An MCP client as the authorization server meets it. */
export interface McpClient {
  readonly id: string
  readonly name: string
  readonly auth: ClientAuth
  /** Of `private_key_jwt`, else null. */
  readonly jwksUri: string | null
  /** Nobody registered it: it was read from its Client ID Metadata Document. */
  readonly isDocument: boolean
  /** Whether it may use the grant type jwt-bearer: a registered one may, a document must list it. */
  readonly mayUseJwtBearer: boolean
  /** Of one subject. */
  readonly tokenRequestsPerMinute: number
}

type Registered = Omit<McpClient, 'isDocument' | 'mayUseJwtBearer'>

export interface ClientRecord extends Registered {
  readonly preset: string | null
  /** Newest first; the older are good until their time is up. */
  readonly secrets: ReadonlyArray<{ readonly createdAt: string; readonly expiresAt: string | null }>
  readonly createdAt: Date
}

/** `secret`: only where one was made just now. */
export type MadeClient = ClientRecord & { readonly secret?: string }

/** What is not given is the preset's, where one is named; without one `id` and `auth` are required. */
export interface NewClient {
  readonly preset?: PresetName | undefined
  readonly id?: string | undefined
  readonly name?: string | undefined
  readonly auth?: ClientAuth | undefined
  readonly jwksUri?: string | undefined
  readonly tokenRequestsPerMinute?: number | undefined
}

export interface ClientChange {
  readonly name?: string | undefined
  readonly auth?: ClientAuth | undefined
  readonly jwksUri?: string | undefined
  /** Null: the default again. */
  readonly tokenRequestsPerMinute?: number | null | undefined
}

export const defaultTokenRequestsPerMinute = 600
/** How long a secret that was rotated away is good beside the new one. */
const overlap = '24 hours'

export interface ClientsParts {
  readonly db: Database
  readonly egress: Pick<Egress, 'checkConfiguredUrl'>
  /** Of those that nobody registered. */
  readonly documents: { find(url: string): Promise<McpClient | undefined> }
  readonly hintUser: HintUser
}

/** MCP clients that operators registered; any other may name itself by the URL of its metadata document. */
export function createClients({ db, egress, documents, hintUser }: ClientsParts) {
  return {
    /** @throws Invalid; Conflict when the id is taken */
    async create(given: NewClient): Promise<MadeClient> {
      const { id, name, auth, jwksUri } = completed(given)
      checkKeys(auth, jwksUri)
      const secret = isSecretAuth(auth) ? newSecret('mcp') : undefined
      await transaction(db, async (trx) => {
        await trx
          .insertInto('mcp_client')
          .values({
            id,
            name,
            auth,
            jwks_uri: jwksUri ?? null,
            preset: given.preset ?? null,
            token_requests_per_minute: given.tokenRequestsPerMinute ?? null,
          })
          .execute()
        if (secret !== undefined) await insertSecret(trx, id, secret)
      }).catch((error) => {
        if (violatedUnique(error) !== undefined) throw new Conflict(`MCP client "${id}" already exists`)
        throw error
      })
      return withSecret(await find(id), secret)
    },

    /** @throws NotFound */
    get: find,

    async list(page: { limit: number; after?: string }): Promise<ClientRecord[]> {
      return read(page.after === undefined ? sql`true` : sql`c.id > ${page.after}`, page.limit)
    },

    /**
     * One that from now on has a secret is given one; one that no longer has, loses those it had.
     *
     * @throws NotFound; Invalid
     */
    async change(id: string, change: ClientChange): Promise<MadeClient> {
      const secret = await transaction(db, async (trx) => {
        const before = await lock(trx, id)
        const auth = change.auth ?? before.auth
        const jwksUri = change.jwksUri ?? (auth === 'private_key_jwt' ? (before.jwks_uri ?? undefined) : undefined)
        checkKeys(auth, jwksUri)
        const { tokenRequestsPerMinute: rate } = change
        await sql`
          update mcp_client set name = coalesce(${change.name ?? null}, name), auth = ${auth}, jwks_uri = ${jwksUri ?? null},
            token_requests_per_minute = ${rate === undefined ? sql`token_requests_per_minute` : sql`${rate}::integer`}
          where id = ${id}`.execute(trx)
        if (!isSecretAuth(auth)) await trx.deleteFrom('mcp_client_secret').where('client_id', '=', id).execute()
        if (!isSecretAuth(auth) || isSecretAuth(before.auth)) return undefined
        const made = newSecret('mcp')
        await insertSecret(trx, id, made)
        return made
      })
      return withSecret(await find(id), secret)
    },

    /**
     * No token is issued to it from the commit on, and its open grants are closed, at whatever server and whoever
     * recorded them: every server is told. A rule that names it stays, and where its id is the URL of a metadata document
     * it is from then on what that says.
     *
     * @throws NotFound
     */
    async remove(id: string, cause: Cause): Promise<void> {
      const users = await transaction(db, async (trx) => {
        await lock(trx, id)
        await trx.deleteFrom('mcp_client').where('id', '=', id).execute()
        return closeGrants(trx, sql`g.client = ${id}`, { operation: 'DELETE /clients' }, cause)
      })
      for (const userId of users.slice(0, mostHinted)) hintUser(userId, 'urgent', cause)
    },

    /** From now on the new secret is good, and for a day the older ones beside it. @throws NotFound; Conflict when it has none */
    async rotateSecret(id: string): Promise<{ secret: string }> {
      const secret = newSecret('mcp')
      await transaction(db, async (trx) => {
        const { auth } = await lock(trx, id)
        if (!isSecretAuth(auth)) throw new Conflict(`MCP client "${id}" has no secret: it authenticates by ${auth}`)
        await sql`
          update mcp_client_secret set expires_at = clock_timestamp() + ${sql.lit(overlap)}::interval
          where client_id = ${id} and expires_at is null`.execute(trx)
        await insertSecret(trx, id, secret)
      })
      return { secret }
    },

    /**
     * The registered client of this id or, for an id that is a URL, the one that its metadata document describes.
     *
     * @throws Unavailable when the document cannot be had at the moment
     */
    async find(id: string): Promise<McpClient | undefined> {
      const { rows } = await sql<Registered>`${prepared}
        select ${registeredColumns} from mcp_client c where c.id = ${id}`.execute(db)
      return rows[0] ? { ...rows[0], isDocument: false, mayUseJwtBearer: true } : documents.find(id)
    },

    /**
     * Whether it is there still, for the transaction that issues it a token, before the user's lock: a removal waits for
     * that commit and closes the grant, or has committed and is seen here.
     */
    async hold(trx: Executor, { id, isDocument }: Pick<McpClient, 'id' | 'isDocument'>): Promise<boolean> {
      if (isDocument) return true
      const { rows } = await sql`${prepared} select 1 from mcp_client where id = ${id} for key share`.execute(trx)
      return rows.length > 0
    },

    /** Whether this is a secret of that registered client, and good now. */
    async hasSecret(id: string, secret: string): Promise<boolean> {
      const { rows } = await sql<{ secret_hash: Buffer }>`${prepared}
        select secret_hash from mcp_client_secret
        where client_id = ${id} and (expires_at is null or expires_at > clock_timestamp())`.execute(db)
      const hash = hashSecret(secret)
      return rows.some(({ secret_hash }) => secret_hash.equals(hash))
    },
  }

  async function find(id: string): Promise<ClientRecord> {
    const [record] = await read(sql`c.id = ${id}`, 1)
    if (!record) throw new NotFound(`MCP client "${id}" not found`)
    return record
  }

  async function read(where: RawBuilder<unknown>, limit: number): Promise<ClientRecord[]> {
    const { rows } = await sql<ClientRecord>`
      select ${registeredColumns}, c.preset,
        (select coalesce(jsonb_agg(jsonb_build_object('createdAt', k.created_at, 'expiresAt', k.expires_at) order by k.created_at desc, k.id desc), '[]')
         from mcp_client_secret k where k.client_id = c.id and (k.expires_at is null or k.expires_at > clock_timestamp())) as secrets,
        c.created_at as "createdAt"
      from mcp_client c where ${where} order by c.id limit ${limit}`.execute(db)
    return rows
  }

  /** @throws Invalid unless it has a key set exactly where it signs with one */
  function checkKeys(auth: ClientAuth, jwksUri: string | undefined): void {
    if ((auth === 'private_key_jwt') !== (jwksUri !== undefined)) {
      const message = auth === 'private_key_jwt' ? 'is required for private_key_jwt' : `is not for ${auth}`
      throw new Invalid('The key set of an MCP client is for private_key_jwt', [{ field: 'jwksUri', message }])
    }
    if (jwksUri !== undefined) egress.checkConfiguredUrl(jwksUri, 'jwksUri')
  }
}

export type Clients = ReturnType<typeof createClients>

/** Of `mcp_client c`. */
const registeredColumns = sql`
  c.id, c.name, c.auth, c.jwks_uri as "jwksUri",
  coalesce(c.token_requests_per_minute, ${sql.lit(defaultTokenRequestsPerMinute)}) as "tokenRequestsPerMinute"`

/** The rest is left to the sweep. */
const mostHinted = 1_000

function completed(given: NewClient): { id: string; name: string; auth: ClientAuth; jwksUri: string | undefined } {
  const preset = given.preset && presets[given.preset]
  const id = given.id ?? preset?.document.client_id
  const auth = given.auth ?? preset?.document.token_endpoint_auth_method
  if (id === undefined || auth === undefined) {
    const missing = [...(id === undefined ? ['id'] : []), ...(auth === undefined ? ['auth'] : [])]
    const problems = missing.map((field) => ({ field, message: 'is required without a preset' }))
    throw new Invalid('A client without a preset needs an id and a way to authenticate', problems)
  }
  return { id, name: given.name ?? preset?.document.client_name ?? id, auth, jwksUri: given.jwksUri }
}

function isSecretAuth(auth: ClientAuth): boolean {
  return auth === 'client_secret_basic' || auth === 'client_secret_post'
}

function withSecret(record: ClientRecord, secret: string | undefined): MadeClient {
  return secret === undefined ? record : { ...record, secret }
}

async function insertSecret(trx: Transaction, clientId: string, secret: string): Promise<void> {
  await trx
    .insertInto('mcp_client_secret')
    .values({ id: newId('sec'), client_id: clientId, secret_hash: hashSecret(secret) })
    .execute()
}

async function lock(trx: Transaction, id: string): Promise<{ auth: ClientAuth; jwks_uri: string | null }> {
  const { rows } = await sql<{ auth: ClientAuth; jwks_uri: string | null }>`
    select auth, jwks_uri from mcp_client where id = ${id} for update`.execute(trx)
  if (!rows[0]) throw new NotFound(`MCP client "${id}" not found`)
  return rows[0]
}
