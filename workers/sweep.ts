import { sql } from 'kysely'
import type { Database } from '../src/db/pool.ts'
import { serversDue } from '../src/delivery/due.ts'
import { takeBehind } from '../src/entitlement/behind.ts'
import type { Logger } from '../src/log.ts'
import type { Hop, Lane } from '../src/queue/catalog.ts'
import { repeat } from '../src/repeat.ts'

const everyMs = 1_000
const housekeepingEveryMs = 5_000
const mostUsers = 2_000
/** A hint that did nothing is given again after this long. */
const againSeconds = 10

/** `elsewhere`: another process was at it. `users` and `servers` were found due and have their hints again. */
export interface Swept {
  readonly result: 'done' | 'elsewhere' | 'failed'
  readonly users: number
  readonly servers: number
}

/**
 * Gives every due row its job again. A timer in each worker process, of which one at a time works: never a queued job,
 * because a scheduler dies with a flushed Redis, which is when it is needed.
 *
 * @returns stops the timer and waits for a sweep under way
 */
export function startSweep({
  db,
  hint,
  joinWaiting,
  keepHouse,
  log,
  onSweep,
}: {
  db: Database
  hint: (hop: Hop, lane: Lane, id: string) => void
  /** Events whose user may be known by now. */
  joinWaiting: () => Promise<number>
  /** What has to be done now and then: see src/housekeeping/. */
  keepHouse: () => Promise<void>
  log: Logger
  onSweep?: (swept: Swept) => void
}): () => Promise<void> {
  const sweep = async (): Promise<void> => {
    const found = await db.transaction().execute(async (trx) => {
      const { rows } = await sql<{
        mine: boolean
      }>`select pg_try_advisory_xact_lock(hashtext('tenure sweep')) as mine`.execute(trx)
      if (!rows[0]!.mine) return undefined
      return { users: await takeBehind(trx, { limit: mostUsers, againSeconds }), servers: await serversDue(trx) }
    })
    onSweep?.({
      result: found ? 'done' : 'elsewhere',
      users: found?.users.length ?? 0,
      servers: found?.servers.length ?? 0,
    })
    if (!found) return
    for (const { userId, lane } of found.users) hint('converge', lane, userId)
    for (const { serverId, lane } of found.servers) hint('deliver', lane, serverId)
    if (found.users.length > 0) log.info({ users: found.users.length, servers: found.servers.length }, 'sweep.hinted')
    await joinWaiting()
  }

  const stopSweep = repeat(everyMs, sweep, (error) => {
    log.warn({ error }, 'sweep.failed')
    onSweep?.({ result: 'failed', users: 0, servers: 0 })
  })
  const stopHousekeeping = repeat(housekeepingEveryMs, keepHouse, (error) => log.warn({ error }, 'housekeeping.failed'))
  return async () => {
    await Promise.all([stopSweep(), stopHousekeeping()])
  }
}
