import type { OktaConfig } from '../../directory/channel-config.ts'
import { isStorable } from '../../filter/lex.ts'
import type { Identifier, Signal, SignalKind } from '../../lifecycle/signals.ts'
import { isObject, type Json } from '../../trust/json-object.ts'

/** What each type of event does unless the channel says otherwise. Every other is noted, whether we have heard of it or not. */
const kinds: ReadonlyMap<string, SignalKind> = new Map([
  ...of('left', 'user.lifecycle.', 'deactivate', 'delete.initiated', 'delete.completed'),
  ...of('left', 'application.user_membership.', 'remove', 'deprovision', 'revoke'),
  ...of('suspended', 'user.lifecycle.', 'suspend'),
  ...of('sessions_revoked', 'user.', 'session.clear', 'authentication.universal_logout'),
  ...of('sessions_revoked', 'security.', 'breached_credential.detected'),
  ...of('enabled', 'user.lifecycle.', 'activate', 'reactivate', 'unsuspend'),
  ...of('enabled', 'application.user_membership.', 'add', 'restore'),
  ...of('changed', 'user.account.', 'update_profile', 'update_primary_email', 'update_secondary_email'),
  ...of('changed', 'user.account.', 'update_user_type'),
  ...of('changed', 'group.user_membership.', 'add', 'remove'),
  ...of('changed', 'group.', 'lifecycle.create', 'lifecycle.delete', 'profile.update'),
  ...of('changed', 'group.application_assignment.', 'add', 'remove', 'update'),
  ...of('changed', 'application.user_membership.', 'update', 'change_username'),
])

/** Somebody's place in one app: it concerns us if the app is the one that provisions us. */
const isAboutApp = /^application\.(user_membership|provision\.user)\./
/** Whoever signs in or out is the actor; of `user.session.clear` that is the administrator. */
const isAboutActor = /^user\.session\.(start|end)$/

/**
 * An entry of Okta's System Log, as a hook carries it too, in Tenure's words: the same signal with the same key on both
 * ways. Pure.
 *
 * @param issuer whose user ids these are
 * @returns undefined for what is no entry: it lacks the id or the type
 */
export function translate(event: unknown, config: OktaConfig, issuer = issuerOf(config)): Signal | undefined {
  if (!isObject(event) || !isName(event.uuid) || !isName(event.eventType)) return undefined
  const targets = (Array.isArray(event.target) ? event.target : []).filter(isObject)
  const ofType = (type: string) => targets.filter((target) => target.type === type)
  const isOurApp = ofType('AppInstance').some(({ id }) => id !== undefined && id === config.appId)
  const actor = isObject(event.actor) ? event.actor : undefined
  const users = isAboutActor.test(event.eventType) ? (actor?.type === 'User' ? [actor] : []) : ofType('User')
  const person = only(users)
  const account = isOurApp && (person || users.length === 0) ? only(ofType('AppUser')) : undefined
  const occurredAt = timeOf(event.published)
  return {
    dedupeKey: event.uuid,
    type: event.eventType,
    kind: kindOf(event.eventType, event.outcome, isOurApp, config),
    subject: identifiersOf(person, account, issuer),
    ...(occurredAt && { occurredAt }),
    detail: idsOf({
      user: person?.id,
      actor: actor?.id,
      app: only(ofType('AppInstance'))?.id,
      group: only(ofType('UserGroup'))?.id,
      transaction: isObject(event.transaction) ? event.transaction.id : undefined,
    }),
  }
}

/**
 * Whose ids an org's user ids are: the org's own address, so that a link which an event teaches is the one that an SSF
 * stream of the same org asks for. `source`: the hook's, which lies at that address, where no API is set up.
 */
export function issuerOf({ apiUrl }: OktaConfig, source?: unknown): string {
  const url = URL.parse(apiUrl ?? (typeof source === 'string' ? source : ''))
  return url?.protocol.startsWith('http') ? url.origin : 'okta'
}

/** The types that can take something away, or are a reason to ask how somebody stands, as the channel has it. */
export function typesThatAct({ effects = {} }: OktaConfig): string[] {
  const acts = (kind: SignalKind) => kind !== 'changed' && kind !== 'noted'
  return [...new Map([...kinds, ...Object.entries(effects)])].filter(([, kind]) => acts(kind)).map(([type]) => type)
}

/** What failed, was skipped or only asked about is in the log too: it did nothing there, and does nothing here. */
function kindOf(type: string, outcome: unknown, isOurApp: boolean, { effects = {} }: OktaConfig): SignalKind {
  if (!isObject(outcome) || outcome.result !== 'SUCCESS') return 'noted'
  if (isAboutApp.test(type) && !isOurApp) return 'noted'
  return (Object.hasOwn(effects, type) ? effects[type] : kinds.get(type)) ?? 'noted'
}

/**
 * The id first, which SCIM usually has as `externalId`; then what the account in our app is called, which is the
 * userName that SCIM was given; then the login, which most often is the same.
 */
function identifiersOf(person: Json | undefined, account: Json | undefined, issuer: string): Identifier[] {
  const names = [account?.alternateId, person?.alternateId].filter((name) => isName(name) && name !== 'unknown')
  return [
    ...(isName(person?.id) ? [{ by: 'subject', issuer, value: person.id, attribute: 'externalId' } as const] : []),
    ...[...new Set(names as string[])].map((value) => ({ by: 'userName', value }) as const),
  ]
}

/** The only one there is, however often it is listed: between several nobody chooses. */
function only(entities: readonly Json[]): Json | undefined {
  return new Set(entities.map(({ id }) => id)).size === 1 ? entities[0] : undefined
}

/** Nothing that names a person: an id has neither spaces nor `@`. */
function idsOf(given: Readonly<Record<string, unknown>>): Record<string, string> {
  const ids = Object.entries(given).filter(([, id]) => typeof id === 'string' && /^[\w.:-]{1,128}$/.test(id))
  return Object.fromEntries(ids) as Record<string, string>
}

/** What can be kept: a longer one names nobody. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 512 && isStorable(value)
}

/** Undefined for what is no time that Postgres could hold. */
function timeOf(published: unknown): Date | undefined {
  const ms = typeof published === 'string' ? Date.parse(published) : Number.NaN
  return ms >= 0 && ms < Date.UTC(10_000, 0) ? new Date(ms) : undefined
}

function of(kind: SignalKind, area: string, ...names: readonly string[]): Array<[string, SignalKind]> {
  return names.map((name) => [area + name, kind])
}
