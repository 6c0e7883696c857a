import type { Command } from 'commander'
import type { Listed } from '../api.ts'
import { exitCodes } from '../cli-error.ts'
import { verb } from '../command.ts'
import type { NameOf } from '../people.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Alarm {
  readonly kind: string
  readonly severity: 'critical' | 'warning'
  readonly subject: { server?: string; directory?: string; channel?: string; rule?: string; user?: string }
  readonly since: string
  readonly count: number
  readonly message: string
}

/** `tenure alarm`: what needs somebody now. */
export function alarmCommand(program: Command, session: Session): void {
  verb(
    program,
    'alarm',
    {
      description: 'what needs somebody now, gravest first; exits with 3 when one is critical',
      examples: ['tenure alarm', 'tenure alarm -q || page-somebody'],
    },
    'print one line for each: severity, kind and subject',
  ).action(async (options: OutputOptions) => {
    const alarms = await session.api.get<Listed<Alarm>>('/alarms')
    const { now } = session.terminal
    const name = await session.namesOf(
      options,
      alarms.items.map(({ subject }) => subject),
    )
    session.giveList(alarms, options, {
      columns: [
        {
          head: 'SEVERITY',
          value: ({ severity }) => severity,
          paint: (text, { severity }, colours) => (severity === 'critical' ? colours.red(text) : colours.yellow(text)),
        },
        { head: 'ALARM', value: ({ kind }) => kind },
        {
          head: 'ABOUT',
          value: ({ subject }) => subjectOf(subject, name),
          least: 8,
        },
        { head: 'COUNT', value: ({ count }) => count, align: 'right' },
        { head: 'SINCE', value: ({ since }) => relative(since, now) },
        { head: 'MESSAGE', value: ({ message }) => message, under: true },
      ],
      id: ({ severity, kind, subject }) => `${severity} ${kind} ${subjectOf(subject, (id) => id ?? '-')}`,
      none: 'No alarms.',
    })
    if (alarms.items.some(({ severity }) => severity === 'critical')) process.exitCode = exitCodes.attention
  })
}

function subjectOf({ server, directory, channel, rule, user }: Alarm['subject'], name: NameOf): string {
  const parts = [
    ...(channel ? [`channel ${channel} of ${directory}`] : directory ? [`directory ${directory}`] : []),
    ...(server ? [`server ${server}`] : []),
    ...(rule ? [`rule ${rule}`] : []),
    ...(user ? [`user ${name(user)}`] : []),
  ]
  return parts.length === 0 ? 'Tenure' : parts.join(', ')
}
