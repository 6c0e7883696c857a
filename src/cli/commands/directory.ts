import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { confirm, count, destructiveVerb, listVerb, noun, positive, verb } from '../command.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Directory {
  readonly id: string
  readonly provider: string
  readonly name: string
  readonly scimBaseUrl: string
  readonly silentAfterHours: number
  readonly scimRequestsPerSecond: number
  readonly reactivateOnCreate: boolean
  readonly assertionReuse: string
  readonly lastSeenAt: string | null
  readonly createdAt: string
}

interface Leaving {
  readonly id: string
  readonly deletedAt: string
  readonly pending: number
}

interface UnknownAttribute {
  readonly resourceType: string
  readonly path: string
  readonly occurrences: number
  readonly firstSeenAt: string
  readonly lastSeenAt: string
}

const providers = ['okta', 'entra', 'google', 'ping', 'generic']

/** `tenure directory`: connections to identity providers. */
export function directoryCommands(program: Command, session: Session): void {
  const directory = noun(program, 'directory', 'connections to identity providers')

  listVerb(directory, 'list', {
    description: 'all of them, and when each identity provider was last heard',
    examples: ['tenure directory', 'tenure directory list --leaving'],
    isDefault: true,
  })
    .option('--leaving', 'those removed whose revocations are still under way')
    .action(async (options: OutputOptions & { limit: number; leaving?: boolean }) => {
      const { now } = session.terminal
      if (options.leaving) {
        session.giveList(await session.api.list<Leaving>('/directories', { leaving: true }, options.limit), options, {
          columns: [
            { head: 'ID', value: ({ id }) => id },
            {
              head: 'REMOVED',
              value: ({ deletedAt }) => relative(deletedAt, now),
            },
            {
              head: 'REVOCATIONS PENDING',
              value: ({ pending }) => pending,
              align: 'right',
            },
          ],
          id: ({ id }) => id,
          none: 'No directory is leaving.',
        })
        return
      }
      session.giveList(await session.api.list<Directory>('/directories', {}, options.limit), options, {
        columns: [
          { head: 'ID', value: ({ id }) => id },
          { head: 'PROVIDER', value: ({ provider }) => provider },
          { head: 'NAME', value: ({ name }) => name, least: 8 },
          {
            head: 'LAST HEARD',
            value: ({ lastSeenAt }) => (lastSeenAt ? relative(lastSeenAt, now) : 'never'),
          },
          {
            head: 'SILENT AFTER',
            value: ({ silentAfterHours }) => (silentAfterHours === null ? 'off' : `${silentAfterHours} h`),
          },
        ],
        id: ({ id }) => id,
        none: 'No directories yet. The first: tenure directory add acme --provider okta',
      })
    })

  verb(
    directory,
    'show <id>',
    {
      description: 'one of them, with its SCIM base URL',
      examples: ['tenure directory show acme'],
    },
    'print the SCIM base URL only',
  ).action(async (id: string, options: OutputOptions) => {
    show(await session.api.get<Directory>(`/directories/${segment(id)}`), options)
  })

  verb(
    directory,
    'add <id>',
    {
      description: 'connect an identity provider; then give it a token',
      examples: ['tenure directory add acme --provider okta --name "Acme Corp"', 'tenure token add acme'],
    },
    'print the SCIM base URL only',
  )
    .addOption(new Option('--provider <provider>', 'who speaks there').choices(providers).makeOptionMandatory())
    .option('--name <name>', 'for people to read [the id]')
    .option('--silent-after-hours <hours>', 'raise an alarm when nothing is heard for so long', positive)
    .option('--reactivate-on-create', 'a SCIM POST for somebody inactive takes that user back [it is refused]')
    .action(async (id: string, { provider, name, silentAfterHours, reactivateOnCreate, ...options }: AddOptions) => {
      const given = { id, provider, name, silentAfterHours, reactivateOnCreate }
      show(await session.api.post<Directory>('/directories', given), options)
    })

  verb(
    directory,
    'set <id>',
    {
      description: 'change its name, when its silence is alarming, how much it may send, and how it is taken',
      examples: [
        'tenure directory set acme --silent-after-hours 48',
        'tenure directory set acme --scim-requests-per-second 200',
        'tenure directory set acme --reactivate-on-create',
      ],
    },
    'print the SCIM base URL only',
  )
    .option('--name <name>', 'for people to read')
    .option('--silent-after-hours <hours>', 'raise an alarm when nothing is heard for so long', positive)
    .option('--scim-requests-per-second <n>', 'how many SCIM requests each of its tokens may make', positive)
    .option('--reactivate-on-create', 'a SCIM POST for somebody inactive takes that user back')
    .option('--no-reactivate-on-create', 'it is refused: only a PUT or PATCH does')
    .addOption(
      new Option('--assertion-reuse <which>', 'may an ID-JAG be presented again').choices([
        'forbid',
        'same_client_until_exp',
      ]),
    )
    .action(async (id: string, given: SetOptions) => {
      const { name, silentAfterHours, scimRequestsPerSecond, reactivateOnCreate, assertionReuse, ...options } = given
      const change = { name, silentAfterHours, scimRequestsPerSecond, reactivateOnCreate, assertionReuse }
      show(await session.api.patch<Directory>(`/directories/${segment(id)}`, change), options)
    })

  listVerb(directory, 'unknown <id>', {
    description: 'attributes that its identity provider sends and no schema knows: skipped, by name',
    examples: ['tenure directory unknown acme'],
  }).action(async (id: string, options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    const unknown = await session.api.list<UnknownAttribute>(
      `/directories/${segment(id)}/unknown-attributes`,
      {},
      options.limit,
    )
    session.giveList(unknown, options, {
      columns: [
        { head: 'OF', value: ({ resourceType }) => resourceType },
        { head: 'ATTRIBUTE', value: ({ path }) => path, least: 12 },
        { head: 'REQUESTS', value: ({ occurrences }) => occurrences, align: 'right' },
        { head: 'FIRST SEEN', value: ({ firstSeenAt }) => relative(firstSeenAt, now) },
        { head: 'LAST SEEN', value: ({ lastSeenAt }) => relative(lastSeenAt, now) },
      ],
      id: ({ path }) => path,
      none: `Every attribute that ${id} has been sent is known, or kept under a URN of its own.`,
    })
  })

  destructiveVerb(directory, 'remove <id>', {
    description: 'everyone in it leaves: all their access is cut at once, and every server is told',
    examples: ['tenure directory remove acme', 'tenure directory list --leaving'],
  }).action(async (id: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const { name, provider } = await session.api.get<Directory>(`/directories/${segment(id)}`)
      const rules = await session.api.list('/rules', { directory: id }, 1_000)
      const { of } = await session.api.post<{ of: number }>('/rules/test', {
        directory: id,
        when: 'userName pr',
      })
      return [
        `This removes the directory ${id} (${name}, ${provider}) with ${count(rules.items.length, 'rule')} and all its tokens.`,
        `${count(of, 'active person loses', 'active people lose')} all access at once, and every server is told.`,
      ]
    })
    const left = await session.api.delete<{ users: number }>(`/directories/${segment(id)}`)
    session.give(left, options, {
      text: () =>
        `Directory ${id} is removed: ${count(left.users, 'person has', 'people have')} left. Until the last server has heard, tenure directory list --leaving shows it.`,
    })
  })

  function show(shown: Directory, options: OutputOptions): void {
    const { now } = session.terminal
    session.giveRecord(shown, options, {
      id: shown.scimBaseUrl,
      fields: [
        ['id', shown.id],
        ['provider', shown.provider],
        ['name', shown.name],
        ['SCIM base URL', shown.scimBaseUrl],
        ['last heard', moment(shown.lastSeenAt, now, 'never')],
        ['silent after', typeof shown.silentAfterHours === 'number' ? `${shown.silentAfterHours} h` : 'off'],
        ['ID-JAGs', shown.assertionReuse === 'forbid' ? 'good once' : 'good again for the same MCP client'],
        ['SCIM requests', `${shown.scimRequestsPerSecond} a second per token`],
        ['POST for somebody inactive', shown.reactivateOnCreate ? 'takes the user back' : 'is refused'],
        ['created', moment(shown.createdAt, now)],
      ],
    })
  }
}

interface AddOptions extends OutputOptions {
  provider: string
  name?: string
  silentAfterHours?: number
  reactivateOnCreate?: boolean
}

interface SetOptions extends OutputOptions {
  name?: string
  silentAfterHours?: number
  scimRequestsPerSecond?: number
  reactivateOnCreate?: boolean
  assertionReuse?: string
}
