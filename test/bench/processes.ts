import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'

export const adminKey = 'bench-admin-key-of-this-run'

/** A script of this repository as a process of its own. What it says on standard output is for `lineOf`. */
export function run(script: string, args: readonly string[], settings: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn(process.execPath, [fileURLToPath(new URL(`../../${script}`, import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...settings },
  })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

/** What Tenure, or a stand-in beside it, is told by its environment. */
export function settingsFor(database: { url: string; ownerUrl: string }, redisUrl?: string): Record<string, string> {
  return {
    PORT: '0',
    LOG_LEVEL: 'info',
    DATABASE_URL: database.url,
    DATABASE_MIGRATION_URL: database.ownerUrl,
    TENURE_ADMIN_KEY: adminKey,
    TENURE_SECRET_KEY: 'bench-secret-key-of-this-run-32-characters',
    TENURE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
    REDIS_URL: redisUrl ?? '',
  }
}

/** The first line that fits; every further one is dropped unread. */
export async function lineOf(
  child: ChildProcess,
  fits: (line: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>> {
  const died = once(child, 'exit').then(([code]) => Promise.reject(new Error(`ended with ${code} before it was ready`)))
  died.catch(() => {})
  const lines = createInterface({ input: child.stdout! })
  const found = new Promise<Record<string, unknown>>((resolve) => {
    lines.on('line', (text) => {
      const line = text.startsWith('{') ? JSON.parse(text) : {}
      if (fits(line)) resolve(line)
    })
  })
  const line = await Promise.race([found, died])
  lines.close()
  child.stdout!.resume()
  return line
}

export async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

export type Call = (method: string, path: string, body?: unknown) => Promise<never>

/** Calls below `base`, as JSON. @throws what was answered, unless it is a success */
export function caller(base: string, headers: Readonly<Record<string, string>>, connections = 20): Call {
  const { origin, pathname } = new URL(base)
  const pool = new Pool(origin, { connections, pipelining: 1 })
  return async (method, path, body) => {
    const answer = await pool.request({
      method: method as 'POST',
      path: `${pathname === '/' ? '' : pathname}${path}`,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.body.text()
    if (answer.statusCode >= 300) throw new Error(`${method} ${path} answered ${answer.statusCode}: ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as never
  }
}
