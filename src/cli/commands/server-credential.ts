import type { Command } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, timeAhead, verb } from '../command.ts'
import { credentialColumns } from '../credential-columns.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Credential {
  readonly clientId: string
  readonly label: string | null
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

/** `tenure server credential`: with which a server introspects tokens and records its own grants. */
export function credentialCommands(server: Command, session: Session): void {
  const credential = noun(server, 'credential', 'with which a server introspects tokens and records grants')

  listVerb(
    credential,
    'list <server>',
    {
      description: "a server's credentials, and when each was last used",
      examples: ['tenure server credential list linear'],
    },
    'print the client ids only',
  ).action(async (id: string, options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    session.giveList(await credentialsOf(id, options.limit), options, {
      columns: [
        { head: 'CLIENT ID', value: ({ clientId }) => clientId },
        { head: 'LABEL', value: ({ label }) => label, least: 8 },
        ...credentialColumns(now),
      ],
      id: ({ clientId }) => clientId,
      none: `No credentials yet. The first: tenure server credential add ${id}`,
    })
  })

  verb(
    credential,
    'add <server>',
    {
      description: 'a client id and its secret, shown this once; several may be live, for rotation',
      examples: [
        'tenure server credential add linear --label production',
        'curl -u "$(tenure server credential add linear -q)" …/oauth2/introspect -d token=…',
      ],
    },
    'print clientId:clientSecret only',
  )
    .option('--label <text>', 'for people to read')
    .option('--expires <when>', '90d, 12h, or a time like 2027-01-01T00:00:00Z [never]', timeAhead)
    .action(
      async (id: string, { label, expires, ...options }: OutputOptions & { label?: string; expires?: string }) => {
        const made = await session.api.post<Credential & { clientSecret: string }>(
          `/servers/${segment(id)}/credentials`,
          {
            label,
            expiresAt: expires,
          },
        )
        session.giveSecret(made, options, {
          secret: `${made.clientId}:${made.clientSecret}`,
          fields: [
            ['client id', made.clientId],
            ['label', made.label],
            ['expires', moment(made.expiresAt, session.terminal.now, 'never')],
            ['client secret', made.clientSecret],
          ],
        })
      },
    )

  destructiveVerb(credential, 'remove <server> <clientId>', {
    description: 'what shows it is refused from now on',
    examples: ['tenure server credential remove linear srv_0mbx4k2v9dK3…'],
  }).action(async (id: string, clientId: string, options: OutputOptions & { yes?: boolean }) => {
    await confirm(session, options, async () => {
      const known = (await credentialsOf(id, 10_000)).items.find((each) => each.clientId === clientId)
      const used = known?.lastUsedAt ? `last used ${relative(known.lastUsedAt, session.terminal.now)}` : 'never used'
      return [`This removes the credential ${clientId}${known?.label ? ` (${known.label})` : ''} of ${id}, ${used}.`]
    })
    const answer = await session.api.delete(`/servers/${segment(id)}/credentials/${segment(clientId)}`)
    session.give(answer, options, {
      text: () => `Credential ${clientId} is removed.`,
    })
  })

  function credentialsOf(id: string, limit: number) {
    return session.api.list<Credential>(`/servers/${segment(id)}/credentials`, {}, limit)
  }
}
