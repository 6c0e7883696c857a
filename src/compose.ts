import express, { type Express, type RequestHandler } from 'express'
import { sql } from 'kysely'
import { convergeProcessor } from '../workers/converge.ts'
import { deliverProcessor } from '../workers/deliver.ts'
import { startSweep } from '../workers/sweep.ts'
import { readAlarms } from './admin/alarms.ts'
import { healthRoutes } from './admin/health.ts'
import { createMetrics, type Metrics } from './admin/metrics.ts'
import { operationsApi } from './admin/operations.ts'
import { type Config, ConfigError, type Keys, obtainKeys } from './config.ts'
import { createEgress } from './connectors/egress.ts'
import { createConnectors } from './connectors/registry.ts'
import { type EmbeddedDatabase, startEmbedded } from './db/embedded/embedded.ts'
import { letIn, verifyInstallation } from './db/installation.ts'
import { migrateDatabase } from './db/migrate.ts'
import { createDatabase, createPool } from './db/pool.ts'
import { Drain } from './delivery/drain.ts'
import { createServers } from './delivery/servers.ts'
import { createChannels } from './directory/channels.ts'
import { createDirectories } from './directory/directories.ts'
import { createGroups } from './directory/groups.ts'
import { createIntake } from './directory/intake.ts'
import { createRefusals } from './directory/refusals.ts'
import { createResources } from './directory/resources.ts'
import { createUnknownAttributes } from './directory/unknown-attributes.ts'
import { createUsers, type HintUser } from './directory/users.ts'
import { takeBehind } from './entitlement/behind.ts'
import { createConverge } from './entitlement/converge.ts'
import { createGate } from './entitlement/gate.ts'
import { createImpact } from './entitlement/impact.ts'
import { PolicyCache } from './entitlement/policy.ts'
import { createRules } from './entitlement/rules.ts'
import { createWhy } from './entitlement/why.ts'
import { Unavailable } from './errors.ts'
import { createHousekeeping } from './housekeeping/housekeeping.ts'
import { type Listening, listen } from './http/listen.ts'
import { problemEdge, sendProblem } from './http/problem.ts'
import { requestLog } from './http/request-log.ts'
import { traceRequests } from './http/trace-requests.ts'
import { createGrants } from './ledger/grants.ts'
import type { Logger } from './log.ts'
import { authorizationServer } from './oauth/authorization-server.ts'
import { startSelfCheck } from './oauth/self-check.ts'
import { createAdminKeys } from './operators/keys.ts'
import { createTrail } from './operators/trail.ts'
import { createBullQueue } from './queue/bullmq-queue.ts'
import { createPostgresQueueBackend, migrateQueue } from './queue/postgres-backend.ts'
import { createRedisQueueBackend } from './queue/redis-backend.ts'
import { eventReceivers } from './receivers/receivers.ts'
import { startChannelWork } from './receivers/work.ts'
import { serviceProvider } from './scim/service-provider.ts'
import { createSealer } from './secrets.ts'
import { createClientDocuments } from './trust/client-documents.ts'
import { createClients, defaultTokenRequestsPerMinute } from './trust/clients.ts'
import { createIssuers } from './trust/issuers.ts'
import { createKeySets } from './trust/key-sets.ts'
import { createSigningKeys } from './trust/signing-keys.ts'
import { asUnavailable } from './unreachable.ts'
import { version } from './version.ts'

/** `all` is everything in one process; the parts apart need a database of their own. */
export type Role = 'all' | 'api' | 'worker'

export interface Tenure {
  readonly url: string
  readonly keys: Keys
  /** Rejects when something that we cannot go on without is gone for good. */
  readonly failed: Promise<never>
  /** Clean drain: requests under way and sends in flight finish or go back; nothing of ours runs afterwards. */
  close(): Promise<void>
}

const requestGraceMs = 5_000
const sendGraceMs = 11_000
const verifyEveryMs = 1_000

/** Builds the parts and hands them over: the one place, beside the command line, that knows everything. */
export async function startTenure(config: Config, role: Role, log: Logger): Promise<Tenure> {
  if (role !== 'all' && !config.databaseUrl) {
    throw new ConfigError(`DATABASE_URL is required: tenure ${role} shares its database with other processes`)
  }
  const keys = obtainKeys(config)
  const storage = await openStorage(config, role, log)
  const closers: Array<() => Promise<unknown>> = [storage.close]
  const closeAll = async () => {
    while (closers.length > 0) {
      await closers.pop()!().catch((error) => log.warn({ error }, 'tenure.close_failed'))
    }
  }
  try {
    if (config.tracing) {
      const { startTracing } = await import('./tracing.ts')
      closers.push(startTracing(config.tracing, version, log))
    }
    const pool = createPool(storage.url, { max: 24, name: `tenure ${role}` })
    const db = createDatabase(pool)
    closers.push(() => db.destroy())

    const telemetry = config.tracing && (await import('./queue/telemetry.ts')).jobTelemetry()
    const queue = createBullQueue(
      config.redisUrl
        ? createRedisQueueBackend(config.redisUrl, log)
        : createPostgresQueueBackend(createPool(storage.url, { max: 12, name: 'tenure queue', searchPath: 'bullmq' })),
      log,
      telemetry,
    )
    closers.push(() => queue.close())
    const { hint } = queue
    const egress = createEgress({ allowPrivateTargets: config.allowPrivateTargets })
    closers.push(() => egress.close())
    const connectors = createConnectors({ egress })
    const sealer = createSealer(keys.secretKeys)
    const signingKeys = createSigningKeys({ db, sealer })
    const adminKeys = createAdminKeys({ db, rootKeys: keys.adminKeys })
    const metrics = createMetrics({ db, pool, queue, alarms: () => readAlarms(db, sealer.kid) })
    const policies = new PolicyCache(log)
    const hintUser: HintUser = (userId, lane, cause) => {
      if (cause) metrics.noteEvent(cause)
      hint('converge', lane, userId)
    }

    const intake = createIntake({ db, hintUser, onReceived: metrics.noteSignal })
    const channels = createChannels({ db, sealer })
    const issuers = createIssuers({ db, egress })
    const keySets = createKeySets({
      egress,
      onFetched: (jwksUri, isReached) =>
        issuers.noteKeys(jwksUri, isReached).catch((error) => log.warn({ error }, 'key_set.state_not_noted')),
    })

    const gate = createGate({ policies, onAnswer: metrics.noteGateAnswer })
    const grants = createGrants({ db, gate, hintUser })
    const refusals = createRefusals({ db, log })
    closers.push(() => refusals.close())

    let listening: Listening | undefined
    const publicUrl = () => config.publicUrl ?? listening!.url
    const verification = await verify(() => verifyInstallation(db, sealer), log)
    closers.push(verification.stop)

    const app = createApp(log, metrics.noteRequest)
    app.use(
      healthRoutes({
        db,
        queue,
        metrics,
        adminKeys,
        needsQueue: role === 'worker',
        isVerified: verification.isDone,
      }),
    )
    // After the probes, whose spans would be most of them.
    if (config.tracing) app.use(traceRequests)
    if (role !== 'worker') {
      const directories = createDirectories({ db, hintUser })
      const users = createUsers({ db, hintUser })
      const groups = createGroups({ db, hintUser })
      const resources = createResources({ db })
      const unknownAttributes = createUnknownAttributes({ db, log })
      closers.push(() => unknownAttributes.close())
      const servers = createServers({ db, connectors, sealer, onPolicy: hintBehind, onDue: wake })
      const rules = createRules({ db, onChange: hintBehind })
      const documents = createClientDocuments({ egress, log, tokenRequestsPerMinute: defaultTokenRequestsPerMinute })
      const clients = createClients({ db, egress, documents, hintUser })
      /** Each surface asks for itself, to refuse in its own words. */
      const requireReady: RequestHandler = (_req, _res, next) =>
        next(verification.isDone() ? undefined : new Unavailable('Not ready yet'))
      app.use(
        serviceProvider({ directories, users, groups, resources, unknownAttributes, sealer, publicUrl, requireReady }),
      )
      app.use(
        authorizationServer({
          adminKeys,
          clientKeySets: createKeySets({ egress }),
          clients,
          db,
          gate,
          grants,
          issuer: publicUrl,
          issuers,
          keySets,
          requireReady,
          servers,
          signingKeys,
        }),
      )
      app.use(eventReceivers({ channels, intake, refusals, keySets, publicUrl, requireReady, log }))
      app.use(
        operationsApi({
          adminKeys,
          channels,
          clients,
          connectors,
          db,
          directories,
          egress,
          explainAccess: createWhy({ db, policies }),
          grants,
          hint,
          impact: createImpact({ db }),
          intake,
          issuers,
          publicUrl,
          queue,
          requireReady,
          rules,
          sealedUnder: sealer.kid,
          servers,
          signingKeys,
          trail: createTrail({ db }),
          unknownAttributes,
          users,
        }),
      )
    }
    app.use((_req, res) => sendProblem(res, { status: 404, title: 'Not Found' }))
    app.use(problemEdge)

    listening = await listen(app, config)
    // Not before the database has proved to be ours: workers would send, and write down what they could not open.
    const working = role === 'api' ? undefined : verification.done.then(startWorkers)
    const stopWorkers = async () => {
      if (working && verification.isDone()) await (await working)()
    }
    closers.push(() => Promise.all([listening!.close(requestGraceMs), stopWorkers()]))
    if (config.publicUrl && role !== 'worker')
      closers.push(startSelfCheck({ egress, issuer: config.publicUrl, log, ready: verification.done }))

    log.info(
      {
        role,
        url: listening.url,
        publicUrl: publicUrl(),
        queue: queue.backend,
        database: config.databaseUrl ? 'DATABASE_URL' : 'embedded',
        ...(keys.adminKeyFile ? { adminKeyFile: keys.adminKeyFile } : {}),
      },
      'tenure.started',
    )
    return { url: listening.url, keys, failed: Promise.race([storage.failed, verification.failed]), close: closeAll }

    /** A server that was changed by an operator may send again what it held back. */
    function wake(serverId: string): void {
      hint('deliver', 'urgent', serverId)
      hint('deliver', 'normal', serverId)
    }

    async function startWorkers(): Promise<() => Promise<void>> {
      const hintServer = (serverId: string, lane: 'urgent' | 'normal') => hint('deliver', lane, serverId)
      const drain = new Drain({
        db,
        connectorFor: connectors.for,
        sealer,
        log,
        hintServer,
        onAttempt: metrics.noteAttempt,
      })
      const stopWork = await queue.work({
        converge: convergeProcessor({
          db,
          converge: createConverge({ db, policies }),
          tellNow: (userId, serverIds) => drain.tellNow(userId, serverIds),
          hintServer,
          log,
          onConverged: metrics.noteConverged,
          onFailed: metrics.noteConvergeFailed,
        }),
        deliver: deliverProcessor({ drain }),
      })
      const keepHouse = createHousekeeping({ db, sealer, signingKeys, retention: config.retention, log })
      const joinWaiting = () => intake.joinWaiting()
      const stopSweep = startSweep({ db, hint, joinWaiting, keepHouse, log, onSweep: metrics.noteSweep })
      const stopChannels = startChannelWork({ db, channels, egress, grants, intake, keySets, publicUrl, refusals, log })
      return async () => {
        await Promise.all([stopSweep(), stopChannels()])
        await Promise.all([drain.stop(sendGraceMs), stopWork()])
      }
    }

    /** A policy change is told at once to the first who are behind on it; the sweep takes the rest. */
    function hintBehind(directoryId: string): void {
      takeBehind(db, { limit: 1_000, againSeconds: 10, directoryId }).then(
        (behind) => {
          for (const { userId, lane } of behind) hintUser(userId, lane)
        },
        (error) => log.warn({ directoryId, error }, 'policy.fan_out_left_to_sweep'),
      )
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

interface Storage {
  readonly url: string
  readonly failed: Promise<never>
  close(): Promise<void>
}

/** The database to work with; `all` brings it to the newest schema first, the parts leave that to `tenure migrate`. */
async function openStorage(config: Config, role: Role, log: Logger): Promise<Storage> {
  if (config.databaseUrl) {
    if (role === 'all') await migrate(config, log)
    return { url: config.databaseUrl, failed: new Promise(() => {}), close: async () => {} }
  }
  const embedded: EmbeddedDatabase = await startEmbedded({ home: config.home, log })
  try {
    await migrateAll(embedded.ownerUrl, embedded.url, log)
  } catch (error) {
    await embedded.stop()
    throw error
  }
  const failed = embedded.exited.then(() => new Promise<never>(() => {}))
  failed.catch(() => {})
  return { url: embedded.url, failed, close: () => embedded.stop() }
}

/** `tenure migrate`: as the owner of the tables, for the role of `DATABASE_URL`. */
export async function migrate(config: Config, log: Logger): Promise<void> {
  if (!config.databaseUrl || !config.migrationUrl) {
    throw new ConfigError('DATABASE_URL is required: an embedded database is migrated at its start')
  }
  await migrateAll(config.migrationUrl, config.databaseUrl, log)
}

async function migrateAll(ownerUrl: string, runtimeUrl: string, log: Logger): Promise<void> {
  const runtimeRole = await roleOf(runtimeUrl)
  if ((await roleOf(ownerUrl)) === runtimeRole) {
    log.warn(
      'DATABASE_URL and DATABASE_MIGRATION_URL are one role: Tenure then owns the ledger that it must only add to; give it a role of its own',
    )
  }
  const applied = await migrateDatabase({ ownerUrl, runtimeRole })
  await migrateQueue({ ownerUrl, runtimeRole })
  log.info({ applied }, 'database.migrated')
}

/** As whom Postgres lets this URL in; the URL itself need not say. */
async function roleOf(url: string): Promise<string> {
  const db = createDatabase(createPool(url, { max: 1, name: 'tenure migrate' }))
  try {
    const { rows } = await letIn(() => sql<{ role: string }>`select current_user as role`.execute(db))
    return rows[0]!.role
  } finally {
    await db.destroy()
  }
}

function createApp(log: Logger, noteRequest: Metrics['noteRequest']): Express {
  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  app.set('query parser', 'simple')
  app.use(requestLog(log))
  app.use((req, res, next) => {
    const start = performance.now()
    const area = /^\/directories\/[^/]+\/(scim|events)\//.exec(req.path)?.[1] ?? req.path.split('/', 2)[1] ?? ''
    res.once('finish', () =>
      noteRequest({
        area: areas.has(area) ? area : 'other',
        method: req.method,
        status: res.statusCode,
        seconds: (performance.now() - start) / 1_000,
        directory: req.facts.directoryId,
      }),
    )
    next()
  })
  return app
}

const areas = new Set(['scim', 'events', 'admin', 'oauth2', '.well-known', 'healthz', 'readyz', 'metrics'])

/**
 * Checks at once and, while the database does not answer, again every second: it may come up after us.
 *
 * @throws InstallationError at once when the database answers and is not ours
 */
async function verify(check: () => Promise<void>, log: Logger) {
  let done = false
  let timer: NodeJS.Timeout | undefined
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  const { promise: verified, resolve: succeed } = Promise.withResolvers<void>()
  failed.catch(() => {})
  const attempt = async (): Promise<void> => {
    try {
      await check()
      done = true
      succeed()
    } catch (error) {
      if (!asUnavailable(error)) throw error
      log.warn({ error }, 'database.unreachable')
      timer = setTimeout(() => attempt().catch(fail), verifyEveryMs)
    }
  }
  await attempt()
  return {
    failed,
    done: verified,
    isDone: () => done,
    stop: async () => clearTimeout(timer),
  }
}
