import { closeSync, openSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedDatabaseError } from './embedded-error.ts'

export interface HomeLock {
  /** To be called as soon as stopping begins: who comes next then waits for us instead of giving up. */
  announceStop(): Promise<void>
}

/** `tenure` is the process that an operator knows, `keeper` ours beneath it. */
interface Holder {
  tenure: number
  keeper: number
}

/** Read early: an orphan is given another one. */
const parent = process.ppid
const patienceMs = 15_000
/** A killed process can be seen for a moment after its death, so one look does not make it alive. */
const aliveForMs = 500
const SQLITE_BUSY = 5
/** Kept from the garbage collector, which would close the file and so end the lock. */
const held: DatabaseSync[] = []

/**
 * Takes the home for as long as this process lives. It is the operating system that holds the lock, so it ends with the
 * process however that dies, and no number of a dead process is ever believed; Node has no file locks, but SQLite, which
 * comes with Node, has.
 *
 * A keeper whose parent has gone is stopping and is waited for.
 *
 * @throws EmbeddedDatabaseError `ERR_HOME_IN_USE` when a live process has it
 */
export async function lockHome(home: string, signal: AbortSignal): Promise<HomeLock> {
  const holderFile = join(home, 'keeper.json')
  const lockFile = join(home, 'keeper.lock')
  closeSync(openSync(lockFile, 'a', 0o600)) // SQLite would let everybody read it, and so lock it
  const file = new DatabaseSync(lockFile)
  const givesUpAt = Date.now() + patienceMs
  let aliveSince: number | undefined
  while (!tryLock(file)) {
    const holder = await readHolder(holderFile)
    aliveSince = holder && isAlive(holder.tenure) ? (aliveSince ?? Date.now()) : undefined
    if (aliveSince !== undefined && Date.now() - aliveSince >= aliveForMs) throw inUse(home, holder!.tenure)
    if (Date.now() > givesUpAt) throw inUse(home, holder?.keeper)
    await sleep(50, undefined, { signal })
  }
  held.push(file)
  const holder: Holder = { tenure: parent, keeper: process.pid }
  await writeFile(holderFile, JSON.stringify(holder), { mode: 0o600 })
  return { announceStop: () => rm(holderFile, { force: true }) }
}

function inUse(home: string, pid: number | undefined): EmbeddedDatabaseError {
  const who = pid === undefined ? 'another process, which does not stop' : `process ${pid}`
  return new EmbeddedDatabaseError(
    'ERR_HOME_IN_USE',
    `TENURE_HOME ${home} is in use by ${who}: stop it first, or give this one another TENURE_HOME`,
  )
}

function tryLock(file: DatabaseSync): boolean {
  try {
    file.exec('pragma journal_mode = memory; begin exclusive')
    return true
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false
    throw error
  }
}

/** The file may be missing or half written while another keeper starts or stops. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch {
    return undefined
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
