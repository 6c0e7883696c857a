import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { TenureError } from './errors.ts'
import { type PrivateTargets, parsePrivateTargets } from './private-targets.ts'
import { newSecret } from './secrets.ts'

/** A variable that cannot be used. The message names it and never repeats its value. */
export class ConfigError extends TenureError {
  constructor(message: string) {
    super('ERR_CONFIG', message)
  }
}

/** The environment as Tenure understands it. Read once, here only; README.md lists the same. */
export interface Config {
  /** `HOST`, default 127.0.0.1 */
  readonly host: string
  /** `PORT`, default 8480; 0 picks a free one */
  readonly port: number
  /** `PUBLIC_URL`, no trailing slash; undefined: http://HOST:PORT as listened on. The issuer, and the base of every URL that is handed out. */
  readonly publicUrl: string | undefined
  /** `DATABASE_URL`; undefined: an embedded Postgres under `home` */
  readonly databaseUrl: string | undefined
  /** `DATABASE_MIGRATION_URL`: the role that owns the tables; default: `databaseUrl` */
  readonly migrationUrl: string | undefined
  /** `REDIS_URL`; undefined: BullMQ's Postgres backend in the same database */
  readonly redisUrl: string | undefined
  /** `TENURE_HOME`, absolute; default `.tenure` in the working directory */
  readonly home: string
  /** `TENURE_ALLOW_PRIVATE_TARGETS`: private hosts and CIDRs that outbound calls may reach; `true`: all */
  readonly allowPrivateTargets: PrivateTargets
  /** `LOG_LEVEL`, default info */
  readonly logLevel: string
  /** `TENURE_ADMIN_KEY`, at least 16 characters; undefined: generated under `home` */
  readonly adminKey: string | undefined
  /** `TENURE_SECRET_KEY`, a list separated by commas or spaces, each at least 32 characters: the first seals, all open */
  readonly secretKeys: readonly string[] | undefined
}

const optional = (schema: z.ZodString) => z.preprocess((value) => (value === '' ? undefined : value), schema.optional())

const variables = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z.coerce.number('must be a port number').int('must be a port number').min(0).max(65_535).default(8480),
  PUBLIC_URL: optional(
    z.string().regex(/^https?:\/\/[^\s?#]+$/, 'must be an http or https URL without query or fragment'),
  ),
  DATABASE_URL: optional(z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL')),
  DATABASE_MIGRATION_URL: optional(z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL')),
  REDIS_URL: optional(z.string().regex(/^rediss?:\/\//, 'must be a redis:// or rediss:// URL')),
  TENURE_HOME: z.string().min(1).default('.tenure'),
  TENURE_ALLOW_PRIVATE_TARGETS: z.string().default(''),
  LOG_LEVEL: z
    .enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be one of fatal, error, warn, info, debug, trace, silent',
    )
    .default('info'),
  TENURE_ADMIN_KEY: optional(z.string().min(16, 'must have at least 16 characters')),
  TENURE_SECRET_KEY: optional(z.string()),
})

/** @throws ConfigError naming the variable */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const parsed = variables.safeParse(env)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new ConfigError(`${String(issue!.path[0])} ${issue!.message}`)
  }
  const read = parsed.data
  if (read.DATABASE_MIGRATION_URL && !read.DATABASE_URL)
    throw new ConfigError('DATABASE_MIGRATION_URL needs DATABASE_URL beside it')
  return Object.freeze({
    host: read.HOST,
    port: read.PORT,
    publicUrl: read.PUBLIC_URL?.replace(/\/+$/, ''),
    databaseUrl: read.DATABASE_URL,
    migrationUrl: read.DATABASE_MIGRATION_URL ?? read.DATABASE_URL,
    redisUrl: read.REDIS_URL,
    home: resolve(read.TENURE_HOME),
    allowPrivateTargets: privateTargets(read.TENURE_ALLOW_PRIVATE_TARGETS),
    logLevel: read.LOG_LEVEL,
    adminKey: read.TENURE_ADMIN_KEY,
    secretKeys: splitKeys(read.TENURE_SECRET_KEY),
  })
}

function privateTargets(text: string): PrivateTargets {
  try {
    return parsePrivateTargets(text)
  } catch (error) {
    throw new ConfigError(`TENURE_ALLOW_PRIVATE_TARGETS: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function splitKeys(text: string | undefined): string[] | undefined {
  const keys = text?.split(/[\s,]+/).filter(Boolean)
  if (!keys || keys.length === 0) return undefined
  if (keys.some((key) => key.length < 32)) {
    throw new ConfigError(
      'TENURE_SECRET_KEY needs at least 32 characters in each key; make one with: openssl rand -base64 32',
    )
  }
  return keys
}

export interface Keys {
  readonly adminKey: string
  readonly secretKeys: readonly string[]
  /** Where the admin key lies, when it was generated rather than given. */
  readonly adminKeyFile: string | undefined
}

/**
 * The two keys: as given, else generated once under `TENURE_HOME` (mode 0600). With `DATABASE_URL` both are required,
 * because several processes share the database and would each make up their own.
 *
 * @throws ConfigError
 */
export function obtainKeys(config: Config): Keys {
  if (config.databaseUrl) {
    if (!config.adminKey) throw new ConfigError('TENURE_ADMIN_KEY is required when DATABASE_URL is set')
    if (!config.secretKeys)
      throw new ConfigError(
        'TENURE_SECRET_KEY is required when DATABASE_URL is set; make one with: openssl rand -base64 32',
      )
  }
  const adminKeyFile = join(config.home, 'admin-key')
  return {
    adminKey: config.adminKey ?? keptSecret(adminKeyFile, 'tenure'),
    secretKeys: config.secretKeys ?? [keptSecret(join(config.home, 'secret-key'), 'seal')],
    adminKeyFile: config.adminKey ? undefined : adminKeyFile,
  }
}

function keptSecret(file: string, prefix: string): string {
  try {
    const kept = readFileSync(file, 'utf8').trim()
    if (kept === '') throw new ConfigError(`${file} is empty; remove it, or put back what it held`)
    return kept
  } catch (error) {
    if (error instanceof ConfigError) throw error
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw new ConfigError(`${file} cannot be read`)
  }
  const secret = newSecret(prefix)
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 })
  writeFileSync(file, `${secret}\n`, { mode: 0o600, flag: 'wx' })
  return secret
}
