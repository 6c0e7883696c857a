import type { Command } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, timeAhead, verb } from '../command.ts'
import { credentialColumns } from '../credential-columns.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Key {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

/** `tenure key`: admin keys with a name, which the audit shows. */
export function keyCommands(program: Command, session: Session): void {
  const key = noun(program, 'key', 'named admin keys, one for each operator or script')

  listVerb(key, 'list', {
    description: 'all but the root key, and when each was last used',
    examples: ['tenure key'],
    isDefault: true,
  }).action(async (options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    session.giveList(await session.api.list<Key>('/keys', {}, options.limit), options, {
      columns: [
        { head: 'ID', value: ({ id }) => id },
        { head: 'NAME', value: ({ name }) => name, least: 8 },
        ...credentialColumns(now),
      ],
      id: ({ id }) => id,
      none: 'No named keys yet. The first: tenure key add ada',
    })
  })

  verb(
    key,
    'add <name>',
    {
      description: 'a new key, shown this once; its name is recorded with everything it does',
      examples: ['tenure key add ada --expires 90d', 'export TENURE_ADMIN_KEY=$(tenure key add ci -q)'],
    },
    'print the key only',
  )
    .option('--expires <when>', '90d, 12h, or a time like 2027-01-01T00:00:00Z [never]', timeAhead)
    .action(async (name: string, { expires, ...options }: OutputOptions & { expires?: string }) => {
      const made = await session.api.post<Key & { key: string }>('/keys', {
        name,
        expiresAt: expires,
      })
      session.giveSecret(made, options, {
        secret: made.key,
        fields: [
          ['id', made.id],
          ['name', made.name],
          ['expires', moment(made.expiresAt, session.terminal.now, 'never')],
          ['key', made.key],
        ],
      })
    })

  destructiveVerb(key, 'remove <id>', {
    description: 'what shows this key is refused from now on',
    examples: ['tenure key remove key_0mbx4k2v9dK3…'],
  }).action(async (id: string, options: OutputOptions & { yes?: boolean }) => {
    const path = `/keys/${segment(id)}`
    await confirm(session, options, async () => {
      const { name, lastUsedAt } = await session.api.get<Key>(path)
      const used = lastUsedAt ? `last used ${relative(lastUsedAt, session.terminal.now)}` : 'never used'
      return [`This removes the admin key ${name} (${id}), ${used}.`]
    })
    session.give(await session.api.delete(path), options, {
      text: () => `Key ${id} is removed.`,
    })
  })
}
