import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Database } from '../db/pool.ts'
import type { Queue } from '../queue/queue.ts'
import { readStats } from './stats.ts'

export interface Metrics {
  readonly contentType: string
  read(): Promise<string>
  noteAttempt(server: string, outcome: string, ms: number): void
  noteRequest(area: string, status: number): void
}

/** Prometheus metrics: counters of this process, and gauges read from the rows when asked, the same from every process. */
export function createMetrics({ db, queue }: { db: Database; queue: Queue }): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, prefix: 'tenure_' })
  const attempts = new Counter({
    registers,
    name: 'tenure_delivery_attempts_total',
    help: 'Attempts by outcome',
    labelNames: ['server', 'outcome'],
  })
  const seconds = new Histogram({
    registers,
    name: 'tenure_delivery_attempt_seconds',
    help: 'How long servers take to answer',
    labelNames: ['server'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10],
  })
  const requests = new Counter({
    registers,
    name: 'tenure_requests_total',
    help: 'Requests answered',
    labelNames: ['area', 'status'],
  })
  const behind = new Gauge({
    registers,
    name: 'tenure_users_behind',
    help: 'Users whose servers have yet to be told of something',
  })
  const pending = new Gauge({
    registers,
    name: 'tenure_deliveries_pending',
    help: 'Deliveries to be sent',
    labelNames: ['server', 'lane'],
  })
  const parked = new Gauge({
    registers,
    name: 'tenure_deliveries_parked',
    help: 'Deliveries whose retries are used up',
    labelNames: ['server'],
  })
  const killTime = new Gauge({
    registers,
    name: 'tenure_kill_time_milliseconds',
    help: 'From a cut to the answer of a server, last 24 h',
    labelNames: ['quantile'],
  })
  new Counter({
    registers,
    name: 'tenure_queue_hints_total',
    help: 'Jobs added and dropped',
    labelNames: ['result'],
    collect() {
      this.reset()
      this.inc({ result: 'given' }, queue.counts.given)
      this.inc({ result: 'dropped' }, queue.counts.dropped)
    },
  })

  return {
    contentType: registry.contentType,
    async read() {
      const stats = await readStats(db, queue)
      behind.set(stats.users.behind)
      for (const server of stats.servers) {
        pending.set({ server: server.server, lane: 'urgent' }, server.urgentPending)
        pending.set({ server: server.server, lane: 'normal' }, server.pending - server.urgentPending)
        parked.set({ server: server.server }, server.parked)
      }
      if (stats.killTimeMs.p50 !== null) killTime.set({ quantile: '0.5' }, stats.killTimeMs.p50)
      if (stats.killTimeMs.p99 !== null) killTime.set({ quantile: '0.99' }, stats.killTimeMs.p99)
      return registry.metrics()
    },
    noteAttempt(server, outcome, ms) {
      attempts.inc({ server, outcome })
      seconds.observe({ server }, ms / 1_000)
    },
    noteRequest(area, status) {
      requests.inc({ area, status: String(status) })
    },
  }
}
