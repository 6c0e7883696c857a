import type { Pool } from 'pg'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Database } from '../db/pool.ts'
import type { Settled, Settlement } from '../delivery/settle.ts'
import type { ChannelName, Received } from '../directory/intake.ts'
import type { Cause } from '../directory/state.ts'
import type { Answer } from '../entitlement/gate.ts'
import type { Signal } from '../lifecycle/signals.ts'
import type { Lane } from '../queue/catalog.ts'
import type { Queue } from '../queue/queue.ts'
import { type OpenAlarm, readRowGauges } from './row-gauges.ts'

export interface Metrics {
  readonly contentType: string
  /** Never rejects: without a database there is `tenure_database_up 0` and what this process has counted. */
  read(): Promise<string>
  /** `directory`: whose token it came with, for a SCIM request. */
  noteRequest(request: { area: string; method: string; status: number; seconds: number; directory?: unknown }): void
  /** A lifecycle event was committed. */
  noteEvent(cause: Pick<Cause, 'source' | 'occurredAt'>): void
  /** An event channel told something, and this came of it. */
  noteSignal(channel: ChannelName, signal: Pick<Signal, 'occurredAt'>, effect: Received['effect']): void
  noteGateAnswer(answer: Answer): void
  noteConverged(converged: { lane: Lane; seconds: number; lagSeconds: number | null }): void
  noteConvergeFailed(lane: Lane): void
  noteAttempt(attempt: Settlement & Settled): void
  noteSweep(swept: { result: string; users: number; servers: number }): void
}

export interface MetricsParts {
  readonly db: Database
  readonly pool: Pool
  readonly queue: Queue
  /** Those that are open: `readAlarms` of alarms.ts. */
  readonly alarms?: (() => Promise<readonly OpenAlarm[]>) | undefined
}

/** A scrape does not wait longer for the database: Prometheus gives up after 10 s, and then has nothing. */
const patienceMs = 2_000

const fast = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const wide = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600]
/** Identity providers batch and retry: hooks come late by minutes, sometimes by a day. */
const late = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400]

/**
 * Prometheus metrics. Counters and histograms are of this process and to be added up over all of them; gauges of rows
 * (row-gauges.ts) are the same from every process. Labels are what an operator has named or a word of ours, never a
 * person, a path or anything that a caller can make up.
 */
export function createMetrics({ db, pool, queue, alarms }: MetricsParts): Metrics {
  const registry = new Registry()
  const registers = [registry]
  // By their usual names, which dashboards for Node know.
  collectDefaultMetrics({ register: registry })
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Counter<Label>({ registers, name, help, labelNames })
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: readonly number[],
  ) => new Histogram<Label>({ registers, name, help, labelNames, buckets: [...buckets] })

  const requests = counter('tenure_requests_total', 'Requests answered', ['area', 'status'])
  const requestSeconds = histogram('tenure_request_duration_seconds', 'How long they took', ['area'], fast)
  const scimRequests = counter('tenure_scim_requests_total', 'SCIM requests that came with a token of a directory', [
    'directory',
    'method',
    'status',
  ])
  const eventLag = histogram(
    'tenure_event_lag_seconds',
    'From when something happened, by the clock of its source, to its lifecycle event here',
    ['source'],
    late,
  )
  const channelEvents = counter('tenure_channel_events_total', 'What event channels told, by what came of it then', [
    'directory',
    'channel',
    'effect',
  ])
  const channelLag = histogram(
    'tenure_channel_event_lag_seconds',
    'From when something happened, by the clock of the sender, to its receipt; what was known already is not counted',
    ['directory', 'channel'],
    late,
  )
  const gateAnswers = counter('tenure_gate_answers_total', 'What the gate was asked, and said', ['question', 'answer'])
  const convergeSeconds = histogram('tenure_converge_duration_seconds', 'Deciding about one user', ['lane'], fast)
  const convergeLag = histogram(
    'tenure_converge_lag_seconds',
    'From the event of a user to the decision about it; changes of rules are not counted',
    ['lane'],
    wide,
  )
  const convergeFailures = counter('tenure_converge_failures_total', 'Decisions that failed and are tried again', [
    'lane',
  ])
  const killTime = histogram(
    'tenure_kill_time_seconds',
    "From the commit of a change that takes something away to the server's 2xx, as it is settled",
    ['server'],
    wide,
  )
  const attempts = counter('tenure_delivery_attempts_total', 'Attempts by outcome', ['server', 'outcome'])
  const attemptSeconds = histogram(
    'tenure_delivery_attempt_duration_seconds',
    'How long servers take to answer',
    ['server'],
    fast,
  )
  const sweeps = counter('tenure_sweeps_total', 'Looks for due rows; elsewhere: another process was at it', ['result'])
  const swept = counter('tenure_sweep_found_total', 'Due rows that a sweep gave their job again', ['kind'])
  new Counter({
    registers,
    name: 'tenure_queue_hints_total',
    help: 'Jobs added, and dropped because the queue did not take them in time',
    labelNames: ['result'],
    collect() {
      this.reset()
      this.inc({ result: 'given' }, queue.counts.given)
      this.inc({ result: 'dropped' }, queue.counts.dropped)
    },
  })
  new Gauge({
    registers,
    name: 'tenure_database_pool_connections',
    help: 'Connections of this process to the database',
    labelNames: ['state'],
    collect() {
      this.set({ state: 'idle' }, pool.idleCount)
      this.set({ state: 'busy' }, pool.totalCount - pool.idleCount)
    },
  })
  new Gauge({
    registers,
    name: 'tenure_database_pool_waiting',
    help: 'Who waits for a connection because all are busy',
    collect() {
      this.set(pool.waitingCount)
    },
  })
  const databaseUp = new Gauge({ registers, name: 'tenure_database_up', help: 'Whether the database answers' })
  const queueUp = new Gauge({ registers, name: 'tenure_queue_up', help: 'Whether the store of the queue answers' })

  /** One at a time: scrapes must not pile up on a database that is slow. */
  let reading: Promise<string | undefined> | undefined
  const readRows = () => {
    reading ??= readRowGauges({ db, alarms })
      .catch(() => undefined)
      .finally(() => {
        reading = undefined
      })
    return reading
  }

  return {
    contentType: registry.contentType,
    async read() {
      const [rows, jobs] = await Promise.all([inTime(readRows()), queue.isReady()])
      databaseUp.set(rows === undefined ? 0 : 1)
      queueUp.set(jobs ? 1 : 0)
      return [await registry.metrics(), rows ?? ''].join('\n')
    },
    noteRequest({ area, method, status, seconds, directory }) {
      requests.inc({ area, status })
      requestSeconds.observe({ area }, seconds)
      if (area === 'scim' && typeof directory === 'string') scimRequests.inc({ directory, method, status })
    },
    noteEvent({ source, occurredAt }) {
      eventLag.observe({ source }, occurredAt ? secondsSince(occurredAt) : 0)
    },
    noteSignal({ directoryId: directory, kind: channel }, { occurredAt }, effect) {
      channelEvents.inc({ directory, channel, effect })
      if (occurredAt && effect !== 'duplicate') channelLag.observe({ directory, channel }, secondsSince(occurredAt))
    },
    noteGateAnswer: (answer) => gateAnswers.inc(answer),
    noteConverged({ lane, seconds, lagSeconds }) {
      convergeSeconds.observe({ lane }, seconds)
      if (lagSeconds !== null) convergeLag.observe({ lane }, lagSeconds)
    },
    noteConvergeFailed: (lane) => convergeFailures.inc({ lane }),
    noteAttempt({ claim: { serverId: server }, outcome, ms, killSeconds }) {
      attempts.inc({ server, outcome: outcome.kind })
      attemptSeconds.observe({ server }, ms / 1_000)
      if (killSeconds !== null) killTime.observe({ server }, killSeconds)
    },
    noteSweep({ result, users, servers }) {
      sweeps.inc({ result })
      swept.inc({ kind: 'user' }, users)
      swept.inc({ kind: 'server' }, servers)
    },
  }
}

/** A clock that is ahead of ours makes no event early. */
function secondsSince(time: Date): number {
  return Math.max(0, Date.now() - time.getTime()) / 1_000
}

async function inTime<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, patienceMs, undefined)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
