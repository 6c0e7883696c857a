import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Cluster, stopOrphan } from './cluster.ts'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import type { HomeState } from './home.ts'
import { run } from './run-as.ts'

type Passwords = HomeState['passwords']

/** A Postgres that accepts connections on `port` of the loopback address, and nowhere else. */
export interface RunningPostgres {
  pid: number
  port: number
  /** Resolves when it has ended for whatever reason, to how it ended. */
  ended: Promise<string>
  /** Fast shutdown: transactions are rolled back, everything committed is on disk. Harder means follow if it does not end. */
  stop(): Promise<void>
}

const retryForMs = 15_000
/** Passing obstacles: a port taken since we looked, a server that is still going down. */
const passes = /could not bind|lock file ".*" already exists|pre-existing shared memory block/

/** `port` 0 means any free one. @throws EmbeddedDatabaseError quoting Postgres' own log */
export async function startPostgres(
  cluster: Cluster,
  options: { port: number; passwords: Passwords; logFile: string; signal: AbortSignal },
): Promise<RunningPostgres> {
  const { passwords, logFile, signal } = options
  await rename(logFile, `${logFile}.1`).catch(() => {})
  const givesUpAt = Date.now() + retryForMs
  while (true) {
    signal.throwIfAborted()
    await stopOrphan(cluster)
    const postgres = launch(cluster, options.port || (await freePort()), logFile)
    try {
      const refusal = await provisionWhenReady(postgres, passwords, signal)
      if (refusal === undefined) return postgres
      const said = await lastLines(logFile)
      if (!passes.test(said) || Date.now() > givesUpAt) throw startFailed(refusal, said)
    } catch (error) {
      await postgres.stop()
      throw error
    }
    await sleep(200, undefined, { signal })
  }
}

function startFailed(how: string, said: string): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'ERR_EMBEDDED_DATABASE',
    `Postgres did not start (${how}). Its log ends with:\n${said}`,
  )
}

export async function lastLines(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-15).join('\n')
}

function launch({ dataFolder, binaries, runAs }: Cluster, port: number, logFile: string): RunningPostgres {
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=']
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(binaries.postgres, ['-D', dataFolder, ...settings.flatMap((setting) => ['-c', setting])], {
    cwd: dataFolder,
    stdio: ['ignore', log, log],
    windowsHide: true,
    ...(runAs.uid === undefined ? {} : { uid: runAs.uid, gid: runAs.gid! }),
  })
  closeSync(log)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, killedBy) => resolve(killedBy ? `killed by ${killedBy}` : `exit code ${code}`))
  })
  const stopOnWindows = () => run(binaries.pgCtl, ['stop', '-D', dataFolder, '-m', 'fast', '-w'])
  return { pid: child.pid ?? 0, port, ended, stop: () => stop(child, ended, stopOnWindows) }
}

async function stop(
  child: ChildProcess,
  ended: Promise<unknown>,
  stopOnWindows: () => Promise<unknown>,
): Promise<void> {
  if (process.platform === 'win32') await stopOnWindows()
  const steps: Array<[NodeJS.Signals, number]> = [
    ['SIGINT', 30_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 1_000],
  ]
  for (const [signal, patienceMs] of steps) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    child.kill(signal)
    await Promise.race([ended, sleep(patienceMs, undefined, { ref: false })])
  }
}

/** Recovery after a crash may take its time, so there is no limit but the end of the process. @returns how that ended */
async function provisionWhenReady(
  postgres: RunningPostgres,
  passwords: Passwords,
  signal: AbortSignal,
): Promise<string | undefined> {
  let ended: string | undefined
  postgres.ended.then((how) => {
    ended = how
  })
  for (let refusals = 0; ended === undefined; ) {
    signal.throwIfAborted()
    try {
      await provision(postgres.port, passwords)
      return undefined
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const code = 'code' in error ? String(error.code) : ''
      // Not there yet (ECONNREFUSED and the like), or starting up (57P03).
      const notYet = code.startsWith('E') || code === '57P03' || error.message.includes('Connection terminated')
      // A stranger may hold the port for the moment that ours needs to find it taken and end.
      if (!notYet && ++refusals > 40) throw cannotProvision(error)
    }
    await Promise.race([postgres.ended, sleep(25)])
  }
  return ended
}

function cannotProvision(cause: Error): EmbeddedDatabaseError {
  const message = `The embedded database started, but its roles cannot be set up: ${cause.message}`
  return new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', message, { cause })
}

/** What initdb does not make: the two roles, and the database of the first. Safe to repeat, so a killed first start does no harm. */
async function provision(port: number, passwords: Passwords): Promise<void> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: passwords.superuser,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 5_000,
  })
  client.on('error', () => {}) // the query that it interrupts is rejected as well
  try {
    await client.connect()
    const { rows: roles } = await client.query<{ rolname: string }>('select rolname from pg_roles')
    for (const [role, password] of [
      ['tenure_owner', passwords.owner],
      ['tenure', passwords.runtime],
    ] as const) {
      if (roles.some(({ rolname }) => rolname === role)) continue
      await client.query(`create role ${role} login password ${client.escapeLiteral(password)}`)
    }
    const { rowCount } = await client.query(`select from pg_database where datname = 'tenure'`)
    if (rowCount === 0) await client.query('create database tenure owner tenure_owner')
  } finally {
    await client.end().catch(() => {})
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port')
  return address.port
}
