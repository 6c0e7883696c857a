import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { CliError, exitCodes } from '../cli-error.ts'
import { count, listVerb, noun, timeAgo, verb } from '../command.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Job {
  readonly id: string
  readonly kind: string
  readonly state: string
  readonly user: string | null
  readonly server: string | null
  readonly error: string | null
  readonly attempts: number
  readonly nextTry: string | null
  readonly failedAt: string
}

interface Replayed {
  readonly requeued: number
  readonly deliveries: number
  readonly users: number
  readonly events?: number
  readonly skipped: {
    inFlight: number
    delivered: number
    alreadyDue?: number
  }
}

interface ReplayOptions extends OutputOptions {
  server?: string
  kind?: string
  since?: string
  dryRun?: boolean
}

const kinds = ['delivery', 'user', 'event']

/** `tenure job`: what failed, and having it done again. */
export function jobCommands(program: Command, session: Session): void {
  const job = noun(
    program,
    'job',
    'work that failed: deliveries, people whose access could not be worked out, events of people not known yet',
  )

  listVerb(job, 'list', {
    description: 'newest failure first; parked work has used up its tries',
    examples: ['tenure job', 'tenure job list --state parked --server linear'],
    isDefault: true,
  })
    .addOption(new Option('--state <state>', 'only these').choices(['failing', 'parked']))
    .option('--server <id>', 'for this server')
    .addOption(new Option('--kind <kind>', 'only these').choices(kinds))
    .action(
      async (
        options: OutputOptions & {
          limit: number
          state?: string
          server?: string
          kind?: string
        },
      ) => {
        const { state, server, kind, limit } = options
        const { now } = session.terminal
        const jobs = await session.api.list<Job>('/jobs', { state, server, kind }, limit)
        const name = await session.namesOf(options, jobs.items)
        session.giveList(jobs, options, {
          columns: [
            {
              head: 'STATE',
              value: (each) => each.state,
              paint: (text, each, colours) => (each.state === 'parked' ? colours.red(text) : colours.yellow(text)),
            },
            {
              head: 'SERVER',
              value: (each) => each.server ?? `(${each.kind})`,
              least: 6,
            },
            { head: 'USER', value: ({ user }) => name(user), least: 8 },
            { head: 'FAILED', value: ({ failedAt }) => relative(failedAt, now) },
            { head: 'TRIES', value: ({ attempts }) => attempts, align: 'right' },
            { head: 'NEXT TRY', value: ({ nextTry }) => (nextTry ? relative(nextTry, now) : null) },
            { head: 'ID', value: ({ id }) => id, under: true },
            { head: 'ERROR', value: ({ error }) => error, under: true },
          ],
          id: ({ id }) => id,
          none: 'No failed work.',
        })
      },
    )

  verb(job, 'replay [id]', {
    description:
      'have failed work done again, one or all that fit; nothing is sent twice that has arrived. Exits with 3 when some of it is being sent right now and was left alone',
    examples: [
      'tenure job replay --server linear --dry-run',
      'tenure job replay --since 2h',
      'tenure job replay dlv_5b0c…',
    ],
  })
    .option('--server <id>', 'for this server')
    .addOption(new Option('--kind <kind>', 'only these').choices(kinds))
    .option('--since <when>', 'what failed since then: 30min, 2h, or a time', timeAgo)
    .option('--dry-run', 'say what would be done and change nothing')
    .action(async (id: string | undefined, { server, kind, since, dryRun, ...options }: ReplayOptions) => {
      const filters = { server, kind, since }
      if (id !== undefined && Object.values(filters).some((value) => value !== undefined))
        throw new CliError('give an id, or --server, --kind and --since; not both', exitCodes.usage)
      const asked = dryRun ? { dryRun } : {}
      const replayed = await session.api.post<Replayed>(
        id === undefined ? '/jobs/replay' : `/jobs/${segment(id)}/replay`,
        id === undefined ? { ...filters, ...asked } : asked,
      )
      session.give(replayed, options, {
        text: () => told(replayed, dryRun === true),
      })
      if (!dryRun && replayed.skipped.inFlight > 0) process.exitCode = exitCodes.attention
    })
}

function told({ deliveries, users, events = 0, skipped }: Replayed, dryRun: boolean): string {
  const parts = [count(deliveries, 'delivery', 'deliveries'), count(users, 'person', 'people')]
  const work = [...parts, ...(events === 0 ? [] : [count(events, 'event that waits', 'events that wait')])].join(
    ' and ',
  )
  const left = [
    [skipped.inFlight, 'being sent right now'],
    [skipped.alreadyDue ?? 0, 'due already'],
    [skipped.delivered, 'delivered already'],
  ]
    .filter(([number]) => number !== 0)
    .map(([number, what]) => `${number} ${what}`)
  return [
    dryRun ? `Would be done again: ${work}. Nothing was changed.` : `Done again from now on: ${work}.`,
    ...(left.length === 0 ? [] : [`Left alone: ${left.join(', ')}.`]),
  ].join('\n')
}
