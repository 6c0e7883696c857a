import type { SsfConfig } from '../../directory/channel-config.ts'
import type { Signal, SignalKind } from '../../lifecycle/signals.ts'
import type { Json } from '../../trust/json-object.ts'
import { SetRefusal } from './refusal.ts'
import type { SetEvent, VerifiedSet } from './set.ts'
import { nobody, readSubject, type SubjectSettings, streamIdOf } from './subject.ts'
import { timeOf } from './times.ts'

interface EventType {
  readonly kind: SignalKind
  /** Where not every event of the type is a reason to take anything away, whatever is configured: whether this one is. */
  readonly isGrave?: (claims: Json) => boolean
}

const secevent = 'https://schemas.openid.net/secevent/'
const scimEvent = 'urn:ietf:params:scim:event:'
const noted: EventType = { kind: 'noted' }
const recycled = `${secevent}risc/event-type/identifier-recycled`

/** CAEP 1.0 §3, RISC 1.0 §2, and the OAuth types that Google sends. What is not here is noted. */
const eventTypes: ReadonlyMap<string, EventType> = new Map(
  Object.entries({
    'caep/event-type/session-revoked': { kind: 'sessions_revoked' },
    'caep/event-type/token-claims-change': { kind: 'changed' },
    'caep/event-type/credential-change': { kind: 'noted', isGrave: ({ change_type }) => change_type !== 'create' },
    'caep/event-type/assurance-level-change': {
      kind: 'noted',
      isGrave: ({ change_direction }) => change_direction !== 'increase',
    },
    'caep/event-type/device-compliance-change': {
      kind: 'noted',
      isGrave: ({ current_status }) => current_status === 'not-compliant',
    },
    'caep/event-type/risk-level-change': {
      kind: 'noted',
      isGrave: ({ principal, current_level }) => principal === 'USER' && current_level === 'HIGH',
    },
    'caep/event-type/session-established': noted,
    'caep/event-type/session-presented': noted,
    'risc/event-type/account-disabled': { kind: 'suspended' },
    'risc/event-type/account-purged': { kind: 'left' },
    'risc/event-type/account-enabled': { kind: 'enabled' },
    'risc/event-type/account-credential-change-required': noted,
    'risc/event-type/credential-compromise': { kind: 'sessions_revoked' },
    'risc/event-type/sessions-revoked': { kind: 'sessions_revoked' },
    'risc/event-type/identifier-changed': { kind: 'changed' },
    'risc/event-type/identifier-recycled': { kind: 'changed' },
    'risc/event-type/opt-in': noted,
    'risc/event-type/opt-out-initiated': noted,
    'risc/event-type/opt-out-cancelled': noted,
    'risc/event-type/opt-out-effective': noted,
    'risc/event-type/recovery-activated': noted,
    'risc/event-type/recovery-information-changed': noted,
    'oauth/event-type/tokens-revoked': { kind: 'sessions_revoked' },
    // One token of many: whose it is here, nobody knows.
    'oauth/event-type/token-revoked': noted,
  } satisfies Record<string, EventType>).map(([name, type]) => [secevent + name, type]),
)

/** What is worth being sent: all that does something, or could be configured to. */
export const usefulEventTypes: readonly string[] = [...eventTypes]
  .filter(([, { kind, isGrave }]) => kind !== 'noted' || isGrave !== undefined)
  .map(([type]) => type)

/** About the stream, not about anybody; the latter names are from before the final specification. */
const verifications = ['ssf', 'sse', 'risc'].map((family) => `${secevent}${family}/event-type/verification`)
const streamUpdates = ['ssf', 'sse'].map((family) => `${secevent}${family}/event-type/stream-updated`)

export function isVerification({ type }: SetEvent): boolean {
  return verifications.includes(type)
}

export function isStreamUpdate({ type }: SetEvent): boolean {
  return streamUpdates.includes(type)
}

/**
 * What a SET says, event by event, in our terms.
 *
 * An event without a time of its own is as old as its SET at least, which is what matters when SCIM has spoken since.
 *
 * @throws SetRefusal when a subject is missing, malformed or of another tenant
 */
export function signalsOf(set: VerifiedSet, settings: SubjectSettings & Pick<SsfConfig, 'effects'>): Signal[] {
  return set.events.map((event) => {
    const isOfStream = isVerification(event) || isStreamUpdate(event)
    if (!event.subject && eventTypes.has(event.type)) throw new SetRefusal('invalid_request', 'subject')
    const { identifiers, isNarrow } = isOfStream || !event.subject ? nobody : readSubject(event.subject, settings)
    const stream = isOfStream ? streamIdOf(event.subject) : undefined
    return {
      dedupeKey: `${set.issuer} ${set.jti} ${event.type}`,
      type: event.type,
      kind: isOfStream ? 'noted' : kindOf(event, settings.effects ?? {}),
      subject: identifiers,
      occurredAt: timeOf(event.claims.event_timestamp) ?? timeOf(set.toe) ?? set.issuedAt,
      isNarrow,
      ...(event.type === recycled && { isRecycled: true }),
      detail: { jti: set.jti, ...(set.txn && { txn: set.txn }), ...(stream && { stream }) },
    }
  })
}

function kindOf({ type, claims }: SetEvent, effects: Readonly<Record<string, SignalKind>>): SignalKind {
  const { kind, isGrave = () => true } = eventTypes.get(type) ?? noted
  const chosen = [type, shortNameOf(type)].find((name) => Object.hasOwn(effects, name))
  const effect = chosen === undefined ? kind : effects[chosen]!
  return isGrave(claims) ? effect : kind
}

/** `session-revoked`; of SCIM's `prov:deactivate`. */
function shortNameOf(type: string): string {
  return type.startsWith(scimEvent) ? type.slice(scimEvent.length) : type.slice(type.lastIndexOf('/') + 1)
}
