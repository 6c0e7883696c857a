import { sql } from 'kysely'
import type { Database } from '../src/db/pool.ts'
import { serversDue } from '../src/delivery/due.ts'
import { takeBehind } from '../src/entitlement/behind.ts'
import type { Logger } from '../src/log.ts'
import type { Hop, Lane } from '../src/queue/catalog.ts'

const everyMs = 1_000
const mostUsers = 2_000
/** A hint that did nothing is given again after this long. */
const againSeconds = 10

/**
 * Gives every due row its job again. A timer in each worker process, of which one at a time works: never a queued job,
 * because a scheduler dies with a flushed Redis, which is when it is needed.
 *
 * @returns stops the timer and waits for a sweep under way
 */
export function startSweep({
  db,
  hint,
  log,
}: {
  db: Database
  hint: (hop: Hop, lane: Lane, id: string) => void
  log: Logger
}): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  const sweep = async (): Promise<void> => {
    const found = await db.transaction().execute(async (trx) => {
      const { rows } = await sql<{
        mine: boolean
      }>`select pg_try_advisory_xact_lock(hashtext('tenure sweep')) as mine`.execute(trx)
      if (!rows[0]!.mine) return undefined
      return { users: await takeBehind(trx, { limit: mostUsers, againSeconds }), servers: await serversDue(trx) }
    })
    if (!found) return
    for (const { userId, lane } of found.users) hint('converge', lane, userId)
    for (const { serverId, lane } of found.servers) hint('deliver', lane, serverId)
    if (found.users.length > 0) log.info({ users: found.users.length, servers: found.servers.length }, 'sweep.hinted')
  }

  const tick = (): void => {
    running = sweep()
      .catch((error) => log.warn({ error }, 'sweep.failed'))
      .finally(() => {
        if (!stopped) timer = setTimeout(tick, everyMs)
      })
  }
  tick()

  return async () => {
    stopped = true
    clearTimeout(timer)
    await running
  }
}
