import type { Command } from 'commander'
import { type Listed, segment } from '../api.ts'
import { confirm, count, destructiveVerb, listVerb, noun, verb } from '../command.ts'
import { drawWhy, type Why } from '../explanation.ts'
import { findUser } from '../people.ts'
import { plain } from '../plain.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { drawTimeline, type TimelineItem } from '../timeline.ts'
import { absolute, relative } from '../times.ts'

interface User {
  readonly id: string
  readonly directory: string
  readonly userName: string
  readonly externalId: string | null
  readonly displayName: string | null
  readonly active: boolean
  readonly deleted: boolean
  readonly hold: { source: string; at: string } | null
  readonly epoch: number
  readonly notBefore: string | null
  readonly behind: boolean
  readonly groups: ReadonlyArray<{ id: string; displayName: string }>
}

interface Access {
  readonly any: readonly string[]
  readonly byClient: Readonly<Record<string, readonly string[]>>
}

interface WholeUser extends User {
  readonly entitlements: ReadonlyArray<{
    server: string
    active: boolean
    access: Access
    rules: readonly string[]
    since: string
  }>
  readonly grants: ReadonlyArray<{
    id: string
    server: string
    client: string
    scopes: readonly string[]
    state: string
  }>
}

interface Of extends OutputOptions {
  directory?: string
}

/** `tenure user`: one person's access, how it came about, and the emergency cut. */
export function userCommands(program: Command, session: Session): void {
  const user = noun(
    program,
    'user',
    'people: their access, why, and the emergency cut',
    '. A <user> is an id or a userName',
  )

  listVerb(user, 'list', {
    description: 'who is in a directory',
    examples: [`tenure user list --filter 'userName sw "ada"'`, 'tenure user list --directory acme --limit 5000 -q'],
    isDefault: true,
  })
    .option('--directory <id>', 'needed when there are several')
    .option('--filter <filter>', 'a SCIM filter')
    .action(async (options: Of & { limit: number; filter?: string }) => {
      const { directory, filter, limit } = options
      session.giveList(await session.api.list<User>('/users', { directory, filter }, limit), options, {
        columns: [
          { head: 'USER NAME', value: ({ userName }) => userName, least: 12 },
          { head: 'NAME', value: ({ displayName }) => displayName, least: 6 },
          {
            head: 'STATE',
            value: stateOf,
            paint: (text, each, colours) => (stateOf(each) === 'active' ? text : colours.yellow(text)),
          },
          { head: 'EPOCH', value: ({ epoch }) => epoch, align: 'right' },
          { head: 'ID', value: ({ id }) => id, under: true },
        ],
        id: ({ id }) => id,
        none: 'No such people.',
      })
    })

  about(
    'show',
    {
      description: 'one person with groups, access and open grants',
      examples: ['tenure user show ada@acme.example'],
    },
    'print the id only',
  ).action(async (name: string, options: Of) => {
    const shown = await session.api.get<WholeUser>(await pathOf(name, options))
    session.give(shown, options, { quiet: shown.id, text: () => told(shown) })
  })

  verb(user, 'why <user> <server>', {
    description: 'why somebody has access at a server, or what is missing',
    examples: ['tenure user why ada@acme.example linear'],
  })
    .option('--directory <id>', 'of the userName; needed when there are several')
    .action(async (name: string, server: string, options: Of) => {
      const why = await session.api.get<Why>(`${await pathOf(name, options)}/why`, { server })
      session.give(why, options, { text: () => drawWhy(why, session.terminal) })
    })

  about('timeline', {
    description: 'what happened to one person, and what each server was told when, as a chart',
    examples: ['tenure user timeline ada@acme.example'],
  }).action(async (name: string, options: Of) => {
    const timeline = await session.api.get<Listed<TimelineItem>>(`${await pathOf(name, options)}/timeline`)
    const { terminal } = session
    session.give(timeline, options, {
      text: () => drawTimeline(timeline.items, terminal, terminal.now).join('\n'),
    })
  })

  destructiveVerb(user, 'cut <user>', {
    description:
      'the emergency stop: every grant is void at once and every server is told. Rules still hold: new tokens may be had',
    examples: ['tenure user cut ada@acme.example --yes'],
  })
    .option('--directory <id>', 'of the userName; needed when there are several')
    .action(async (name: string, options: Of & { yes?: boolean }) => {
      const path = await pathOf(name, options)
      await confirm(session, options, async () => {
        const { userName, directory, entitlements, grants } = await session.api.get<WholeUser>(path)
        const servers = entitlements.filter(({ active }) => active).map(({ server }) => server)
        const open = grants.filter(({ state }) => state === 'active')
        return [
          `This voids every token of ${plain(userName)} (${directory}): ${count(open.length, 'open grant')}.`,
          `It tells ${servers.length === 0 ? 'no server, since there is no access' : servers.join(', ')}.`,
        ]
      })
      const cut = await session.api.post<User>(`${path}/cut`)
      session.give(cut, options, {
        text: () =>
          `${plain(cut.userName)} is cut: nothing issued before ${cut.notBefore ? absolute(cut.notBefore) : 'now'} is good any more. See tenure user timeline ${cut.id}`,
      })
    })

  about('release', {
    description: 'end a hold, so that the rules give access again',
    examples: ['tenure user release ada@acme.example'],
  }).action(async (name: string, options: Of) => {
    const released = await session.api.post<User>(`${await pathOf(name, options)}/release`)
    session.give(released, options, {
      text: () => `${plain(released.userName)} is released: the rules give access again.`,
    })
  })

  function about(name: string, help: Parameters<typeof verb>[2], quiet?: string): Command {
    return verb(user, `${name} <user>`, help, quiet).option(
      '--directory <id>',
      'of the userName; needed when there are several',
    )
  }

  async function pathOf(name: string, { directory }: Of): Promise<string> {
    return `/users/${segment(await findUser(session.api, name, directory))}`
  }

  function told(shown: WholeUser): string {
    const { now, colours } = session.terminal
    const record = session.record([
      ['user name', shown.userName],
      ['name', shown.displayName],
      ['id', shown.id],
      ['external id', shown.externalId],
      ['directory', shown.directory],
      ['state', stateOf(shown)],
      ['held', shown.hold ? `by ${shown.hold.source}, since ${moment(shown.hold.at, now)}` : undefined],
      ['groups', shown.groups.map(({ displayName }) => displayName)],
      ['epoch', shown.epoch],
      ['last cut', moment(shown.notBefore, now, 'never')],
      ['servers', shown.behind ? 'some have yet to be told' : 'all told'],
    ])
    const access = shown.entitlements.filter(({ active }) => active)
    const open = shown.grants.filter(({ state }) => state === undefined || state === 'active')
    return [
      record,
      ...(access.length === 0
        ? []
        : [
            `\n${colours.bold('Access')}`,
            session.table(access, [
              { head: 'SERVER', value: ({ server }) => server },
              {
                head: 'SCOPES',
                value: (each) => scopesOf(each.access),
                least: 8,
              },
              {
                head: 'RULES',
                value: ({ rules }) => rules.join(', '),
                least: 8,
              },
              { head: 'SINCE', value: ({ since }) => relative(since, now) },
            ]),
          ]),
      ...(open.length === 0
        ? []
        : [
            `\n${colours.bold('Open grants')}`,
            session.table(open, [
              { head: 'ID', value: ({ id }) => id },
              { head: 'SERVER', value: ({ server }) => server },
              { head: 'CLIENT', value: ({ client }) => client, least: 8 },
              {
                head: 'SCOPES',
                value: ({ scopes }) => scopes.join(' '),
                least: 8,
              },
            ]),
          ]),
    ].join('\n')
  }
}

function stateOf({ active, deleted, hold }: User): string {
  if (deleted) return 'deleted'
  if (hold) return 'held'
  return active ? 'active' : 'inactive'
}

function scopesOf({ any, byClient }: Access): string {
  const named = Object.entries(byClient).map(([client, scopes]) => `${scopes.join(' ')} through ${client}`)
  return [any.join(' '), ...named].filter(Boolean).join('; ')
}
