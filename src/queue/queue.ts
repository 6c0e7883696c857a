import type { Job } from 'bullmq'
import type { Hop, Lane } from './catalog.ts'

/** Handed a user's or a server's id; called again for the same id only after it has returned. */
export type Processor = (id: string) => Promise<void>
export type Processors = Readonly<Record<Hop, (lane: Lane) => Processor>>

/** What both backends offer, and all that the rest of Tenure knows of them. */
export interface Queue {
  readonly backend: 'postgres' | 'redis'
  /**
   * Asks for a converge or a drain soon. Returns at once and never throws: a hint that cannot be given within 250 ms is
   * dropped and counted, and the sweep gives it again.
   */
  hint(hop: Hop, lane: Lane, id: string): void
  /** Starts the four workers of this process. The returned function waits for jobs under way. */
  work(processors: Processors): Promise<() => Promise<void>>
  /** Whether the backend answers now. */
  isReady(): Promise<boolean>
  /** Hints given and dropped since start, for metrics. */
  readonly counts: Readonly<{ given: number; dropped: number }>
  /** Waits briefly for hints under way, then lets go of every connection. */
  close(): Promise<void>
}

export type HintJob = Job<{ id: string }, void>
