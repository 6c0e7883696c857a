import { type Command, InvalidArgumentError, Option } from 'commander'
import { segment } from '../api.ts'
import { CliError } from '../cli-error.ts'
import { positive, verb } from '../command.ts'
import { askedSecret, onceFromStdin, rotatingSecretFrom, secretFrom } from '../secret-input.ts'
import type { OutputOptions, Session } from '../session.ts'
import type { Channel } from './channel-shown.ts'

type Give = (channel: Channel, options: OutputOptions) => void
type Names = Record<string, string>
type Effects = Names

interface OktaOptions extends OutputOptions {
  secretFile?: string
  apiUrl?: string
  apiTokenFile?: string
  apiToken: boolean
  appId?: string
  pollSeconds?: number
  idJag?: boolean
  idJagLife?: number
  idJagServer?: Names
  idJagClient?: Names
  effect?: Effects
}

interface SsfOptions extends OutputOptions {
  issuer: string
  audience: string[]
  delivery: string
  jwksUri?: string
  pollUrl?: string
  stream?: boolean
  configurationEndpoint?: string
  statusEndpoint?: string
  verificationEndpoint?: string
  streamEvent?: string[]
  legacy?: boolean
  tenant?: string
  subject?: string
  subjectIssuer?: string[]
  algorithm?: string[]
  effect?: Effects
  pushAuthorizationFile?: string
  pushAuthorization: boolean
  tokenFile?: string
  token: boolean
}

interface RevocationOptions extends OutputOptions {
  issuer: string
  jwksUri?: string
  client?: string
  subject?: string
  algorithm?: string[]
}

const asBefore = 'settings that are left out are the defaults, secrets stay'
const twoLines = 'a file, - for standard input; two lines, the new one and the old one, while both are good'
const urlOnly = 'print the URL to enter at the provider only'

/** `tenure channel set-…`: each kind is given something else. */
export function settingCommands(channel: Command, session: Session, give: Give): void {
  setOkta(channel, session, give)
  setSsf(channel, session, give)
  setRevocation(channel, session, give)
}

function setOkta(channel: Command, session: Session, give: Give): void {
  effects(
    verb(
      channel,
      'set-okta <directory>',
      {
        description: `event hooks of Okta, and its System Log where there is a token; ${asBefore}`,
        examples: [
          'openssl rand -base64 32 > hook-secret; tenure channel set-okta acme --secret-file hook-secret',
          'tenure channel set-okta acme --api-url https://acme.okta.com --api-token-file okta-token',
        ],
      },
      urlOnly,
    )
      .option(
        '--secret-file <file>',
        `the whole Authorization header of its calls: ${twoLines} [asked for, of a new channel]`,
      )
      .option('--api-url <url>', 'the org: its System Log is read, its users are asked about')
      .option('--api-token-file <file>', 'an API token of the org: a file, - for standard input')
      .option('--no-api-token', 'it is asked nothing any more')
      .option('--app-id <id>', 'of the app integration that provisions Tenure: who loses it has left')
      .option('--poll-seconds <seconds>', 'between two readings of the System Log [60]', positive)
      .option('--id-jag', 'ID-JAGs that the System Log shows are recorded as grants')
      .option('--id-jag-life <seconds>', 'for so long a token that came of one is taken to live [3600]', positive)
      .option('--id-jag-server <name=server...>', 'the server here, by an audience, resource or app of Okta', pair)
      .option('--id-jag-client <name=client...>', 'the MCP client as rules name it, by a client of Okta', pair),
  ).action(async (directory: string, { secretFile, apiTokenFile, apiToken: keeps, effect, ...given }: OktaOptions) => {
    const { apiUrl, appId, pollSeconds, idJag, idJagLife, idJagServer, idJagClient, ...options } = given
    const minted = { lifeSeconds: idJagLife, servers: idJagServer, clients: idJagClient }
    const isMinted = idJag || Object.values(minted).some((value) => value !== undefined)
    onceFromStdin(secretFile, apiTokenFile)
    const path = pathOf(directory, 'okta')
    const apiToken = apiTokenFile === undefined ? (keeps ? undefined : null) : secretFrom(apiTokenFile)
    const secret = secretFile === undefined ? await askIfNew(path) : rotatingSecretFrom(secretFile)
    const body = { secret, apiUrl, apiToken, appId, pollSeconds, idJag: isMinted ? minted : undefined, effects: effect }
    give(await session.api.put<Channel>(path, body), options)
  })

  /** Of a channel that is there, the secret stays. */
  async function askIfNew(path: string): Promise<string | undefined> {
    const { items } = await session.api.get<{ items: Channel[] }>(path.replace(/\/okta$/, ''))
    if (items.some(({ kind }) => kind === 'okta')) return undefined
    return askedSecret(session, 'The whole Authorization header of its calls', '--secret-file')
  }
}

function setSsf(channel: Command, session: Session, give: Give): void {
  effects(
    verb(
      channel,
      'set-ssf <directory>',
      {
        description: `Security Event Tokens of a Shared Signals transmitter (SSF, CAEP, RISC); ${asBefore}`,
        examples: [
          'tenure channel set-ssf acme --issuer https://idp.example --audience https://tenure.example --push-authorization-file push',
          'tenure channel set-ssf acme --issuer https://idp.example --audience https://tenure.example --delivery poll --stream --token-file token',
        ],
      },
      urlOnly,
    )
      .requiredOption('--issuer <url>', 'the iss of its SETs, compared byte for byte')
      .requiredOption('--audience <audience...>', 'one of these must be in aud')
      .addOption(
        new Option('--delivery <how>', 'whether it pushes or is polled').choices(['push', 'poll']).default('push'),
      )
      .option('--push-authorization-file <file>', `the whole Authorization header of a push: ${twoLines}`)
      .option('--no-push-authorization', 'none is asked for any more')
      .option('--token-file <file>', 'bearer token for its endpoints: a file, - for standard input')
      .option('--no-token', 'it is shown none any more')
      .option('--jwks-uri <url>', 'where its public keys are [read from its metadata, now]')
      .option('--poll-url <url>', 'of a stream that was created elsewhere')
      .option('--stream', 'create the stream, have it verified and watch it')
      .option('--configuration-endpoint <url>', 'of its streams [this and the next two: read from its metadata, now]')
      .option('--status-endpoint <url>', 'of its streams')
      .option('--verification-endpoint <url>', 'of its streams')
      .option('--stream-event <type...>', 'what is asked for [all that mean something here]')
      .option('--legacy', 'it speaks as before the final specifications')
      .addOption(subjectOption(['externalId', 'userName', 'email'], 'externalId'))
      .option('--subject-issuer <url...>', 'other issuers of the subjects that it names')
      .option('--tenant <id>', 'what the tenant of a complex subject must be [any is refused]')
      .option('--algorithm <alg...>', 'of its signatures [RS256]'),
  ).action(async (directory: string, given: SsfOptions) => {
    const { pushAuthorizationFile, tokenFile } = given
    onceFromStdin(pushAuthorizationFile, tokenFile)
    const pushed = given.pushAuthorization ? undefined : null
    const shown = given.token ? undefined : null
    const { issuer, audience, delivery, jwksUri, pollUrl, legacy, tenant, subject } = given
    const { algorithm, subjectIssuer, effect } = given
    const body = {
      ...{ issuer, audience, delivery, jwksUri, pollUrl, legacy, tenant, subject },
      ...{ algorithms: algorithm, subjectIssuers: subjectIssuer, effects: effect, stream: streamOf(given) },
      pushAuthorization: pushAuthorizationFile === undefined ? pushed : rotatingSecretFrom(pushAuthorizationFile),
      token: tokenFile === undefined ? shown : secretFrom(tokenFile),
    }
    give(await session.api.put<Channel>(pathOf(directory, 'ssf'), body), given)
  })
}

function setRevocation(channel: Command, session: Session, give: Give): void {
  verb(
    channel,
    'set-global-token-revocation <directory>',
    {
      description: 'Universal Logout of Okta, and whoever else calls for a global token revocation',
      examples: ['tenure channel set-global-token-revocation acme --issuer https://acme.okta.com'],
    },
    urlOnly,
  )
    .requiredOption('--issuer <url>', 'the iss of its token, compared byte for byte')
    .option('--jwks-uri <url>', 'where its public keys are [read from its metadata, now]')
    .option('--client <id>', 'the sub of its token: the client or app instance that it speaks for [any]')
    .addOption(subjectOption(['id', 'externalId', 'userName', 'email'], 'id, as SCIM answered it'))
    .option('--algorithm <alg...>', 'of its signatures [RS256 ES256 EdDSA]')
    .action(
      async (directory: string, { issuer, jwksUri, client, subject, algorithm, ...options }: RevocationOptions) => {
        const body = { issuer, jwksUri, client, subject, algorithms: algorithm }
        give(await session.api.put<Channel>(pathOf(directory, 'global-token-revocation'), body), options)
      },
    )
}

function subjectOption(choices: readonly string[], otherwise: string): Option {
  return new Option(
    '--subject <attribute>',
    `which attribute of a user the sub that it names is [${otherwise}]`,
  ).choices(choices)
}

/** `name=value`, the last `=` of it. */
function pair(text: string, before: Names = {}): Names {
  const [, name, value] = /^(.+)=([^=]+)$/.exec(text) ?? []
  if (name === undefined || value === undefined)
    throw new InvalidArgumentError('It must be like https://mcp.example=asana.')
  return { ...before, [name]: value }
}

function effects(command: Command): Command {
  return command.option(
    '--effect <type=kind...>',
    'what an event does, other than by default: left, suspended, sessions_revoked, enabled, changed, noted',
    (text: string, before: Effects = {}) => {
      const [, type, kind] = /^([^=]+)=([a-z_]+)$/.exec(text) ?? []
      if (type === undefined || kind === undefined)
        throw new InvalidArgumentError('It must be like user.account.lock=sessions_revoked.')
      return { ...before, [type]: kind }
    },
  )
}

function streamOf(given: SsfOptions): object | undefined {
  const { stream, configurationEndpoint, statusEndpoint, verificationEndpoint, streamEvent: events } = given
  const endpoints = { configurationEndpoint, statusEndpoint, verificationEndpoint, events }
  if (stream) return endpoints
  if (Object.values(endpoints).some((value) => value !== undefined))
    throw new CliError('endpoints and events of a stream come with --stream', 2)
  return undefined
}

function pathOf(directory: string, kind: string): string {
  return `/directories/${segment(directory)}/channels/${kind}`
}
