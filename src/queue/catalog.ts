/**
 * The job catalogue. A job is a hint: it names a user or a server, nothing that could go stale, and the rows say what is
 * due. So a job may be lost, late or run twice, and replaying one is the same as adding it.
 */
export type Lane = 'urgent' | 'normal'
export type Hop = 'converge' | 'deliver'

/** What each job says: the id of a user for `converge`, of a server for `deliver`. */
export interface Hint {
  readonly id: string
}

export interface QueueSpec {
  readonly name: string
  readonly hop: Hop
  readonly lane: Lane
  /** Jobs at once in one worker process. High where a job mostly waits for others: the limits live on the server row. */
  readonly concurrency: number
}

/** Four queues and four workers, whatever the number of servers. */
export const queues: readonly QueueSpec[] = [
  { name: 'converge-urgent', hop: 'converge', lane: 'urgent', concurrency: 8 },
  { name: 'converge', hop: 'converge', lane: 'normal', concurrency: 6 },
  { name: 'deliver-urgent', hop: 'deliver', lane: 'urgent', concurrency: 200 },
  { name: 'deliver', hop: 'deliver', lane: 'normal', concurrency: 200 },
]

export function queueFor(hop: Hop, lane: Lane): QueueSpec {
  return queues.find((queue) => queue.hop === hop && queue.lane === lane)!
}
