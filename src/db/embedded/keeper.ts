/**
 * The process that owns the embedded Postgres: `keeper.ts <home> [port]`. Says in JSON lines on its standard output how it
 * goes (`KeeperMessage`), and stops Postgres and itself when its standard input ends, which happens however the parent
 * dies. It lives in a process group of its own, so that Ctrl-C at a terminal leaves the parent its time to drain.
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { findBinaries } from './binaries.ts'
import { type Cluster, initialise, isInitialised } from './cluster.ts'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import { dataFolderOf, type HomeState, makeHome, openHome, writeState } from './home.ts'
import { type HomeLock, lockHome } from './home-lock.ts'
import type { KeeperMessage } from './messages.ts'
import { lastLines, type RunningPostgres, startPostgres } from './postgres.ts'
import { chooseRunAs } from './run-as.ts'

const [given = '', port = '0'] = process.argv.slice(2)

const stopOrder = new AbortController()
const stop = () => stopOrder.abort()
process.stdin.on('end', stop).on('error', stop).resume()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
// The parent may be gone: then nobody listens, and stopping is under way.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

try {
  await keep(stopOrder.signal)
  leave(0)
} catch (error) {
  if (isAbort(error)) leave(0)
  else {
    const known = error instanceof EmbeddedDatabaseError
    if (!known) process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
    const message = error instanceof Error ? error.message : String(error)
    send({ type: 'failed', code: known ? error.code : 'ERR_EMBEDDED_DATABASE', message })
    leave(1)
  }
}

async function keep(signal: AbortSignal): Promise<void> {
  await makeHome(given)
  const home = await realpath(given)
  const lock = await lockHome(home, signal)
  signal.throwIfAborted()
  signal.addEventListener('abort', () => lock.announceStop())
  const runAs = await chooseRunAs()
  const state = await openHome(home, runAs, (message) => send({ type: 'notice', message }))
  const cluster = { dataFolder: dataFolderOf(home, state), binaries: await findBinaries(runAs), runAs }
  await initialiseOnce(home, state, cluster)
  const logFile = join(home, 'postgres.log')
  const postgres = await startPostgres(cluster, { port: Number(port), passwords: state.passwords, logFile, signal })
  const url = (role: string, password: string) => `postgres://${role}:${password}@127.0.0.1:${postgres.port}/tenure`
  send({
    type: 'ready',
    ownerUrl: url('tenure_owner', state.passwords.owner),
    url: url('tenure', state.passwords.runtime),
    dataFolder: cluster.dataFolder,
    postgresPid: postgres.pid,
  })
  await untilStopped(postgres, lock, logFile, signal)
}

async function initialiseOnce(home: string, state: HomeState, cluster: Cluster): Promise<void> {
  const initialised = await isInitialised(cluster)
  if (state.made && !initialised) {
    throw new EmbeddedDatabaseError(
      'ERR_EMBEDDED_DATABASE',
      `The database of TENURE_HOME ${given} is gone from ${cluster.dataFolder}: restore it, or remove ${home} to begin with an empty one`,
    )
  }
  if (!initialised) await initialise(cluster, state.passwords.superuser)
  if (!state.made) await writeState(home, { ...state, made: true })
}

async function untilStopped(
  postgres: RunningPostgres,
  lock: HomeLock,
  logFile: string,
  signal: AbortSignal,
): Promise<void> {
  const ordered = new Promise<'ordered'>((resolve) => {
    if (signal.aborted) resolve('ordered')
    signal.addEventListener('abort', () => resolve('ordered'))
  })
  const how = await Promise.race([ordered, postgres.ended])
  if (how === 'ordered') return postgres.stop()
  await lock.announceStop()
  const said = await lastLines(logFile)
  throw new EmbeddedDatabaseError(
    'ERR_EMBEDDED_DATABASE',
    `Postgres ended by itself (${how}). Its log ends with:\n${said}`,
  )
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

function send(message: KeeperMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** Not by `exitCode` alone: whatever still holds the event loop must not keep the home's lock. */
function leave(code: number): void {
  process.stdout.write('', () => process.exit(code))
}
