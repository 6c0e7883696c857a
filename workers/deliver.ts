import type { Drain } from '../src/delivery/drain.ts'
import type { Lane } from '../src/queue/catalog.ts'
import type { Processor } from '../src/queue/queue.ts'

/**
 * Second hop: sends what one server is due. The job names the server and nothing else: the rows are the truth, so a job
 * that runs twice, late or after a replay finds nothing due and stops.
 */
export function deliverProcessor({ drain }: { drain: Drain }): (lane: Lane) => Processor {
  return (lane) => (serverId) => drain.run(serverId, lane)
}
