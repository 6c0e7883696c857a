import { type Command, InvalidArgumentError } from 'commander'
import { CliError, exitCodes } from './cli-error.ts'
import type { Session } from './session.ts'
import { parseTime } from './times.ts'

export interface VerbHelp {
  readonly description: string
  readonly examples: readonly string[]
  /** Meant when the noun stands alone. */
  readonly isDefault?: boolean
  /** What `--json` prints where it is not an answer of the API. */
  readonly json?: string
}

/** `tenure <name> …`: what its verbs are about. */
export function noun(parent: Command, name: string, summary: string, more = ''): Command {
  const command = parent
    .command(name)
    .summary(summary)
    .description(summary + more)
    .usage('<command>')
    .helpCommand(false)
  // A misspelt verb would otherwise be taken for an argument of the default one.
  return command.hook('preSubcommand', (_parent, verb) => {
    const [given] = command.args
    if (given === undefined || given.startsWith('-') || given === verb.name()) return
    if (verb.registeredArguments.length > 0) return
    const known = command.commands.map((each) => each.name()).join(', ')
    command.error(`error: unknown command '${given}' (${name} has ${known})`)
  })
}

/** One thing to do, with `--json` and `--quiet`; `quiet` says what is left of the answer then. */
export function verb(parent: Command, usage: string, help: VerbHelp, quiet = 'print nothing'): Command {
  return parent
    .command(usage, { isDefault: help.isDefault ?? false })
    .description(help.description)
    .option('--json', help.json ?? "print the API's answer as it is, one JSON document (null where it has none)")
    .option('-q, --quiet', quiet)
    .addHelpText(
      'after',
      `\n${help.examples.length > 1 ? 'Examples' : 'Example'}:\n${help.examples.map((line) => `  ${line}`).join('\n')}`,
    )
}

/** A `list`: the default verb, page after page up to `--limit`. */
export function listVerb(parent: Command, usage: string, help: VerbHelp, quiet = 'print the ids only'): Command {
  return verb(parent, usage, help, quiet).option('--limit <number>', 'how many at most', positive, 100)
}

/** For what takes something away: asks first. */
export function destructiveVerb(parent: Command, usage: string, help: VerbHelp): Command {
  return verb(parent, usage, help).option('--yes', 'do it without asking; needed where nobody can be asked')
}

/**
 * Says what would be touched and asks, unless `--yes` was given. At a terminal a no ends the command; elsewhere nobody
 * can be asked, and that is wrong usage.
 *
 * @param touched read only when it is going to be shown: a cut must not wait for it
 */
export async function confirm(
  { terminal }: Session,
  { yes }: { yes?: boolean },
  touched: () => Promise<readonly string[]>,
): Promise<void> {
  if (yes) return
  for (const line of await touched()) terminal.note(line)
  if (!terminal.interactive)
    throw new CliError('nothing was changed: give --yes to do it where nobody can be asked', exitCodes.usage)
  if (!(await terminal.ask('Go on?'))) throw new CliError('nothing was changed')
}

export function positive(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('It must be a whole number from 1 on.')
  return number
}

export function timeAgo(text: string): string {
  return time(text, 'ago')
}

export function timeAhead(text: string): string {
  return time(text, 'ahead')
}

function time(text: string, direction: 'ago' | 'ahead'): string {
  const read = parseTime(text, new Date(), direction)
  if (read === undefined)
    throw new InvalidArgumentError('It must be a length like 30min, 12h or 90d, or a time like 2027-01-01T00:00:00Z.')
  return read
}

/** `12 people`, `1 person`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en-US')} ${number === 1 ? one : many}`
}
