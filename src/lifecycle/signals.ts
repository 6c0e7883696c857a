import type { SubjectAttribute } from './linking.ts'

export type { SubjectAttribute }

/**
 * What an event channel says of one user, once believed and translated. SCIM states what is so; a signal says that
 * something happened, possibly late, twice, out of order or about somebody who is not known yet. It may always take
 * access away and never gives any (design §1, "hold").
 *
 * - `left`, `suspended`: cut, and hold until SCIM states otherwise.
 * - `sessions_revoked`: cut; what is issued afterwards is good.
 * - `enabled`: recorded. It ends no hold by itself; where the provider can be asked, it is a reason to ask.
 * - `changed`, `noted`: recorded; the state itself comes by SCIM.
 */
export type SignalKind = 'left' | 'suspended' | 'sessions_revoked' | 'enabled' | 'changed' | 'noted'

/**
 * One name of a user, as the sender gives it. `subject`: a `sub` of this issuer, the sender's own id; which attribute it
 * is, is the channel's to say. `id` and `externalId` are those of SCIM: who has another one is not meant.
 */
export type Identifier =
  | {
      readonly by: 'subject'
      readonly issuer: string
      readonly value: string
      readonly attribute: SubjectAttribute
    }
  | { readonly by: 'id' | 'externalId' | 'userName' | 'email'; readonly value: string }

export interface Signal {
  /** The same for the same event on whichever way of one channel: its `uuid`, its issuer, jti and event type. */
  readonly dedupeKey: string
  /** The sender's name of the event. */
  readonly type: string
  readonly kind: SignalKind
  /** All of one person, the surest first; the first that names anybody decides. Empty: about no single user. */
  readonly subject: readonly Identifier[]
  /** By the sender's clock; absent: when it was received. */
  readonly occurredAt?: Date
  /** Of one session, device or application of the user: too narrow to cut the person. */
  readonly isNarrow?: boolean
  /** The name that it gives belongs to somebody else from now on (RISC 1.0 §2.6). */
  readonly isRecycled?: boolean
  /** Ids only, for the record: a transaction, a stream. */
  readonly detail?: Readonly<Record<string, string>>
}

/** What is known of a user, under its lock. Times are the database's, but those of events. */
export interface Standing {
  readonly isActive: boolean
  readonly isDeleted: boolean
  readonly isHeld: boolean
  /** When a SCIM write that itself states `active: true` was last taken. */
  readonly statedActiveAt: Date | undefined
  /** The latest time of an event that cut, by its source's clock. */
  readonly lastCutOccurredAt: Date | undefined
  /** Of those, and of what confirmed them, the latest that said left or suspended. */
  readonly lastLeaveOccurredAt: Date | undefined
}

/**
 * - `cut`: the epoch is raised; with a hold for `left` and `suspended`.
 * - `confirmed`: the user holds nothing already, or a later cut covers all that there was to be cut.
 * - `overtaken`: SCIM has stated `active: true` since; the epoch is raised, and nothing is held.
 * - `recorded`: kept, and does nothing by itself.
 */
export type Effect = 'cut' | 'confirmed' | 'overtaken' | 'recorded'

/**
 * What a signal does to a user who stands like this. `receivedAt`: when it was taken, by the clock that dates the
 * statements of SCIM.
 *
 * Whoever holds nothing has had no grant since the cut, so nothing is left to be cut: three channels that tell of one
 * leave make one epoch. A leave that comes late, when it or a later one has been acted upon and undone, is old news.
 */
export function decide(
  signal: Pick<Signal, 'kind' | 'isNarrow' | 'occurredAt'>,
  standing: Standing,
  receivedAt: Date,
): Effect {
  if (!cuts(signal)) return 'recorded'
  if (standing.isDeleted || standing.isHeld || !standing.isActive) return 'confirmed'
  if (holds(signal.kind) && covers(standing.lastLeaveOccurredAt, signal.occurredAt)) return 'confirmed'
  if (holds(signal.kind) && !isOvertaken(standing, receivedAt)) return 'cut'
  if (covers(standing.lastCutOccurredAt, signal.occurredAt)) return 'confirmed'
  return holds(signal.kind) ? 'overtaken' : 'cut'
}

/** Whether the signal can take anything away: only then is it worth waiting for a user who is not known yet. */
export function cuts({ kind, isNarrow }: Pick<Signal, 'kind' | 'isNarrow'>): boolean {
  return !isNarrow && (kind === 'left' || kind === 'suspended' || kind === 'sessions_revoked')
}

/** Whether a cut of this kind holds the user until SCIM speaks. */
export function holds(kind: SignalKind): kind is 'left' | 'suspended' {
  return kind === 'left' || kind === 'suspended'
}

function covers(earlier: Date | undefined, occurredAt: Date | undefined): boolean {
  return occurredAt !== undefined && earlier !== undefined && earlier >= occurredAt
}

/** By when it was received, not by its own time: what SCIM states may have been rendered long before it was sent. */
function isOvertaken({ statedActiveAt }: Standing, receivedAt: Date): boolean {
  return statedActiveAt !== undefined && statedActiveAt > receivedAt
}
