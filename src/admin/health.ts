import { Router } from 'express'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { bearerOf } from '../http/credentials.ts'
import { problemEdge, Unauthenticated } from '../http/problem.ts'
import type { AdminKeys } from '../operators/keys.ts'
import type { Queue } from '../queue/queue.ts'
import type { Metrics } from './metrics.ts'

const patienceMs = 2_000
const loopback = /^(127\.|::1$|::ffff:127\.)/

/**
 * `/healthz`: the process lives. `/readyz`: the database answered; the queue's state stands in the body and decides only
 * where jobs are worked on, since without a queue everything else goes on. `/metrics`: open on loopback, by key elsewhere.
 */
export function healthRoutes({
  db,
  queue,
  metrics,
  adminKeys,
  needsQueue,
  isVerified,
}: {
  db: Database
  queue: Queue
  metrics: Metrics
  adminKeys: Pick<AdminKeys, 'nameOf'>
  needsQueue: boolean
  isVerified: () => boolean
}): Router {
  const routes = Router()

  routes.get('/healthz', (_req, res) => {
    res.json({ status: 'ok' })
  })

  routes.get('/readyz', async (_req, res) => {
    const [database, jobs] = await Promise.all([answers(sql`select 1`.execute(db)), queue.isReady()])
    const ready = database && isVerified() && (jobs || !needsQueue)
    res.status(ready ? 200 : 503).json({
      status: ready ? 'ready' : 'not ready',
      database: database ? 'answers' : 'does not answer',
      queue: { backend: queue.backend, state: jobs ? 'answers' : 'does not answer' },
    })
  })

  routes.get('/metrics', async (req, res) => {
    const key = bearerOf(req)
    const local = loopback.test(req.socket.remoteAddress ?? '')
    if (!local && !(key !== undefined && (await adminKeys.nameOf(key))))
      throw new Unauthenticated('An admin key is required')
    res.type(metrics.contentType).send(await metrics.read())
  })
  routes.use(problemEdge)

  return routes
}

async function answers(query: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, patienceMs, false)
  })
  const answered = query.then(
    () => true,
    () => false,
  )
  return Promise.race([answered, late]).finally(() => clearTimeout(timer))
}
