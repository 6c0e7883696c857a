import type { Command } from 'commander'
import { verb } from '../command.ts'
import type { OutputOptions, Session } from '../session.ts'
import type { Column } from '../table.ts'
import { duration, relative } from '../times.ts'
import type { Health } from './channel-shown.ts'

interface Stats {
  readonly users: {
    living: number
    active: number
    behind: number
    held: number
  }
  readonly grants: { open: number }
  readonly queue: { backend: string; hintsGiven: number; hintsDropped: number }
  readonly servers: ReadonlyArray<{
    server: string
    pending: number
    urgentPending: number
    parked: number
    inFlight: number
    paused: boolean
    failing: number
    oldestMs: number | null
  }>
  readonly killTimeMs: {
    count: number
    p50: number | null
    p99: number | null
  }
  readonly channels?: ReadonlyArray<{ directory: string; channel: string; health: Health }>
  readonly secrets?: { sealed: number; underOlderKeys: number }
}

/** `tenure stats`: what is behind, per server, how long a cut takes to arrive, and how channels tell of it. */
export function statsCommand(program: Command, session: Session): void {
  verb(program, 'stats', {
    description:
      'how many, how far behind each server is, how long a cut takes to arrive, and how event channels tell of it',
    examples: ['tenure stats', "tenure stats --json | jq '.servers[] | select(.parked > 0)'"],
  }).action(async (options: OutputOptions) => {
    const stats = await session.api.get<Stats>('/stats')
    session.give(stats, options, { text: () => told(stats) })
  })

  function told({ users, grants, queue, servers, channels = [], killTimeMs, secrets }: Stats): string {
    const { colours } = session.terminal
    const record = session.record([
      ['people', `${figure(users.living)}, ${figure(users.active)} of them active, ${figure(users.held)} held`],
      ['behind', users.behind === 0 ? 'nobody' : `${figure(users.behind)}, whose access is still to be worked out`],
      ['open grants', figure(grants.open)],
      [
        'a cut arrives in',
        killTimeMs.p50 === null
          ? 'no cuts in 24 hours'
          : `${duration(killTimeMs.p50)} (median), ${duration(killTimeMs.p99 ?? killTimeMs.p50)} (p99), of ${figure(killTimeMs.count)} in 24 hours`,
      ],
      ['queue', `${queue.backend}, ${figure(queue.hintsGiven)} hints given, ${figure(queue.hintsDropped)} dropped`],
      [
        'secrets',
        secrets === undefined
          ? undefined
          : `${figure(secrets.sealed)} sealed${secrets.underOlderKeys === 0 ? '' : `, ${figure(secrets.underOlderKeys)} under older keys`}`,
      ],
    ])
    const heard = channels.length === 0 ? [] : [session.table(channels, channelColumns(session.terminal.now))]
    if (servers.length === 0) return [record, ...heard].join('\n\n')
    const zero = (text: string) => (/^ *[0-]$/.test(text) ? colours.dim(text) : text)
    const table = session.table(servers, [
      { head: 'SERVER', value: ({ server }) => server },
      {
        head: 'STATE',
        value: ({ paused, failing }) => (paused ? 'paused' : failing > 0 ? `failing ${failing}` : 'ok'),
        paint: (text, { paused, failing }, paints) =>
          paused ? paints.yellow(text) : failing > 0 ? paints.red(text) : paints.green(text),
      },
      {
        head: 'PENDING',
        value: ({ pending }) => pending,
        align: 'right',
        paint: zero,
      },
      {
        head: 'URGENT',
        value: ({ urgentPending }) => urgentPending,
        align: 'right',
        paint: zero,
      },
      {
        head: 'IN FLIGHT',
        value: ({ inFlight }) => inFlight,
        align: 'right',
        paint: zero,
      },
      {
        head: 'PARKED',
        value: ({ parked }) => parked,
        align: 'right',
        paint: (text, { parked }, paints) => (parked > 0 ? paints.red(text) : zero(text)),
      },
      {
        head: 'OLDEST',
        value: ({ oldestMs }) => (oldestMs === null ? null : duration(oldestMs)),
        align: 'right',
        paint: zero,
      },
    ])
    return [record, table, ...heard].join('\n\n')
  }
}

type ChannelRow = NonNullable<Stats['channels']>[number]

function channelColumns(now: Date): Array<Column<ChannelRow>> {
  return [
    { head: 'CHANNEL', value: ({ channel }) => channel },
    { head: 'DIRECTORY', value: ({ directory }) => directory, least: 6 },
    {
      head: 'LAST EVENT',
      value: ({ health }) => (health.lastEventAt ? relative(health.lastEventAt, now) : 'never'),
      paint: (text, { health }, paints) => (health.silentSince ? paints.yellow(text) : text),
    },
    {
      head: 'LAG',
      value: ({ health: { lagMs } }) => (lagMs.p50 === null ? null : duration(lagMs.p50)),
      align: 'right',
    },
    { head: 'FIRST', value: ({ health }) => health.firstSignal.first, align: 'right' },
    {
      head: 'AHEAD BY',
      value: ({ health: { firstSignal } }) =>
        firstSignal.medianLeadMs === null ? null : duration(firstSignal.medianLeadMs),
      align: 'right',
    },
    { head: 'WAITING', value: ({ health }) => health.waiting, align: 'right' },
    {
      head: 'REFUSED',
      value: ({ health }) => health.refusals.reduce((sum, { count }) => sum + count, 0),
      align: 'right',
    },
  ]
}

function figure(number: number): string {
  return number.toLocaleString('en-US')
}
