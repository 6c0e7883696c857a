import type { Router } from 'express'
import type { Egress } from '../connectors/egress.ts'
import type { Database } from '../db/pool.ts'
import type { Channel, Channels, Turn, TurnResult } from '../directory/channels.ts'
import type { Intake } from '../directory/intake.ts'
import type { Refusals } from '../directory/refusals.ts'
import type { Grants } from '../ledger/grants.ts'
import type { Logger } from '../log.ts'
import type { KeySets } from '../trust/key-sets.ts'

/** What every receiver is built of. */
export interface ReceiverParts {
  readonly channels: Pick<Channels, 'find' | 'admits' | 'noteState'>
  readonly intake: Intake
  readonly refusals: Pick<Refusals, 'note'>
  readonly keySets: Pick<KeySets, 'keyFor'>
  /** The base of every URL that is handed out. */
  readonly publicUrl: () => string
  readonly log: Logger
}

/**
 * One kind of event channel, inbound: routes below `/directories/{directory}/events`. It verifies, translates and hands
 * over to the intake, which commits before anything is answered; trouble of our own is a 503, never a final refusal.
 */
export type Receiver = (parts: ReceiverParts) => Router

/** What a channel asks of its sender, in turns: reading on, keeping a stream. */
export interface ChannelWorkParts {
  readonly db: Database
  readonly channels: Pick<Channels, 'noteState' | 'streamSecret'>
  readonly egress: Pick<Egress, 'request'>
  readonly intake: Intake
  readonly grants: Pick<Grants, 'record'>
  readonly keySets: Pick<KeySets, 'keyFor'>
  readonly publicUrl: () => string
  /** Of what is refused although it was asked for. */
  readonly refusals: Pick<Refusals, 'note'>
  readonly log: Logger
}

/**
 * One turn of it. What the sender does is a value (`error` in the result), never an exception. `keep`: to be called
 * before whatever follows something that took long; false: the turn has passed to somebody else, and nothing more may be
 * done.
 */
export type ChannelWork = (turn: Turn, keep: () => Promise<boolean>, signal: AbortSignal) => Promise<TurnResult>

export type { Channel }
