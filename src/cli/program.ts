import type { Command } from 'commander'
import { alarmCommand } from './commands/alarm.ts'
import { auditCommands } from './commands/audit.ts'
import { channelCommands } from './commands/channel.ts'
import { checkCommand } from './commands/check.ts'
import { clientCommands } from './commands/client.ts'
import { deliveryCommands } from './commands/delivery.ts'
import { directoryCommands } from './commands/directory.ts'
import { eventCommands } from './commands/event.ts'
import { grantCommands } from './commands/grant.ts'
import { issuerCommands } from './commands/issuer.ts'
import { jobCommands } from './commands/job.ts'
import { keyCommands } from './commands/key.ts'
import { ruleCommands } from './commands/rule.ts'
import { serverCommands } from './commands/server.ts'
import { signingKeyCommands } from './commands/signing-key.ts'
import { statsCommand } from './commands/stats.ts'
import { tokenCommands } from './commands/token.ts'
import { userCommands } from './commands/user.ts'
import { addCompletion } from './completion.ts'
import { Session } from './session.ts'

/**
 * Hangs the operators' commands into the program. They speak HTTP with a running Tenure and import nothing of it.
 *
 * @param asked the first word of the command line
 */
export async function addOperatorCommands(program: Command, asked: string | undefined): Promise<void> {
  const session = new Session()
  endQuietlyWithItsReader()
  program.commandsGroup('Operate a running Tenure:').helpCommand('help [command]', 'the same as --help')
  directoryCommands(program, session)
  tokenCommands(program, session)
  issuerCommands(program, session)
  channelCommands(program, session)
  serverCommands(program, session)
  clientCommands(program, session)
  ruleCommands(program, session)
  userCommands(program, session)
  grantCommands(program, session)
  deliveryCommands(program, session)
  jobCommands(program, session)
  eventCommands(program, session)
  keyCommands(program, session)
  signingKeyCommands(program, session)
  auditCommands(program, session)
  alarmCommand(program, session)
  statsCommand(program, session)
  checkCommand(program, session)
  if (asked === undefined || !program.commands.some((command) => command.name() === asked)) await addCompletion(program)
}

/** `tenure job list | head -1` is no failure. */
function endQuietlyWithItsReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit()
    throw error
  })
}
