import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { CliError, exitCodes } from '../cli-error.ts'
import { confirm, count, destructiveVerb, listVerb, noun, positive, verb } from '../command.ts'
import { type Fields, moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'
import { credentialCommands } from './server-credential.ts'

interface Connector {
  readonly id: string
  readonly type: string
  readonly url?: string
  readonly secrets?: ReadonlyArray<{
    createdAt: string
    signsUntil: string | null
  }>
  readonly signingSecret?: string
}

interface Server {
  readonly id: string
  readonly name: string
  readonly resource: string
  readonly connectors: readonly Connector[]
  readonly scopes: readonly string[] | null
  readonly tokenLifeSeconds: number | null
  readonly tokenFormat: string
  readonly concurrency: number
  readonly paused: boolean
  readonly pausedReason: string | null
  readonly failing: number
  readonly createdAt: string
}

interface Settings extends OutputOptions {
  name?: string
  resource?: string
  scope?: string[] | false
  concurrency?: number
  tokenLife?: number | false
  tokenFormat?: string
}

interface AddOptions extends Settings {
  webhook?: string[]
}

interface SetOptions extends Settings {
  addWebhook?: string[]
  webhook?: string
  connector?: string
  removeConnector?: string[]
  yes?: boolean
}

const signingNote = 'print the signing secret only, one line for each webhook'

/** `tenure server`: the MCP servers that are told. */
export function serverCommands(program: Command, session: Session): void {
  const server = noun(program, 'server', 'MCP servers, and how each is told')

  listVerb(server, 'list', {
    description: 'all of them, and how each is doing',
    examples: ['tenure server'],
    isDefault: true,
  }).action(async (options: OutputOptions & { limit: number }) => {
    session.giveList(await session.api.list<Server>('/servers', {}, options.limit), options, {
      columns: [
        { head: 'ID', value: ({ id }) => id },
        { head: 'NAME', value: ({ name }) => name, least: 8 },
        {
          head: 'STATE',
          value: stateOf,
          paint: (text, { paused, failing }, colours) =>
            paused ? colours.yellow(text) : failing > 0 ? colours.red(text) : colours.green(text),
        },
        {
          head: 'TOLD BY',
          value: ({ connectors }) => connectors.map(({ type }) => type).join(', '),
          least: 8,
        },
        {
          head: 'AT ONCE',
          value: ({ concurrency }) => concurrency,
          align: 'right',
        },
        {
          head: 'SCOPES',
          value: ({ scopes }) => (scopes ? scopes.join(' ') : 'any'),
          least: 6,
        },
      ],
      id: ({ id }) => id,
      none: 'No servers yet. tenure server add --help shows how to make the first.',
    })
  })

  verb(
    server,
    'show <id>',
    {
      description: 'one of them, with its connectors',
      examples: ['tenure server show linear'],
    },
    'print the id only',
  ).action(async (id: string, options: OutputOptions) => {
    show(await session.api.get<Server>(pathOf(id)), options)
  })

  settings(
    verb(
      server,
      'add <id>',
      {
        description: 'a server, told by signed webhooks where one is named; the signing secret is shown this once',
        examples: [
          'tenure server add linear --name Linear --resource https://mcp.linear.example/mcp \\',
          '    --webhook https://hooks.linear.example/tenure --scope read write',
          'SECRET=$(tenure server add linear --name Linear --resource … --webhook … -q)',
        ],
      },
      signingNote,
    )
      .requiredOption('--name <name>', 'for people to read')
      .requiredOption('--resource <url>', 'its RFC 9728 resource identifier')
      .option('--webhook <url...>', 'where it is told [nowhere: it asks]'),
  )
    .option('--scope <scope...>', 'the scopes it knows; a rule naming another is refused [any]')
    .action(async (id: string, { webhook = [], ...options }: AddOptions) => {
      const connectors = webhook.map((url) => ({ type: 'webhook', url }))
      giveSigned(
        await session.api.post<Server>('/servers', {
          id,
          ...settingsOf(options),
          connectors,
        }),
        options,
      )
    })

  settings(
    verb(
      server,
      'set <id>',
      {
        description: 'change what is given, keep the rest',
        examples: [
          'tenure server set linear --concurrency 20',
          'tenure server set linear --webhook https://new.linear.example/tenure',
        ],
      },
      'print the signing secret of a new webhook only',
    )
      .option('--name <name>', 'for people to read')
      .option('--resource <url>', 'its RFC 9728 resource identifier'),
  )
    .option('--scope <scope...>', 'the scopes it knows; a rule naming another is refused')
    .option('--no-scope', 'any scope that its rules name')
    .option('--no-token-life', 'the default life of its tokens')
    .option('--add-webhook <url...>', 'tell it there too; the signing secret is shown this once')
    .option('--webhook <url>', 'move its webhook there; the signing secret stays')
    .option('--connector <id>', 'the one that --webhook moves, where there are several')
    .option('--remove-connector <id...>', 'tell it there no more')
    .option('--yes', 'remove connectors without asking; needed where nobody can be asked')
    .action(async (id: string, options: SetOptions) => {
      const { removeConnector: removed = [] } = options
      if (removed.length > 0)
        await confirm(session, options, async () => [
          `From now on ${id} is told nothing through ${removed.join(', ')}, revocations included.`,
        ])
      const connectors = await changedConnectors(id, options)
      giveSigned(
        await session.api.patch<Server>(pathOf(id), {
          ...settingsOf(options),
          connectors,
        }),
        options,
      )
    })

  verb(server, 'pause <id>', {
    description: 'tell it nothing but revocations until it is resumed',
    examples: ['tenure server pause linear --reason "their maintenance, until 04:00"'],
  })
    .option('--reason <text>', 'for whoever finds it paused')
    .action(async (id: string, { reason, ...options }: OutputOptions & { reason?: string }) => {
      const paused = await session.api.post<Server>(`${pathOf(id)}/pause`, {
        reason,
      })
      session.give(paused, options, {
        text: () => `${id} is paused: revocations go on, everything else waits for tenure server resume ${id}`,
      })
    })

  verb(server, 'resume <id>', {
    description: 'tell it everything again, what has waited first',
    examples: ['tenure server resume linear'],
  }).action(async (id: string, options: OutputOptions) => {
    const resumed = await session.api.post<Server>(`${pathOf(id)}/resume`)
    session.give(resumed, options, {
      text: () => `${id} is told everything again.`,
    })
  })

  verb(
    server,
    'rotate-secret <id> [connector]',
    {
      description: 'a new signing secret, shown this once; the old one signs beside it for 24 hours',
      examples: ['tenure server rotate-secret linear', 'SECRET=$(tenure server rotate-secret linear -q)'],
    },
    'print the signing secret only',
  ).action(async (id: string, given: string | undefined, options: OutputOptions) => {
    const connector = given ?? only((await session.api.get<Server>(pathOf(id))).connectors, id).id
    const rotated = await session.api.post<{ signingSecret: string }>(
      `${pathOf(id)}/connectors/${segment(connector)}/rotate-secret`,
    )
    session.giveSecret(rotated, options, {
      secret: rotated.signingSecret,
      fields: [
        ['connector', connector],
        ['signing secret', rotated.signingSecret],
        ['the old one', 'signs beside it for 24 hours'],
      ],
    })
  })

  destructiveVerb(server, 'remove <id>', {
    description: 'nobody may hold anything there from now on; its rules go; it is told of every revocation still',
    examples: ['tenure server remove linear', 'tenure server remove gone --no-tell --yes'],
  })
    .option('--no-tell', 'tell it nothing any more: for a server that is gone')
    .action(async (id: string, options: OutputOptions & { yes?: boolean; tell: boolean }) => {
      await confirm(session, options, async () => {
        const { name } = await session.api.get<Server>(pathOf(id))
        const rules = await session.api.list<{ id: string }>('/rules', { server: id }, 1_000)
        const grants = await session.api.list('/grants', { server: id, active: true }, 1_000)
        const open =
          grants.next === null
            ? count(grants.items.length, 'open grant there ends', 'open grants there end')
            : 'More than 1,000 open grants there end'
        const names = rules.items.length === 0 ? '' : `: ${rules.items.map((rule) => rule.id).join(', ')}`
        return [
          `This removes the server ${id} (${name}) with ${count(rules.items.length, 'rule')}${names}.`,
          `${open} at once; ${options.tell ? 'it is told of every revocation' : 'it is told NOTHING of this'}.`,
        ]
      })
      const answer = await session.api.delete(pathOf(id), options.tell ? {} : { tell: false })
      session.give(answer, options, {
        text: () => `Server ${id} is removed.`,
      })
    })

  credentialCommands(server, session)

  /** The whole list as the API wants it; undefined when nothing about it changes. */
  async function changedConnectors(id: string, options: SetOptions): Promise<object[] | undefined> {
    const { addWebhook = [], removeConnector = [], webhook, connector } = options
    if (connector !== undefined && webhook === undefined)
      throw new CliError('--connector says which one --webhook moves; give both', exitCodes.usage)
    if (addWebhook.length + removeConnector.length === 0 && webhook === undefined) return undefined
    const { connectors } = await session.api.get<Server>(pathOf(id))
    const moved = webhook === undefined ? undefined : (connector ?? only(connectors, id).id)
    const strangers = [...removeConnector, ...(moved ? [moved] : [])].filter(
      (each) => !connectors.some((known) => known.id === each),
    )
    if (strangers.length > 0) throw new CliError(`${id} has no connector ${strangers.join(', ')}`)
    return [
      ...connectors
        .filter((known) => !removeConnector.includes(known.id))
        .map((known) => (known.id === moved ? { id: known.id, url: webhook } : { id: known.id })),
      ...addWebhook.map((url) => ({ type: 'webhook', url })),
    ]
  }

  function show(shown: Server, options: OutputOptions): void {
    session.giveRecord(shown, options, {
      id: shown.id,
      fields: fieldsOf(shown, session.terminal.now),
    })
  }

  /** With the signing secrets that were made just now, if any were. */
  function giveSigned(shown: Server, options: OutputOptions): void {
    const fields = fieldsOf(shown, session.terminal.now)
    const made = shown.connectors.filter(({ signingSecret }) => signingSecret !== undefined)
    const secret = made.map(({ signingSecret }) => signingSecret!)
    const labelled = made.map(({ id, signingSecret }) => (made.length > 1 ? `${signingSecret}  ${id}` : signingSecret!))
    if (made.length > 0)
      session.giveSecret(shown, options, {
        secret,
        fields: [...fields, ['signing secret', labelled]],
      })
    else session.give(shown, options, { text: () => session.record(fields) })
  }
}

function settings(command: Command): Command {
  return command
    .option('--concurrency <number>', 'how many requests it is sent at once', positive)
    .option('--token-life <seconds>', 'how long its tokens live', positive)
    .addOption(new Option('--token-format <format>', 'of its tokens').choices(['opaque', 'jwt']))
}

function settingsOf({ name, resource, scope, concurrency, tokenLife, tokenFormat }: Settings): object {
  return {
    name,
    resource,
    scopes: scope === false ? null : scope,
    concurrency,
    tokenLifeSeconds: tokenLife === false ? null : tokenLife,
    tokenFormat,
  }
}

function fieldsOf(server: Server, now: Date): Fields {
  return [
    ['id', server.id],
    ['name', server.name],
    ['resource', server.resource],
    ['state', stateOf(server)],
    ['scopes', server.scopes ? server.scopes.join(' ') : 'any that its rules name'],
    ['requests at once', server.concurrency],
    [
      'tokens',
      `${server.tokenFormat}, ${server.tokenLifeSeconds ? `${server.tokenLifeSeconds} s` : 'of the default life'}`,
    ],
    ['connectors', server.connectors.flatMap((connector) => describe(connector, now))],
    ['created', moment(server.createdAt, now)],
  ]
}

function describe({ id, type, url, secrets = [] }: Connector, now: Date): string[] {
  const signing = secrets.map(
    ({ createdAt, signsUntil }) =>
      `  signs with a secret made ${relative(createdAt, now)}${signsUntil ? `, gone ${relative(signsUntil, now)}` : ''}`,
  )
  return [`${id}  ${type}${url === undefined ? '' : `  ${url}`}`, ...signing]
}

function stateOf({ paused, pausedReason, failing }: Server): string {
  if (paused) return `paused${pausedReason ? `: ${pausedReason}` : ''}`
  return failing > 0 ? `failing (${failing} in a row)` : 'ok'
}

function only(connectors: readonly Connector[], server: string): Connector {
  const [first, second] = connectors
  if (!first) throw new CliError(`${server} has no connector`)
  if (second)
    throw new CliError(
      `${server} has several connectors: say which of ${connectors.map(({ id }) => id).join(', ')}`,
      exitCodes.usage,
    )
  return first
}

function pathOf(id: string): string {
  return `/servers/${segment(id)}`
}
