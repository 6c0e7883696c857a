import express, { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Servers } from '../delivery/servers.ts'
import type { Gate } from '../entitlement/gate.ts'
import { basicOf, bearerOf } from '../http/credentials.ts'
import { bodyProblem, isUnstorable } from '../http/problem.ts'
import type { AdminKeys } from '../operators/keys.ts'
import { hashSecret } from '../secrets.ts'
import { asUnavailable } from '../unreachable.ts'
import { OAuthError } from './errors.ts'

const largestBody = '16kb'

/**
 * Token introspection (RFC 7662): what the gate says of one grant at this moment.
 *
 * By token for a server's own credentials, which see that server's tokens only, or for an admin key. By `jti` only for
 * an admin key (narrowed by `server`), or with `token_type_hint=jti` within the asking server: a jti is no secret, and
 * a bearer that is somebody's jti must not pass for a token.
 */
export function introspectionRoutes({
  db,
  gate,
  servers,
  adminKeys,
  issuer,
  requireReady,
}: {
  db: Database
  gate: Gate
  servers: Servers
  adminKeys: Pick<AdminKeys, 'nameOf'>
  issuer: () => string
  requireReady: RequestHandler
}): Router {
  const routes = Router()
  routes.use('/oauth2', requireReady, express.urlencoded({ extended: false, limit: largestBody }))

  routes.post('/oauth2/introspect', async (req, res) => {
    res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' })
    const asking = await authenticate(req)
    const { token, hint, server } = readForm(req.body)
    const isAdmin = asking.kind === 'admin'
    const byToken = sql<boolean>`g.token_hash = ${hashSecret(token)}`
    const byJti = sql<boolean>`g.jti = ${token}`
    const named = hint === 'jti' ? byJti : isAdmin ? sql<boolean>`(${byToken} or ${byJti})` : byToken
    const within = isAdmin ? server : asking.serverId
    const grant = await gate.check(
      db,
      within === undefined ? named : sql<boolean>`${named} and g.server_id = ${within}`,
    )
    req.facts.grantId = grant?.grantId
    req.facts.active = grant?.good ?? false
    if (!grant?.good) {
      res.json({ active: false })
      return
    }
    res.json({
      active: true,
      scope: grant.scopes.join(' '),
      client_id: grant.client,
      sub: grant.userId,
      aud: grant.resource,
      iss: issuer(),
      iat: seconds(grant.issuedAt),
      exp: seconds(grant.expiresAt),
      ...(grant.jti === null ? {} : { jti: grant.jti }),
      token_type: 'Bearer',
    })
  })

  routes.all('/oauth2/introspect', (_req, res) => {
    res.set('Allow', 'POST')
    throw new OAuthError(405, 'invalid_request', 'Introspection takes POST')
  })
  routes.use('/oauth2', oauthEdge)
  return routes

  async function authenticate(req: express.Request): Promise<{ kind: 'admin' } | { kind: 'server'; serverId: string }> {
    const bearer = bearerOf(req)
    if (bearer !== undefined && (await adminKeys.nameOf(bearer)) !== undefined) return { kind: 'admin' }
    const basic = bearer === undefined ? basicOf(req) : undefined
    const serverId = basic && (await servers.serverOf(basic))
    if (serverId === undefined) throw new OAuthError(401, 'invalid_client', 'Client authentication failed')
    req.facts.serverId = serverId
    return { kind: 'server', serverId }
  }
}

function readForm(body: unknown): { token: string; hint: string | undefined; server: string | undefined } {
  const form = (body ?? {}) as Record<string, unknown>
  for (const [name, value] of Object.entries(form)) {
    if (Array.isArray(value)) throw new OAuthError(400, 'invalid_request', `${name} is repeated`)
  }
  const { token, token_type_hint: hint, server } = form
  if (typeof token !== 'string' || token === '') throw new OAuthError(400, 'invalid_request', 'token is required')
  return {
    token,
    hint: typeof hint === 'string' ? hint : undefined,
    server: typeof server === 'string' && server !== '' ? server : undefined,
  }
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000)
}

/** RFC 6749 §5.2. */
const oauthEdge: ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  if (error instanceof OAuthError) {
    if (error.status === 401) res.set('WWW-Authenticate', 'Basic realm="tenure", Bearer')
    res.status(error.status).json({ error: error.error, error_description: error.message })
    return
  }
  if (isUnstorable(error)) {
    res
      .status(400)
      .json({ error: 'invalid_request', error_description: 'A parameter holds a character that cannot be' })
    return
  }
  const malformed = bodyProblem(error)
  if (malformed) {
    res.status(malformed.status).json({ error: 'invalid_request', error_description: malformed.detail })
    return
  }
  const unavailable = asUnavailable(error)
  req.log.error({ error }, 'request.failed')
  if (unavailable)
    res.status(503).set('Retry-After', String(unavailable.retryAfterSeconds)).json({ error: 'temporarily_unavailable' })
  else res.status(500).json({ error: 'server_error' })
}
