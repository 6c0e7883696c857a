import { type RawBuilder, sql } from 'kysely'
import type { Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { fold } from '../fold.ts'
import { isResourceId } from '../ids.ts'
import type { Identifier } from '../lifecycle/signals.ts'
import { isOf } from './by-key.ts'
import { findSubject } from './find-subject.ts'
import { isOktaId } from './okta-id.ts'

/** What a sender calls somebody: its own id, which no other person is ever given. */
export interface Pair {
  readonly issuer: string
  readonly value: string
}

/**
 * Whom an event names: one user (also one who was deleted), nobody that is known, or several, between whom nobody
 * guesses. `learns`: what its sender calls the user, as far as that was not known.
 */
export type Named = { readonly userId: string; readonly learns: readonly Pair[] } | 'nobody' | 'several'

/**
 * The user of a directory whom these identifiers name: by what SCIM states of its users, else by the pairs of issuer and
 * subject that earlier events taught. The first identifier that names anybody decides.
 *
 * A userName or an address may have passed to somebody else. So whoever is found by one of them is nobody if the event
 * also carries an id, and the user is known to have another one.
 */
export async function resolveUser(
  executor: Executor,
  directoryId: string,
  subject: readonly Identifier[],
): Promise<Named> {
  let deleted: string | undefined
  for (const identifier of subject) {
    const [id, another] = await living(executor, directoryId, identifier)
    if (another !== undefined) return 'several'
    if (id !== undefined) {
      const named = await recognise(executor, id, subject, isLasting(identifier))
      if (named !== 'nobody') return named
    }
    const gone = isLasting(identifier) ? await findGone(executor, directoryId, identifier) : undefined
    if (gone?.isStated) return { userId: gone.id, learns: [] }
    deleted ??= gone?.id
  }
  return deleted === undefined ? 'nobody' : { userId: deleted, learns: [] }
}

/** Keeps what senders call users, in one order for all, so that two calls never wait for each other in a circle. */
export async function learn(
  trx: Transaction,
  directoryId: string,
  learned: ReadonlyArray<Pair & { readonly userId: string }>,
): Promise<void> {
  const links = [...new Map(learned.map((link) => [JSON.stringify([link.issuer, link.value]), link])).values()]
  if (links.length === 0) return
  await sql`
    insert into identity_link (directory_id, issuer, subject, user_id)
    select ${directoryId}, issuer, subject, user_id
    from unnest(${links.map(({ issuer }) => issuer)}::text[], ${links.map(({ value }) => value)}::text[],
      ${links.map(({ userId }) => userId)}::uuid[]) as given (issuer, subject, user_id)
    order by issuer collate "C", subject collate "C"
    on conflict (directory_id, issuer, subject) do update set user_id = excluded.user_id, first_seen_at = clock_timestamp()`.execute(
    trx,
  )
}

/** For so long SCIM may be late to tell that a name has passed to somebody else. */
const lateDays = 7

/**
 * What senders were heard to call whoever has the name of this user. `isSame`: it is the same person, whose name has
 * passed to somebody else: what was learned lately may be what that one is called.
 */
export async function forgetLinks(trx: Transaction, userId: string, { isSame }: { isSame: boolean }): Promise<void> {
  await sql`
    delete from identity_link
    where user_id = ${userId}::uuid
      and ${isSame ? sql`first_seen_at > clock_timestamp() - make_interval(days => ${lateDays})` : sql`true`}`.execute(
    trx,
  )
}

/** Whether it is never given to another person. */
function isLasting(identifier: Identifier): boolean {
  return identifier.by === 'subject'
    ? identifier.attribute === 'externalId'
    : identifier.by === 'id' || identifier.by === 'externalId'
}

async function living(executor: Executor, directoryId: string, identifier: Identifier): Promise<string[]> {
  const { by, value } = identifier
  if (by === 'id') return isResourceId(value) ? find(executor, directoryId, sql`id = ${value}::uuid`) : []
  const attribute = by === 'subject' ? identifier.attribute : by
  const found = await findSubject(executor, directoryId, attribute, value)
  // An address that somebody left behind says nothing against the one who has it now.
  if (attribute === 'email' && found.length > 1) {
    const active = await findSubject(executor, directoryId, attribute, value, { mustBeActive: true })
    return active.length === 1 ? active : found
  }
  if (found.length > 0 || by !== 'subject' || attribute !== 'externalId') return found
  return find(executor, directoryId, sql`id = (${linked(directoryId, identifier)})`)
}

/** `isStated`: by an id that SCIM gave, or was given; otherwise by what earlier events taught. */
async function findGone(
  executor: Executor,
  directoryId: string,
  identifier: Identifier,
): Promise<{ id: string; isStated: boolean } | undefined> {
  const { by, value } = identifier
  const key = by !== 'id' ? sql`external_id = ${value}` : isResourceId(value) ? sql`id = ${value}::uuid` : sql`false`
  const [stated] = await find(executor, directoryId, key, { isDeleted: true })
  if (stated !== undefined) return { id: stated, isStated: true }
  if (by !== 'subject') return undefined
  const [taught] = await find(executor, directoryId, sql`id = (${linked(directoryId, identifier)})`, {
    isDeleted: true,
  })
  return taught === undefined ? undefined : { id: taught, isStated: false }
}

async function find(
  executor: Executor,
  directoryId: string,
  key: RawBuilder<unknown>,
  { isDeleted = false } = {},
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`${prepared}
    select id from scim_user
    where ${key} and ${isOf(directoryId, 'scim_user')} and ${isDeleted ? lastGone : sql`deleted_at is null`}
    limit 2`.execute(executor)
  return rows.map(({ id }) => id)
}

/** Not in the order of an index, or everybody who was deleted would be read for it. */
const lastGone = sql`deleted_at is not null order by deleted_at + interval '0' desc`

function linked(directoryId: string, { issuer, value }: Pair): RawBuilder<string> {
  return sql`
    select user_id from identity_link
    where directory_id = ${directoryId} and issuer = ${issuer} and subject = ${value}`
}

async function recognise(
  executor: Executor,
  userId: string,
  subject: readonly Identifier[],
  isSure: boolean,
): Promise<Named> {
  const ids = subject.filter(isLasting)
  if (ids.length === 0) return { userId, learns: [] }
  const { rows } = await sql<{
    externalId: string | null
    links: Array<{ issuer: string; subject: string }>
  }>`${prepared}
    select external_id as "externalId",
      (select coalesce(jsonb_agg(jsonb_build_object('issuer', issuer, 'subject', subject)), '[]')
       from identity_link where user_id = u.id) as links
    from scim_user u where id = ${userId}::uuid`.execute(executor)
  const { externalId, links } = rows[0]!
  if (!isSure && ids.some((id) => contradicts(id))) return 'nobody'
  return {
    userId,
    learns: ids.filter((id) => id.by === 'subject').filter((pair) => !subjectsOf(pair).includes(pair.value)),
  }

  function contradicts(id: Identifier): boolean {
    if (id.by === 'id') return id.value !== userId
    if (id.by === 'externalId') return externalId !== null && externalId !== id.value
    if (id.by !== 'subject') return false
    if (externalId !== null && isOktaId(externalId) && isOktaId(id.value)) return externalId !== id.value
    const known = subjectsOf(id)
    return known.length > 0 && !known.includes(id.value)
  }

  function subjectsOf({ issuer }: Pick<Pair, 'issuer'>): string[] {
    return links.filter((link) => link.issuer === issuer).map((link) => link.subject)
  }
}

/** With what `waitingKnown` looks a name up, which must not depend on the locale of the database. */
export function withFolded(identifier: Identifier): Identifier & { folded: string } {
  return { ...identifier, folded: fold(identifier.value) }
}

/** Of waiting events in order, those of whom, as far as the rows tell, somebody is known now. */
export interface Looked {
  readonly known: ReadonlyArray<{ readonly id: string; readonly seq: number }>
  /** The `seq` of the last one looked at; undefined: there are no more. */
  readonly last: number | undefined
}

/**
 * `after`: the `seq` from which to go on. The transaction is for this alone. Each name is asked for by its key, however few or many there are: a join would
 * read everybody in the directory for a handful of events.
 */
export async function waitingKnown(
  trx: Transaction,
  { after, limit }: { after: number; limit: number },
): Promise<Looked> {
  // What all the lookups together are guessed to cost has Postgres compile what runs for a millisecond. And should they
  // ever be planned badly, the sweep has more to do than this.
  await sql`select set_config('jit', 'off', true), set_config('statement_timeout', '5000', true)`.execute(trx)
  const { rows } = await sql<{ id: string; seq: number; known: boolean }>`
    select e.id, e.seq, exists (
      select from jsonb_to_recordset(e.subject) as i (by text, value text, folded text, attribute text, issuer text)
      where case coalesce(i.attribute, i.by)
        when 'id' then ${somebody(sql`u.id = ${asId(sql`i.value`)}`)}
        when 'externalId' then ${somebody(sql`u.external_id = i.value collate "C"`)} or (
          select l.user_id from identity_link l
          where l.directory_id = e.directory_id and l.issuer = i.issuer collate "C" and l.subject = i.value collate "C") is not null
        when 'userName' then ${somebody(named)}
        else ${somebody(named)} or ${somebody(sql`u.folded -> 'emails' @> jsonb_build_array(jsonb_build_object('value', i.folded))`)}
        end) as known
    from (select * from inbound_event where waits_until is not null and seq > ${after} order by seq limit ${limit}) e
    order by e.seq`.execute(trx)
  return { known: rows.filter(({ known }) => known), last: rows.length < limit ? undefined : rows.at(-1)!.seq }
}

const named = sql`u.user_name_key = i.folded collate "C"`

/**
 * Whether anybody of the directory of `e` lives who is found so. Counted: for `exists` Postgres reads and hashes everybody
 * each time, and for the first that is found it reads on until it meets one (measured: 30 ms an event, of 20,000 people).
 */
function somebody(key: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`(
    select count(*) from scim_user u
    where ${key} and u.directory_id is not distinct from e.directory_id and u.deleted_at is null) > 0`
}

function asId(text: RawBuilder<unknown>): RawBuilder<string> {
  return sql`case when ${text} ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then ${text}::uuid end`
}
