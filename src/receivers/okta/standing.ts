import { sql } from 'kysely'
import type { Database } from '../../db/pool.ts'
import type { OktaConfig } from '../../directory/channel-config.ts'
import type { Turn } from '../../directory/channels.ts'
import { isOktaId } from '../../directory/okta-id.ts'
import type { Question } from '../../directory/questions.ts'
import { fold } from '../../fold.ts'
import { isObject } from '../../trust/json-object.ts'
import type { ChannelWorkParts } from '../receiver.ts'
import type { OktaAnswer, OktaApi } from './api.ts'
import { issuerOf } from './events.ts'

/**
 * Who can sign in, or could after a password of theirs. Anybody can have somebody locked out by guessing, and that
 * passes: it is nothing that took access away, so nothing that keeps it away. `STAGED` and `PROVISIONED` have not begun,
 * `SUSPENDED` and `DEPROVISIONED` ended.
 */
const active: ReadonlySet<unknown> = new Set(['ACTIVE', 'PASSWORD_EXPIRED', 'RECOVERY', 'LOCKED_OUT'])

/** What an app's user is called who has the app no more. */
const ended: ReadonlySet<unknown> = new Set(['DEPROVISIONED', 'INACTIVE', 'REVOKED', 'SUSPENDED', 'UNASSIGNED'])

const perTake = 20
/** Then the log is read on: after an outage of the org there may be as many to ask about as it has people. */
const longestMs = 20_000

/**
 * Asks Okta about users of whom it said that they may work again while they are held here. The time is read before the
 * question is sent: what began after it, an answer does not end.
 *
 * @returns how it failed, if it did; whoever was not asked about is asked about later
 */
export function createAsking({ db, intake }: Pick<ChannelWorkParts, 'db' | 'intake'>) {
  return async function ask(
    turn: Turn,
    api: OktaApi,
    keep: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const endsAt = performance.now() + longestMs
    while (!signal.aborted && performance.now() < endsAt) {
      const questions = await intake.takeQuestions(turn, perTake)
      if (questions.length === 0) return undefined
      for (const question of questions) {
        if (!(await keep())) return undefined
        const person = await readPerson(db, turn, question)
        if (person.oktaId === undefined) continue
        const askedAt = await intake.now()
        const { isActive, restMs, reason } = await askOf({ ...person, oktaId: person.oktaId }, turn, api, signal)
        if (reason !== undefined) return reason
        await intake.answer(turn, question, { isActive, askedAt })
        if (restMs > 0) return undefined
      }
    }
    return undefined
  }
}

/** Who has lost the app that provisions us has left, however well the account stands. */
async function askOf(
  person: Person & { oktaId: string },
  { config }: Turn,
  api: OktaApi,
  signal: AbortSignal,
): Promise<{ isActive: boolean; restMs: number; reason?: string }> {
  const { appId } = config as OktaConfig
  const user = encodeURIComponent(person.oktaId)
  const account = await api.get(api.address(`/api/v1/users/${user}`), 'okta.users.read', signal)
  if (account.kind === 'failed') return { isActive: false, restMs: 0, reason: account.reason }
  if (appId === undefined || !isActive(account, person))
    return { isActive: isActive(account, person), restMs: rest(account) }
  const path = `/api/v1/apps/${encodeURIComponent(appId)}/users/${user}`
  const membership = await api.get(api.address(path), 'okta.apps.read', signal)
  if (membership.kind === 'failed') return { isActive: false, restMs: 0, reason: membership.reason }
  return { isActive: hasApp(membership, person), restMs: rest(membership) }
}

interface Person {
  readonly oktaId: string | undefined
  /** Undefined where SCIM stated the id: then no name has to agree. */
  readonly names: readonly string[] | undefined
}

/**
 * By which id Okta knows the user. What SCIM stated goes first, then what earlier events taught, then what the event
 * says that is the reason to ask: a hook is not signed, so for those the names must agree as well, or an event that
 * names two people would have one of them vouch for the other.
 */
async function readPerson(db: Database, turn: Turn, { userId, detail }: Question): Promise<Person> {
  const { rows } = await sql<{ externalId: string | null; linked: string | null; names: string[] }>`
    select u.external_id as "externalId",
      (select l.subject from identity_link l
       where l.user_id = u.id and l.directory_id = u.directory_id and l.issuer = ${issuerOf(turn.config as OktaConfig)}
       order by l.first_seen_at limit 1) as linked,
      array(select jsonb_path_query(u.folded, '$.emails[*].value') #>> '{}') || u.user_name_key::text as names
    from scim_user u where u.id = ${userId}`.execute(db)
  const { externalId = null, linked, names = [] } = rows[0] ?? {}
  if (externalId !== null && isOktaId(externalId)) return { oktaId: externalId, names: undefined }
  return { oktaId: linked ?? detail.user, names }
}

function isActive(answer: OktaAnswer, { oktaId, names }: Person): boolean {
  if (answer.kind !== 'answered' || !isObject(answer.body)) return false
  const { id, status, profile } = answer.body
  if (id !== oktaId || !active.has(status)) return false
  if (names === undefined) return true
  const { login, email } = isObject(profile) ? profile : {}
  return [login, email].some((name) => typeof name === 'string' && names.includes(fold(name)))
}

function hasApp(answer: OktaAnswer, { oktaId }: Person): boolean {
  return (
    answer.kind === 'answered' && isObject(answer.body) && answer.body.id === oktaId && !ended.has(answer.body.status)
  )
}

function rest(answer: OktaAnswer): number {
  return answer.kind === 'answered' ? answer.restMs : 0
}
