import { createHash } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import type { Egress } from '../connectors/egress.ts'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { AssertionReuse, IssuerSubject } from '../db/tables.ts'
import { transaction, violatedUnique } from '../db/transaction.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { type Algorithm, defaultAlgorithms } from './algorithms.ts'
import { discoverJwksUri } from './discovery.ts'

/** Whose ID-JAGs are believed for the users of one directory, and which of their attributes its `sub` is. */
export interface TrustedIssuer {
  /** Of issuer and tenant, so that one that is registered anew finds its used assertions. */
  readonly id: string
  readonly key: string
  readonly directoryId: string
  /** Compared byte for byte. */
  readonly issuer: string
  /** The `tenant` that its assertions must carry; null: none may. */
  readonly tenant: string | null
  readonly jwksUri: string
  readonly subject: IssuerSubject
  readonly algorithms: readonly string[]
  /** How long ago its people may have signed in, by the `auth_time` of its assertions; null: whenever. */
  readonly maxAuthAgeSeconds: number | null
  /** One of these must be the `acr` of its assertions; null: any, or none. */
  readonly acrValues: readonly string[] | null
  /** Of its directory. */
  readonly assertionReuse: AssertionReuse
}

export interface IssuerRecord extends Omit<TrustedIssuer, 'directoryId' | 'assertionReuse'> {
  readonly directory: string
  readonly createdAt: Date
  /** Since when its key set cannot be had, as far as anybody has tried. */
  readonly keysFailingSince: Date | null
}

export interface GivenIssuer {
  readonly issuer: string
  readonly tenant?: string | undefined
  /** Left out: read once from the issuer's own metadata, and kept. */
  readonly jwksUri?: string | undefined
  readonly subject: IssuerSubject
  readonly algorithms?: readonly Algorithm[] | undefined
  readonly maxAuthAgeSeconds?: number | undefined
  readonly acrValues?: readonly string[] | undefined
}

/** The one that `/directories/{id}/issuer` speaks of. */
export const defaultKey = 'default'

/** Trusted issuers of ID-JAGs, each in one directory. */
export function createIssuers({
  db,
  egress,
}: {
  db: Database
  egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>
}) {
  return {
    /**
     * Trusts it from the commit on. What was issued on the word of the one it replaces stays.
     *
     * @throws NotFound; Conflict when it is trusted elsewhere or under another key; Invalid, also when its key set cannot be found
     */
    async put(directoryId: string, key: string, given: GivenIssuer): Promise<{ issuer: IssuerRecord; isNew: boolean }> {
      if (egress.checkConfiguredUrl(given.issuer, 'issuer').search !== '')
        throw new Invalid('An issuer has no query', [{ field: 'issuer', message: 'must not have a query' }])
      if (given.jwksUri !== undefined) egress.checkConfiguredUrl(given.jwksUri, 'jwksUri')
      await requireDirectory(db, directoryId)
      const jwksUri = given.jwksUri ?? (await discoverJwksUri(egress, given.issuer))
      const isNew = await transaction(db, async (trx) => {
        await lockDirectory(trx, directoryId)
        const { rows } = await sql`
          select 1 from trusted_issuer where directory_id = ${directoryId} and key = ${key}`.execute(trx)
        await write(trx, directoryId, key, { ...given, jwksUri })
        return rows.length === 0
      })
      return { issuer: await find(directoryId, key), isNew }
    },

    /** @throws NotFound */
    get: find,

    /** Keyed by `key`. @throws NotFound */
    async list(directoryId: string, page: { limit: number; after?: string }): Promise<IssuerRecord[]> {
      await requireDirectory(db, directoryId)
      const after = page.after === undefined ? sql`true` : sql`i.key > ${page.after}`
      return read(sql`i.directory_id = ${directoryId} and ${after}`, page.limit)
    },

    /** Nothing on its word for a request that begins after the commit; what was issued stays. @throws NotFound */
    async remove(directoryId: string, key: string): Promise<void> {
      await find(directoryId, key)
      await db.deleteFrom('trusted_issuer').where('directory_id', '=', directoryId).where('key', '=', key).execute()
    },

    /** The issuer that an assertion names, of a living directory; `tenant` must agree too, also in being absent. */
    async find(executor: Executor, issuer: string, tenant: string | undefined): Promise<TrustedIssuer | undefined> {
      const { rows } = await sql<TrustedIssuer>`${prepared}
        select i.id, i.key, i.directory_id as "directoryId", i.issuer, i.tenant, i.jwks_uri as "jwksUri", i.subject, i.algorithms,
          i.max_auth_age_seconds as "maxAuthAgeSeconds", i.acr_values as "acrValues", d.assertion_reuse as "assertionReuse"
        from trusted_issuer i join directory d on d.id = i.directory_id
        where i.id = ${idOf(issuer, tenant)} and d.deleted_at is null`.execute(executor)
      return rows[0]
    },

    /** What came of the last try to fetch this key set: for the alarm. */
    async noteKeys(jwksUri: string, isReached: boolean): Promise<void> {
      await (isReached
        ? sql`
          update trusted_issuer set keys_failing_since = null, keys_failed_at = null
          where jwks_uri = ${jwksUri} and keys_failed_at is not null`
        : sql`
          update trusted_issuer set keys_failing_since = coalesce(keys_failing_since, clock_timestamp()), keys_failed_at = clock_timestamp()
          where jwks_uri = ${jwksUri}`
      ).execute(db)
    },
  }

  async function find(directoryId: string, key: string): Promise<IssuerRecord> {
    await requireDirectory(db, directoryId)
    const [record] = await read(sql`i.directory_id = ${directoryId} and i.key = ${key}`, 1)
    if (!record) throw new NotFound(`Issuer "${key}" of directory "${directoryId}" not found`)
    return record
  }

  async function read(where: RawBuilder<unknown>, limit: number): Promise<IssuerRecord[]> {
    const { rows } = await sql<IssuerRecord>`
      select i.id, i.key, i.directory_id as directory, i.issuer, i.tenant, i.jwks_uri as "jwksUri", i.subject, i.algorithms,
        i.max_auth_age_seconds as "maxAuthAgeSeconds", i.acr_values as "acrValues", i.created_at as "createdAt", i.keys_failing_since as "keysFailingSince"
      from trusted_issuer i where ${where} order by i.key limit ${limit}`.execute(db)
    return rows
  }
}

export type Issuers = ReturnType<typeof createIssuers>

async function write(
  trx: Transaction,
  directoryId: string,
  key: string,
  given: GivenIssuer & { jwksUri: string },
): Promise<void> {
  const { issuer, tenant, jwksUri, subject, algorithms = defaultAlgorithms, maxAuthAgeSeconds, acrValues } = given
  try {
    await sql`
      insert into trusted_issuer (id, directory_id, key, issuer, tenant, jwks_uri, subject, algorithms, max_auth_age_seconds, acr_values)
      values (${idOf(issuer, tenant)}, ${directoryId}, ${key}, ${issuer}, ${tenant ?? null}, ${jwksUri}, ${subject}, ${[...algorithms]}::text[],
        ${maxAuthAgeSeconds ?? null}, ${acrValues ? [...acrValues] : null}::text[])
      on conflict (directory_id, key) do update set id = excluded.id, issuer = excluded.issuer, tenant = excluded.tenant,
        jwks_uri = excluded.jwks_uri, subject = excluded.subject, algorithms = excluded.algorithms,
        max_auth_age_seconds = excluded.max_auth_age_seconds, acr_values = excluded.acr_values,
        keys_failing_since = null, keys_failed_at = null`.execute(trx)
  } catch (error) {
    if (violatedUnique(error) === undefined) throw error
    const named = tenant === undefined ? `"${issuer}"` : `"${issuer}" with tenant "${tenant}"`
    throw new Conflict(`The issuer ${named} is already trusted: one belongs to one directory, under one key`)
  }
}

async function requireDirectory(executor: Executor, id: string): Promise<void> {
  const { rows } = await sql`select 1 from directory where id = ${id} and deleted_at is null`.execute(executor)
  if (rows.length === 0) throw new NotFound(`Directory "${id}" not found`)
}

/** A directory that is being deleted takes its issuers with it: none may be added behind its back. */
async function lockDirectory(trx: Transaction, id: string): Promise<void> {
  const { rows } = await sql`select 1 from directory where id = ${id} and deleted_at is null for no key update`.execute(
    trx,
  )
  if (rows.length === 0) throw new NotFound(`Directory "${id}" not found`)
}

function idOf(issuer: string, tenant: string | undefined): string {
  const hash = createHash('sha256').update(JSON.stringify([issuer, tenant ?? null]))
  return `iss_${hash.digest('base64url').slice(0, 22)}`
}
