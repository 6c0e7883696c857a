import { Writable } from 'node:stream'
import { type Role, startTenure } from '../../src/compose.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { AdminClient, ScimClient } from './clients.ts'
import { type LogLine, startTenure as startProcess, type TestProcess } from './processes.ts'
import { type Receiver, startReceiver } from './receiver.ts'
import { record } from './secret-setup.ts'

export const adminKey = 'test-admin-key-of-this-run'
export const secretKey = 'test-secret-key-of-this-run-32-characters'

/** One Tenure in this process, on a port of its own. */
export interface RunningTenure {
  readonly url: string
  readonly admin: AdminClient
  readonly log: readonly LogLine[]
  close(): Promise<void>
}

/** The environment that makes a Tenure of the given stores; also for `startTenure` of processes.ts. */
export function environment(stores: {
  url: string
  ownerUrl: string
  redisUrl?: string | undefined
}): Record<string, string> {
  return {
    PORT: '0',
    DATABASE_URL: stores.url,
    DATABASE_MIGRATION_URL: stores.ownerUrl,
    ...(stores.redisUrl ? { REDIS_URL: stores.redisUrl } : {}),
    TENURE_ADMIN_KEY: adminKey,
    TENURE_SECRET_KEY: secretKey,
    TENURE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
    LOG_LEVEL: 'info',
  }
}

/** Ready when this resolves. `overrides` are variables, as in the environment. */
export async function runTenure(
  role: Role,
  stores: { url: string; ownerUrl: string; redisUrl?: string | undefined },
  overrides: Record<string, string> = {},
): Promise<RunningTenure> {
  const lines: LogLine[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      record.output(`the log of tenure ${role}`, String(chunk))
      for (const line of String(chunk).split('\n')) if (line !== '') lines.push(JSON.parse(line))
      done()
    },
  })
  const env = { ...environment(stores), ...overrides }
  record.environment(env)
  const config: Config = readConfig(env)
  const tenure = await startTenure(config, role, createLogger({ level: config.logLevel, destination }))
  tenure.failed.catch(() => {})
  const admin = new AdminClient(tenure.url, adminKey)
  await admin.waitUntilReady()
  return { url: tenure.url, admin, log: lines, close: () => tenure.close() }
}

/** `tenure api` or `tenure worker` as a process of its own, ready when this resolves; killed at the end of the test file. */
export async function spawnTenure(
  role: Exclude<Role, 'all'>,
  stores: { url: string; ownerUrl: string; redisUrl?: string | undefined },
  overrides: Record<string, string> = {},
): Promise<{ url: string; admin: AdminClient; process: TestProcess }> {
  const child = startProcess({ args: [role], env: { ...environment(stores), ...overrides } })
  const started = await child.waitForLine(({ msg }) => msg === 'tenure.started')
  const admin = new AdminClient(String(started.url), adminKey)
  await admin.waitUntilReady()
  return { url: admin.url, admin, process: child }
}

/** A fake downstream server, registered; told by webhook, its signatures trusted. */
export interface RegisteredServer {
  readonly id: string
  readonly receiver: Receiver
}

export async function registerServer(
  admin: AdminClient,
  id: string,
  options: Record<string, unknown> = {},
): Promise<RegisteredServer> {
  const receiver = await startReceiver()
  const { connectors } = await admin.post('/servers', {
    id,
    name: id,
    resource: `https://${id}.example/mcp`,
    connectors: [{ type: 'webhook', url: receiver.url }],
    ...options,
  })
  receiver.trust(connectors[0].signingSecret)
  return { id, receiver }
}

/** A directory with a SCIM client that holds its token. */
export async function registerDirectory(admin: AdminClient, id: string, provider = 'okta'): Promise<ScimClient> {
  const { scimBaseUrl } = await admin.post('/directories', { id, provider })
  const { token } = await admin.post(`/directories/${id}/tokens`, {})
  return new ScimClient(scimBaseUrl, token)
}
