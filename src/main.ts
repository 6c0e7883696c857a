import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { migrate, type Role, startTenure, type Tenure } from './compose.ts'
import { type Config, readConfig } from './config.ts'
import { TenureError } from './errors.ts'
import { createLogger } from './log.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const environment = `
Settings come from the environment (default in brackets):
  HOST, PORT                     where to listen [127.0.0.1, 8480]
  PUBLIC_URL                     the issuer, and the base of every URL that is handed out [http://HOST:PORT]
  DATABASE_URL                   Postgres [an embedded one under TENURE_HOME]
  DATABASE_MIGRATION_URL         the same database as the role that owns the tables [DATABASE_URL]
  REDIS_URL                      Redis or Valkey for the queue [the same Postgres]
  TENURE_HOME                    embedded database and generated keys [.tenure]
  TENURE_ADMIN_KEY               root key of the admin API [generated under TENURE_HOME]
  TENURE_SECRET_KEY              seals stored secrets; a list: the first seals, all open [generated under TENURE_HOME]
  TENURE_ALLOW_PRIVATE_TARGETS   private hosts and CIDRs that may be called; true: all [none]
  LOG_LEVEL                      [info]`

/** The command line. Exit codes: 0 done, 1 refused or failed, with the reason in one line on standard error. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('tenure')
    .description('Access that lasts exactly as long as the role that earned it.')
    .version(version)
    .showHelpAfterError('(tenure --help lists the commands)')
    .addHelpText('after', environment)

  program
    .command('start')
    .description('everything in one process; migrates the database first')
    .addHelpText('after', environment)
    .action(() => serve('all'))
  program
    .command('api')
    .description('SCIM, admin API and introspection; as many of these as you like')
    .addHelpText('after', environment)
    .action(() => serve('api'))
  program
    .command('worker')
    .description('decides and delivers; as many of these as you like. Listens on HOST:PORT for health checks only')
    .addHelpText('after', environment)
    .action(() => serve('worker'))
  program
    .command('migrate')
    .description('bring the database to the newest schema, as the role of DATABASE_MIGRATION_URL')
    .addHelpText('after', environment)
    .action(async () => {
      const config = readConfig()
      await migrate(config, createLogger({ level: config.logLevel }))
    })
  program
    .command('demo')
    .description(
      'onboard 2,000 people, move one, offboard one while two servers misbehave; tells how long each step took',
    )
    .option('--people <number>', 'how many to onboard, from 10 on', atLeastTen, 2000)
    .option('--keep', 'leave everything running afterwards, print where it is, stop at Ctrl-C')
    .option('--json', 'print the figures as one JSON document on standard output, the rest on standard error')
    .option('--home <folder>', 'a new TENURE_HOME that is left there [a temporary one]')
    .action(async (options: { people: number; keep?: boolean; json?: boolean; home?: string }) => {
      const { runDemo } = await import('./demo/demo.ts')
      process.exitCode = await runDemo(options)
    })

  try {
    await program.parseAsync(argv)
  } catch (error) {
    complain(error)
    process.exitCode = 1
  }
}

async function serve(role: Role): Promise<void> {
  const config: Config = readConfig()
  const log = createLogger({ level: config.logLevel })
  const stop = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.resolve(signal))
  const tenure: Tenure = await startTenure(config, role, log)
  try {
    const signal = await Promise.race([stop.promise, tenure.failed])
    log.info({ signal }, 'tenure.stopping')
    for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, () => process.exit(1))
  } finally {
    await tenure.close()
  }
  log.info('tenure.stopped')
}

function atLeastTen(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 10)
    throw new InvalidArgumentError('It must be a whole number from 10 on.')
  return number
}

function complain(error: unknown): void {
  const line =
    error instanceof TenureError
      ? error.message
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error)
  process.stderr.write(`tenure: ${line}\n`)
}
