import type { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Queue as BullQueue, Telemetry, Worker } from 'bullmq'
import type { Logger } from '../log.ts'
import { type Hop, type QueueSpec, queueFor, queues } from './catalog.ts'
import type { HintJob, Processors, Queue } from './queue.ts'

/** How one backend makes the two halves of BullMQ; everything else is the same on both. */
export interface Backend {
  readonly name: 'postgres' | 'redis'
  createQueue(spec: QueueSpec, options?: Traced): BullQueue
  createWorker(
    spec: QueueSpec,
    processor: (job: HintJob) => Promise<void>,
    options: typeof workerOptions & Traced,
  ): Worker
  /** Queues and workers that have not reached their store yet give up. */
  stopWaiting(): void
  ping(): Promise<unknown>
  close(): Promise<void>
}

interface Traced {
  readonly telemetry?: Telemetry | undefined
}

const hintTimeoutMs = 250
const stopTimeoutMs = 15_000
/** Beyond this many hints in wait the sweep is the better way to give them. */
const mostWaiting = 20_000
const largestBulk = 500

/** What the telemetry calls the trace that is active; only it knows what that is. */
type TraceContext = unknown

/** A killed worker's job swallows the wake-ups of its id until it is recovered, so that is done within seconds. */
const workerOptions = { lockDuration: 5_000, stalledInterval: 2_000, maxStalledCount: 1_000, runRetryDelay: 1_000 }

/**
 * `keepLastIfActive`: a hint given while its job runs makes the job run once more after; a plain job id would be dropped
 * in silence. Kept records would only grow: the rows are the record.
 */
function jobFor(hop: Hop, id: string, trace?: string) {
  return {
    name: hop,
    data: { id },
    opts: {
      deduplication: { id: `${hop}-${id}`, keepLastIfActive: true },
      removeOnComplete: true,
      removeOnFail: true,
      attempts: 1,
      ...(trace === undefined ? {} : { telemetry: { metadata: trace } }),
    },
  }
}

/** `telemetry`: where tracing is configured. */
export function createBullQueue(backend: Backend, log: Logger, telemetry?: Telemetry): Queue {
  const producers = new Map(queues.map((spec) => [spec.name, quiet(backend.createQueue(spec, { telemetry }), log)]))
  /** Ids, each with the trace in which it was given first. */
  const waiting = new Map(queues.map((spec) => [spec.name, new Map<string, TraceContext>()]))
  const flushing = new Map<string, Promise<void>>()
  const counts = { given: 0, dropped: 0 }
  let closed = false

  /** One flush at a time and queue: what is hinted meanwhile travels together in the next. */
  const flush = async (spec: QueueSpec): Promise<void> => {
    const ids = waiting.get(spec.name)!
    while (ids.size > 0) {
      const batch = [...ids.entries().take(largestBulk)]
      for (const [id] of batch) ids.delete(id)
      try {
        await within(hintTimeoutMs + batch.length, add(spec, batch))
        counts.given += batch.length
      } catch (error) {
        counts.dropped += batch.length + ids.size
        ids.clear()
        log.warn({ queue: spec.name, reason: error instanceof Error ? error.message : String(error) }, 'hint.dropped')
      }
    }
    // In the turn that found nothing waiting, so that no hint falls between the two.
    flushing.delete(spec.name)
  }

  /**
   * Hints of several requests travel together: the span of adding them is part of the trace of the first, the others
   * take their own along. A hint that is merged into one that waits, here or as a job, belongs to the trace of that one.
   */
  const add = (spec: QueueSpec, batch: ReadonlyArray<readonly [id: string, trace: TraceContext]>): Promise<unknown> => {
    const producer = producers.get(spec.name)!
    if (!telemetry) return producer.addBulk(batch.map(([id]) => jobFor(spec.hop, id)))
    const { contextManager } = telemetry
    const first = batch[0]![1]
    const jobs = batch.map(([id, trace]) =>
      jobFor(spec.hop, id, trace === first ? undefined : contextManager.getMetadata(trace)),
    )
    return contextManager.with(first, () => producer.addBulk(jobs))
  }

  return {
    backend: backend.name,
    counts,
    hint(hop, lane, id) {
      const spec = queueFor(hop, lane)
      const ids = waiting.get(spec.name)!
      if (closed || ids.size >= mostWaiting) {
        counts.dropped++
        return
      }
      if (!ids.has(id)) ids.set(id, telemetry?.contextManager.active())
      if (flushing.has(spec.name)) return
      flushing.set(
        spec.name,
        Promise.resolve().then(() => flush(spec)),
      )
    },
    async work(processors) {
      const workers = queues.map((spec) => startWorker(spec, processors))
      return async () => {
        backend.stopWaiting()
        // A worker whose store is away may never end by itself; its jobs are hints and its rows are leased.
        await Promise.race([
          Promise.all(workers.map((worker) => worker.close())),
          delay(stopTimeoutMs, undefined, { ref: false }),
        ])
      }
    },
    async isReady() {
      return within(1_000, backend.ping()).then(
        () => true,
        () => false,
      )
    },
    async close() {
      closed = true
      backend.stopWaiting()
      await Promise.race([Promise.all(flushing.values()), delay(hintTimeoutMs)])
      await Promise.allSettled([...producers.values()].map((producer) => within(1_000, producer.close())))
      await backend.close()
    },
  }

  function startWorker(spec: QueueSpec, processors: Processors): Worker {
    const processor = processors[spec.hop](spec.lane)
    const run = async (job: HintJob): Promise<void> => {
      try {
        await processor(job.data.id)
      } catch (error) {
        // The row stays due and the sweep comes back to it; the job has nothing more to say.
        log.error({ queue: spec.name, id: job.data.id, error }, 'job.failed')
      }
    }
    return quiet(backend.createWorker(spec, run, { ...workerOptions, telemetry }), log)
  }
}

/** A Queue or Worker without an error listener takes the process down when its backend restarts. */
function quiet<T extends EventEmitter & { readonly name: string }>(part: T, log: Logger): T {
  part.on('error', (error: Error) => log.debug({ queue: part.name, error }, 'queue.error'))
  return part
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => {})
  }
}
