import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type CheckConfig, readCheckConfig } from '../../config.ts'
import { Invalid } from '../../errors.ts'
import { type PrivateTargets, parsePrivateTargets } from '../../private-targets.ts'
import { segment } from '../api.ts'
import type { IdentityProvider, IdJags } from '../check/id-jag.ts'
import type { Requests } from '../check/requests.ts'
import type { TakingBack } from '../check/taking-back.ts'
import type { McpClient } from '../check/token.ts'
import type { Trial } from '../check/trial.ts'
import { CliError, exitCodes } from '../cli-error.ts'
import { confirm, positive, verb } from '../command.ts'
import { findUser } from '../people.ts'
import { plain } from '../plain.ts'
import type { OutputOptions, Session } from '../session.ts'

interface Options extends OutputOptions {
  allowPrivate?: PrivateTargets
  timeout: number
  idJag?: string
  idpTokenEndpoint?: string
  idTokenFile?: string
  idpClientId?: string
  idpClientSecretFile?: string
  clientId?: string
  clientSecretFile?: string
  clientAuth?: NonNullable<McpClient['auth']>
  scope?: string
  thenCut?: string
  thenWait?: boolean
  directory?: string
  within?: number
  yes?: boolean
}

const examples = [
  'tenure check https://mcp.example/mcp',
  'tenure check https://mcp.example/mcp -q || page-somebody',
  'tenure check http://127.0.0.1:3000/mcp --allow-private 127.0.0.1',
  'tenure check https://mcp.example/mcp --client-id claude --client-secret-file secret --id-jag id-jag',
  'tenure check https://mcp.example/mcp --client-id claude --client-secret-file secret \\',
  '  --idp-token-endpoint https://idp.example/token --id-token-file id-token --idp-client-id mcp \\',
  '  --then-cut test@acme.example',
]

/** `tenure check`: whether an MCP server is ready for EMA, as an MCP client would find out. */
export function checkCommand(program: Command, session: Session): void {
  verb(
    program,
    'check <url>',
    {
      description:
        'whether an MCP server is ready for EMA, each finding with its fix (docs/check.md lists them); exits with 1 when it is not',
      examples,
      json: 'print the findings as one JSON document',
    },
    'print the ids of what is wrong only',
  )
    .option('--allow-private <hosts>', 'private hosts, addresses and CIDRs that may be asked, or true [none]', targets)
    .option('--timeout <seconds>', 'for each answer', positive, 10)
    .optionsGroup('To try a real ID-JAG:')
    .option('--client-id <id>', 'of an MCP client at the authorization server')
    .option('--client-secret-file <file>', 'its secret [TENURE_CHECK_CLIENT_SECRET; without one, a public client]')
    .addOption(
      new Option('--client-auth <method>', 'how it shows that [by what the authorization server lists]').choices([
        'client_secret_basic',
        'client_secret_post',
        'none',
      ]),
    )
    .option('--scope <scopes>', 'what to ask for, apart by spaces [what the server asks for]')
    .option('--id-jag <file>', 'one ID-JAG, better two apart by a new line; - is standard input')
    .option('--idp-token-endpoint <url>', 'instead: where an ID token is exchanged for ID-JAGs')
    .option('--id-token-file <file>', 'the ID token of a user')
    .option('--idp-client-id <id>', 'of the MCP client at the identity provider')
    .option('--idp-client-secret-file <file>', 'its secret there [TENURE_CHECK_IDP_CLIENT_SECRET]')
    .optionsGroup('To see whether a cut is honoured (else the token is revoked by its client):')
    .option('--then-cut <user>', 'cut this user with POST /users/{id}/cut of the Tenure at TENURE_URL; asks first')
    .option('--directory <id>', 'of the userName; needed when there are several')
    .option('--yes', 'cut without asking; needed where nobody can be asked')
    .option('--then-wait', 'wait for somebody to take the access away')
    .option('--within <seconds>', 'how long the token may go on after that [15, with --then-wait 300]', positive)
    .action(async (given: string, options: Options) => {
      const url = endpointUrl(given)
      complainAbout(options)
      const takingBack = await takingBackOf(session, options)
      const { check, createRequests, drawReport } = await load()
      const requests = createRequests({ allowPrivate: options.allowPrivate ?? [], timeoutMs: options.timeout * 1_000 })
      const trial = await trialOf(session, requests, options, takingBack)
      const report = await check(requests, url, trial)
      session.give(report, options, {
        quiet: [...new Set(report.findings.filter(({ level }) => level !== 'ok').map(({ id }) => id))],
        text: () => drawReport(report, session.terminal),
      })
      if (!report.ready) process.exitCode = exitCodes.failed
    })
}

/** Not needed by any other command, so not loaded for them. */
async function load() {
  const [{ check }, { createRequests }, { drawReport }] = await Promise.all([
    import('../check/check.ts'),
    import('../check/requests.ts'),
    import('../check/report.ts'),
  ])
  return { check, createRequests, drawReport }
}

function endpointUrl(text: string): string {
  if (!/^https?:\/\/[^\s#@]+$/i.test(text) || !URL.canParse(text))
    throw new CliError(
      `"${plain(text)}" is not the URL of an MCP endpoint, like https://mcp.example/mcp`,
      exitCodes.usage,
    )
  return text
}

/** Options that are of no use without others. */
function complainAbout(options: Options): void {
  const { clientId, idJag, idpTokenEndpoint, idTokenFile, idpClientId, thenCut, thenWait, yes, directory } = options
  const tries = idJag !== undefined || idpTokenEndpoint !== undefined
  const wrong = [
    [idJag !== undefined && idpTokenEndpoint !== undefined, '--id-jag and --idp-token-endpoint exclude each other'],
    [tries && clientId === undefined, 'an ID-JAG is tried as an MCP client: --client-id is missing'],
    [!tries && clientId !== undefined, '--client-id is of use with --id-jag or --idp-token-endpoint only'],
    [
      idpTokenEndpoint !== undefined && (idTokenFile === undefined || idpClientId === undefined),
      '--idp-token-endpoint needs --id-token-file and --idp-client-id',
    ],
    [!tries && (thenCut !== undefined || thenWait), 'a cut takes a token: --id-jag or --idp-token-endpoint is missing'],
    [thenCut !== undefined && thenWait, '--then-cut and --then-wait exclude each other'],
    [
      thenCut === undefined && (yes || directory !== undefined),
      '--yes and --directory are of use with --then-cut only',
    ],
  ] as const
  const reason = wrong.find(([holds]) => holds)?.[1]
  if (reason !== undefined) throw new CliError(reason, exitCodes.usage)
}

/** Asks before anything is sent: a check that stops half-way helps nobody. */
async function takingBackOf(session: Session, options: Options): Promise<TakingBack> {
  const { thenCut, thenWait, directory } = options
  if (thenWait) return { by: 'operator' }
  if (thenCut === undefined) return { by: 'revocation' }
  const id = await findUser(session.api, thenCut, directory)
  await confirm(session, options, async () => [`This voids every token of ${plain(thenCut)}, at every server.`])
  return {
    by: 'cut',
    async cut() {
      await session.api.post(`/users/${segment(id)}/cut`)
    },
  }
}

async function trialOf(
  session: Session,
  requests: Requests,
  options: Options,
  takingBack: TakingBack,
): Promise<Trial | undefined> {
  if (options.clientId === undefined) return undefined
  const secrets = readCheckConfig()
  const secret = fileOr(options.clientSecretFile, secrets.clientSecret)
  if (secret === undefined && options.clientAuth !== undefined && options.clientAuth !== 'none')
    throw new CliError(`--client-auth ${options.clientAuth} needs a secret`, exitCodes.usage)
  return {
    idJags: await idJagsOf(requests, options, secrets),
    client: { id: options.clientId, secret, auth: options.clientAuth },
    scope: options.scope,
    takingBack,
    withinMs: (options.within ?? (takingBack.by === 'operator' ? 300 : 15)) * 1_000,
    now: () => new Date(),
    note: (text) => session.terminal.note(text),
  }
}

async function idJagsOf(requests: Requests, options: Options, secrets: CheckConfig): Promise<IdJags> {
  const { givenIdJags, mintedIdJags } = await import('../check/id-jag.ts')
  const { idJag, idpTokenEndpoint } = options
  if (idJag !== undefined) return givenIdJags(contentOf(idJag === '-' ? 0 : idJag).split(/\s+/))
  const provider: IdentityProvider = {
    tokenEndpoint: idpTokenEndpoint!,
    idToken: contentOf(options.idTokenFile!),
    clientId: options.idpClientId!,
    clientSecret: fileOr(options.idpClientSecretFile, secrets.idpClientSecret),
  }
  return mintedIdJags(requests, provider)
}

function fileOr(file: string | undefined, otherwise: string | undefined): string | undefined {
  return file === undefined ? otherwise : contentOf(file)
}

function contentOf(file: string | 0): string {
  const name = file === 0 ? 'standard input' : plain(file)
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch {
    throw new CliError(`${name} cannot be read`, exitCodes.usage)
  }
  if (text === '') throw new CliError(`${name} is empty`, exitCodes.usage)
  return text
}

function targets(text: string): PrivateTargets {
  try {
    return parsePrivateTargets(text)
  } catch (error) {
    if (error instanceof Invalid) throw new InvalidArgumentError(`${error.message}.`)
    throw error
  }
}
