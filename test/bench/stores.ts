import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { startEmbedded } from '../../src/db/embedded/embedded.ts'
import { readState } from '../../src/db/embedded/home.ts'
import { createLogger } from '../../src/log.ts'

/** Real stores for a benchmark, durable as in production: fsync and synchronous_commit on, Redis with AOF everysec. */
export interface Stores {
  /** An empty database of its own. `ownerUrl` owns it; `url` is the working role. */
  createDatabase(): Promise<{ url: string; ownerUrl: string }>
  /** undefined where no server program was found */
  readonly redisUrl: string | undefined
  /** What Postgres says of its own durability. */
  durability(): Promise<Record<string, string>>
  close(): Promise<void>
}

export async function startStores(): Promise<Stores> {
  const home = await mkdtemp(join(tmpdir(), 'tenure-bench-'))
  const embedded = await startEmbedded({ home, log: createLogger({ level: 'warn' }) })
  const state = await readState(home)
  const redis = await startRedis(home)
  const adminUrl = Object.assign(new URL(embedded.ownerUrl), {
    username: 'postgres',
    password: state!.passwords.superuser,
    pathname: '/postgres',
  }).href
  let made = 0
  return {
    redisUrl: redis?.url,
    async createDatabase() {
      const name = `bench_${++made}`
      await ask(adminUrl, `create database ${name} owner tenure_owner`)
      const at = (url: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href
      return { url: at(embedded.url), ownerUrl: at(embedded.ownerUrl) }
    },
    async durability() {
      const [settings] = await ask(
        adminUrl,
        `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit`,
      )
      return settings!
    },
    async close() {
      redis?.stop()
      await embedded.stop()
      await rm(home, { recursive: true, force: true })
    },
  }
}

async function ask(url: string, statement: string): Promise<Record<string, string>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}

async function startRedis(folder: string): Promise<{ url: string; stop(): void } | undefined> {
  const port = await freePort()
  for (const program of ['redis-server', 'valkey-server']) {
    const child = spawn(
      program,
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', ''],
      {
        stdio: 'ignore',
      },
    )
    const failed = once(child, 'error').then(() => false)
    const url = `redis://127.0.0.1:${port}`
    const answered = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
    answered.on('error', () => {})
    const started = await Promise.race([failed, answered.ping().then(() => true)])
    answered.disconnect()
    if (started) return { url, stop: () => child.kill() }
  }
  return undefined
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}
