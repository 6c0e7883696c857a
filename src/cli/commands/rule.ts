import type { Command } from 'commander'
import { segment } from '../api.ts'
import { CliError, exitCodes } from '../cli-error.ts'
import { confirm, count, destructiveVerb, listVerb, noun, verb } from '../command.ts'
import { type Condition, drawConditions } from '../explanation.ts'
import { findUser } from '../people.ts'
import { plain } from '../plain.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'

interface Rule {
  readonly id: string
  readonly directory: string
  readonly server: string
  readonly when: string
  readonly scopes: readonly string[]
  readonly clients: readonly string[] | null
  readonly createdAt: string
  readonly changedAt: string
}

interface Tested {
  readonly matches: number
  readonly of: number
  readonly user?: {
    readonly userName: string
    readonly matches: boolean
    readonly satisfied: readonly Condition[]
    readonly missing: readonly Condition[]
  }
}

interface SetOptions extends OutputOptions {
  server: string
  when: string
  scope: string[]
  client?: string[]
  directory?: string
  dryRun?: boolean
}

/** `tenure rule`: who gets what. */
export function ruleCommands(program: Command, session: Session): void {
  const rule = noun(program, 'rule', 'who gets which scopes at which server')

  listVerb(rule, 'list', {
    description: 'all of them',
    examples: ['tenure rule', 'tenure rule list --server linear'],
    isDefault: true,
  })
    .option('--directory <id>', 'of this directory')
    .option('--server <id>', 'at this server')
    .action(
      async (
        options: OutputOptions & {
          limit: number
          directory?: string
          server?: string
        },
      ) => {
        const { directory, server, limit } = options
        session.giveList(await session.api.list<Rule>('/rules', { directory, server }, limit), options, {
          columns: [
            { head: 'ID', value: ({ id }) => id },
            { head: 'DIRECTORY', value: (each) => each.directory },
            { head: 'SERVER', value: (each) => each.server },
            {
              head: 'SCOPES',
              value: ({ scopes }) => scopes.join(' '),
              least: 8,
            },
            {
              head: 'CLIENTS',
              value: ({ clients }) => clients?.join(' ') ?? 'any',
              least: 8,
            },
            {
              head: 'WHEN',
              value: ({ when }) => when,
              under: true,
              paint: (text, _row, colours) => colours.cyan(text),
            },
          ],
          id: ({ id }) => id,
          none: 'No rules. tenure rule set --help shows how to make one.',
        })
      },
    )

  verb(
    rule,
    'show <id>',
    { description: 'one of them', examples: ['tenure rule show engineers'] },
    'print the id only',
  ).action(async (id: string, options: OutputOptions) => {
    const shown = await session.api.get<Rule>(pathOf(id))
    session.giveRecord(shown, options, { id, fields: fieldsOf(shown) })
  })

  verb(rule, 'set <id>', {
    description: 'make a rule, or put another in its place; says whose access that alters',
    examples: [
      'tenure rule set engineers --server linear --scope read write \\',
      `    --when 'groups.display eq "Engineering"' --dry-run`,
    ],
  })
    .requiredOption('--server <id>', 'where it gives access')
    .requiredOption('--when <filter>', 'a SCIM filter over a user and its groups')
    .requiredOption('--scope <scope...>', 'what it gives')
    .option('--client <client...>', 'through these MCP clients only [any]')
    .option('--directory <id>', 'for whose people; needed when there are several')
    .option('--dry-run', 'change nothing')
    .action(async (id: string, { server, when, scope, client, directory, dryRun, ...options }: SetOptions) => {
      const set = await session.api.put<Rule & { touched: number | null }>(
        pathOf(id),
        { directory, server, when, scopes: scope, clients: client },
        dryRun ? { dryRun: true } : {},
      )
      const altered =
        set.touched === null
          ? 'more people than could be counted at once'
          : count(set.touched, 'active person', 'active people')
      session.give(set, options, {
        text: () =>
          dryRun
            ? `This would alter the access of ${altered}. Nothing was changed.`
            : `Rule ${id} is set: it alters the access of ${altered}.`,
      })
    })

  verb(rule, 'test [id]', {
    description: 'whom a filter fits, and why it fits one person or not; changes nothing',
    examples: [
      `tenure rule test --when 'userType eq "Contractor"'`,
      'tenure rule test engineers --user ada@acme.example',
    ],
  })
    .option('--when <filter>', 'a SCIM filter, in place of the id of a rule')
    .option('--user <user>', 'explain it for this person: a userName or an id')
    .option('--directory <id>', 'needed when there are several')
    .action(
      async (
        id: string | undefined,
        given: OutputOptions & {
          when?: string
          user?: string
          directory?: string
        },
      ) => {
        if ((id === undefined) === (given.when === undefined))
          throw new CliError('give the id of a rule or --when, one of the two', exitCodes.usage)
        const { when, directory } =
          id === undefined ? { when: given.when, directory: given.directory } : await session.api.get<Rule>(pathOf(id))
        const userId = given.user === undefined ? undefined : await findUser(session.api, given.user, directory)
        const tested = await session.api.post<Tested>('/rules/test', {
          directory,
          when,
          user: userId === undefined ? undefined : { id: userId },
        })
        session.give(tested, given, { text: () => told(tested) })
      },
    )

  destructiveVerb(rule, 'remove <id>', {
    description: 'what it alone gave ends at once',
    examples: ['tenure rule remove engineers', 'tenure rule remove engineers --yes'],
  }).action(async (id: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const { when, directory, server, scopes } = await session.api.get<Rule>(pathOf(id))
      const { matches } = await session.api.post<Tested>('/rules/test', {
        directory,
        when,
      })
      return [
        `This removes the rule ${id}: ${plain(scopes.join(' '))} at ${server} when ${plain(when)}`,
        `It fits ${count(matches, 'active person', 'active people')}; what no other rule gives them there ends at once.`,
      ]
    })
    session.give(await session.api.delete(pathOf(id)), options, {
      text: () => `Rule ${id} is removed.`,
    })
  })

  function fieldsOf(shown: Rule) {
    const { now } = session.terminal
    return [
      ['id', shown.id],
      ['directory', shown.directory],
      ['server', shown.server],
      ['when', shown.when],
      ['scopes', shown.scopes.join(' ')],
      ['clients', shown.clients?.join(' ') ?? 'any'],
      ['created', moment(shown.createdAt, now)],
      ['changed', moment(shown.changedAt, now)],
    ] as const
  }

  function told({ matches, of, user }: Tested): string {
    const { colours } = session.terminal
    const all = `It fits ${matches.toLocaleString('en-US')} of ${count(of, 'active person', 'active people')}.`
    if (!user) return all
    const verdict = user.matches ? colours.green('It fits') : colours.red('It does not fit')
    const conditions = drawConditions(user, colours)
    return [all, `${verdict} ${plain(user.userName)}:`, ...conditions].join('\n')
  }
}

function pathOf(id: string): string {
  return `/rules/${segment(id)}`
}
