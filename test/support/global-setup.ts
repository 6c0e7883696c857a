import { access, constants, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { type EmbeddedDatabase, startEmbedded } from '../../src/db/embedded/embedded.ts'
import { readState } from '../../src/db/embedded/home.ts'
import { migrateDatabase } from '../../src/db/migrate.ts'
import { createLogger } from '../../src/log.ts'
import { migrateQueue } from '../../src/queue/postgres-backend.ts'
import { SecretRecord } from './secret-record.ts'
import { scanRecording, summarise } from './secret-scan.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgres: TestServer
    /** Path of the program; undefined where there is none, and then what needs it is left out. */
    redisServer: string | undefined
  }
}

/** The Postgres of this test run. `adminUrl` is its superuser's; the others want a database as their path. */
export interface TestServer {
  adminUrl: string
  ownerUrl: string
  url: string
  /** Migrated, closed to connections: only to be cloned. */
  template: string
}

const template = 'tenure_template'

/**
 * One Postgres for the whole run, the one that Tenure ships, with a migrated template to clone a database per file from.
 * When the run ends, what was said in it is scanned for secrets, and it fails if there is one.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redisServer = (await onPath('redis-server')) ?? (await onPath('valkey-server'))
  // Half of the queue suites missing must not pass unnoticed.
  if (!redisServer)
    process.stderr.write('No redis-server or valkey-server on the PATH: the Redis half of the suites is skipped.\n')
  project.provide('redisServer', redisServer)

  const recording = await mkdtemp(join(tmpdir(), 'tenure-recording-'))
  project.provide('recording', recording)
  const home = await mkdtemp(join(tmpdir(), 'tenure-test-'))
  let database: EmbeddedDatabase | undefined
  const tearDown = async () => {
    await database?.stop()
    const record = new SecretRecord(recording, 'the run')
    record.home(home)
    record.flush()
    await rm(home, { recursive: true, force: true })
  }
  const scan = async () => {
    try {
      process.stdout.write(`${summarise(scanRecording(recording))}\n`)
    } finally {
      await rm(recording, { recursive: true, force: true })
    }
  }
  try {
    const open = () => startEmbedded({ home, log: createLogger({ level: 'warn' }) })
    database = await open()
    await makeRoom((await describeServer(home, database)).adminUrl)
    await database.stop()
    database = await open()
    const server = await describeServer(home, database)
    await createTemplate(server)
    project.provide('postgres', server)
    return async () => {
      await tearDown()
      await scan()
    }
  } catch (error) {
    await tearDown()
    await rm(recording, { recursive: true, force: true })
    throw error
  }
}

async function describeServer(home: string, { ownerUrl, url }: { ownerUrl: string; url: string }): Promise<TestServer> {
  const state = await readState(home)
  const adminUrl = new URL(ownerUrl)
  adminUrl.username = 'postgres'
  adminUrl.password = state!.passwords.superuser
  adminUrl.pathname = '/postgres'
  return { adminUrl: adminUrl.href, ownerUrl, url, template }
}

/** Two files at once, each with three processes that may open 36 connections. Takes effect at the next start. */
async function makeRoom(adminUrl: string): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  try {
    await admin.query('alter system set max_connections = 300')
  } finally {
    await admin.end()
  }
}

async function createTemplate({ adminUrl, ownerUrl }: TestServer): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  try {
    await admin.query(`create database ${template} owner tenure_owner`)
    const templateUrl = Object.assign(new URL(ownerUrl), { pathname: `/${template}` }).href
    await migrateDatabase({ ownerUrl: templateUrl, runtimeRole: 'tenure' })
    await migrateQueue({ ownerUrl: templateUrl, runtimeRole: 'tenure' })
    await admin.query(`alter database ${template} with is_template true allow_connections false`)
  } finally {
    await admin.end()
  }
}

async function onPath(program: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, process.platform === 'win32' ? `${program}.exe` : program)
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return path
  }
  return undefined
}
