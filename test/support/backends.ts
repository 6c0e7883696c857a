import { inject } from 'vitest'
import { createDatabase, type TestDatabase } from './postgres.ts'
import { startRedis, type TestRedis } from './redis.ts'

/** What a queue stands on in one test file. `redis` is undefined on the Postgres backend, where the queue is in `database`. */
export interface RunningBackend {
  database: TestDatabase
  redis: TestRedis | undefined
  /** As in the environment variable: undefined chooses the Postgres backend. */
  redisUrl: string | undefined
  stop(): Promise<void>
}

export interface Backend {
  name: 'postgres' | 'redis'
  start(): Promise<RunningBackend>
}

/** For `describe.each(backends())('… on $name', ({ start }) => …)`. Redis is left out where no server program was found. */
export function backends(): Backend[] {
  const postgres: Backend = { name: 'postgres', start: () => startBackend(undefined) }
  const redis: Backend = { name: 'redis', start: async () => startBackend(await startRedis()) }
  return inject('redisServer') ? [postgres, redis] : [postgres]
}

async function startBackend(redis: TestRedis | undefined): Promise<RunningBackend> {
  const database = await createDatabase()
  const stop = async () => {
    await redis?.destroy()
    await database.drop()
  }
  return { database, redis, redisUrl: redis?.url, stop }
}
