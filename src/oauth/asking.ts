import type { Request } from 'express'
import { type RawBuilder, sql } from 'kysely'
import type { Servers } from '../delivery/servers.ts'
import { basicOf, bearerOf } from '../http/credentials.ts'
import type { AdminKeys } from '../operators/keys.ts'
import { hashSecret } from '../secrets.ts'
import type { Form } from './form.ts'

/** Whoever asks about tokens and is no MCP client: an operator, or a server with its own credentials. */
export type Asking =
  | { readonly kind: 'admin'; readonly name: string }
  | { readonly kind: 'server'; readonly serverId: string }

export interface AskingParts {
  readonly servers: Pick<Servers, 'serverOf'>
  readonly adminKeys: Pick<AdminKeys, 'nameOf'>
}

/** Undefined unless the credentials are right. */
export async function identify(req: Request, { servers, adminKeys }: AskingParts): Promise<Asking | undefined> {
  const bearer = bearerOf(req)
  if (bearer !== undefined) {
    const name = await adminKeys.nameOf(bearer)
    return name === undefined ? undefined : { kind: 'admin', name }
  }
  const basic = basicOf(req)
  const serverId = basic && (await servers.serverOf(basic))
  return serverId === undefined ? undefined : { kind: 'server', serverId }
}

/**
 * The rows of `access_grant g` that a token means to whoever asks: a server its own only, by the token, or by `jti` where
 * the hint says so; an operator by either, narrowed by `server`. A jti is no secret, and a bearer that is somebody's jti
 * must not pass for a token.
 */
export function namedBy(asking: Asking, token: string, form: Form): RawBuilder<boolean> {
  const byToken = sql<boolean>`g.token_hash = ${hashSecret(token)}`
  const byJti = sql<boolean>`g.jti = ${token}`
  const isAdmin = asking.kind === 'admin'
  const isJti = form.get('token_type_hint') === 'jti'
  const named = isJti ? byJti : isAdmin ? sql<boolean>`(${byToken} or ${byJti})` : byToken
  const within = isAdmin ? form.get('server') : asking.serverId
  return within === undefined ? named : sql<boolean>`${named} and g.server_id = ${within}`
}
