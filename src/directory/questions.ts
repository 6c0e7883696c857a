import { sql } from 'kysely'
import type { Database, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { type ChannelName, sourceOf } from './channel-name.ts'
import { lockUsers } from './locks.ts'
import { type Cause, touchUsers } from './state.ts'
import { endHold, type HintUser } from './users.ts'

/** An event after which the sender is to be asked how its user stands. */
export interface Question {
  readonly eventId: string
  readonly userId: string
  readonly detail: Readonly<Record<string, string>>
}

/** For so long a question that finds no answer is asked again. */
const askingHours = 24
const askAgainSeconds = 60

/** Of users who are held, and of whom their sender has said "enabled": what that says of them when it is asked. */
export function createQuestions({ db, hintUser }: { db: Database; hintUser: HintUser }) {
  return {
    /** Whom to ask the sender about, now; each is due again later unless it is answered. */
    async takeQuestions({ directoryId, kind }: ChannelName, limit: number): Promise<Question[]> {
      const { rows } = await sql<Question>`
        update inbound_event set ask_due_at = case
          when received_at < clock_timestamp() - make_interval(hours => ${askingHours}) then null
          else clock_timestamp() + make_interval(secs => ${askAgainSeconds}) end
        where id = any(array(
          select id from inbound_event
          where directory_id = ${directoryId} and channel_kind = ${kind} and ask_due_at <= statement_timestamp() and user_id is not null
          order by ask_due_at limit ${limit} for no key update skip locked))
        returning id as "eventId", user_id as "userId", detail`.execute(db)
      return rows
    },

    /**
     * What the sender says when asked. Only an answer to a question that was asked after the hold began, and after the
     * last event that confirmed it, ends it; nothing that was cut comes back.
     *
     * @returns whether a hold ended
     */
    async answer(
      { directoryId, kind }: ChannelName,
      { eventId, userId }: Question,
      { isActive, askedAt }: { isActive: boolean; askedAt: Date },
    ): Promise<boolean> {
      const cause: Cause = { source: sourceOf(kind), actor: kind }
      const ended = await transaction(db, async (trx) => {
        await lockUsers(trx, directoryId, [userId])
        await sql`update inbound_event set ask_due_at = null where id = ${eventId}`.execute(trx)
        if (!isActive || !(await wasHeldWhenAsked(trx, userId, askedAt))) return false
        await endHold(trx, userId)
        const detail = { operation: 'read', signal: eventId }
        await touchUsers(trx, [userId], { kind: 'resumed', cut: false, urgent: false, detail }, cause)
        return true
      })
      if (ended) hintUser(userId, 'normal', cause)
      return ended
    },
  }
}

/** A leave that came after the question finds a hold that is older, and confirms it. */
async function wasHeldWhenAsked(trx: Transaction, userId: string, askedAt: Date): Promise<boolean> {
  const { rows } = await sql`
    select 1 from user_state
    where user_id = ${userId}::uuid and hold_at < ${askedAt}::timestamptz and not exists (
      select from inbound_event
      where user_id = ${userId}::uuid and kind in ('left', 'suspended') and effect = 'confirmed' and received_at >= ${askedAt}::timestamptz)`.execute(
    trx,
  )
  return rows.length > 0
}
