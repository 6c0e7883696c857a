import type { Database } from '../src/db/pool.ts'
import { type Converge, recordConvergeFailure } from '../src/entitlement/converge.ts'
import type { Logger } from '../src/log.ts'
import type { Lane } from '../src/queue/catalog.ts'
import type { Processor } from '../src/queue/queue.ts'
import { inSpan } from '../src/span.ts'

export interface Converged {
  readonly lane: Lane
  readonly seconds: number
  readonly lagSeconds: number | null
}

/**
 * First hop: decides what one user may reach. Servers that must hear of a loss are told from here at once; the others
 * are woken for the second hop.
 */
export function convergeProcessor({
  db,
  converge,
  tellNow,
  hintServer,
  log,
  onConverged,
  onFailed,
}: {
  db: Database
  converge: Converge
  tellNow: (userId: string, serverIds: readonly string[]) => Promise<void>
  hintServer: (serverId: string, lane: Lane) => void
  log: Logger
  onConverged?: (converged: Converged) => void
  onFailed?: (lane: Lane) => void
}): (lane: Lane) => Processor {
  return (lane) => (userId) => {
    const attributes = { 'tenure.user.id': userId, 'tenure.lane': lane }
    return inSpan('user.converge', { attributes }, () => run(lane, userId))
  }

  async function run(lane: Lane, userId: string): Promise<void> {
    const start = performance.now()
    const { changed, lagSeconds } = await converge(userId).catch(async (error) => {
      onFailed?.(lane)
      await recordConvergeFailure(db, userId, error)
      throw error
    })
    onConverged?.({ lane, seconds: (performance.now() - start) / 1_000, lagSeconds })
    const urgent = changed.filter(({ lane }) => lane === 'urgent').map(({ serverId }) => serverId)
    for (const { serverId, lane } of changed) if (lane === 'normal') hintServer(serverId, lane)
    if (urgent.length > 0) await tellNow(userId, urgent)
    log.info(
      { userId, lane, changed: changed.map(({ serverId }) => serverId), ms: Math.round(performance.now() - start) },
      'user.converged',
    )
  }
}
