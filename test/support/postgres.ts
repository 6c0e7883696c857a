import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, inject } from 'vitest'
import { type EmbeddedDatabase, startEmbedded } from '../../src/db/embedded/embedded.ts'
import { migrateDatabase } from '../../src/db/migrate.ts'
import { createLogger } from '../../src/log.ts'
import { migrateQueue } from '../../src/queue/postgres-backend.ts'
import { freePort } from './free-port.ts'
import { waitFor } from './wait-for.ts'

/** A migrated, empty database, in the server that all test files share. */
export interface TestDatabase {
  name: string
  ownerUrl: string
  url: string
  /** Rejects, after dropping it all the same, when a connection was left open: somebody forgot to end a pool. */
  drop(): Promise<void>
}

/** A Postgres that a test may stop and restart, with a migrated database; always on the same port. */
export interface OwnPostgres {
  ownerUrl: string
  url: string
  stop(): Promise<void>
  start(): Promise<void>
  restart(): Promise<void>
  /** Stops it and removes its data. */
  destroy(): Promise<void>
}

/** For one test file, say in `beforeAll`; cloned from the template, in a fraction of the time that migrating takes. */
export async function createDatabase(): Promise<TestDatabase> {
  const { template, ownerUrl, url } = inject('postgres')
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin((admin) => admin.query(`create database ${name} template ${template} owner tenure_owner`))
  return { name, ownerUrl: withDatabase(ownerUrl, name), url: withDatabase(url, name), drop: () => dropDatabase(name) }
}

/** Without any table. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  const { ownerUrl, url } = inject('postgres')
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin((admin) => admin.query(`create database ${name} owner tenure_owner`))
  return { name, ownerUrl: withDatabase(ownerUrl, name), url: withDatabase(url, name), drop: () => dropDatabase(name) }
}

async function dropDatabase(name: string): Promise<void> {
  await asAdmin(async (admin) => {
    const left = () => openConnections(admin, name)
    // A backend outlives the end of its connection by a moment.
    const closed = waitFor(async () => (await left()).length === 0, { what: 'connections to close', timeoutMs: 1_000 })
    const open = await closed.then(
      () => [],
      () => left(),
    )
    await admin.query(`drop database ${name} with (force)`)
    if (open.length > 0) throw new Error(`left open on ${name}, a pool that was not ended: ${open.join('; ')}`)
  })
}

async function openConnections(admin: pg.Client, name: string): Promise<string[]> {
  const { rows } = await admin.query<{ text: string }>(
    `select format('%s as %s, %s, last query: %s', coalesce(nullif(application_name, ''), '(no name)'), usename, state, left(query, 100)) as text
     from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
    [name],
  )
  return rows.map(({ text }) => text)
}

async function asAdmin<T>(use: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: inject('postgres').adminUrl, application_name: 'test admin' })
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.end()
  }
}

/** For what no API offers: many rows at once, time that has passed, a lock held. To be ended by the caller. */
export async function connect(database: { url: string }): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url, application_name: 'the test' })
  client.on('error', () => {})
  await client.connect()
  return client
}

function withDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}

const started = new Set<OwnPostgres>()
afterAll(async () => {
  for (const postgres of started) await postgres.destroy()
})

/** Ends with the test file at the latest. */
export async function startPostgres(): Promise<OwnPostgres> {
  const home = await mkdtemp(join(tmpdir(), 'tenure-test-own-'))
  const port = await freePort()
  const open = () => startEmbedded({ home, port, log: createLogger({ level: 'warn' }) })
  const first = await open()
  let running: EmbeddedDatabase | undefined = first
  const stop = async () => {
    await running?.stop()
    running = undefined
  }
  const start = async () => {
    running ??= await open()
  }
  await migrateDatabase({ ownerUrl: first.ownerUrl, runtimeRole: 'tenure' })
  await migrateQueue({ ownerUrl: first.ownerUrl, runtimeRole: 'tenure' })
  const postgres: OwnPostgres = {
    ownerUrl: first.ownerUrl,
    url: first.url,
    stop,
    start,
    restart: async () => {
      await stop()
      await start()
    },
    destroy: async () => {
      started.delete(postgres)
      await stop()
      await rm(home, { recursive: true, force: true })
    },
  }
  started.add(postgres)
  return postgres
}
