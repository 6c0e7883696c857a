import { type RawBuilder, sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import type { Cause } from '../directory/state.ts'
import type { HintUser } from '../directory/users.ts'
import type { Gate } from '../entitlement/gate.ts'
import { Forbidden, Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret } from '../secrets.ts'
import { closeGrants } from './closing.ts'

/** A grant issued elsewhere, as it is reported. `jti` or `token` identifies it at its server; the token is only hashed. */
export interface ReportedGrant {
  readonly directoryId: string
  readonly userId: string
  readonly serverId: string
  readonly client: string
  readonly scopes: readonly string[]
  readonly jti?: string
  readonly token?: string
  readonly issuedAt?: Date
  readonly expiresAt: Date
}

export type GrantState = 'active' | 'expired' | 'closed'

export interface GrantRecord {
  readonly id: string
  readonly directory: string
  readonly user: string
  readonly server: string
  readonly client: string
  readonly scopes: readonly string[]
  readonly jti: string | null
  readonly issuedAt: Date
  readonly expiresAt: Date
  /** `closed` also once a cut has voided it and converge has yet to write that down. */
  readonly state: GrantState
  readonly closedAt: Date | null
  readonly closedReason: string | null
  /** When its server first asked about it, to the minute; null: never, or it does not ask. */
  readonly usedAt: Date | null
  /**
   * Of a closed grant, until when its token may still be taken somewhere: null where it died with the grant, being an
   * opaque one of ours. Else its expiry, or when the server acknowledged the closing, if that was earlier.
   */
  readonly expectedDeadBy: Date | null
}

/**
 * Outstanding authorizations: recording, reading, and taking one back. All other closing is converge's, in the
 * transaction that narrows access.
 */
export function createGrants({ db, gate, hintUser }: { db: Database; gate: Gate; hintUser: HintUser }) {
  return {
    /**
     * Records a grant if the gate allows it, under the user's row `for share`: a cut either waits for this commit and
     * then voids the grant, or has committed and is seen here.
     *
     * @returns the grant as it is now, and whether it is new; a repeat of (server, jti) or of the token changes nothing
     * @throws Forbidden when the gate says no or `issuedAt` is not after the last cut; Invalid
     */
    async record(given: ReportedGrant, recordedBy: string): Promise<{ grant: GrantRecord; isNew: boolean }> {
      return transaction(db, async (trx) => {
        await sql`select 1 from user_state where user_id = ${given.userId} for share`.execute(trx)
        const earlier = await findReported(trx, given)
        if (earlier) return { grant: earlier, isNew: false }
        const answer = await gate.ask(trx, given.userId, given)
        if (!answer?.allowed)
          throw new Forbidden('This user may not hold these scopes at this server through this client')
        const id = newId('grt')
        const { rows } = await sql<{ id: string }>`
          with moment as materialized (select clock_timestamp() as now),
          recorded as (
            insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, token_hash, epoch, issued_at, expires_at, recorded_by)
            select ${id}, s.directory_id, s.user_id, ${given.serverId}, ${given.client}, ${[...given.scopes]}::text[], ${given.jti ?? null},
              ${given.token === undefined ? null : hashSecret(given.token)}, s.epoch, coalesce(${given.issuedAt ?? null}::timestamptz, moment.now),
              ${given.expiresAt}, ${recordedBy}
            from user_state s, moment
            where s.user_id = ${given.userId}
              and (s.not_before is null or coalesce(${given.issuedAt ?? null}::timestamptz, moment.now) > s.not_before)
            on conflict do nothing
            returning id, directory_id, user_id, server_id, epoch
          )
          insert into ledger_entry (kind, directory_id, user_id, server_id, grant_id, epoch, detail)
          select 'granted', directory_id, user_id, server_id, id, epoch, jsonb_build_object('client', ${given.client}::text, 'scopes', ${[...given.scopes]}::text[])
          from recorded returning grant_id as id`.execute(trx)
        const grant = rows[0] ? (await findById(trx, id))! : await findReported(trx, given)
        if (!grant) await refuse(trx, given)
        return { grant: grant!, isNew: rows.length > 0 }
      })
    },

    /** @throws NotFound */
    async get(id: string): Promise<GrantRecord> {
      const grant = await findById(db, id)
      if (!grant) throw new NotFound(`Grant "${id}" not found`)
      return grant
    },

    /**
     * Takes one grant back for ever: closed in this transaction, with its ledger entry; converge then puts it into a new
     * generation, so that its server is told. The user keeps what the rules give and may be granted anew.
     *
     * @returns the grant as it is now; one that is no longer active is left as it was
     * @throws NotFound
     */
    async revoke(id: string, cause: Cause): Promise<GrantRecord> {
      if (!(await findById(db, id))) throw new NotFound(`Grant "${id}" not found`)
      await close(sql`g.id = ${id}`, { operation: 'revoke', grant: id }, cause)
      return (await findById(db, id))!
    },

    /**
     * The same for the one grant `g` that `where` selects, of that MCP client where one is given. What selects several
     * names none of them.
     */
    async revokeNamed(
      where: RawBuilder<boolean>,
      cause: Cause,
      { client }: { client?: string } = {},
    ): Promise<'revoked' | 'unknown' | 'several' | 'of_another_client'> {
      const { rows } = await sql<{ id: string; client: string }>`
        select g.id, g.client from access_grant g where ${where} limit 2`.execute(db)
      const [found] = rows
      if (!found) return 'unknown'
      if (rows.length > 1) return 'several'
      if (client !== undefined && found.client !== client) return 'of_another_client'
      await close(sql`g.id = ${found.id}`, { operation: 'revoke', grant: found.id }, cause)
      return 'revoked'
    },

    /** The same for all of a user, or all through one MCP client. @throws NotFound */
    async revokeAll(userId: string, { client }: { client?: string | undefined }, cause: Cause): Promise<void> {
      const { rows } = await sql`select 1 from user_state where user_id = ${userId}`.execute(db)
      if (rows.length === 0) throw new NotFound(`User ${userId} not found`)
      const through = client === undefined ? sql`true` : sql`g.client = ${client}`
      await close(sql`g.user_id = ${userId} and ${through}`, { operation: 'revoke' }, cause)
    },

    async list(query: {
      userId?: string
      serverId?: string
      active?: boolean
      limit: number
      before?: string
    }): Promise<GrantRecord[]> {
      const { rows } = await sql<GrantRecord>`
        select * from (${grantSelect}) g
        where ${query.userId === undefined ? sql`true` : sql`g."user" = ${query.userId}::uuid`}
          and ${query.serverId === undefined ? sql`true` : sql`g.server = ${query.serverId}`}
          and ${query.active === undefined ? sql`true` : query.active ? sql`g.state = 'active'` : sql`g.state <> 'active'`}
          and ${query.before === undefined ? sql`true` : sql`g.id < ${query.before}`}
        order by g.id desc limit ${query.limit}`.execute(db)
      return rows
    },
  }

  async function close(where: RawBuilder<unknown>, detail: Record<string, string>, cause: Cause): Promise<void> {
    const users = await transaction(db, (trx) => closeGrants(trx, where, detail, cause))
    for (const userId of users) hintUser(userId, 'urgent', cause)
  }

  async function findReported(trx: Transaction, given: ReportedGrant): Promise<GrantRecord | undefined> {
    const hash = given.token === undefined ? null : hashSecret(given.token)
    const { rows } = await sql<GrantRecord & { sameUser: boolean }>`
      select g.*, g."user" = ${given.userId}::uuid as "sameUser" from (${grantSelect}) g join access_grant r on r.id = g.id
      where r.server_id = ${given.serverId} and (r.jti = ${given.jti ?? null} or r.token_hash = ${hash}) limit 1`.execute(
      trx,
    )
    const [found] = rows
    if (!found) return undefined
    const { sameUser, ...grant } = found
    if (!sameUser)
      throw new Invalid('This jti or token was already recorded for another user', [
        { field: given.jti ? 'jti' : 'token', message: 'belongs to another user' },
      ])
    return grant
  }

  async function findById(executor: Executor, id: string): Promise<GrantRecord | undefined> {
    const { rows } = await sql<GrantRecord>`select * from (${grantSelect}) g where g.id = ${id}`.execute(executor)
    return rows[0]
  }

  /** Nothing was inserted and nothing is there: the time was wrong, or the token is recorded at another server. */
  async function refuse(trx: Transaction, given: ReportedGrant): Promise<never> {
    const { rows } = await sql<{ elsewhere: boolean }>`
      select exists (select from access_grant where token_hash = ${given.token === undefined ? null : hashSecret(given.token)}) as elsewhere`.execute(
      trx,
    )
    if (rows[0]!.elsewhere)
      throw new Invalid('This token was already recorded at another server', [
        { field: 'token', message: 'belongs to another server' },
      ])
    throw new Forbidden('issuedAt is not after the last cut of this user')
  }
}

export type Grants = ReturnType<typeof createGrants>

/** When every connector of its server had taken the generation that closed grant `g`; null: not all have. */
const acknowledgedAt = sql`(
  select case when bool_and(told.at is not null) then max(told.at) end
  from delivery d join connector c on c.id = d.connector_id and c.deleted_at is null
    left join lateral (
      select min(l.recorded_at) as at from ledger_entry l
      where l.user_id = d.user_id and l.kind = 'delivered' and l.delivery_id = d.id and l.generation >= g.closed_generation
    ) told on true
  where d.user_id = g.user_id and d.server_id = g.server_id)`

/** `expectedDeadBy` of a grant `g` that is closed. */
export const expectedDeadBy = sql`
  case when g.token_format is distinct from 'opaque' then least(g.expires_at, ${acknowledgedAt}) end`

/**
 * `GrantRecord` of every grant. Not clock_timestamp(): with what may change within the statement, Postgres makes all of
 * it before it looks which are wanted.
 */
export const grantSelect = sql`
  select g.id, g.directory_id as directory, g.user_id as "user", g.server_id as server, g.client, g.scopes, g.jti,
    g.issued_at as "issuedAt", g.expires_at as "expiresAt",
    case when g.closed_at is not null or cut.at is not null then 'closed'
         when g.expires_at <= statement_timestamp() then 'expired' else 'active' end as state,
    coalesce(g.closed_at, cut.at) as "closedAt",
    coalesce(g.closed_reason, case when cut.at is not null then 'cut' end) as "closedReason",
    (select used_at from grant_use where grant_id = g.id) as "usedAt",
    case when g.closed_at is not null or cut.at is not null then ${expectedDeadBy} end as "expectedDeadBy"
  from access_grant g join user_state s on s.user_id = g.user_id
    -- The cut that voided it, unless it had expired by then; looked for only until converge has written it down.
    left join lateral (
      select l.recorded_at as at from ledger_entry l
      where l.user_id = g.user_id and l.kind = 'cut' and l.epoch = g.epoch + 1 and l.recorded_at < g.expires_at
    ) cut on g.closed_at is null and g.epoch <> s.epoch`
