import { Webhook } from 'standardwebhooks'
import { GuardError } from './errors.ts'

export interface GuardOptions {
  /** Tenure's `PUBLIC_URL`: the issuer of the tokens. https, or http on the loopback. */
  tenure: string
  /** This server's RFC 9728 resource identifier, byte for byte as it is registered at Tenure. */
  resource: string
  /** The server's own credentials at Tenure (`tenure server credential add`). */
  clientId: string
  clientSecret: string
  /** The signing secret of this server's webhook; while it is rotated, the new and the old one. Without it nothing is told, and calls are re-checked. */
  webhookSecret?: string | readonly string[] | undefined
  /** What every call needs. */
  scopes?: readonly string[] | undefined
  /** What a client may ask for; default `scopes`. */
  scopesSupported?: readonly string[] | undefined
  /** How a token is checked; default by introspection. */
  check?: 'introspection' | 'jwt' | undefined
  /** What becomes of calls that only Tenure could decide about while it cannot be asked; default closed. */
  whenUnreachable?: 'closed' | 'open' | undefined
  /** How often running calls are checked again; default 5, with a webhook 30. */
  recheckSeconds?: number | undefined
  /** For how long a running call may outlive its token where a webhook is wired; default 300. Nobody can be asked about it then. */
  outliveSeconds?: number | undefined
  /** How long Tenure may take for an answer; default 3. */
  timeoutSeconds?: number | undefined
  /** What an operator should know, at most once a minute for each `code`; default `process.emitWarning`. */
  onError?: ((error: GuardError) => void) | undefined
  /** Default the global one. */
  fetch?: typeof fetch | undefined
}

export interface Settings {
  readonly issuer: string
  readonly resource: string
  readonly resourceUrl: URL
  readonly metadataUrl: URL
  readonly authorization: string
  /** None: no webhook is wired. */
  readonly verifiers: readonly Webhook[]
  readonly scopes: readonly string[]
  readonly scopesSupported: readonly string[]
  readonly check: 'introspection' | 'jwt'
  readonly whenUnreachable: 'closed' | 'open'
  readonly recheckMs: number
  readonly outliveMs: number
  readonly timeoutMs: number
  readonly fetch: typeof fetch
  /** Says it, unless the same was said within the last minute. */
  report(error: GuardError): void
}

export const wellKnown = '/.well-known/oauth-protected-resource'

const quietMs = 60_000

/** @throws GuardError `ERR_GUARD_OPTIONS` that names the option */
export function readOptions(options: GuardOptions): Settings {
  const resourceUrl = urlOf('resource', options.resource)
  const verifiers = secretsOf(options.webhookSecret).map(verifierOf)
  const scopes = scopesOf('scopes', options.scopes ?? [])
  return {
    issuer: issuerOf(options.tenure),
    resource: options.resource,
    resourceUrl,
    metadataUrl: metadataUrlOf(resourceUrl),
    authorization: basic(textOf('clientId', options.clientId), textOf('clientSecret', options.clientSecret)),
    verifiers,
    scopes,
    scopesSupported: scopesOf('scopesSupported', options.scopesSupported ?? scopes),
    check: oneOf('check', ['introspection', 'jwt'], options.check ?? 'introspection'),
    whenUnreachable: oneOf('whenUnreachable', ['closed', 'open'], options.whenUnreachable ?? 'closed'),
    recheckMs: milliseconds('recheckSeconds', options.recheckSeconds ?? (verifiers.length > 0 ? 30 : 5)),
    outliveMs: verifiers.length > 0 ? milliseconds('outliveSeconds', options.outliveSeconds ?? 300) : 0,
    timeoutMs: milliseconds('timeoutSeconds', options.timeoutSeconds ?? 3),
    fetch: options.fetch ?? ((...request) => fetch(...request)),
    report: reporter(options.onError ?? warn),
  }
}

/** Tenure's issuer never ends with a slash. */
function issuerOf(given: unknown): string {
  const url = urlOf('tenure', given)
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !isLoopback) throw wrong('tenure', 'must be https: the guard shows it credentials')
  if (url.search !== '') throw wrong('tenure', 'must have no query')
  return (given as string).replace(/\/+$/, '')
}

/** Between host and path, query kept (RFC 9728 §3.1). */
function metadataUrlOf(resource: URL): URL {
  const path = resource.pathname === '/' ? '' : resource.pathname
  return new URL(`${wellKnown}${path}${resource.search}`, resource)
}

function urlOf(name: string, given: unknown): URL {
  const url = URL.parse(textOf(name, given))
  if (!url || !/^https?:$/.test(url.protocol)) throw wrong(name, 'must be an https URL')
  if (url.hash !== '' || url.username !== '' || url.password !== '')
    throw wrong(name, 'must have no fragment and no credentials')
  return url
}

function secretsOf(given: GuardOptions['webhookSecret']): readonly string[] {
  if (given === undefined) return []
  const secrets = typeof given === 'string' ? [given] : given
  if (!Array.isArray(secrets) || secrets.length === 0) throw wrong('webhookSecret', 'must be a secret, or several')
  return secrets
}

function verifierOf(secret: string): Webhook {
  try {
    return new Webhook(textOf('webhookSecret', secret))
  } catch {
    // Whatever the library has to say may quote the secret.
    throw wrong('webhookSecret', 'must be a Standard Webhooks secret (whsec_…)')
  }
}

/** RFC 6749 §3.3; they are quoted in a header. */
function scopesOf(name: string, given: readonly string[]): readonly string[] {
  if (!Array.isArray(given) || !given.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)))
    throw wrong(name, 'must be a list of scopes')
  return given
}

function textOf(name: string, given: unknown): string {
  if (typeof given !== 'string' || given === '') throw wrong(name, 'is required')
  return given
}

function oneOf<T extends string>(name: string, choices: readonly T[], given: T): T {
  if (!choices.includes(given)) throw wrong(name, `must be one of ${choices.join(', ')}`)
  return given
}

function milliseconds(name: string, seconds: number): number {
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= 86_400))
    throw wrong(name, 'must be seconds, at most a day')
  return seconds * 1_000
}

/** RFC 6749 §2.3.1. */
function basic(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`
}

function wrong(name: string, what: string): GuardError {
  return new GuardError('ERR_GUARD_OPTIONS', `${name} ${what}`)
}

function reporter(say: (error: GuardError) => void): (error: GuardError) => void {
  const said = new Map<string, number>()
  return (error) => {
    const last = said.get(error.code)
    if (last !== undefined && performance.now() - last < quietMs) return
    said.set(error.code, performance.now())
    say(error)
  }
}

function warn(error: GuardError): void {
  process.emitWarning(error.message, { type: 'TenureGuard', code: error.code })
}
