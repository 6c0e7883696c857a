import { type RawBuilder, sql } from 'kysely'

/**
 * Id of the lifecycle event that a change of access is put down to: the user's latest, while the user has changed since
 * the last converge. Null while it is policy that has. Wants `user_state s` in the from clause.
 */
export const causingEvent: RawBuilder<string | null> = sql`
  case when s.version > s.converged_version
    then (select v.id from lifecycle_event v where v.user_id = s.user_id order by v.seq desc limit 1) end`
