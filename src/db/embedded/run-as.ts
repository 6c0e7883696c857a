import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, parse } from 'node:path'

/** The user that Postgres runs as. `uid` is undefined when that is simply whoever we are. */
export interface RunAs {
  name: string
  uid: number | undefined
  gid: number | undefined
}

/** Postgres refuses to run as root, so root hands it to the system's `postgres` user, made if missing, or else to `nobody`. */
export async function chooseRunAs(): Promise<RunAs> {
  if (process.geteuid?.() !== 0) return { name: currentUserName(), uid: undefined, gid: undefined }
  return (await systemUser('postgres')) ?? (await createPostgresUser()) ?? (await systemUser('nobody')) ?? noUser()
}

function noUser(): never {
  throw new Error('Postgres does not run as root, and this system has neither a user postgres nor a user nobody')
}

async function createPostgresUser(): Promise<RunAs | undefined> {
  await run('groupadd', ['--system', 'postgres'])
  await run('useradd', ['--system', '--gid', 'postgres', 'postgres'])
  return systemUser('postgres')
}

async function systemUser(name: string): Promise<RunAs | undefined> {
  const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
  if (uid.code !== 0 || gid.code !== 0) return undefined
  // `| 0`: macOS counts nobody as 4294967294, which a process is only ever given as -2.
  return { name, uid: Number(uid.output) | 0, gid: Number(gid.output) | 0 }
}

export async function userName(uid: number): Promise<string> {
  const { code, output } = await run('id', ['-un', String(uid)])
  return code === 0 ? output.trim() : `user ${uid}`
}

export function currentUserName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run us under a uid that no user has.
    return `user ${process.geteuid?.()}`
  }
}

/**
 * The first folder on the way to `path`, itself included, that `runAs` may not pass through; undefined when there is none.
 * Goes by the mode bits, since root cannot ask on another user's behalf; folders that do not exist yet are passed over.
 */
export async function closedFolder(path: string, { uid, gid }: RunAs): Promise<string | undefined> {
  if (uid === undefined) return undefined
  const above = path === parse(path).root ? undefined : await closedFolder(dirname(path), { name: '', uid, gid })
  if (above) return above
  const folder = await stat(path).catch(() => undefined)
  if (!folder) return undefined
  const bit = folder.uid === uid ? 0o100 : folder.gid === gid ? 0o010 : 0o001
  return folder.mode & bit ? undefined : path
}

/**
 * Runs a program to its end. `code` is undefined when it could not be started or was killed; `output` is everything it
 * said, or why it could not be started.
 */
export function run(
  program: string,
  args: string[],
  options: Partial<RunAs> & { cwd?: string } = {},
): Promise<{ code: number | undefined; output: string }> {
  const { uid, gid, cwd = parse(process.execPath).root } = options
  return new Promise((resolve) => {
    const settings = { cwd, windowsHide: true, ...(uid === undefined ? {} : { uid, gid }) }
    try {
      execFile(program, args, settings, (error, stdout, stderr) => {
        if (!error) return resolve({ code: 0, output: stdout + stderr })
        const code = typeof error.code === 'number' ? error.code : undefined
        resolve({ code, output: stdout + stderr || error.message })
      })
    } catch (error) {
      // Some causes are thrown instead of reported, such as a user that we may not become (EPERM).
      resolve({ code: undefined, output: String(error) })
    }
  })
}
