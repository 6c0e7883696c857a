import type { Request, RequestHandler } from 'express'
import type { Servers } from '../delivery/servers.ts'
import { basicOf, bearerOf } from '../http/credentials.ts'
import { Unauthenticated } from '../http/problem.ts'
import type { AdminKeys } from '../operators/keys.ts'

/** Who asks: an operator with an admin key, or a server with its own credentials. */
export type Caller =
  | { readonly kind: 'admin'; readonly name: string }
  | { readonly kind: 'server'; readonly serverId: string }

const callers = new WeakMap<Request, Caller>()

/** Lets in whoever holds an admin key or a server's own credentials. */
export function authenticate({
  adminKeys,
  servers,
}: {
  adminKeys: Pick<AdminKeys, 'nameOf'>
  servers: Pick<Servers, 'serverOf'>
}): RequestHandler {
  return async (req, _res, next) => {
    const caller = await identify(req)
    if (!caller) throw new Unauthenticated('An admin key is required')
    callers.set(req, caller)
    req.facts.actor = caller.kind === 'admin' ? caller.name : caller.serverId
    next()
  }

  async function identify(req: Request): Promise<Caller | undefined> {
    const bearer = bearerOf(req)
    if (bearer !== undefined) {
      const name = await adminKeys.nameOf(bearer)
      return name === undefined ? undefined : { kind: 'admin', name }
    }
    const basic = basicOf(req)
    const serverId = basic && (await servers.serverOf(basic))
    return serverId === undefined ? undefined : { kind: 'server', serverId }
  }
}

export function callerOf(req: Request): Caller {
  const caller = callers.get(req)
  if (!caller) throw new Error('this route is not behind authenticate()')
  return caller
}

/** The name of an operator's key, on a route that is for operators. */
export function actorNameOf(req: Request): string {
  const caller = callerOf(req)
  return caller.kind === 'admin' ? caller.name : caller.serverId
}

/** The caller as it is recorded beside what it did. */
export function actorOf(req: Request): string {
  const caller = callerOf(req)
  return caller.kind === 'admin' ? `key:${caller.name}` : `server:${caller.serverId}`
}

/** What follows is not for servers. To them it is as if their credentials opened nothing at all. */
export const operatorsOnly: RequestHandler = (req, _res, next) => {
  if (callerOf(req).kind !== 'admin') throw new Unauthenticated('An admin key is required')
  next()
}
