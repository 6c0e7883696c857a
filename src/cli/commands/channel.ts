import type { Command } from 'commander'
import { segment } from '../api.ts'
import { CliError, exitCodes } from '../cli-error.ts'
import { confirm, destructiveVerb, listVerb, noun, verb } from '../command.ts'
import type { OutputOptions, Session } from '../session.ts'
import { duration, relative } from '../times.ts'
import { settingCommands } from './channel-set.ts'
import { type Channel, fieldsOf, kinds, stateOf, toneOf } from './channel-shown.ts'

interface InboundEvent {
  readonly id: string
  readonly type: string
  readonly effect: string
  readonly receivedAt: string
  readonly lagMs: number | null
  readonly user: string | null
  readonly names: ReadonlyArray<{ by: string; value: string }> | null
}

const effects = ['cut', 'confirmed', 'overtaken', 'recorded', 'waiting', 'unmatched', 'ambiguous']

/** `tenure channel`: over which ways, beside SCIM, a directory is told of its people. */
export function channelCommands(program: Command, session: Session): void {
  const channel = noun(
    program,
    'channel',
    'event channels: how a directory is told beside SCIM, and sooner',
    `; a kind is ${kinds.join(', ')}`,
  )

  listVerb(
    channel,
    'list <directory>',
    { description: 'those of a directory, and how each is doing', examples: ['tenure channel list acme'] },
    'print the kinds only',
  ).action(async (directory: string, options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    const channels = await session.api.get<{ items: Channel[]; next: null }>(
      `/directories/${segment(directory)}/channels`,
    )
    session.giveList({ ...channels, items: channels.items.slice(0, options.limit) }, options, {
      columns: [
        { head: 'CHANNEL', value: ({ kind }) => kind },
        {
          head: 'STATE',
          value: (each) => stateOf(each, now),
          paint: (text, each, colours) => colours[toneOf(each)](text),
        },
        {
          head: 'LAST EVENT',
          value: ({ health }) => (health.lastEventAt ? relative(health.lastEventAt, now) : 'never'),
        },
        {
          head: 'LAG',
          value: ({ health }) => (health.lagMs.p50 === null ? null : duration(health.lagMs.p50)),
          align: 'right',
        },
        { head: 'FIRST', value: ({ health }) => health.firstSignal.first, align: 'right' },
        { head: 'WAITING', value: ({ health }) => health.waiting, align: 'right' },
        {
          head: 'REFUSED',
          value: ({ health }) => health.refusals.reduce((sum, { count }) => sum + count, 0),
          align: 'right',
        },
        { head: 'ERROR', value: ({ error }) => error, under: true },
      ],
      id: ({ kind }) => kind,
      none: `${directory} is told by SCIM alone. The first channel: tenure channel set-okta ${directory} --secret-file …`,
    })
  })

  verb(
    channel,
    'show <directory> <kind>',
    {
      description: 'one of them: the URL to enter at the provider, what it is set to, and how it is doing',
      examples: ['tenure channel show acme okta', 'tenure channel show acme okta -q'],
    },
    'print the URL only',
  ).action(async (directory: string, kind: string, options: OutputOptions) => {
    give(await session.api.get<Channel>(pathOf(directory, kind)), options)
  })

  settingCommands(channel, session, give)

  verb(
    channel,
    'check <directory> <kind>',
    {
      description:
        'ask the sender at once: read on, look after its stream, have it verified; show says what came of it',
      examples: ['tenure channel check acme okta'],
    },
    'print nothing',
  ).action(async (directory: string, kind: string, options: OutputOptions) => {
    if (kind === 'global-token-revocation')
      throw new CliError(`nothing is asked of the sender of ${kind}: it only sends`, exitCodes.usage)
    const asked = await session.api.post<Channel>(`${pathOf(directory, kind)}/check`)
    session.give(asked, options, { text: () => `The sender of ${kind} of ${directory} is asked within seconds.` })
  })

  listVerb(channel, 'events <directory> <kind>', {
    description: 'what came over it, newest first, and what came of it',
    examples: ['tenure channel events acme okta', 'tenure channel events acme okta --effect ambiguous'],
  })
    .option('--effect <effect>', `only these: ${effects.join(', ')}`)
    .action(async (directory: string, kind: string, options: OutputOptions & { limit: number; effect?: string }) => {
      const { now } = session.terminal
      const path = `${pathOf(directory, kind)}/events`
      const events = await session.api.list<InboundEvent>(path, { effect: options.effect }, options.limit)
      const name = await session.namesOf(options, events.items)
      session.giveList(events, options, {
        columns: [
          { head: 'RECEIVED', value: ({ receivedAt }) => relative(receivedAt, now) },
          { head: 'EVENT', value: ({ type }) => type.split('/').at(-1), least: 16 },
          {
            head: 'EFFECT',
            value: ({ effect }) => effect,
            paint: (text, { effect }, colours) => {
              if (effect === 'cut') return colours.magenta(text)
              return ['ambiguous', 'waiting', 'unmatched'].includes(effect) ? colours.yellow(text) : text
            },
          },
          { head: 'USER', value: ({ user }) => (user === null ? null : name(user)), least: 12 },
          { head: 'LAG', value: ({ lagMs }) => (lagMs === null ? null : duration(lagMs)), align: 'right' },
          { head: 'ID', value: ({ id }) => id, under: true },
          {
            head: 'NAMES',
            value: ({ names }) => names?.map(({ by, value }) => `${by} ${value}`).join(', '),
            under: true,
          },
        ],
        id: ({ id }) => id,
        none: 'No such events.',
      })
    })

  destructiveVerb(channel, 'remove <directory> <kind>', {
    description: 'nothing is taken over it from now on; what it told stays, and so does what it cut',
    examples: ['tenure channel remove acme ssf'],
  }).action(async (directory: string, kind: string, options: OutputOptions & { yes?: boolean }) => {
    const path = pathOf(directory, kind)
    await confirm(session, options, async () => {
      const { health } = await session.api.get<Channel>(path)
      const { first } = health.firstSignal
      const told = first === 0 ? '' : ` It was the first to tell of ${first} cut${first === 1 ? '' : 's'} in 30 days.`
      return [`This removes the channel ${kind} of ${directory}: from now on its sender is turned away.${told}`]
    })
    const answer = await session.api.delete(path)
    session.give(answer, options, { text: () => `The channel ${kind} of ${directory} is removed.` })
  })

  function give(shown: Channel, options: OutputOptions): void {
    session.giveRecord(shown, options, { id: shown.url, fields: fieldsOf(shown, session.terminal.now) })
  }
}

function pathOf(directory: string, kind: string): string {
  if (!kinds.includes(kind))
    throw new CliError(`there is no kind of channel ${kind}: it is one of ${kinds.join(', ')}`, exitCodes.usage)
  return `/directories/${segment(directory)}/channels/${kind}`
}
