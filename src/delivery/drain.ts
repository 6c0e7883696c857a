import { setTimeout as delay } from 'node:timers/promises'
import { batched } from '../batch.ts'
import type { Connector, Outcome } from '../connectors/connector.ts'
import type { Database } from '../db/pool.ts'
import { TenureError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Lane } from '../queue/catalog.ts'
import type { Sealer } from '../secrets.ts'
import { inSpan, markFailed, outsideTrace, SpanKind } from '../span.ts'
import { type Claim, claimDue, type DueQuery } from './claim.ts'
import { renew, type Settled, type Settlement, settle } from './settle.ts'
import { createUnsealing } from './unsealing.ts'

export interface DrainOptions {
  readonly db: Database
  readonly connectorFor: (kind: string) => Connector
  readonly sealer: Sealer
  readonly log: Logger
  /** Asks for another drain of this server soon. */
  readonly hintServer: (serverId: string, lane: Lane) => void
  readonly onAttempt?: (attempt: Settlement & Settled) => void
}

/** A drain gives its place back after this long, and asks to be woken again. */
const turnMs = 3_000
/** Without progress for this long, a drain no longer waits for what it sent: the rest of the queue must not. */
const patienceMs = 200
/** Slots that come free together are filled together. */
const gatherMs = 4
/** A renewal whose answer took longer may be stale when the bytes leave. */
const freshRenewalMs = 5_000

/**
 * Sends what servers are due, as long as there are free slots and due rows. What a server answers is a value, recorded;
 * only our own trouble throws. Requests outlive the drain that started them: a hanging server holds its own slots and
 * nothing else.
 */
export class Drain {
  readonly #options: DrainOptions
  readonly #unseal: (sealed: readonly string[]) => Promise<string[]>
  readonly #renew: (claim: Claim) => Promise<boolean>
  readonly #settle: (settlement: Settlement) => Promise<Settled>
  readonly #claiming = new Set<Promise<unknown>>()
  readonly #sending = new Set<Promise<void>>()
  /** Sends under way by server. */
  readonly #busy = new Map<string, number>()
  /** Lanes that found no free slot of a server while this process held some of them. */
  readonly #waiting = new Map<string, Set<Lane>>()
  readonly #abort = new AbortController()
  #stopping = false

  constructor(options: DrainOptions) {
    this.#options = options
    this.#unseal = createUnsealing(options.sealer)
    this.#renew = batched((claims: Claim[]) => renew(options.db, claims), { max: 100, parallel: 2 })
    this.#settle = batched((settlements: Settlement[]) => settle(options.db, settlements), { max: 100, parallel: 2 })
  }

  /** Everything that one server is due in this lane. */
  async run(serverId: string, lane: Lane): Promise<void> {
    const mine = new Set<Promise<void>>()
    const until = performance.now() + turnMs
    while (!this.#stopping) {
      for (const { sent } of await this.#claim({ serverIds: [serverId], lane })) {
        mine.add(sent)
        void sent.finally(() => mine.delete(sent))
      }
      if (mine.size === 0) break
      if (performance.now() > until) return this.#wake(serverId, lane)
      const progressed = await Promise.race([Promise.race(mine).then(() => true), delay(patienceMs, false)])
      if (!progressed) break
      await Promise.race([Promise.all(mine), delay(gatherMs)])
    }
    this.#wakeWhenFree(serverId, lane)
  }

  /**
   * What was lost by one user, told by the process that converged it, at once and without a second hop: the same claim,
   * the same slots. What finds none is left to the server's drain.
   */
  async tellNow(userId: string, serverIds: readonly string[]): Promise<void> {
    const claimed = new Set<string>()
    try {
      const started = this.#stopping ? [] : await this.#claim({ serverIds, lane: 'urgent', userId })
      for (const { claim } of started) claimed.add(claim.serverId)
    } finally {
      for (const serverId of serverIds) if (!claimed.has(serverId)) this.#options.hintServer(serverId, 'urgent')
    }
  }

  /**
   * Claims nothing more. What is being claimed is still sent, and sends in flight may finish, until `graceMs` is over;
   * then they go back unanswered.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    await Promise.allSettled(this.#claiming)
    await Promise.race([Promise.all(this.#sending), delay(graceMs, undefined, { ref: false })])
    this.#abort.abort(new Error('shutting down'))
    await Promise.allSettled(this.#sending)
  }

  /** Leases what is due and begins to send it, in one go for whoever asks this process to stop. */
  #claim(query: DueQuery): Promise<Array<{ claim: Claim; sent: Promise<void> }>> {
    const claiming = claimDue(this.#options.db, query)
      .then((claims) => claims.map((claim) => ({ claim, sent: this.#start(claim) })))
      .finally(() => this.#claiming.delete(claiming))
    this.#claiming.add(claiming)
    return claiming
  }

  #start(claim: Claim): Promise<void> {
    const { serverId } = claim
    this.#busy.set(serverId, (this.#busy.get(serverId) ?? 0) + 1)
    const sent = this.#send(claim).finally(() => {
      this.#sending.delete(sent)
      const left = this.#busy.get(serverId)! - 1
      if (left > 0) this.#busy.set(serverId, left)
      else this.#busy.delete(serverId)
      for (const lane of this.#waiting.get(serverId) ?? []) this.#wake(serverId, lane)
      this.#waiting.delete(serverId)
    })
    this.#sending.add(sent)
    return sent
  }

  /** For what is left after this turn, which is others': a trace would grow for as long as a backlog lasts. */
  #wake(serverId: string, lane: Lane): void {
    outsideTrace(() => this.#options.hintServer(serverId, lane))
  }

  /** A slot that this process holds is free when its send is done, and only this process knows when that is. */
  #wakeWhenFree(serverId: string, lane: Lane): void {
    if (!this.#busy.has(serverId)) return
    this.#waiting.set(serverId, (this.#waiting.get(serverId) ?? new Set()).add(lane))
  }

  /**
   * Everything that a send needs but its bytes, got ready before the last look at the lease. A secret that cannot be
   * opened is a failure like any other: it is seen, and it parks.
   */
  async #prepare({ connector, serverId, ...claim }: Claim): Promise<() => Promise<Outcome>> {
    const { connectorFor, log } = this.#options
    try {
      const secrets = await this.#unseal(connector.sealedSecrets)
      const told = connectorFor(connector.type)
      const target = { connectorId: connector.id, serverId, config: connector.config, secrets }
      const message = { id: messageId(claim), body: claim.message.body }
      return () => told.send(target, message, this.#abort.signal)
    } catch (error) {
      log.error({ deliveryId: claim.id, serverId, error }, 'delivery.cannot_send')
      const why = error instanceof TenureError ? error.message : 'internal error'
      return async () => ({ kind: 'unavailable', reason: `Not sent: ${why}` })
    }
  }

  async #send(claim: Claim): Promise<void> {
    const { log, onAttempt } = this.#options
    try {
      const tell = await this.#prepare(claim)
      if (!(await holdsLease(claim, this.#renew))) {
        log.warn({ deliveryId: claim.id, serverId: claim.serverId }, 'delivery.lease_lost')
        return
      }
      const startedAt = new Date()
      const start = performance.now()
      const outcome = await traced(claim, tell)
      const ms = performance.now() - start
      const settlement = { claim, outcome, startedAt, ms }
      const settled = await this.#settle(settlement)
      if (settled.state === 'again') {
        // Due at once, in whichever lane the newer generation is.
        this.#wake(claim.serverId, 'urgent')
        this.#wake(claim.serverId, 'normal')
      }
      onAttempt?.({ ...settlement, ...settled })
      log.info(
        {
          deliveryId: claim.id,
          serverId: claim.serverId,
          userId: claim.userId,
          generation: claim.generation,
          attempt: claim.failures + 1,
          outcome: outcome.kind,
          ...('reason' in outcome ? { reason: outcome.reason } : {}),
          ...('status' in outcome && outcome.status ? { status: outcome.status } : {}),
          settled: settled.state,
          ms: Math.round(ms),
        },
        'delivery.attempted',
      )
    } catch (error) {
      // The lease runs out and the row is sent again.
      log.error({ deliveryId: claim.id, serverId: claim.serverId, error }, 'delivery.failed')
    }
  }
}

/**
 * The span of one attempt, from the first byte that leaves to the answer. It belongs to the trace of whatever woke this
 * drain: a revocation to that of the request that caused it, what waited for its turn to that of the hint that gave it.
 */
function traced(claim: Claim, tell: () => Promise<Outcome>): Promise<Outcome> {
  const attributes = {
    'tenure.delivery.id': claim.id,
    'tenure.server.id': claim.serverId,
    'tenure.user.id': claim.userId,
    'tenure.generation': claim.generation,
    'tenure.attempt': claim.failures + 1,
    'tenure.urgent': claim.urgent,
  }
  return inSpan('delivery.attempt', { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const outcome = await tell()
    span.setAttribute('tenure.outcome', outcome.kind)
    if ('status' in outcome && outcome.status) span.setAttribute('http.response.status_code', outcome.status)
    if (outcome.kind !== 'applied' && outcome.kind !== 'unchanged') markFailed(span, outcome.kind)
    return outcome
  })
}

/** The same for every attempt of one generation (Standard Webhooks: the receiver's key for idempotency). */
function messageId(claim: Pick<Claim, 'id' | 'generation'>): string {
  return `${claim.id}.${claim.generation}`
}

/**
 * Asks the database whether the lease still holds, right before the bytes leave. A process that was frozen while the
 * answer was on its way asks again: its own clocks say how old the answer is.
 */
async function holdsLease(claim: Claim, renewLease: (claim: Claim) => Promise<boolean>): Promise<boolean> {
  for (;;) {
    const asked = { monotonic: performance.now(), wall: Date.now() }
    if (!(await renewLease(claim))) return false
    const age = Math.max(performance.now() - asked.monotonic, Date.now() - asked.wall)
    if (age < freshRenewalMs) return true
  }
}
