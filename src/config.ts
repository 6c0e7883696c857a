import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { TenureError } from './errors.ts'
import { type PrivateTargets, parsePrivateTargets } from './private-targets.ts'
import { parseRetention, type Retention } from './retention.ts'
import { newSecret } from './secrets.ts'

/** A variable that cannot be used. The message names it and never repeats its value, the right spelling of an address aside. */
export class ConfigError extends TenureError {
  constructor(message: string) {
    super('ERR_CONFIG', message)
  }
}

/**
 * The environment as Tenure understands it. Read once, here only; README.md lists the same. What may hold a secret (both
 * keys and the three store URLs) may stand in a file instead: `DATABASE_URL_FILE` names the file that holds `DATABASE_URL`.
 */
export interface Config {
  /** `HOST`, default 127.0.0.1 */
  readonly host: string
  /** `PORT`, default 8480; 0 picks a free one */
  readonly port: number
  /** `PUBLIC_URL`, canonical (as the WHATWG URL standard prints it), no trailing slash; undefined: http://HOST:PORT as listened on. The issuer, and the base of every URL that is handed out. */
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
  /** `TENURE_RETENTION`: days for which rows are kept, `attempt=30 tombstone=forever` */
  readonly retention: Retention
  /** `LOG_LEVEL`, default info */
  readonly logLevel: string
  /** `TENURE_ADMIN_KEY`, a list separated by commas or spaces, each at least 16 characters: any opens; undefined: generated under `home` */
  readonly adminKeys: readonly string[] | undefined
  /** `TENURE_SECRET_KEY`, a list separated by commas or spaces, each at least 32 characters: the first seals, all open */
  readonly secretKeys: readonly string[] | undefined
  /** Undefined, the default: no traces, and nothing of OpenTelemetry's SDK is loaded */
  readonly tracing: Tracing | undefined
}

/** OpenTelemetry's own variables. What else its exporter knows (headers, certificates, compression) it reads by itself. */
export interface Tracing {
  /** `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it stands, else `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` after it */
  readonly url: string
  /** `OTEL_SERVICE_NAME`, default tenure */
  readonly serviceName: string
  /** `OTEL_TRACES_SAMPLER_ARG`: the share of the traces begun here that is recorded, 0 to 1; default 1 */
  readonly share: number
}

const optional = (schema: z.ZodString) => z.preprocess((value) => (value === '' ? undefined : value), schema.optional())

const share = 'must be a number from 0 to 1'

const variables = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z.coerce.number('must be a port number').int('must be a port number').min(0).max(65_535).default(8480),
  PUBLIC_URL: optional(
    z.string().superRefine((text, context) => {
      const message = wrongSpelling(text)
      if (message !== undefined) context.addIssue({ code: 'custom', message })
    }),
  ),
  DATABASE_URL: optional(z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL')),
  DATABASE_MIGRATION_URL: optional(z.string().regex(/^postgres(ql)?:\/\//, 'must be a postgres:// URL')),
  REDIS_URL: optional(z.string().regex(/^rediss?:\/\//, 'must be a redis:// or rediss:// URL')),
  TENURE_HOME: z.string().min(1).default('.tenure'),
  TENURE_ALLOW_PRIVATE_TARGETS: z.string().default(''),
  TENURE_RETENTION: z.string().default(''),
  LOG_LEVEL: z
    .enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be one of fatal, error, warn, info, debug, trace, silent',
    )
    .default('info'),
  TENURE_ADMIN_KEY: optional(z.string()),
  TENURE_SECRET_KEY: optional(z.string()),
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(z.string().regex(/^https?:\/\/[^\s?#]+$/, 'must be an http or https URL')),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optional(z.string().regex(/^https?:\/\/\S+$/, 'must be an http or https URL')),
  OTEL_SERVICE_NAME: optional(z.string()),
  OTEL_TRACES_SAMPLER_ARG: z.preprocess(
    (value) => (value === '' ? undefined : value),
    z.coerce.number(share).min(0, share).max(1, share).default(1),
  ),
})

/** Issuers are compared byte for byte: another spelling would be another issuer to somebody. A password is not said back. */
function wrongSpelling(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return 'must be an http or https URL'
  const canonical = url.origin + url.pathname.replace(/\/+$/, '')
  return text === canonical ? undefined : `must be spelled ${canonical}`
}

/** @throws ConfigError naming the variable */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const parsed = variables.safeParse(withSecretFiles(env))
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
    publicUrl: read.PUBLIC_URL,
    databaseUrl: read.DATABASE_URL,
    migrationUrl: read.DATABASE_MIGRATION_URL ?? read.DATABASE_URL,
    redisUrl: read.REDIS_URL,
    home: resolve(read.TENURE_HOME),
    allowPrivateTargets: privateTargets(read.TENURE_ALLOW_PRIVATE_TARGETS),
    retention: retention(read.TENURE_RETENTION),
    logLevel: read.LOG_LEVEL,
    adminKeys: splitKeys('TENURE_ADMIN_KEY', 16, read.TENURE_ADMIN_KEY),
    secretKeys: splitKeys('TENURE_SECRET_KEY', 32, read.TENURE_SECRET_KEY),
    tracing: tracingOf(read),
  })
}

const secretVariables = ['DATABASE_URL', 'DATABASE_MIGRATION_URL', 'REDIS_URL', 'TENURE_ADMIN_KEY', 'TENURE_SECRET_KEY']

/** As Docker and Kubernetes hand secrets over: a file each, which no process list and no `inspect` shows. */
function withSecretFiles(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inFiles = secretVariables.filter((name) => env[`${name}_FILE`])
  return { ...env, ...Object.fromEntries(inFiles.map((name) => [name, secretInFile(name, env)])) }
}

/** The path stays unsaid: it may be the secret itself, put into the wrong variable. */
function secretInFile(name: string, env: NodeJS.ProcessEnv): string {
  if (env[name]) throw new ConfigError(`${name} and ${name}_FILE are both set: leave one of them out`)
  const secret = readableSecret(env[`${name}_FILE`]!)?.trim()
  if (secret === undefined) throw new ConfigError(`${name}_FILE names a file that cannot be read`)
  if (secret === '') throw new ConfigError(`${name}_FILE names an empty file`)
  return secret
}

function tracingOf(read: z.output<typeof variables>): Tracing | undefined {
  const base = read.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/+$/, '')
  const url = read.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base && `${base}/v1/traces`)
  if (url === undefined) return undefined
  return { url, serviceName: read.OTEL_SERVICE_NAME ?? 'tenure', share: read.OTEL_TRACES_SAMPLER_ARG }
}

function privateTargets(text: string): PrivateTargets {
  try {
    return parsePrivateTargets(text)
  } catch (error) {
    throw new ConfigError(`TENURE_ALLOW_PRIVATE_TARGETS: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function retention(text: string): Retention {
  try {
    return parseRetention(text)
  } catch (error) {
    throw new ConfigError(`TENURE_RETENTION: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function splitKeys(variable: string, least: number, text: string | undefined): string[] | undefined {
  const keys = text?.split(/[\s,]+/).filter(Boolean)
  if (!keys || keys.length === 0) return undefined
  if (keys.some((key) => key.length < least)) {
    throw new ConfigError(
      `${variable} needs at least ${least} characters in each key; make one with: openssl rand -base64 32`,
    )
  }
  return keys
}

export interface Keys {
  /** Each opens the operators' API as root. */
  readonly adminKeys: readonly string[]
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
    if (!config.adminKeys) throw new ConfigError('TENURE_ADMIN_KEY is required when DATABASE_URL is set')
    if (!config.secretKeys)
      throw new ConfigError(
        'TENURE_SECRET_KEY is required when DATABASE_URL is set; make one with: openssl rand -base64 32',
      )
  }
  const adminKeyFile = join(config.home, 'admin-key')
  return {
    adminKeys: config.adminKeys ?? [keptSecret(adminKeyFile, 'tenure')],
    secretKeys: config.secretKeys ?? [keptSecret(join(config.home, 'secret-key'), 'seal')],
    adminKeyFile: config.adminKeys ? undefined : adminKeyFile,
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

/** Where the operators' command line finds Tenure, and with which key. */
export interface CliConfig {
  /** `TENURE_URL`, no trailing slash; default http://127.0.0.1:8480 */
  readonly url: string
  /** `TENURE_ADMIN_KEY`, the first of a list; else what `tenure start` generated under `TENURE_HOME` */
  readonly adminKey: string
  /** The variable or the file that the key is from. */
  readonly adminKeySource: string
}

/** @throws ConfigError naming the variable */
export function readCliConfig(env: NodeJS.ProcessEnv = process.env): CliConfig {
  const url = env.TENURE_URL || 'http://127.0.0.1:8480'
  if (!/^https?:\/\/[^\s?#@]+$/.test(url) || !URL.canParse(url))
    throw new ConfigError('TENURE_URL must be an http or https URL without user, query or fragment')
  const file = join(env.TENURE_HOME || '.tenure', 'admin-key')
  const given = env.TENURE_ADMIN_KEY_FILE ? secretInFile('TENURE_ADMIN_KEY', env) : env.TENURE_ADMIN_KEY
  const [adminKeySource, text] = given ? ['TENURE_ADMIN_KEY', given] : [file, readableSecret(file)]
  if (text === undefined) throw new ConfigError(`TENURE_ADMIN_KEY is not set, and ${file} cannot be read`)
  // A Tenure may be given a list; any of its keys opens.
  const [adminKey] = text.split(/[\s,]+/).filter(Boolean)
  // What does not fit into a header would be repeated by the error that says so.
  if (!adminKey || !/^[\x21-\x7e]+$/.test(adminKey)) throw new ConfigError(`${adminKeySource} holds no usable key`)
  return Object.freeze({ url: url.replace(/\/+$/, ''), adminKey, adminKeySource })
}

/** What `tenure check` authenticates with, and no command line shows. */
export interface CheckConfig {
  readonly clientSecret: string | undefined
  readonly idpClientSecret: string | undefined
}

export function readCheckConfig(env: NodeJS.ProcessEnv = process.env): CheckConfig {
  return Object.freeze({
    clientSecret: env.TENURE_CHECK_CLIENT_SECRET || undefined,
    idpClientSecret: env.TENURE_CHECK_IDP_CLIENT_SECRET || undefined,
  })
}

function readableSecret(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
