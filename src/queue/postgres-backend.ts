import { setTimeout as delay } from 'node:timers/promises'
import {
  assertSchemaCompatibility,
  type BackendFactory,
  Queue as BullQueue,
  PostgresConnection,
  PostgresQueueBackend,
  runMigrations,
  Worker,
} from 'bullmq'
import pg from 'pg'
import { asUnavailable } from '../unreachable.ts'
import type { Backend } from './bullmq-queue.ts'
import type { QueueSpec } from './catalog.ts'

const schema = 'bullmq'
const failurePauseMs = 500

/**
 * BullMQ in the same database, own schema. One pool for all queues and workers: a pool each would take dozens of
 * connections. `pool` must have `search_path` set to the schema, and room for the LISTEN client of every worker on top
 * of its queries, or adding hangs in silence.
 */
export function createPostgresQueueBackend(pool: pg.Pool): Backend {
  pool.setMaxListeners(50)
  slowDownFailures(pool)
  const stopping = new AbortController()
  const createBackend = backendFactory(stopping.signal)
  return {
    name: 'postgres',
    createQueue: (spec: QueueSpec, options) =>
      new BullQueue(spec.name, { connection: pool, ...options }, createBackend) as unknown as BullQueue,
    createWorker: (spec, processor, options) =>
      new Worker(
        spec.name,
        processor,
        { connection: pool, concurrency: spec.concurrency, ...options },
        createBackend,
      ) as unknown as Worker,
    stopWaiting: () => stopping.abort(),
    ping: () => pool.query('select 1'),
    close: () => pool.end(),
  }
}

/** As BullMQ's own, with a connection that waits for its database. */
function backendFactory(stopping: AbortSignal): BackendFactory<PostgresQueueBackend, pg.Pool> {
  return (name, opts, { withBlockingConnection } = {}) => {
    const connection = new PatientConnection(opts.connection, stopping)
    return new PostgresQueueBackend(connection, name, opts, true, withBlockingConnection ? name : undefined)
  }
}

/**
 * BullMQ remembers a first contact that failed and answers with that failure for ever: workers that start before their
 * database would spin, and never see it come up. This one asks again until it is there.
 */
class PatientConnection extends PostgresConnection {
  readonly #stopping: AbortSignal
  #ready: Promise<void> | undefined

  constructor(pool: pg.Pool, stopping: AbortSignal) {
    super(pool)
    this.#stopping = stopping
  }

  override waitUntilReady(): Promise<void> {
    this.#ready ??= this.#becomeReady()
    return this.#ready
  }

  async #becomeReady(): Promise<void> {
    while (!this.#stopping.aborted) {
      try {
        const client = await this.pool.connect()
        try {
          await assertSchemaCompatibility(client, schema)
        } finally {
          client.release()
        }
        this.emit('ready')
        return
      } catch {
        await delay(failurePauseMs)
      }
    }
  }
}

/**
 * BullMQ waits before it asks again only where it knows the error for one of a lost connection, which of pg's it knows
 * one; after any other its workers ask again at once, and a Postgres that restarts would cost a core for each of them.
 */
function slowDownFailures(pool: pg.Pool): void {
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
  const slowly = async (...args: unknown[]) => {
    try {
      return await query(...args)
    } catch (error) {
      const isAnswer = error instanceof pg.DatabaseError && !asUnavailable(error)
      if (!isAnswer) await delay(failurePauseMs)
      throw error
    }
  }
  pool.query = slowly as unknown as typeof pool.query
}

/** Creates or upgrades BullMQ's schema as the owner and lets `runtimeRole` use it. */
export async function migrateQueue(options: { ownerUrl: string; runtimeRole: string }): Promise<void> {
  const client = new pg.Client({ connectionString: options.ownerUrl, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    await runMigrations(client, schema)
    const { rows } = await client.query('select current_user = $1 as same', [options.runtimeRole])
    if (rows[0].same) return
    const role = client.escapeIdentifier(options.runtimeRole)
    await client.query(`
      begin;
      select pg_advisory_xact_lock(hashtext('tenure grants'));
      grant usage, create on schema ${schema} to ${role}; -- a sequence is made for each queue
      grant select, insert, update, delete, truncate on all tables in schema ${schema} to ${role};
      do $$
        declare ours regclass;
        begin -- those that the working role made are its own, and not ours to grant
          for ours in select oid from pg_class where relnamespace = '${schema}'::regnamespace and relkind = 'S' and relowner = current_user::regrole
          loop execute format('grant usage, select, update on sequence %s to %I', ours, ${client.escapeLiteral(options.runtimeRole)}); end loop;
        end $$;
      grant execute on all functions in schema ${schema} to ${role};
      commit`)
  } finally {
    await client.end()
  }
}
