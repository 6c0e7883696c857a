import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type CryptoKey, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { Json } from './clients.ts'

/** A request as one of the three hosts saw it. */
export interface Seen {
  readonly host: HostName
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly form: URLSearchParams
}

export type HostName = 'mcp' | 'as' | 'idp'
export type Handler = (seen: Seen, res: ServerResponse) => void | Promise<void>

/**
 * An MCP server that is ready for EMA in every respect, with its authorization server and an identity provider, on three
 * ports of 127.0.0.1. What stands in its fields can be changed to make it less so.
 */
export interface ReadyServer {
  readonly url: string
  readonly issuer: string
  readonly idpTokenEndpoint: string
  /** A host on an address that nobody lists; nothing may ever arrive. */
  readonly stranger: { readonly url: string; readonly requests: number }
  readonly client: { readonly id: string; readonly secret: string }
  readonly requests: readonly Seen[]
  /** Whatever nobody but the one it was given to may see. */
  readonly secrets: readonly string[]
  /** What the metadata say; back as they were after `restore`. */
  resource: Json
  metadata: Json
  /** Of the 401; undefined: none is sent. */
  challenge: string | undefined
  /** What the token endpoint adds to its answer, undefined taking a field away, and the headers it is sent with. */
  tokenAnswer: Json
  tokenHeaders: Record<string, string>
  /** What is in the ID-JAGs that are minted, and whether any are. */
  claims: Json
  type: string
  mints: boolean
  /** Whether the MCP server asks about each token, the token endpoint about each user and each jti. */
  honoursRevocation: boolean
  gates: boolean
  takesOnce: boolean
  /** Asked before a token or an ID-JAG from before is taken. */
  isCut: () => boolean | Promise<boolean>
  /** The tokens that nobody has revoked. */
  outstanding(): readonly string[]
  /** Answers instead of what would be there; a path without its query. */
  answer(host: HostName, path: string, handler: Handler): void
  restore(): void
  mint(claims?: Json): Promise<string>
  close(): Promise<void>
}

const client = { id: 'claude', secret: 'secret-of-an-mcp-client' }
export const idToken = 'id-token-of-somebody'
const profile = 'urn:ietf:params:oauth:grant-profile:id-jag'
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

export async function startReadyServer(): Promise<ReadyServer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const requests: Seen[] = []
  const secrets = [client.secret, idToken]
  const special = new Map<string, Handler>()
  const tokens = new Map<string, 'good' | 'revoked'>()
  const taken = new Set<unknown>()
  let numbers = 0

  const hosts = {
    mcp: await listen(serve('mcp', mcp)),
    as: await listen(serve('as', as)),
    idp: await listen(serve('idp', idp)),
  }
  const lonely = await listen((_req, res) => {
    stranger.requests++
    res.end('{}')
  }, '127.0.0.2')
  const stranger = { url: lonely.url, requests: 0 }
  const url = `${hosts.mcp.url}/mcp`
  const issuer = hosts.as.url
  const asNew = () => ({
    resource: { resource: url, authorization_servers: [issuer], scopes_supported: ['read', 'write'] } as Json,
    metadata: {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      revocation_endpoint: `${issuer}/revoke`,
      introspection_endpoint: `${issuer}/introspect`,
      response_types_supported: ['code'],
      grant_types_supported: [jwtBearer],
      authorization_grant_profiles_supported: [profile],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    } as Json,
    challenge: `Bearer resource_metadata="${hosts.mcp.url}/.well-known/oauth-protected-resource/mcp", scope="read"`,
    tokenAnswer: {} as Json,
    tokenHeaders: { 'cache-control': 'no-store' },
    claims: {} as Json,
    type: 'oauth-id-jag+jwt',
    mints: true,
    honoursRevocation: true,
    gates: true,
    takesOnce: true,
    isCut: () => false,
  })
  const server: ReadyServer = {
    ...asNew(),
    url,
    issuer,
    idpTokenEndpoint: `${hosts.idp.url}/token`,
    stranger,
    client,
    requests,
    secrets,
    outstanding: () => [...tokens].flatMap(([token, state]) => (state === 'good' ? [token] : [])),
    answer: (host, path, handler) => void special.set(`${host} ${path}`, handler),
    restore() {
      Object.assign(server, asNew())
      special.clear()
      tokens.clear()
      requests.length = 0
    },
    mint: (claims = {}) => sign(privateKey, { ...server.claims, ...claims }),
    async close() {
      await Promise.all([...Object.values(hosts), lonely].map((host) => host.close()))
    },
  }

  function serve(host: HostName, usual: Handler) {
    return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
      const path = (req.url ?? '').replace(/\?.*$/, '')
      const form = new URLSearchParams(await text(req))
      const seen = { host, method: req.method ?? '', path, headers: req.headers, form }
      requests.push(seen)
      await (special.get(`${host} ${path}`) ?? usual)(seen, res)
    }
  }

  async function mcp({ path, headers }: Seen, res: ServerResponse): Promise<void> {
    if (path === '/.well-known/oauth-protected-resource/mcp') return json(res, 200, server.resource)
    if (path !== '/mcp') return json(res, 404, {})
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
    const state = tokens.get(token)
    const good = server.honoursRevocation ? state === 'good' && !(await server.isCut()) : state !== undefined
    if (!good) return json(res, 401, {}, server.challenge === undefined ? {} : { 'www-authenticate': server.challenge })
    json(res, 200, { jsonrpc: '2.0', id: 1, result: { serverInfo: { name: 'ready', version: '1' } } })
  }

  async function as(seen: Seen, res: ServerResponse): Promise<void> {
    if (seen.path === '/.well-known/oauth-authorization-server') return json(res, 200, server.metadata)
    if (seen.path !== '/token' && seen.path !== '/revoke') return json(res, 404, {})
    if (!isClient(seen)) return json(res, 401, { error: 'invalid_client' })
    if (seen.path === '/token') return redeem(seen, res)
    if (tokens.has(seen.form.get('token') ?? '')) tokens.set(seen.form.get('token')!, 'revoked')
    json(res, 200, {})
  }

  async function redeem({ form }: Seen, res: ServerResponse): Promise<void> {
    const assertion = form.get('assertion') ?? ''
    const read = await jwtVerify(assertion, publicKey, {
      issuer: hosts.idp.url,
      audience: issuer,
      typ: 'oauth-id-jag+jwt',
    }).catch(() => undefined)
    const replayed = server.takesOnce && taken.has(read?.payload.jti)
    const cut = server.gates && (await server.isCut())
    // Some servers repeat what they were sent.
    const refusal = { error: 'invalid_grant', error_description: `not good: ${assertion}` }
    if (read === undefined || replayed || cut) return json(res, 400, refusal)
    taken.add(read.payload.jti)
    const token = `token-${++numbers}-of-the-ready-server`
    tokens.set(token, 'good')
    secrets.push(token)
    const answer = { access_token: token, token_type: 'Bearer', expires_in: 300, scope: 'read', ...server.tokenAnswer }
    json(res, 200, answer, server.tokenHeaders)
  }

  async function idp({ path, form }: Seen, res: ServerResponse): Promise<void> {
    if (path !== '/token') return json(res, 404, {})
    if (!server.mints || form.get('subject_token') !== idToken) return json(res, 400, { error: 'access_denied' })
    const claims = { aud: form.get('audience'), resource: form.get('resource'), scope: form.get('scope') }
    json(res, 200, {
      access_token: await sign(privateKey, { ...claims, ...server.claims }),
      issued_token_type: 'urn:ietf:params:oauth:token-type:id-jag',
      token_type: 'N_A',
    })
  }

  async function sign(key: CryptoKey, claims: Json): Promise<string> {
    const now = Math.floor(Date.now() / 1_000)
    const usual = { iss: hosts.idp.url, sub: 'ada', aud: issuer, client_id: client.id, resource: url, scope: 'read' }
    const whole = { ...usual, jti: `jag-${++numbers}`, iat: now, exp: now + 300, ...claims }
    const assertion = await new SignJWT(whole).setProtectedHeader({ alg: 'ES256', typ: server.type }).sign(key)
    // By their beginnings, so that one that is cut short is found as well.
    secrets.push(
      ...assertion
        .split('.')
        .slice(1)
        .map((part) => part.slice(0, 40)),
    )
    return assertion
  }

  return server
}

function isClient({ headers, form }: Seen): boolean {
  const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`
  return (
    headers.authorization === basic ||
    (form.get('client_id') === client.id && form.get('client_secret') === client.secret)
  )
}

export function json(res: ServerResponse, status: number, body: Json, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

async function listen(handler: (req: IncomingMessage, res: ServerResponse) => void, address = '127.0.0.1') {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  return {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
