import { createHash, randomBytes } from 'node:crypto'
import { access, chmod, chown, constants, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { makeSharedFolder, sharedFolder } from './binaries.ts'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import { closedFolder, currentUserName, type RunAs, userName } from './run-as.ts'

/** What must be remembered of the embedded database, in `database.json` under the home (mode 0600). */
export interface HomeState {
  passwords: { superuser: string; owner: string; runtime: string }
  /** Where Postgres' folder is: relative to the home, or absolute where the home is closed to its user. */
  folder: string
  /** Whether a database was ever made there: from then on an empty folder is a loss, not a beginning. */
  made: boolean
}

const stateFile = (home: string) => join(home, 'database.json')

export const dataFolderOf = (home: string, state: HomeState) => join(resolve(home, state.folder), 'data')

/**
 * Creates the home if there is none.
 *
 * @throws EmbeddedDatabaseError `ERR_HOME_OWNER` when it belongs to somebody else
 */
export async function makeHome(home: string): Promise<void> {
  try {
    await mkdir(dirname(home), { recursive: true })
    await mkdir(home, { mode: 0o700 }).catch(unlessThere)
    await access(home, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    await checkOwner('TENURE_HOME', home, process.geteuid?.(), currentUserName())
    const message = `TENURE_HOME ${home} cannot be used: ${cause instanceof Error ? cause.message : cause}`
    throw new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', message, { cause })
  }
  await checkOwner('TENURE_HOME', stateFile(home), process.geteuid?.(), currentUserName(), home)
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/**
 * The home's state, made at the first start, with Postgres' folder in place: owned by `runAs`, reachable for it, closed to
 * all others. Only for the holder of the home's lock.
 */
export async function openHome(home: string, runAs: RunAs, notice: (message: string) => void): Promise<HomeState> {
  const state = (await readState(home)) ?? (await newState(home, runAs))
  const folder = resolve(home, state.folder)
  if (!isAbsolute(state.folder)) await letThrough(home, runAs)
  else notice(`${home} is closed to user ${runAs.name}, which runs Postgres: the database is in ${folder}`)
  await checkReachable(folder, runAs)
  await makePrivate(folder, runAs)
  const expected = runAs.uid ?? process.geteuid?.()
  await checkOwner('The database folder', folder, expected, runAs.name)
  await checkOwner('The database folder', join(folder, 'data'), expected, runAs.name)
  return state
}

export async function readState(home: string): Promise<HomeState | undefined> {
  try {
    return JSON.parse(await readFile(stateFile(home), 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', `${stateFile(home)} cannot be read: ${error}`)
  }
}

/** Whole or not at all: a start that is killed must not leave half a password behind. */
export async function writeState(home: string, state: HomeState): Promise<void> {
  const unfinished = `${stateFile(home)}.new`
  await writeFile(unfinished, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600, flush: true })
  await rename(unfinished, stateFile(home))
}

async function newState(home: string, runAs: RunAs): Promise<HomeState> {
  const inside = join(home, 'postgres')
  if (await stat(join(inside, 'data')).catch(() => undefined)) {
    throw new EmbeddedDatabaseError(
      'ERR_EMBEDDED_DATABASE',
      `${inside} holds a database, but ${stateFile(home)} with its passwords is missing: restore that file, or move the folder away`,
    )
  }
  const password = () => randomBytes(24).toString('base64url')
  const passwords = { superuser: password(), owner: password(), runtime: password() }
  const folder = (await closedFolder(dirname(home), runAs)) ? await folderElsewhere(home) : 'postgres'
  const state = { passwords, folder, made: false }
  await writeState(home, state)
  return state
}

/** A new folder each time: what an earlier home of the same path left there was made with passwords that are gone. */
async function folderElsewhere(home: string): Promise<string> {
  await makeSharedFolder()
  const name = join(sharedFolder, createHash('sha256').update(home).digest('hex').slice(0, 16))
  for (let count = 1; ; count++) {
    const folder = count === 1 ? name : `${name}-${count}`
    if (await mkdir(folder, { mode: 0o700 }).then(() => true, unlessThere)) return folder
  }
}

/** Others may pass through the home, to the one folder in it that they are let into, but still not look around. */
async function letThrough(home: string, runAs: RunAs): Promise<void> {
  if (runAs.uid === undefined) return
  if ((await closedFolder(home, runAs)) === home) await chmod(home, ((await stat(home)).mode & 0o777) | 0o011)
}

async function checkReachable(folder: string, runAs: RunAs): Promise<void> {
  const closed = await closedFolder(dirname(folder), runAs)
  if (!closed) return
  throw new EmbeddedDatabaseError(
    'ERR_HOME_OWNER',
    `The database folder ${folder} cannot be reached by user ${runAs.name}, which runs Postgres when we are root: ${closed} is closed to it`,
  )
}

async function makePrivate(folder: string, { uid, gid }: RunAs): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 })
  const isEmpty = made !== undefined || !(await stat(join(folder, 'data')).catch(() => undefined))
  if (isEmpty && uid !== undefined) await chown(folder, uid, gid!)
}

async function checkOwner(
  what: string,
  path: string,
  expected: number | undefined,
  name: string,
  shown = path,
): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (!found || expected === undefined || found.uid === expected >>> 0) return
  throw await foreign(what, shown, found.uid, name)
}

async function foreign(what: string, path: string, owner: number, name: string): Promise<EmbeddedDatabaseError> {
  const message = `${what} ${path} belongs to ${await userName(owner)}, but this process would use it as ${name}`
  return new EmbeddedDatabaseError(
    'ERR_HOME_OWNER',
    `${message}: run it as the same user as before, or give it another TENURE_HOME`,
  )
}
