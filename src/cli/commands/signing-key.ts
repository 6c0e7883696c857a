import type { Command } from 'commander'
import { listVerb, noun, verb } from '../command.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly state: string
  readonly createdAt: string
  readonly signsFrom: string
  readonly publishedUntil: string | null
}

/** `tenure signing-key`: with which tokens that are JWTs are signed. */
export function signingKeyCommands(program: Command, session: Session): void {
  const signingKey = noun(program, 'signing-key', 'with which tokens that are JWTs are signed')

  listVerb(signingKey, 'list', {
    description: 'those that are published, newest first',
    examples: ['tenure signing-key'],
    isDefault: true,
  }).action(async (options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    session.giveList(await session.api.get<{ items: SigningKey[]; next: null }>('/signing-keys'), options, {
      columns: [
        { head: 'KID', value: ({ kid }) => kid },
        { head: 'ALG', value: ({ alg }) => alg },
        { head: 'STATE', value: ({ state }) => state },
        { head: 'SIGNS FROM', value: ({ signsFrom }) => relative(signsFrom, now) },
        {
          head: 'PUBLISHED UNTIL',
          value: ({ publishedUntil }) => (publishedUntil ? relative(publishedUntil, now) : 'the next is made'),
        },
      ],
      id: ({ kid }) => kid,
      none: 'No signing key yet: the first is made when it is first needed.',
    })
  })

  verb(
    signingKey,
    'rotate',
    {
      description: 'publish a new one, which signs in five minutes; the one before stays published for 48 hours',
      examples: ['tenure signing-key rotate'],
    },
    'print its kid only',
  ).action(async (options: OutputOptions) => {
    const made = await session.api.post<SigningKey>('/signing-keys/rotate')
    session.giveRecord(made, options, {
      id: made.kid,
      fields: [
        ['kid', made.kid],
        ['alg', made.alg],
        ['state', made.state],
        ['signs from', moment(made.signsFrom, session.terminal.now)],
      ],
    })
  })
}
