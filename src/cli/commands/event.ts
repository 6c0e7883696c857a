import type { Command } from 'commander'
import { listVerb, noun } from '../command.ts'
import { findUser } from '../people.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface LifecycleEvent {
  readonly id: string
  readonly directory: string
  readonly user: string
  readonly kind: string
  readonly source: string
  readonly recordedAt: string
}

/** `tenure event`: what identity providers and operators have said of people. */
export function eventCommands(program: Command, session: Session): void {
  const event = noun(program, 'event', 'lifecycle events: who joined, changed, left, and who says so')

  listVerb(event, 'list', {
    description: 'newest first',
    examples: ['tenure event list --directory acme', 'tenure event list --user ada@acme.example'],
    isDefault: true,
  })
    .option('--user <user>', 'of this person: a userName or an id')
    .option('--directory <id>', 'of this directory, or of the userName')
    .action(
      async (
        options: OutputOptions & {
          limit: number
          user?: string
          directory?: string
        },
      ) => {
        const { now } = session.terminal
        const query =
          options.user === undefined
            ? { directory: options.directory }
            : {
                user: await findUser(session.api, options.user, options.directory),
              }
        const events = await session.api.list<LifecycleEvent>('/events', query, options.limit)
        const name = await session.namesOf(options, events.items)
        session.giveList(events, options, {
          columns: [
            {
              head: 'WHEN',
              value: ({ recordedAt }) => relative(recordedAt, now),
            },
            { head: 'EVENT', value: ({ kind }) => kind },
            { head: 'USER', value: ({ user }) => name(user), least: 12 },
            { head: 'SOURCE', value: ({ source }) => source },
            {
              head: 'DIRECTORY',
              value: ({ directory }) => directory,
              least: 6,
            },
            { head: 'ID', value: ({ id }) => id, under: true },
          ],
          id: ({ id }) => id,
          none: 'No such events.',
        })
      },
    )
}
