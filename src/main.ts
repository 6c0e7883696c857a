import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { CliError, exitCodes } from './cli/cli-error.ts'
import { addOperatorCommands } from './cli/program.ts'
import { ConfigError, readConfig } from './config.ts'
import { TenureError } from './errors.ts'
import { version } from './version.ts'

const environment = `
Settings come from the environment (default in brackets):
  HOST, PORT                     where to listen [127.0.0.1, 8480]
  PUBLIC_URL                     the issuer, and the base of every URL that is handed out [http://HOST:PORT]
  DATABASE_URL                   Postgres [an embedded one under TENURE_HOME]
  DATABASE_MIGRATION_URL         the same database as the role that owns the tables [DATABASE_URL]
  REDIS_URL                      Redis or Valkey for the queue [the same Postgres]
  TENURE_HOME                    embedded database and generated keys [.tenure]
  TENURE_ADMIN_KEY               root key of the admin API; a list: any opens [generated under TENURE_HOME]
  TENURE_SECRET_KEY              seals stored secrets; a list: the first seals, all open [generated under TENURE_HOME]
  TENURE_ALLOW_PRIVATE_TARGETS   private hosts and CIDRs that may be called; true: all [none]
  TENURE_RETENTION               days for which rows are kept: attempt=30 tombstone=forever [docs/operating.md]
  LOG_LEVEL                      [info]
  OTEL_EXPORTER_OTLP_ENDPOINT    collector of OpenTelemetry traces, over HTTP [no traces]
  OTEL_SERVICE_NAME              as what they are shown [tenure]
  OTEL_TRACES_SAMPLER_ARG        the share of traces to keep, from 0 to 1 [1]
The three URLs of stores and both keys may stand in a file each, named by the variable with _FILE after it.`

const operating = `
Operating a running Tenure takes:
  TENURE_URL                     where it answers [http://127.0.0.1:8480]
  TENURE_ADMIN_KEY               a key of the admin API [what tenure start wrote to TENURE_HOME/admin-key, where that is readable]
  TENURE_CHECK_CLIENT_SECRET, TENURE_CHECK_IDP_CLIENT_SECRET
                                 for check alone: the secrets of its MCP client [none]
  NO_COLOR                       no colours, whatever its value

Exit codes:
  0  done
  1  refused or failed; the reason is on standard error. check: the server is not ready
  2  wrong usage, or a setting is missing
  3  alarm: a critical one is open; job replay: something that fits is being sent right now and was left alone
  4  cannot reach Tenure`

/**
 * The command line. What serves is loaded only when it is asked for: an operator's command starts in a fraction of the
 * time that the server's parts take to load.
 */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('tenure')
    .description('Access that lasts exactly as long as the role that earned it.')
    .version(version)
    .showHelpAfterError('(--help says more, with examples)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'tenure: ')) })
    .exitOverride()
    .addHelpText('after', `${environment}\n${operating}`)
    .commandsGroup('Run Tenure:')

  program
    .command('start')
    .description('everything in one process; migrates the database first')
    .addHelpText('after', environment)
    .action(() => serve('all'))
  program
    .command('api')
    .description('SCIM, admin API and authorization server; as many of these as you like')
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
      const [{ migrate }, { createLogger }] = await Promise.all([import('./compose.ts'), import('./log.ts')])
      const config = readConfig()
      await migrate(config, createLogger({ level: config.logLevel }))
    })
  program
    .command('demo')
    .description(
      'onboard 2,000 people, move one, offboard one in the middle of a call of their agent, while two servers misbehave; tells how long each step took',
    )
    .option('--people <number>', 'how many to onboard, from 10 on', atLeastTen, 2000)
    .option('--keep', 'leave everything running afterwards, print where it is, stop at Ctrl-C')
    .option('--json', 'print the figures as one JSON document on standard output, the rest on standard error')
    .option('--home <folder>', 'a new TENURE_HOME that is left there [a temporary one]')
    .action(async (options: { people: number; keep?: boolean; json?: boolean; home?: string }) => {
      const { runDemo } = await import('./demo/demo.ts')
      process.exitCode = await runDemo(options)
    })

  await addOperatorCommands(program, argv[2])

  try {
    await program.parseAsync(argv)
  } catch (error) {
    process.exitCode = complain(error, serving.has(argv[2]))
  }
}

/** What runs Tenure rather than asking one; a bug there leaves its stack. */
const serving: ReadonlySet<string | undefined> = new Set(['start', 'api', 'worker', 'migrate', 'demo'])

async function serve(role: 'all' | 'api' | 'worker'): Promise<void> {
  const config = readConfig()
  const [{ startTenure }, { createLogger }] = await Promise.all([import('./compose.ts'), import('./log.ts')])
  const log = createLogger({ level: config.logLevel })
  const stop = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.resolve(signal))
  const tenure = await startTenure(config, role, log)
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

/** @returns the exit code */
function complain(error: unknown, isServing: boolean): number {
  // Commander has said it already; help and version come this way too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  const under = error instanceof CliError ? error.lines : []
  process.stderr.write(`${[`tenure: ${reasonOf(error, isServing)}`, ...under].join('\n')}\n`)
  if (error instanceof CliError) return error.exitCode
  return error instanceof ConfigError && !isServing ? exitCodes.usage : exitCodes.failed
}

function reasonOf(error: unknown, isServing: boolean): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof TenureError) return error.message
  return isServing ? (error.stack ?? error.message) : `this command is of no use with that answer: ${error.message}`
}
