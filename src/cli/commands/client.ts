import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, positive, verb } from '../command.ts'
import { type Fields, moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Client {
  readonly id: string
  readonly name: string
  readonly auth: string
  readonly jwksUri: string | null
  readonly preset: string | null
  readonly tokenRequestsPerMinute: number
  readonly secrets: ReadonlyArray<{ createdAt: string; expiresAt: string | null }>
  readonly createdAt: string
  readonly secret?: string
}

interface Preset {
  readonly preset: string
  readonly seen: string
  readonly document: { readonly client_id: string; readonly client_name: string }
  readonly note: string
}

interface Settings extends OutputOptions {
  name?: string
  auth?: string
  jwksUri?: string
  tokenRequestsPerMinute?: number | false
}

const auths = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']
const secretNote = 'print the secret only'

/** `tenure client`: the MCP clients that come for tokens. */
export function clientCommands(program: Command, session: Session): void {
  const client = noun(program, 'client', 'MCP clients, and how each proves who it is')

  listVerb(client, 'list', {
    description: 'all that are registered',
    examples: ['tenure client'],
    isDefault: true,
  }).action(async (options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    session.giveList(await session.api.list<Client>('/clients', {}, options.limit), options, {
      columns: [
        { head: 'ID', value: ({ id }) => id },
        { head: 'NAME', value: ({ name }) => name, least: 8 },
        { head: 'AUTH', value: ({ auth }) => auth },
        { head: 'PRESET', value: ({ preset }) => preset },
        { head: 'CREATED', value: ({ createdAt }) => relative(createdAt, now) },
      ],
      id: ({ id }) => id,
      none: 'No MCP clients yet. The first: tenure client add --preset claude-chat',
    })
  })

  verb(
    client,
    'show <id>',
    { description: 'one of them', examples: ['tenure client show claude'] },
    'print the id only',
  ).action(async (id: string, options: OutputOptions) => {
    const shown = await session.api.get<Client>(pathOf(id))
    session.giveRecord(shown, options, { id: shown.id, fields: fieldsOf(shown) })
  })

  settings(
    verb(
      client,
      'add [id]',
      {
        description: 'register one; a secret is shown this once',
        examples: [
          'tenure client add --preset claude-code',
          'SECRET=$(tenure client add my-agent --auth client_secret_basic -q)',
          'tenure client add gateway --auth private_key_jwt --jwks-uri https://gateway.example/keys',
        ],
      },
      secretNote,
    ).option('--preset <name>', 'what is known of it, as tenure client presets shows; the rest goes before it'),
  ).action(async (id: string | undefined, { preset, ...options }: Settings & { preset?: string }) => {
    giveWithSecret(await session.api.post<Client>('/clients', { id, preset, ...settingsOf(options) }), options)
  })

  settings(
    verb(
      client,
      'set <id>',
      {
        description: 'change what is given, keep the rest; one that now has a secret is given it, this once',
        examples: ['tenure client set claude --token-requests-per-minute 60'],
      },
      secretNote,
    ),
  )
    .option('--no-token-requests-per-minute', 'the default again')
    .action(async (id: string, options: Settings) => {
      giveWithSecret(await session.api.patch<Client>(pathOf(id), settingsOf(options)), options)
    })

  verb(
    client,
    'rotate-secret <id>',
    {
      description: 'a new secret, shown this once; the old one is good beside it for 24 hours',
      examples: ['tenure client rotate-secret my-agent', 'SECRET=$(tenure client rotate-secret my-agent -q)'],
    },
    secretNote,
  ).action(async (id: string, options: OutputOptions) => {
    const rotated = await session.api.post<{ secret: string }>(`${pathOf(id)}/rotate-secret`)
    session.giveSecret(rotated, options, {
      secret: rotated.secret,
      fields: [
        ['id', id],
        ['secret', rotated.secret],
        ['the old one', 'is good beside it for 24 hours'],
      ],
    })
  })

  destructiveVerb(client, 'remove <id>', {
    description: 'it gets no token from now on, its open grants are closed, and every server is told',
    examples: ['tenure client remove my-agent'],
  }).action(async (id: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const { name } = await session.api.get<Client>(pathOf(id))
      const rules = await session.api.list<{ id: string; clients: string[] | null }>('/rules', {}, 10_000)
      const naming = rules.items.filter(({ clients }) => clients?.includes(id)).map((rule) => rule.id)
      const kept = naming.length === 0 ? '' : ` Rules that name it stay: ${naming.join(', ')}.`
      return [`This removes the MCP client ${id} (${name}); everybody's open grants for it end at once.${kept}`]
    })
    const answer = await session.api.delete(pathOf(id))
    session.give(answer, options, { text: () => `MCP client ${id} is removed.` })
  })

  verb(
    client,
    'presets',
    { description: 'MCP clients that are known by name', examples: ['tenure client presets'] },
    'print the names only',
  ).action(async (options: OutputOptions) => {
    session.giveList(await session.api.get<{ items: Preset[]; next: null }>('/client-presets'), options, {
      columns: [
        { head: 'PRESET', value: ({ preset }) => preset },
        { head: 'ID', value: ({ document }) => document.client_id },
        { head: 'AS SEEN ON', value: ({ seen }) => seen },
        { head: 'NOTE', value: ({ note }) => note, under: true },
      ],
      id: ({ preset }) => preset,
      none: 'No MCP client is known by name.',
    })
  })

  function giveWithSecret(shown: Client, options: OutputOptions): void {
    const { secret } = shown
    if (secret === undefined) session.give(shown, options, { text: () => session.record(fieldsOf(shown)) })
    else session.giveSecret(shown, options, { secret, fields: [...fieldsOf(shown), ['secret', secret]] })
  }

  function fieldsOf(shown: Client): Fields {
    const { now } = session.terminal
    return [
      ['id', shown.id],
      ['name', shown.name],
      ['auth', shown.auth],
      ['key set', shown.jwksUri ?? undefined],
      ['preset', shown.preset ?? undefined],
      ['token requests', `${shown.tokenRequestsPerMinute} a minute for each of its users`],
      ['secrets', secretsOf(shown, now)],
      ['created', moment(shown.createdAt, now)],
    ]
  }
}

function settings(command: Command): Command {
  return command
    .option('--name <name>', 'for people to read')
    .addOption(new Option('--auth <method>', 'how it proves who it is').choices(auths))
    .option('--jwks-uri <url>', 'its public keys, of private_key_jwt')
    .option('--token-requests-per-minute <n>', 'for each of its users', positive)
}

function settingsOf({ name, auth, jwksUri, tokenRequestsPerMinute: rate }: Settings): object {
  return { name, auth, jwksUri, tokenRequestsPerMinute: rate === false ? null : rate }
}

function secretsOf({ secrets }: Client, now: Date): string[] | undefined {
  if (secrets.length === 0) return undefined
  return secrets.map(
    ({ createdAt, expiresAt }) =>
      `made ${relative(createdAt, now)}${expiresAt ? `, good until ${relative(expiresAt, now)}` : ''}`,
  )
}

function pathOf(id: string): string {
  return `/clients/${segment(id)}`
}
