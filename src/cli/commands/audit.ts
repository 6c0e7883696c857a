import type { Command } from 'commander'
import { listVerb, noun, timeAgo } from '../command.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Action {
  readonly id: string
  readonly at: string
  readonly actor: string
  readonly operation: string
  readonly path: string
  readonly status: number | null
  readonly requestId: string
}

/** `tenure audit`: what operators did. */
export function auditCommands(program: Command, session: Session): void {
  const audit = noun(program, 'audit', 'what operators did, by the name of their key')

  listVerb(audit, 'list', {
    description: 'newest first',
    examples: ['tenure audit', 'tenure audit list --actor ada --since 2d'],
    isDefault: true,
  })
    .option('--actor <name>', 'by the key of this name')
    .option('--since <when>', '30min, 2h, 7d, or a time', timeAgo)
    .action(
      async (
        options: OutputOptions & {
          limit: number
          actor?: string
          since?: string
        },
      ) => {
        const { now } = session.terminal
        const { actor, since, limit } = options
        session.giveList(await session.api.list<Action>('/audit', { actor, since }, limit), options, {
          columns: [
            { head: 'WHEN', value: ({ at }) => relative(at, now) },
            { head: 'ACTOR', value: (each) => each.actor, least: 6 },
            {
              head: 'DID',
              value: ({ operation, path }) => `${operation.split(' ')[0]} ${path}`,
              least: 40,
            },
            {
              head: 'ANSWER',
              value: ({ status }) => status ?? 'never finished',
              paint: (text, { status }, colours) => (status !== null && status < 300 ? text : colours.red(text)),
            },
            {
              head: 'REQUEST',
              value: ({ requestId }) => requestId,
              least: 8,
            },
          ],
          id: ({ id }) => id,
          none: 'Nobody did anything.',
        })
      },
    )
}
