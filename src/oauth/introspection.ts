import { Router } from 'express'
import { sql } from 'kysely'
import { createUseNotes } from '../db/last-used.ts'
import type { Database } from '../db/pool.ts'
import type { Gate } from '../entitlement/gate.ts'
import { type AskingParts, identify, namedBy } from './asking.ts'
import { postOnly } from './edge.ts'
import { invalidClient, invalidRequest } from './errors.ts'
import { readForm } from './form.ts'

/**
 * Token introspection (RFC 7662): what the gate says of one grant at this moment, to an operator or to the server that
 * the token is for. A server's first question about a grant is noted: a token that was issued is not yet one in use.
 */
export function introspectionRoutes({
  db,
  gate,
  issuer,
  ...credentials
}: AskingParts & { db: Database; gate: Gate; issuer: () => string }): Router {
  const noteUse = createUseNotes((grantId) =>
    sql`insert into grant_use (grant_id) values (${grantId}) on conflict do nothing`.execute(db),
  )
  const routes = Router()

  routes.post('/oauth2/introspect', async (req, res) => {
    res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' })
    const asking = await identify(req, credentials)
    if (!asking) throw invalidClient('client_unknown')
    if (asking.kind === 'server') req.facts.serverId = asking.serverId
    const form = readForm(req)
    const token = form.get('token')
    if (token === undefined) throw invalidRequest('token is required')
    const grant = await gate.check(db, namedBy(asking, token, form))
    req.facts.grantId = grant?.grantId
    req.facts.active = grant?.good ?? false
    if (!grant?.good) {
      res.json({ active: false })
      return
    }
    if (asking.kind === 'server' && grant.usedAt === null) noteUse(grant.grantId)
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
  routes.all('/oauth2/introspect', postOnly)
  return routes
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1_000)
}
