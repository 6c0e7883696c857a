import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, inject } from 'vitest'
import { freePort } from './free-port.ts'
import { waitFor } from './wait-for.ts'

/** A Redis or Valkey that keeps nothing on disk: stopping it loses everything, which is the point. */
export interface TestRedis {
  url: string
  /** Without warning (SIGKILL), or in order. */
  stop(how?: 'kill' | 'shutdown'): Promise<void>
  /** On the same port, empty. */
  start(): Promise<void>
  flushAll(): Promise<void>
  destroy(): Promise<void>
}

const started = new Set<TestRedis>()
afterAll(async () => {
  for (const redis of started) await redis.destroy()
})

/** Ends with the test file at the latest. Only where a server program was found: `backends()` leaves Redis out elsewhere. */
export async function startRedis(): Promise<TestRedis> {
  const program = inject('redisServer')
  if (!program) throw new Error('no redis-server or valkey-server on the PATH')
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'tenure-test-redis-'))
  let server: ChildProcess | undefined

  const start = async () => {
    server ??= launch(program, port, folder)
    await waitFor(() => isUp(server!, port), { what: `${program} on port ${port}` })
  }
  const stop = async (how: 'kill' | 'shutdown' = 'kill') => {
    if (!server) return
    const gone = server.exitCode === null && server.signalCode === null ? once(server, 'exit') : undefined
    server.kill(how === 'kill' ? 'SIGKILL' : 'SIGTERM')
    await gone
    server = undefined
  }
  await start()
  const redis: TestRedis = {
    url: `redis://127.0.0.1:${port}`,
    stop,
    start,
    flushAll: async () => {
      const reply = await command(port, 'FLUSHALL')
      if (!reply.startsWith('+OK')) throw new Error(`FLUSHALL was answered ${reply}`)
    },
    destroy: async () => {
      started.delete(redis)
      await stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
  started.add(redis)
  return redis
}

function launch(program: string, port: number, folder: string): ChildProcess {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  return spawn(program, settings, { stdio: 'ignore' })
}

async function isUp(server: ChildProcess, port: number): Promise<boolean> {
  if (server.exitCode !== null) throw new Error(`the Redis server ended with code ${server.exitCode}`)
  const reply = await command(port, 'PING').catch(() => '')
  return reply.startsWith('+PONG')
}

/** An inline command (no client: this has to work while the clients under test are cut off). */
function command(port: number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write(`${line}\r\n`))
    socket.once('error', reject)
    socket.once('data', (reply) => {
      socket.destroy()
      resolve(reply.toString())
    })
  })
}
