import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { listVerb, noun, verb } from '../command.ts'
import { findUser } from '../people.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { absolute, duration, relative } from '../times.ts'

interface Delivery {
  readonly id: string
  readonly server: string
  readonly connector: string
  readonly user: string
  readonly state: string
  readonly wantedGeneration: number
  readonly deliveredGeneration: number | null
  readonly urgent: boolean
  readonly nextTry: string | null
  readonly parkedAt: string | null
  readonly deliveredAt: string | null
  readonly lastOutcome: string | null
  readonly lastError: string | null
}

interface Attempt {
  readonly at: string
  readonly ms: number | null
  readonly outcome: string
  readonly status: number | null
  readonly generation: number
  readonly error: string | null
}

interface ListOptions extends OutputOptions {
  limit: number
  user?: string
  directory?: string
  server?: string
  state?: string
}

/** `tenure delivery`: what each server has heard of whom. */
export function deliveryCommands(program: Command, session: Session): void {
  const delivery = noun(program, 'delivery', 'what each server was told of each person, and must still be told')

  listVerb(delivery, 'list', {
    description: 'one for each person and connector',
    examples: ['tenure delivery list --server linear --state pending', 'tenure delivery list --user ada@acme.example'],
    isDefault: true,
  })
    .option('--user <user>', 'of this person: a userName or an id')
    .option('--directory <id>', 'of the userName; needed when there are several')
    .option('--server <id>', 'to this server')
    .addOption(new Option('--state <state>', 'only these').choices(['pending', 'delivered', 'parked']))
    .action(async (options: ListOptions) => {
      const { now } = session.terminal
      const user = options.user === undefined ? undefined : await findUser(session.api, options.user, options.directory)
      const query = { user, server: options.server, state: options.state }
      const deliveries = await session.api.list<Delivery>('/deliveries', query, options.limit)
      const name = await session.namesOf(options, deliveries.items)
      session.giveList(deliveries, options, {
        columns: [
          {
            head: 'STATE',
            value: ({ state, urgent }) => (urgent && state !== 'delivered' ? `${state}!` : state),
            paint: (text, { state }, colours) =>
              state === 'parked' ? colours.red(text) : state === 'pending' ? colours.yellow(text) : text,
          },
          { head: 'SERVER', value: ({ server }) => server },
          { head: 'USER', value: (each) => name(each.user), least: 8 },
          { head: 'DELIVERED', value: ({ deliveredAt }) => (deliveredAt ? relative(deliveredAt, now) : 'never') },
          { head: 'NEXT TRY', value: ({ nextTry }) => (nextTry ? relative(nextTry, now) : null) },
          { head: 'ID', value: ({ id }) => id, under: true },
          { head: 'ERROR', value: ({ lastError }) => lastError, under: true },
        ],
        id: ({ id }) => id,
        none: 'No such deliveries.',
      })
    })

  verb(
    delivery,
    'show <id>',
    {
      description: 'one of them, with its newest attempts',
      examples: ['tenure delivery show dlv_5b0c…'],
    },
    'print the id only',
  ).action(async (id: string, options: OutputOptions) => {
    const shown = await session.api.get<Delivery & { attempts: readonly Attempt[] }>(`/deliveries/${segment(id)}`)
    const name = await session.namesOf(options, [shown])
    session.give(shown, options, {
      quiet: id,
      text: () => told(shown, name(shown.user)),
    })
  })

  function told(shown: Delivery & { attempts: readonly Attempt[] }, name: string): string {
    const { now, colours } = session.terminal
    const record = session.record([
      ['id', shown.id],
      ['state', shown.state],
      ['server', shown.server],
      ['connector', shown.connector],
      ['user', `${name}  ${shown.user}`],
      ['urgent', shown.urgent],
      ['wanted generation', shown.wantedGeneration],
      ['delivered generation', shown.deliveredGeneration ?? 'none'],
      ['delivered', moment(shown.deliveredAt, now, 'never')],
      ['parked', shown.parkedAt ? moment(shown.parkedAt, now) : undefined],
      ['next try', moment(shown.nextTry, now)],
      ['last outcome', shown.lastOutcome],
      ['last error', shown.lastError ?? undefined],
    ])
    if (shown.attempts.length === 0) return record
    const attempts = session.table(shown.attempts, [
      { head: 'AT', value: ({ at }) => absolute(at) },
      {
        head: 'TOOK',
        value: ({ ms }) => (ms === null ? null : duration(ms)),
        align: 'right',
      },
      {
        head: 'GENERATION',
        value: ({ generation }) => generation,
        align: 'right',
      },
      { head: 'STATUS', value: ({ status }) => status, align: 'right' },
      { head: 'OUTCOME', value: ({ outcome }) => outcome },
      { head: 'ERROR', value: ({ error }) => error, under: true },
    ])
    return `${record}\n\n${colours.bold('Attempts')}\n${attempts}`
  }
}
