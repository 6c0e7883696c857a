import { type Request, Router } from 'express'
import { sql } from 'kysely'
import type { Cause } from '../directory/state.ts'
import { NotFound } from '../errors.ts'
import { isResourceId } from '../ids.ts'
import type { Grants } from '../ledger/grants.ts'
import { hashSecret } from '../secrets.ts'
import { type Asking, type AskingParts, identify, namedBy } from './asking.ts'
import type { AuthenticateClient } from './client-authentication.ts'
import { postOnly } from './edge.ts'
import { invalidClient, invalidRequest, OAuthError } from './errors.ts'
import { type Form, readForm } from './form.ts'

/**
 * Revocation (RFC 7009): one token, by the MCP client it was issued to, by the server it is for, or by an operator; and
 * for an operator all of a user, `sub=<user id>`, narrowed by `client_id`. Every server concerned is told. The user keeps
 * what the rules give: whoever must not get another token is cut, or loses the role.
 *
 * A token that is not known is as good as revoked: 200.
 */
export function revocationRoutes({
  grants,
  authenticate,
  ...credentials
}: AskingParts & { grants: Pick<Grants, 'revokeNamed' | 'revokeAll'>; authenticate: AuthenticateClient }): Router {
  const routes = Router()

  routes.post('/oauth2/revoke', async (req, res) => {
    const form = readForm(req)
    const asking = await identify(req, credentials)
    if (asking) await revokeAs(asking, form, req)
    else if (/^Bearer\b/i.test(req.get('authorization') ?? '')) throw invalidClient('client_unknown')
    else await revokeAsClient((await authenticate(req, form)).id, form, req)
    res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' }).status(200).end()
  })
  routes.all('/oauth2/revoke', postOnly)
  return routes

  async function revokeAs(asking: Asking, form: Form, req: Request): Promise<void> {
    const actor = asking.kind === 'admin' ? `key:${asking.name}` : `server:${asking.serverId}`
    req.facts.actor = actor
    const cause = causeOf(actor, req)
    const sub = asking.kind === 'admin' ? form.get('sub') : undefined
    if (sub !== undefined) return revokeAll(sub, form, cause)
    if ((await grants.revokeNamed(namedBy(asking, tokenOf(form), form), cause)) === 'several')
      throw invalidRequest('This jti is known at several servers: name the server')
  }

  async function revokeAll(sub: string, form: Form, cause: Cause): Promise<void> {
    if (form.get('token') !== undefined) throw invalidRequest('token and sub exclude each other')
    if (!isResourceId(sub)) throw invalidRequest('sub must be the id of a user')
    await grants.revokeAll(sub, { client: form.get('client_id') }, cause).catch((error) => {
      throw error instanceof NotFound ? invalidRequest('There is no such user') : error
    })
  }

  async function revokeAsClient(client: string, form: Form, req: Request): Promise<void> {
    req.facts.client = client
    const which = sql<boolean>`g.token_hash = ${hashSecret(tokenOf(form))}`
    const outcome = await grants.revokeNamed(which, causeOf(`client:${client}`, req), { client })
    // RFC 6749 §5.2 has these words for it: "was issued to another client".
    if (outcome === 'of_another_client')
      throw new OAuthError(400, 'invalid_grant', 'The token was issued to another client')
  }
}

function tokenOf(form: Form): string {
  const token = form.get('token')
  if (token === undefined) throw invalidRequest('token is required')
  return token
}

function causeOf(actor: string, { id }: Request): Cause {
  return { source: 'admin', actor, requestId: id }
}
