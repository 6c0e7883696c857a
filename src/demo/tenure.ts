import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { createDirectFetch } from './direct-fetch.ts'
import { aborted, DemoFailure } from './failure.ts'

/** `tenure start`, as anybody would start it: a process of its own on the embedded default, told apart only by its home. */
export interface TenureProcess {
  readonly url: string
  readonly adminKeyFile: string
  readonly logFile: string
  readonly admin: Admin
  /** Rejects when Tenure ends although nobody asked it to. */
  readonly failed: Promise<never>
  /** Lets it drain; nothing of it runs afterwards. */
  stop(): Promise<void>
}

const program = fileURLToPath(new URL('../../bin/tenure.js', import.meta.url))
const leash = new URL('./leash.ts', import.meta.url).href
const startTimeoutMs = 60_000
const stopTimeoutMs = 25_000
/** What configures the reader's own Tenure, or their way into the network, must not reach into the demo. */
const settings =
  /^(TENURE_\w+|(DATABASE|DATABASE_MIGRATION|REDIS)_URL(_FILE)?|PUBLIC_URL|HOST|PORT|LOG_LEVEL|OTEL_\w+|PG\w+|NODE_USE_ENV_PROXY)$/

/** @throws DemoFailure when it does not start, or `signal` aborts before it has */
export async function startTenure(home: string, signal: AbortSignal): Promise<TenureProcess> {
  const logFile = join(home, 'tenure.log')
  const log = await open(logFile, 'a', 0o600)
  const child = spawn(process.execPath, ['--import', leash, program, 'start'], {
    // Out of reach of the terminal's Ctrl-C: the demo decides when Tenure stops, and its end stops it too.
    detached: true,
    stdio: ['pipe', log.fd, log.fd],
    windowsHide: true,
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings.test(name))),
      PORT: '0',
      TENURE_HOME: home,
      TENURE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
    },
  })
  child.stdin!.on('error', () => {}) // it ended before we let it go
  await log.close()
  const ended = once(child, 'exit').then(([code, signal]) => String(signal ?? code))
  const stop = async () => {
    child.stdin!.end()
    const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(late)
  }
  const starting = new AbortController()
  try {
    const failed = ended.then(async (how) => {
      throw new DemoFailure(`Tenure ended (${how}). Its log ends with:\n${await lastLines(logFile)}`)
    })
    failed.catch(() => {})
    const started = untilReady(logFile, starting.signal)
    const { url, adminKeyFile } = await Promise.race([started, failed, aborted(signal)])
    const admin = createAdmin(url, (await readFile(adminKeyFile, 'utf8')).trim())
    const stopAll = async () => {
      await admin.close()
      await stop()
    }
    return { url, adminKeyFile, logFile, admin, failed, stop: stopAll }
  } catch (error) {
    await stop()
    throw error
  } finally {
    starting.abort()
  }
}

interface Started {
  readonly url: string
  readonly adminKeyFile: string
}

async function untilReady(logFile: string, signal: AbortSignal): Promise<Started> {
  const givesUpAt = Date.now() + startTimeoutMs
  const direct = createDirectFetch()
  let started: Started | undefined
  try {
    while (Date.now() < givesUpAt) {
      started ??= await readStarted(logFile)
      if (started && (await direct.fetch(`${started.url}/readyz`, { signal })).ok) return started
      await sleep(50, undefined, { signal })
    }
  } finally {
    await direct.close()
  }
  throw new DemoFailure(`Tenure was not ready within ${startTimeoutMs / 1000} s`)
}

/** Tenure says where it is in its log; the last line may be half written. */
async function readStarted(logFile: string): Promise<Started | undefined> {
  const lines = (await readFile(logFile, 'utf8')).split('\n').slice(0, -1)
  const line = lines.find((text) => text.includes('"tenure.started"'))
  return line === undefined ? undefined : JSON.parse(line)
}

async function lastLines(file: string): Promise<string> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').slice(-6)
  return lines.map((line) => `    ${line.slice(0, 200)}`).join('\n')
}

/** The operators' API. Every call rejects unless the answer is 2xx. */
export interface Admin {
  // biome-ignore lint/suspicious/noExplicitAny: answers are read by the few fields that their one caller wants
  call(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<any>
  close(): Promise<void>
}

function createAdmin(url: string, key: string): Admin {
  const pool = new Pool(url, { connections: 8 })
  return {
    async call(method, path, body) {
      const response = await pool.request({
        method,
        path: `/admin/v1${path}`,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      })
      const text = await response.body.text()
      if (response.statusCode >= 300)
        throw new DemoFailure(`${method} /admin/v1${path} answered ${response.statusCode}: ${text}`)
      return text === '' ? undefined : JSON.parse(text)
    },
    close: () => pool.destroy(),
  }
}
