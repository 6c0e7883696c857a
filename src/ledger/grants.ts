import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { lockUsers } from '../directory/locks.ts'
import { type Cause, touchUsers } from '../directory/state.ts'
import type { HintUser } from '../directory/users.ts'
import type { Gate } from '../entitlement/gate.ts'
import { Forbidden, Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret } from '../secrets.ts'

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
      const revoked = await transaction(db, async (trx) => {
        const grant = await findById(trx, id)
        if (!grant) throw new NotFound(`Grant "${id}" not found`)
        await lockUsers(trx, grant.directory, [grant.user])
        const { rows } = await sql`
          with closed as (
            update access_grant g set closed_at = clock_timestamp(), closed_reason = 'revoked'
            from user_state s
            where g.id = ${id} and s.user_id = g.user_id
              and g.closed_at is null and g.epoch = s.epoch and g.expires_at > clock_timestamp()
            returning g.*
          )
          insert into ledger_entry (kind, directory_id, user_id, server_id, grant_id, epoch, detail)
          select 'closed', directory_id, user_id, server_id, id, epoch,
            jsonb_build_object('reason', closed_reason, 'closedAt', closed_at, 'actor', ${cause.actor}::text)
          from closed returning id`.execute(trx)
        if (rows.length === 0) return undefined
        const detail = { operation: 'revoke', grant: id }
        await touchUsers(trx, [grant.user], { kind: 'changed', cut: false, urgent: true, detail }, cause)
        return grant.user
      })
      if (revoked !== undefined) hintUser(revoked, 'urgent', cause)
      return (await findById(db, id))!
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

export const grantSelect = sql`
  select g.id, g.directory_id as directory, g.user_id as "user", g.server_id as server, g.client, g.scopes, g.jti,
    g.issued_at as "issuedAt", g.expires_at as "expiresAt",
    case when g.closed_at is not null or cut.at is not null then 'closed'
         when g.expires_at <= clock_timestamp() then 'expired' else 'active' end as state,
    coalesce(g.closed_at, cut.at) as "closedAt",
    coalesce(g.closed_reason, case when cut.at is not null then 'cut' end) as "closedReason"
  from access_grant g join user_state s on s.user_id = g.user_id
    -- The cut that voided it, unless it had expired by then; looked for only until converge has written it down.
    left join lateral (
      select l.recorded_at as at from ledger_entry l
      where l.user_id = g.user_id and l.kind = 'cut' and l.epoch = g.epoch + 1 and l.recorded_at < g.expires_at
    ) cut on g.closed_at is null and g.epoch <> s.epoch`
