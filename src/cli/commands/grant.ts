import type { Command } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, verb } from '../command.ts'
import { findUser, namesOf } from '../people.ts'
import { plain } from '../plain.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { absolute, relative } from '../times.ts'

interface Grant {
  readonly id: string
  readonly directory: string
  readonly user: string
  readonly server: string
  readonly client: string
  readonly scopes: readonly string[]
  readonly jti: string | null
  readonly issuedAt: string
  readonly expiresAt: string
  readonly state: string
  readonly closedAt: string | null
  readonly closedReason: string | null
  readonly usedAt: string | null
  readonly expectedDeadBy: string | null
}

interface ListOptions extends OutputOptions {
  limit: number
  user?: string
  directory?: string
  server?: string
  active?: boolean
}

/** `tenure grant`: outstanding authorizations. */
export function grantCommands(program: Command, session: Session): void {
  const grant = noun(program, 'grant', 'outstanding authorizations: tokens that were issued')

  listVerb(grant, 'list', {
    description: 'newest first',
    examples: ['tenure grant list --active --server linear', 'tenure grant list --user ada@acme.example'],
    isDefault: true,
  })
    .option('--user <user>', 'of this person: a userName or an id')
    .option('--directory <id>', 'of the userName; needed when there are several')
    .option('--server <id>', 'at this server')
    .option('--active', 'only those that are still good')
    .action(async (options: ListOptions) => {
      const { now } = session.terminal
      const user = options.user === undefined ? undefined : await findUser(session.api, options.user, options.directory)
      const query = { user, server: options.server, active: options.active }
      const grants = await session.api.list<Grant>('/grants', query, options.limit)
      const name = await session.namesOf(options, grants.items)
      session.giveList(grants, options, {
        columns: [
          { head: 'USER', value: (each) => name(each.user), least: 8 },
          { head: 'SERVER', value: ({ server }) => server },
          { head: 'CLIENT', value: ({ client }) => client, least: 6 },
          { head: 'SCOPES', value: ({ scopes }) => scopes.join(' '), least: 5 },
          {
            head: 'STATE',
            value: stateOf,
            least: 6,
            paint: (text, { state }, colours) => (state === 'active' ? colours.green(text) : colours.dim(text)),
          },
          { head: 'EXPIRES', value: ({ expiresAt }) => relative(expiresAt, now) },
          { head: 'DEAD BY', value: (each) => deadBy(each, now) },
          { head: 'ID', value: ({ id }) => id, under: true },
        ],
        id: ({ id }) => id,
        none: 'No such grants.',
      })
    })

  verb(
    grant,
    'show <id>',
    {
      description: 'one of them',
      examples: ['tenure grant show grt_0mbx4k2v9dK3…'],
    },
    'print the id only',
  ).action(async (id: string, options: OutputOptions) => {
    const shown = await session.api.get<Grant>(pathOf(id))
    const { now } = session.terminal
    const name = await session.namesOf(options, [shown])
    session.giveRecord(shown, options, {
      id,
      fields: [
        ['id', shown.id],
        ['user', `${name(shown.user)}  ${shown.user}`],
        ['directory', shown.directory],
        ['server', shown.server],
        ['MCP client', shown.client],
        ['scopes', shown.scopes.join(' ')],
        ['jti', shown.jti],
        ['state', stateOf(shown)],
        ['issued', moment(shown.issuedAt, now)],
        ['expires', moment(shown.expiresAt, now)],
        ['first used', moment(shown.usedAt, now, 'never, as far as its server has asked')],
        ['closed', shown.closedAt ? moment(shown.closedAt, now) : undefined],
        ['dead by', shown.state === 'closed' ? moment(shown.expectedDeadBy, now, 'dead at once') : undefined],
      ],
    })
  })

  destructiveVerb(grant, 'revoke <id>', {
    description: 'this one token is void at once, and its server is told; a new one may be had while a rule gives it',
    examples: ['tenure grant revoke grt_0mbx4k2v9dK3…'],
  }).action(async (id: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const { user, server, client, scopes, state } = await session.api.get<Grant>(pathOf(id))
      const name = await namesOf(session.api, [user])
      const what = `${plain(scopes.join(' '))} at ${server} through ${plain(client)}`
      return [`This revokes the grant ${id} (${state}) of ${plain(name(user))}: ${what}.`]
    })
    const revoked = await session.api.post<Grant>(`${pathOf(id)}/revoke`)
    session.give(revoked, options, {
      text: () => `Grant ${id} is ${stateOf(revoked)}.${stillTaken(revoked)}`,
    })
  })
}

function stateOf({ state, closedReason }: Grant): string {
  return state === 'closed' && closedReason ? `closed: ${closedReason}` : state
}

function stillTaken({ expectedDeadBy }: Grant): string {
  if (expectedDeadBy === null) return ''
  return ` Its server may take the token until it has been told, at the latest until ${absolute(expectedDeadBy)}.`
}

/** Until when a closed one may still be taken somewhere. */
function deadBy({ state, expectedDeadBy }: Grant, now: Date): string {
  if (state !== 'closed') return ''
  return expectedDeadBy === null ? 'at once' : relative(expectedDeadBy, now)
}

function pathOf(id: string): string {
  return `/grants/${segment(id)}`
}
