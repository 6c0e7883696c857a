import { type Command, Option } from 'commander'
import { segment } from '../api.ts'
import { confirm, destructiveVerb, listVerb, noun, positive, verb } from '../command.ts'
import { moment } from '../record.ts'
import type { OutputOptions, Session } from '../session.ts'
import { relative } from '../times.ts'

interface Issuer {
  readonly id: string
  readonly directory: string
  readonly issuer: string
  readonly tenant: string | null
  readonly jwksUri: string
  readonly subject: string
  readonly algorithms: readonly string[]
  readonly maxAuthAgeSeconds: number | null
  readonly acrValues: readonly string[] | null
  readonly createdAt: string
  readonly keysFailingSince: string | null
}

interface SetOptions extends OutputOptions {
  issuer: string
  subject: string
  tenant?: string
  jwksUri?: string
  algorithm?: string[]
  maxAuthAge?: number
  acr?: string[]
}

/** `tenure issuer`: whose ID-JAGs are believed. */
export function issuerCommands(program: Command, session: Session): void {
  const issuer = noun(program, 'issuer', 'whose ID-JAGs are believed for the users of a directory')

  listVerb(
    issuer,
    'list <directory>',
    { description: 'those of a directory', examples: ['tenure issuer list acme'] },
    'print the issuers only',
  ).action(async (directory: string, options: OutputOptions & { limit: number }) => {
    const { now } = session.terminal
    const path = `/directories/${segment(directory)}/issuers`
    session.giveList(await session.api.list<Issuer>(path, {}, options.limit), options, {
      columns: [
        { head: 'ID', value: ({ id }) => id },
        { head: 'ISSUER', value: ({ issuer }) => issuer },
        { head: 'TENANT', value: ({ tenant }) => tenant },
        { head: 'SUBJECT IS', value: ({ subject }) => subject },
        {
          head: 'KEY SET',
          value: ({ keysFailingSince }) =>
            keysFailingSince ? `failing since ${relative(keysFailingSince, now)}` : 'fine, as far as tried',
          paint: (text, { keysFailingSince }, colours) => (keysFailingSince ? colours.red(text) : text),
        },
      ],
      id: ({ issuer }) => issuer,
      none: `${directory} trusts no issuer yet. The first: tenure issuer set ${directory} --issuer … --subject externalId`,
    })
  })

  verb(
    issuer,
    'set <directory> [id]',
    {
      description: 'trust an issuer; without an id the one that there mostly is, with one a further one',
      examples: [
        'tenure issuer set acme --issuer https://acme.okta.example --subject externalId',
        'tenure issuer set acme contractors --issuer https://idp.example --jwks-uri https://idp.example/keys --subject email',
      ],
    },
    'print the address of its key set only',
  )
    .requiredOption('--issuer <url>', 'its issuer identifier, compared byte for byte')
    .addOption(
      new Option('--subject <attribute>', 'which attribute of a user the sub of its ID-JAGs is')
        .choices(['externalId', 'userName', 'email'])
        .makeOptionMandatory(),
    )
    .option('--tenant <tenant>', 'the tenant that its ID-JAGs must carry, of a shared issuer [none]')
    .option('--jwks-uri <url>', 'where its public keys are [read from its metadata, now]')
    .option('--algorithm <alg...>', 'of its signatures [RS256 ES256 EdDSA]')
    .option('--max-auth-age <seconds>', 'how long ago its people may have signed in [whenever]', positive)
    .option('--acr <value...>', 'how they must have signed in: one of these [however]')
    .action(async (directory: string, id: string | undefined, given: SetOptions) => {
      const { issuer, subject, tenant, jwksUri, algorithm: algorithms, ...others } = given
      const { maxAuthAge: maxAuthAgeSeconds, acr: acrValues, ...options } = others
      const body = { issuer, subject, tenant, jwksUri, algorithms, maxAuthAgeSeconds, acrValues }
      const set = await session.api.put<Issuer>(pathOf(directory, id), body)
      session.giveRecord(set, options, {
        id: set.jwksUri,
        fields: [
          ['directory', set.directory],
          ['id', set.id],
          ['issuer', set.issuer],
          ['tenant', set.tenant],
          ['key set', set.jwksUri],
          ['subject is', set.subject],
          ['algorithms', set.algorithms.join(' ')],
          ['signed in', set.maxAuthAgeSeconds === null ? undefined : `at most ${set.maxAuthAgeSeconds} s ago`],
          ['signed in by', set.acrValues?.join(' ')],
          ['created', moment(set.createdAt, session.terminal.now)],
        ],
      })
    })

  destructiveVerb(issuer, 'remove <directory> [id]', {
    description: 'nothing is issued on its word from now on; tokens that were issued stay, a cut ends those',
    examples: ['tenure issuer remove acme', 'tenure issuer remove acme contractors'],
  }).action(async (directory: string, id: string | undefined, options: OutputOptions & { yes?: boolean }) => {
    const path = pathOf(directory, id)
    await confirm(session, options, async () => {
      const known = await session.api.get<Issuer>(path)
      return [`This ends the trust of ${directory} in ${known.issuer}: its people get no new tokens by it.`]
    })
    const answer = await session.api.delete(path)
    session.give(answer, options, {
      text: () => `The issuer ${id ?? ''} of ${directory} is removed.`.replace('  ', ' '),
    })
  })

  function pathOf(directory: string, id: string | undefined): string {
    const path = `/directories/${segment(directory)}`
    return id === undefined ? `${path}/issuer` : `${path}/issuers/${segment(id)}`
  }
}
