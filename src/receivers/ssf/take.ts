import type { SsfConfig } from '../../directory/channel-config.ts'
import type { Channel, Channels } from '../../directory/channels.ts'
import type { Intake, Received } from '../../directory/intake.ts'
import type { KeySets } from '../../trust/key-sets.ts'
import { isStreamUpdate, isVerification, signalsOf } from './events.ts'
import { SetRefusal } from './refusal.ts'
import { type SetEvent, type VerifiedSet, verifySet } from './set.ts'

export interface TakeParts {
  readonly channels: Pick<Channels, 'noteState'>
  readonly intake: Pick<Intake, 'receive'>
  readonly keySets: Pick<KeySets, 'keyFor'>
  readonly publicUrl: () => string
}

/**
 * What a channel remembers of its stream. `verification` is written, by `noteState`, before the transmitter is asked to
 * verify the stream, since its answer may come at once. `verified` and `streamStatus` are what it said, and are written
 * here alone.
 */
export interface StreamState extends Heard {
  readonly verification?: { readonly state: string; readonly requestedAt: string }
}

interface Heard {
  /** The verification event that answered a `state`; `at`: by the transmitter's clock. */
  readonly verified?: { readonly state: string; readonly jti: string; readonly at: string }
  /** The last `stream-updated`; `paused`, `disabled`: nothing comes. */
  readonly streamStatus?: { readonly status: string; readonly at: string }
}

/**
 * Takes a SET that came over a channel, pushed or polled: after it returns the transmitter may forget it. One that is
 * known changes nothing and is answered as new (RFC 8935 §2.2).
 *
 * @throws SetRefusal: for good. UnknownKey, KeySetUnreachable, and whatever the database says: it has to come again
 */
export async function takeSet(parts: TakeParts, channel: Channel<SsfConfig>, compact: string): Promise<Received[]> {
  const { channels, intake, keySets, publicUrl } = parts
  const { config } = channel
  const set = await verifySet(compact, config, keySets, Date.now())
  const scimBaseUrl = `${publicUrl()}/directories/${channel.directoryId}/scim/v2`
  const signals = signalsOf(set, { ...config, scimBaseUrl })
  const heard = heardIn(set, channel.state as StreamState)
  const received = await intake.receive(channel, signals)
  if (Object.keys(heard).length > 0) await channels.noteState(channel, { ...heard })
  return received
}

/** @throws SetRefusal `invalid_state` */
function heardIn(set: VerifiedSet, state: StreamState): Heard {
  const verification = set.events.find(isVerification)
  const update = set.events.find(isStreamUpdate)
  return {
    ...(verification && verifiedBy(verification, set, state)),
    ...(update && statusOf(update, set, state)),
  }
}

/**
 * SSF 1.0 §8.1.4.1: a `state` must be the one that was asked with, and answers once, though the same SET may come again.
 * Without one the transmitter sent it unasked.
 */
function verifiedBy({ claims }: SetEvent, { jti, issuedAt }: VerifiedSet, state: StreamState): Heard {
  if (claims.state === undefined) return {}
  const { verification, verified } = state
  const isUsed = verified?.state === claims.state && verified?.jti !== jti
  if (typeof claims.state !== 'string' || claims.state !== verification?.state || isUsed)
    throw new SetRefusal('invalid_state', 'state')
  return { verified: { state: claims.state, jti, at: issuedAt.toISOString() } }
}

/** One that comes late, or again, says nothing of how things stand now. */
function statusOf({ claims }: SetEvent, { issuedAt }: VerifiedSet, { streamStatus }: StreamState): Heard {
  const at = issuedAt.toISOString()
  if (!['enabled', 'paused', 'disabled'].includes(claims.status as string)) return {}
  return streamStatus !== undefined && streamStatus.at > at
    ? {}
    : { streamStatus: { status: String(claims.status), at } }
}
