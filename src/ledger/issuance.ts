import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { AssertionReuse } from '../db/tables.ts'
import { transaction } from '../db/transaction.ts'
import type { Gate } from '../entitlement/gate.ts'
import type { BlockedBy, SubjectRow } from '../entitlement/subject.ts'
import { newId } from '../ids.ts'
import { hashSecret } from '../secrets.ts'

/** A token that is asked for on the strength of an assertion that has been verified. */
export interface TokenRequest {
  readonly userId: string
  readonly serverId: string
  /** The MCP client. */
  readonly client: string
  readonly scopes: readonly string[]
  readonly lifeSeconds: number
  readonly format: 'opaque' | 'jwt'
  readonly assertion: UsedAssertion
  /** Whether the client may still be given tokens. Asked first: whoever removes one locks it before any user. */
  holdClient(trx: Executor): Promise<boolean>
  /** What the user's document says against the assertion being about that user, if anything. */
  contradiction(document: SubjectRow['document']): 'subject_unknown' | 'email_contradicts' | undefined
  /** Makes the token; the grant's id is its `jti`. Holds a transaction open: no request, no query. */
  mint(made: Minted): Promise<string>
}

export interface UsedAssertion {
  /** Of whoever made it; unique together with `jtiHash`. */
  readonly issuerId: string
  readonly jtiHash: Buffer
  readonly reuse: AssertionReuse
  /** `iat`, in whole seconds. */
  readonly issuedAtSeconds: number
  /** From when on it is refused for its age, by whoever's clock. */
  readonly overAt: Date
  /** `act` (RFC 8693 §4.1), kept for audit. */
  readonly actor: unknown
}

export interface Minted {
  readonly grantId: string
  readonly userId: string
  readonly scopes: readonly string[]
  readonly issuedAtSeconds: number
  readonly expiresAtSeconds: number
}

export type Refused =
  | 'client_removed'
  | 'subject_unknown'
  | 'email_contradicts'
  | `user_${NonNullable<BlockedBy>}`
  | 'issued_before_cut'
  | 'not_entitled'
  | 'no_scope'
  | 'reused'

export type Issued = { readonly refused: Refused } | (Minted & { readonly refused?: never; readonly token: string })

/**
 * Issues a token: the gate is asked and the grant written in one transaction that holds the user's row `for share`, so
 * that a cut either waits for this commit and then voids the grant, or has committed and is seen here. The assertion is
 * used up in the same transaction, last: a request that fails leaves it good.
 */
export function createIssuance({ db, gate }: { db: Database; gate: Gate }) {
  return async function issue(request: TokenRequest): Promise<Issued> {
    return transaction(db, async (trx) => {
      if (!(await request.holdClient(trx))) return { refused: 'client_removed' }
      await sql`${prepared} select 1 from user_state where user_id = ${request.userId} for share`.execute(trx)
      const answer = await gate.narrow(trx, request.userId, request)
      if (!answer) return { refused: 'subject_unknown' }
      const refused = refusalOf(request, answer)
      if (refused) return { refused }
      const issuedAtSeconds = Math.floor(answer.readAt.getTime() / 1_000)
      const minted: Minted = {
        grantId: newId('grt'),
        userId: request.userId,
        scopes: answer.scopes,
        issuedAtSeconds,
        expiresAtSeconds: issuedAtSeconds + request.lifeSeconds,
      }
      const token = await request.mint(minted)
      return (await write(trx, request, minted, answer.subject, token)) ? { ...minted, token } : { refused: 'reused' }
    })
  }
}

export type IssueToken = ReturnType<typeof createIssuance>

function refusalOf(
  { assertion, contradiction }: TokenRequest,
  { subject, mayHold, scopes }: { subject: SubjectRow; mayHold: boolean; scopes: readonly string[] },
): Refused | undefined {
  if (subject.blockedBy !== null) return `user_${subject.blockedBy}`
  const contradicted = contradiction(subject.document)
  if (contradicted) return contradicted
  // `iat` has whole seconds: one of the very second of the cut may be older than it.
  if (subject.notBefore !== null && assertion.issuedAtSeconds * 1_000 <= subject.notBefore.getTime())
    return 'issued_before_cut'
  if (!mayHold) return 'not_entitled'
  return scopes.length === 0 ? 'no_scope' : undefined
}

/** @returns whether the assertion was still good; if not, nothing is written */
async function write(
  trx: Transaction,
  { client, serverId, format, assertion }: TokenRequest,
  { grantId, userId, scopes, expiresAtSeconds }: Minted,
  { directoryId, epoch }: SubjectRow,
  token: string,
): Promise<boolean> {
  const mayRepeat = assertion.reuse === 'same_client_until_exp'
  const detail = {
    client,
    scopes,
    issuer: assertion.issuerId,
    assertion: assertion.jtiHash.toString('base64url'),
    ...(assertion.actor === undefined ? {} : { actor: assertion.actor }),
  }
  const { rows } = await sql`${prepared}
    with used as (
      insert into assertion_use (issuer_id, jti_hash, client, expires_at)
      values (${assertion.issuerId}, ${assertion.jtiHash}, ${client}, ${assertion.overAt})
      on conflict (issuer_id, jti_hash) do update set client = excluded.client
        where ${mayRepeat} and assertion_use.client = excluded.client
      returning issuer_id
    ), recorded as (
      insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, token_hash, token_format, epoch, issued_at, expires_at, recorded_by)
      select ${grantId}, ${directoryId}, ${userId}, ${serverId}, ${client}, ${[...scopes]}::text[], ${grantId}, ${hashSecret(token)}, ${format},
        ${epoch}, clock_timestamp(), to_timestamp(${expiresAtSeconds}), ${`client:${client}`}
      from used
      returning id, directory_id, user_id, server_id, epoch
    )
    insert into ledger_entry (kind, directory_id, user_id, server_id, grant_id, epoch, detail)
    select 'granted', directory_id, user_id, server_id, id, epoch, ${JSON.stringify(detail)}::jsonb from recorded
    returning grant_id`.execute(trx)
  return rows.length > 0
}
