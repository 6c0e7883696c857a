import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { parse, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Logger } from '../../log.ts'
import { EmbeddedDatabaseError } from './embedded-error.ts'
import type { KeeperMessage } from './messages.ts'

/** A Postgres of our own, running under a keeper process that ends with us. */
export interface EmbeddedDatabase {
  /** As `tenure_owner`, which owns the database `tenure` and everything in it: for migrations. */
  ownerUrl: string
  /** As `tenure`, which owns nothing: for all else. */
  url: string
  /** Resolves when nothing of ours runs any more; does not reject. Connections that are still open are cut. */
  stop(): Promise<void>
  /** Resolves after `stop`; rejects with an EmbeddedDatabaseError when the database ends without it. */
  exited: Promise<void>
}

const keeperFile = fileURLToPath(new URL('./keeper.ts', import.meta.url))

/**
 * Starts the database under `home`, making both at the first time. It stops when `stop` is called and when this process
 * dies, in whatever way. Does not hold the event loop.
 *
 * @param port a fixed loopback port, instead of any free one
 * @throws EmbeddedDatabaseError
 */
export async function startEmbedded({
  home,
  log,
  port = 0,
}: {
  home: string
  log: Logger
  port?: number
}): Promise<EmbeddedDatabase> {
  const folder = resolve(home)
  const keeper = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', keeperFile, folder, String(port)], {
    cwd: parse(folder).root,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
  })
  keeper.stdin.on('error', () => {}) // it died before it heard the order, which is `closed`

  let stopping = false
  let failure: EmbeddedDatabaseError | undefined
  const complaints: string[] = []
  const closed = once(keeper, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const exited = closed.then(([code, killedBy]) => {
    if (stopping && code === 0) return
    throw failure ?? endedAlone(killedBy ?? code, complaints)
  })
  exited.catch(() => {}) // its owner may choose not to watch

  createInterface({ input: keeper.stderr }).on('line', (line) => complaints.push(line))
  const ready = new Promise<Extract<KeeperMessage, { type: 'ready' }>>((resolve) => {
    createInterface({ input: keeper.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as KeeperMessage
      if (message.type === 'ready') resolve(message)
      else if (message.type === 'notice') log.info({ home: folder }, message.message)
      else failure = new EmbeddedDatabaseError(message.code, message.message)
    })
  })
  const holders = [keeper, keeper.stdin as Socket, keeper.stdout as Socket, keeper.stderr as Socket]

  const { ownerUrl, url, dataFolder, postgresPid } = await Promise.race([ready, exited.then(neverReady)])
  for (const holder of holders) holder.unref()
  log.info(
    { home: folder, dataFolder, port: Number(new URL(url).port), keeperPid: keeper.pid, postgresPid },
    'database.started',
  )
  return {
    ownerUrl,
    url,
    exited,
    stop: async () => {
      stopping = true
      for (const holder of holders) holder.ref()
      keeper.stdin.end()
      await closed
    },
  }
}

function neverReady(): never {
  throw new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', 'The embedded database was stopped while it started')
}

function endedAlone(how: string | number | null, complaints: string[]): EmbeddedDatabaseError {
  const said = complaints.length > 0 ? `: ${complaints.slice(-10).join('\n')}` : ''
  const message =
    how === 0
      ? 'The embedded database was told to stop by somebody else'
      : `The keeper of the embedded database ended (${how})${said}`
  return new EmbeddedDatabaseError('ERR_EMBEDDED_DATABASE', message)
}
