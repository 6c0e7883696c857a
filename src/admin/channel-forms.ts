import type { z } from 'zod'
import type { Egress } from '../connectors/egress.ts'
import type { GlobalTokenRevocationConfig, OktaConfig, SsfConfig } from '../directory/channel-config.ts'
import type { ChannelRecord, Config, GivenChannel } from '../directory/channels.ts'
import { discoverJwksUri } from '../trust/discovery.ts'
import { discoverTransmitter } from '../trust/transmitter.ts'
import { type oktaChannel, type revocationChannel, secretsOf, type ssfChannel, wrong } from './channel-settings.ts'

/** What is left out may stand there as undefined. */
type Given<C> = { readonly [K in keyof C]: C[K] | undefined }

export interface FormParts {
  readonly egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>
  /** The channel as it is; undefined: there is none yet. */
  readonly before: ChannelRecord | undefined
}

/** @throws Invalid */
export async function givenOkta(
  { secret, apiToken, ...config }: z.output<typeof oktaChannel>,
  { egress, before }: FormParts,
): Promise<GivenChannel> {
  if (config.apiUrl !== undefined && egress.checkConfiguredUrl(config.apiUrl, 'apiUrl').search !== '')
    throw wrong('apiUrl', 'must not have a query')
  if (apiToken && config.apiUrl === undefined) throw wrong('apiUrl', 'is required: where the apiToken is for')
  const given = { config: kept(config satisfies Given<OktaConfig>), outbound: apiToken }
  requireToken('apiToken', given, before, okta)
  return {
    ...given,
    inbound: secretsOf(secret, 'secret'),
    needsInbound: true,
    works: config.apiUrl !== undefined && hasToken(apiToken, before),
    source: ['apiUrl'],
  }
}

/** @throws Invalid, also when its metadata cannot be had */
export async function givenSsf(
  { pushAuthorization, token, audience, ...settings }: z.output<typeof ssfChannel>,
  { egress, before }: FormParts,
): Promise<GivenChannel> {
  const { issuer, delivery, pollUrl, stream } = settings
  checkIssuer(egress, issuer)
  if (settings.jwksUri !== undefined) egress.checkConfiguredUrl(settings.jwksUri, 'jwksUri')
  if (delivery === 'poll' && pollUrl === undefined && stream === undefined)
    throw wrong('pollUrl', 'is required of a channel that is polled, unless its stream is set up from here')
  if (delivery === 'push' && pollUrl !== undefined) throw wrong('pollUrl', 'is for a channel that is polled')
  if (delivery === 'poll' && pushAuthorization) throw wrong('pushAuthorization', 'is for a channel that is pushed')
  if (stream !== undefined && pushAuthorization)
    throw wrong('pushAuthorization', 'is made up by Tenure for a stream that it creates')
  const works = delivery === 'poll' || stream !== undefined
  if (token && !works) throw wrong('token', 'is for a channel that is polled, or whose stream is set up from here')
  if (pollUrl !== undefined) egress.checkConfiguredUrl(pollUrl, 'pollUrl')
  for (const [name, url] of Object.entries(stream ?? {}))
    if (typeof url === 'string') egress.checkConfiguredUrl(url, `stream.${name}`)
  const found = await endpoints(egress, settings)
  const { stream: _, ...others } = settings
  const config = kept({ ...others, ...found, audience: [audience].flat() } satisfies Given<Omit<SsfConfig, 'stream'>>)
  const given = { config, outbound: token }
  requireToken('token', given, before, ssf)
  return {
    ...given,
    inbound: secretsOf(pushAuthorization, 'pushAuthorization'),
    works,
    source: ['issuer', 'delivery', 'pollUrl', 'stream'],
  }
}

/** @throws Invalid, also when its metadata cannot be had */
export async function givenRevocation(
  body: z.output<typeof revocationChannel>,
  { egress }: FormParts,
): Promise<GivenChannel> {
  checkIssuer(egress, body.issuer)
  if (body.jwksUri !== undefined) egress.checkConfiguredUrl(body.jwksUri, 'jwksUri')
  const jwksUri = body.jwksUri ?? (await discoverJwksUri(egress, body.issuer))
  const config = kept({ ...body, jwksUri } satisfies Given<GlobalTokenRevocationConfig>)
  return { config, inbound: undefined, outbound: undefined, works: false, source: [] }
}

/** Where the key set and, for a stream, the endpoints are: as given, otherwise by the transmitter's own metadata (SSF 1.0 §7). */
async function endpoints(
  egress: FormParts['egress'],
  { issuer, jwksUri, stream }: Pick<z.output<typeof ssfChannel>, 'issuer' | 'jwksUri' | 'stream'>,
): Promise<{ jwksUri: string; stream?: Config }> {
  const isComplete = stream === undefined || stream.configurationEndpoint !== undefined
  const found = jwksUri === undefined || !isComplete ? await discoverTransmitter(egress, issuer) : undefined
  const keys = jwksUri ?? found?.jwksUri
  if (keys === undefined) throw wrong('jwksUri', 'is required: the metadata of the transmitter has none')
  if (stream === undefined) return { jwksUri: keys }
  const { configurationEndpoint, statusEndpoint, verificationEndpoint } = isComplete ? stream : { ...found, ...stream }
  if (configurationEndpoint === undefined)
    throw wrong('stream.configurationEndpoint', 'is required: the metadata of the transmitter has none')
  const endpoints = { ...stream, configurationEndpoint, statusEndpoint, verificationEndpoint }
  return { jwksUri: keys, stream: kept(endpoints) }
}

function checkIssuer(egress: FormParts['egress'], issuer: string): void {
  if (egress.checkConfiguredUrl(issuer, 'issuer').search !== '') throw wrong('issuer', 'must not have a query')
}

function hasToken(given: string | null | undefined, before: ChannelRecord | undefined): boolean {
  return given === undefined ? before?.hasToken === true : given !== null
}

/** A token that is there was given for these hosts, and is shown to no other. */
function requireToken(
  field: string,
  given: Pick<GivenChannel, 'config' | 'outbound'>,
  before: ChannelRecord | undefined,
  urlsOf: (config: Config) => ReadonlyArray<string | undefined>,
): void {
  if (given.outbound !== undefined || before?.hasToken !== true) return
  const origins = (config: Config) => urlsOf(config).flatMap((url) => (url === undefined ? [] : new URL(url).origin))
  const known = new Set(origins(before.config))
  if (origins(given.config).some((origin) => !known.has(origin)))
    throw wrong(field, 'must be given again: it would be shown to another host')
}

const okta = (config: Config) => [(config as unknown as OktaConfig).apiUrl]

const ssf = (config: Config) => {
  const { pollUrl, stream } = config as unknown as SsfConfig
  return [pollUrl, stream?.configurationEndpoint, stream?.statusEndpoint, stream?.verificationEndpoint]
}

/** Without what is left out: as it comes back from the database. */
function kept(config: object): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}
