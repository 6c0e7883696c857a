import type { Command } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, timeAhead, verb } from '../command.ts'
import { credentialColumns } from '../credential-columns.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Token {
  readonly id: string
  readonly label: string | null
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

/** `tenure token`: what an identity provider shows when it writes over SCIM. */
export function tokenCommands(program: Command, session: Session): void {
  const token = noun(program, 'token', 'SCIM tokens of a directory')

  listVerb(token, 'list <directory>', {
    description: 'the tokens of a directory, and when each was last used',
    examples: ['tenure token list acme'],
  }).action(async (directory: string, options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    session.giveList(await tokensOf(directory, options.limit), options, {
      columns: [
        { head: 'ID', value: ({ id }) => id },
        { head: 'LABEL', value: ({ label }) => label, least: 8 },
        ...credentialColumns(now),
      ],
      id: ({ id }) => id,
      none: `No tokens yet. The first: tenure token add ${directory}`,
    })
  })

  verb(
    token,
    'add <directory>',
    {
      description: 'a new token, shown this once; several may be live, so that one replaces another without a gap',
      examples: ['tenure token add acme --label "Okta app"', 'TOKEN=$(tenure token add acme --expires 90d -q)'],
    },
    'print the token only',
  )
    .option('--label <text>', 'for people to read')
    .option('--expires <when>', '90d, 12h, or a time like 2027-01-01T00:00:00Z [never]', timeAhead)
    .action(
      async (
        directory: string,
        { label, expires, ...options }: OutputOptions & { label?: string; expires?: string },
      ) => {
        const made = await session.api.post<Token & { token: string }>(`/directories/${segment(directory)}/tokens`, {
          label,
          expiresAt: expires,
        })
        session.giveSecret(made, options, {
          secret: made.token,
          fields: [
            ['id', made.id],
            ['label', made.label],
            ['expires', moment(made.expiresAt, session.terminal.now, 'never')],
            ['token', made.token],
          ],
        })
      },
    )

  destructiveVerb(token, 'remove <directory> <token>', {
    description: 'what shows this token is refused from now on',
    examples: ['tenure token remove acme tok_0mbx4k2v9dK3…'],
  }).action(async (directory: string, id: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const known = (await tokensOf(directory, 10_000)).items.find((each) => each.id === id)
      const used = known?.lastUsedAt ? `last used ${relative(known.lastUsedAt, session.terminal.now)}` : 'never used'
      return [`This removes the token ${id}${known?.label ? ` (${known.label})` : ''} of ${directory}, ${used}.`]
    })
    const answer = await session.api.delete(`/directories/${segment(directory)}/tokens/${segment(id)}`)
    session.give(answer, options, { text: () => `Token ${id} is removed.` })
  })

  function tokensOf(directory: string, limit: number) {
    return session.api.list<Token>(`/directories/${segment(directory)}/tokens`, {}, limit)
  }
}
