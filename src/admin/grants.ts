import { Router } from 'express'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import type { Servers } from '../delivery/servers.ts'
import type { Directories } from '../directory/directories.ts'
import { findUser } from '../directory/find-user.ts'
import { Forbidden, Invalid } from '../errors.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'
import type { Grants } from '../ledger/grants.ts'
import { callerOf } from './auth.ts'
import { scope } from './servers.ts'

export const userReference = z.union([
  z.strictObject({ id: z.string() }),
  z.strictObject({ userName: z.string() }),
  z.strictObject({ externalId: z.string() }),
])
const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

const reportedGrant = z
  .strictObject({
    directory: z.string(),
    user: userReference,
    server: z.string(),
    client: z.string().min(1).max(2_048),
    scopes: z.array(scope).max(200),
    jti: z.string().min(1).max(500).optional(),
    token: z.string().min(1).max(16_384).optional(),
    issuedAt: time.optional(),
    expiresAt: time,
  })
  .refine(({ jti, token }) => jti !== undefined || token !== undefined, {
    path: ['jti'],
    message: 'jti or token is required',
  })

const grantQuery = pageQuery.extend({
  user: z.uuid().optional(),
  server: z.string().optional(),
  active: z.enum(['true', 'false']).optional(),
})
/** Clocks differ; an issue time further ahead than this is a mistake. */
const skewMs = 60_000

/** `POST /grants`: for operators, and for a server that records its own. */
export function grantRecordingRoutes({
  db,
  directories,
  servers,
  grants,
}: {
  db: Database
  directories: Directories
  servers: Servers
  grants: Grants
}): Router {
  const routes = Router()
  routes.post('/grants', async (req, res) => {
    const given = parse(reportedGrant, req.body)
    const caller = callerOf(req)
    if (caller.kind === 'server' && caller.serverId !== given.server)
      throw new Forbidden('A server records grants for itself only')
    checkTimes(given)
    await directories.get(given.directory)
    await servers.get(given.server)
    const userId = await findUser(db, given.directory, given.user)
    req.facts.userId = userId
    const { directory, user: _, server, ...rest } = given
    const actor = caller.kind === 'admin' ? `key:${caller.name}` : `server:${caller.serverId}`
    const { grant, isNew } = await grants.record({ ...rest, directoryId: directory, userId, serverId: server }, actor)
    res.status(isNew ? 201 : 200).json(grant)
  })
  return routes
}

/** `GET /grants`. */
export function grantRoutes({ grants }: { grants: Grants }): Router {
  const routes = Router()
  routes.get('/grants', async (req, res) => {
    const { user, server, active, limit, cursor } = parse(grantQuery, req.query)
    const items = await grants.list({
      userId: user,
      serverId: server,
      active: active === undefined ? undefined : active === 'true',
      limit,
      before: cursorKey(cursor),
    })
    res.json(listed(items, limit, ({ id }) => id))
  })
  return routes
}

function checkTimes({ issuedAt, expiresAt }: { issuedAt?: Date; expiresAt: Date }): void {
  const now = Date.now()
  if (issuedAt && issuedAt.getTime() > now + skewMs) {
    throw new Invalid('The grant is issued in the future', [{ field: 'issuedAt', message: 'is in the future' }])
  }
  if (expiresAt.getTime() <= (issuedAt?.getTime() ?? now)) {
    throw new Invalid('The grant ends before it begins', [{ field: 'expiresAt', message: 'is not after issuedAt' }])
  }
}
