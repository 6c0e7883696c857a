import type { SsfConfig } from '../../directory/channel-config.ts'
import { isStorable } from '../../filter/lex.ts'
import type { Identifier } from '../../lifecycle/signals.ts'
import { isObject, type Json } from '../../trust/json-object.ts'
import { SetRefusal } from './refusal.ts'

/** Whom an event is about, in our terms: the names of one user, the surest first, and whether it is only a part of what they do. */
export interface Subject {
  readonly identifiers: readonly Identifier[]
  /** Of one session, device, application or token, or narrowed by something that is not known here. */
  readonly isNarrow: boolean
}

export interface SubjectSettings extends Pick<SsfConfig, 'issuer' | 'subject' | 'subjectIssuers' | 'tenant'> {
  /** Of this directory, without a slash at the end. */
  readonly scimBaseUrl: string
}

/** The subject of nobody that could be looked up here. */
export const nobody: Subject = { identifiers: [], isNarrow: false }

/** No index row of Postgres takes more. */
const longestBytes = 1_024
/** Of one person, the surest: each is looked up. */
const mostAliases = 20
/** Members of a complex subject that leave all of the user: a group, a unit or a tenant only says where the user is. */
const ofTheWhole = new Set(['user', 'tenant', 'org_unit', 'group'])
const sureness: readonly Identifier['by'][] = ['subject', 'id', 'externalId', 'userName', 'email']

/**
 * Reads a Subject Identifier (RFC 9493, SSF 1.0 §3, RFC 9967 §2.1). Formats that say
 * nothing of a user here, phone numbers and addresses of machines, name nobody; so do those that are not known.
 *
 * @throws SetRefusal for what is no subject, and for one of another tenant
 */
export function readSubject(subject: Json, settings: SubjectSettings): Subject {
  if (subject.format === 'complex') return readComplex(subject, settings)
  if (subject.format === 'jwt_id' || subject.format === 'saml_assertion_id') return { identifiers: [], isNarrow: true }
  return { identifiers: readSimple(subject, settings), isNarrow: false }
}

/** The one place where an opaque id is ours: events about the stream itself (SSF 1.0 §8.1.4). */
export function streamIdOf(subject: Json | undefined): string | undefined {
  return subject?.format === 'opaque' && isText(subject.id) ? subject.id : undefined
}

/**
 * All members describe one principal, and each narrows what is meant (SSF 1.0 §3.2.3): one that is not known here might
 * do so too, and is taken to.
 */
function readComplex(subject: Json, settings: SubjectSettings): Subject {
  const { format: _, ...members } = subject
  if (!Object.values(members).every(isObject)) throw malformed()
  const { user, tenant } = members as Readonly<Record<string, Json>>
  if (tenant !== undefined && (settings.tenant === undefined || !idsOf(tenant).includes(settings.tenant)))
    throw new SetRefusal('access_denied', 'subject')
  return {
    identifiers: user === undefined ? [] : readSimple(user, settings),
    isNarrow: Object.keys(members).some((name) => !ofTheWhole.has(name)),
  }
}

function readSimple(subject: Json, settings: SubjectSettings): Identifier[] {
  if (subject.format !== 'aliases') return readOne(subject, settings)
  const { identifiers } = subject
  if (!Array.isArray(identifiers) || identifiers.length === 0) throw malformed()
  // RFC 9493 §3.2.8: aliases are not nested.
  if (!identifiers.every((each) => isObject(each) && each.format !== 'aliases')) throw malformed()
  return identifiers
    .flatMap((each) => readOne(each, settings))
    .toSorted((a, b) => sureness.indexOf(a.by) - sureness.indexOf(b.by))
    .slice(0, mostAliases)
}

function readOne(subject: Json, settings: SubjectSettings): Identifier[] {
  switch (subject.format) {
    case 'iss_sub':
      return ofIssuer(textOf(subject.iss), textOf(subject.sub), settings)
    case 'email':
      return [{ by: 'email', value: textOf(subject.email) }]
    case 'account':
      return ofAccount(textOf(subject.uri))
    case 'scim':
      return ofScim(subject, settings)
    // Google, before the final specifications: some claims of the ID token.
    case 'id_token_claims':
      return [
        ...(subject.sub === undefined ? [] : ofIssuer(textOf(subject.iss), textOf(subject.sub), settings)),
        ...(subject.email === undefined ? [] : [{ by: 'email' as const, value: textOf(subject.email) }]),
      ]
    default:
      if (!isText(subject.format)) throw malformed()
      return []
  }
}

/** A `sub` means something only with its issuer: the same one elsewhere is somebody else. */
function ofIssuer(issuer: string, value: string, settings: SubjectSettings): Identifier[] {
  if (![settings.issuer, ...(settings.subjectIssuers ?? [])].includes(issuer)) return []
  return [{ by: 'subject', issuer, value, attribute: settings.subject ?? 'externalId' }]
}

/** `acct:lee@acme.example` (RFC 7565): the name with which somebody signs in. */
function ofAccount(uri: string): Identifier[] {
  const name = /^acct:(.+@.+)$/i.exec(uri)?.[1]
  if (name === undefined) throw malformed()
  try {
    return [{ by: 'userName', value: textOf(decodeURIComponent(name)) }]
  } catch {
    throw malformed()
  }
}

/** A user of this service provider; relative to it, or with the whole address (RFC 9967 §2.1). */
function ofScim({ uri, externalId }: Json, { scimBaseUrl }: SubjectSettings): Identifier[] {
  const address = textOf(uri)
  const path = address.startsWith(`${scimBaseUrl}/`) ? address.slice(scimBaseUrl.length) : address
  const id = /^\/Users\/([^/?#]+)$/.exec(path)?.[1]
  if (id === undefined) return []
  return [
    { by: 'id', value: id },
    ...(externalId === undefined ? [] : [{ by: 'externalId' as const, value: textOf(externalId) }]),
  ]
}

/** By which a tenant may be called. */
function idsOf({ id, uri, url, sub }: Json): unknown[] {
  return [id, uri, url, sub].filter((each) => each !== undefined)
}

function textOf(value: unknown): string {
  if (!isText(value)) throw malformed()
  return value
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= longestBytes && isStorable(value)
}

function malformed(): SetRefusal {
  return new SetRefusal('invalid_request', 'subject')
}
