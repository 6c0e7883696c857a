import {
  chown,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Binaries } from './binaries.ts'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import { isAlive } from './home-lock.ts'
import { type RunAs, run } from './run-as.ts'

/** One Postgres data folder (`PGDATA`) and what it takes to run it. Its parent folder is Postgres' own too. */
export interface Cluster {
  dataFolder: string
  binaries: Binaries
  runAs: RunAs
}

const unfinished = 'unfinished-'

export async function isInitialised({ dataFolder }: Cluster): Promise<boolean> {
  return (await stat(join(dataFolder, 'PG_VERSION')).catch(() => undefined)) !== undefined
}

/**
 * Makes the data folder, with `postgres` as its superuser. Beside its place first: initdb writes PG_VERSION early, so a
 * folder that a killed initdb left behind would pass for a database.
 */
export async function initialise({ dataFolder, binaries, runAs }: Cluster, password: string): Promise<void> {
  const parent = dirname(dataFolder)
  for (const name of await readdir(parent)) {
    if (name.startsWith(unfinished)) await rm(join(parent, name), { recursive: true, force: true, maxRetries: 3 })
  }
  const folder = await mkdtemp(join(parent, unfinished))
  const passwordFile = `${folder}.password`
  await writeFile(passwordFile, password, { mode: 0o600, flag: 'wx' })
  if (runAs.uid !== undefined) {
    for (const path of [folder, passwordFile]) await chown(path, runAs.uid, runAs.gid!)
  }
  const flags = [
    '--encoding=UTF8',
    '--locale=C',
    '--auth=scram-sha-256',
    '--username=postgres',
    `--pwfile=${passwordFile}`,
  ]
  const { code, output } = await run(binaries.initdb, ['-D', folder, ...flags], runAs)
  await rm(passwordFile)
  if (code !== 0) {
    await rm(folder, { recursive: true, force: true })
    throw new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', `initdb could not make ${dataFolder}: ${output.trim()}`)
  }
  await rename(folder, dataFolder)
}

/**
 * Stops a Postgres that runs on this data folder although its keeper is dead. Only for the holder of the home's lock.
 * A lock file of a process that is by now some other program does not block.
 */
export async function stopOrphan({ dataFolder, binaries, runAs }: Cluster): Promise<void> {
  const lockFile = join(dataFolder, 'postmaster.pid')
  const pid = Number((await readFile(lockFile, 'utf8').catch(() => '')).split('\n', 1)[0])
  if (!(pid > 0) || !isAlive(pid)) return
  if (!(await isPostmaster(pid, dataFolder))) return disown(lockFile)
  const stop = ['stop', '-D', dataFolder, '-w', '-t', '20', '-m']
  const fast = await run(binaries.pgCtl, [...stop, 'fast'], runAs)
  if (fast.code === 0) return
  const immediate = await run(binaries.pgCtl, [...stop, 'immediate'], runAs)
  if (immediate.code === 0 || !(await isPostmaster(pid, dataFolder))) return
  throw new EmbeddedDatabaseError(
    'ERR_EMBEDDED_DATABASE',
    `Postgres (process ${pid}) was left running on ${dataFolder} and cannot be stopped: ${immediate.output.trim()}`,
  )
}

async function isPostmaster(pid: number, dataFolder: string): Promise<boolean> {
  if (process.platform === 'win32') return isAlive(pid)
  if (process.platform === 'linux') {
    const [program, folder] = await Promise.all(
      ['exe', 'cwd'].map((link) => readlink(`/proc/${pid}/${link}`).catch(() => '')),
    )
    return basename(program!).startsWith('postgres') && folder === (await realpath(dataFolder))
  }
  const { output } = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)])
  return output.includes('postgres') && output.includes(dataFolder)
}

/**
 * Puts our own process in the place of the dead one. Postgres takes a lock of its parent for a stale one, but still sees
 * from the rest of the file whether backends of the old server use its shared memory, which deleting it would hide.
 */
async function disown(lockFile: string): Promise<void> {
  const [, ...rest] = (await readFile(lockFile, 'utf8')).split('\n')
  const file = await open(lockFile, 'r+')
  try {
    await file.truncate()
    await file.write([process.pid, ...rest].join('\n'), 0)
  } finally {
    await file.close()
  }
}
