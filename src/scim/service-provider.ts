import { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import type { Directories } from '../directory/directories.ts'
import type { Groups } from '../directory/groups.ts'
import type { Resources } from '../directory/resources.ts'
import type { UnknownAttributes } from '../directory/unknown-attributes.ts'
import type { Users } from '../directory/users.ts'
import { RateLimit } from '../http/rate-limit.ts'
import type { Sealer } from '../secrets.ts'
import { bulkRoutes } from './bulk/routes.ts'
import { createCursors } from './cursor.ts'
import { discoveryRoutes } from './discovery.ts'
import { ScimError, scimErrorBody } from './errors.ts'
import { groupRoutes } from './groups.ts'
import { limitRate, readJson, requireJsonToWrite } from './intake.ts'
import { meRoutes } from './me.ts'
import { requireMethod } from './methods.ts'
import { refusalOf, retryAfterOf } from './refusal.ts'
import { sendScim } from './representation.ts'
import { authenticateDirectory } from './request.ts'
import { rootRoutes } from './root.ts'
import { userRoutes } from './users.ts'

/**
 * The SCIM service provider of every directory, under `/directories/{directory}/scim/v2`. Whatever leaves it is SCIM:
 * a refusal too, a missing route too.
 */
export function serviceProvider(parts: {
  directories: Directories
  users: Users
  groups: Groups
  resources: Resources
  unknownAttributes: UnknownAttributes
  sealer: Sealer
  publicUrl: () => string
  requireReady: RequestHandler
}): Router {
  const baseOf = (directoryId: string) => `${parts.publicUrl()}/directories/${directoryId}/scim/v2`
  const cursors = createCursors(parts)
  const rateLimit = new RateLimit()
  const scim = Router({ mergeParams: true })
  scim.use(parts.requireReady)
  scim.use(authenticateDirectory(parts))
  scim.use(limitRate(rateLimit))
  scim.use(readJson, requireJsonToWrite)
  scim.use(requireMethod)
  scim.use(discoveryRoutes({ baseOf }))
  scim.use(userRoutes({ users: parts.users, cursors, baseOf }))
  scim.use(groupRoutes({ groups: parts.groups, cursors, baseOf }))
  scim.use(rootRoutes({ resources: parts.resources, groups: parts.groups, cursors, baseOf }))
  scim.use(meRoutes())
  scim.use(bulkRoutes({ users: parts.users, groups: parts.groups, baseOf, rateLimit }))
  scim.use(() => {
    throw new ScimError(404, undefined, 'There is nothing at this address')
  })
  scim.use(scimEdge)
  return Router().use('/directories/:directory/scim/v2', scim).use(otherVersion, refuseVersion).use(scimBase, scimEdge)
}

const otherVersion = /^\/directories\/[^/]*\/scim\/v(?!2(?:\/|$))\d+(?=\/|$)/i
/** What fails before it is in, as a directory that cannot be decoded does. */
const scimBase = /^\/directories\/[^/]*\/scim\/v\d+(?=\/|$)/i

/** RFC 7644 §3.13: another version is refused, not answered as if it were this one. Whose directory it is does not matter. */
const refuseVersion: RequestHandler = () => {
  throw new ScimError(400, 'invalidVers', 'This service provider speaks version 2 of SCIM, under /v2')
}

const scimEdge: ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  const refusal = refusalOf(error)
  if (!refusal || refusal.status >= 500) req.log.error({ error }, 'request.failed')
  const answer = refusal ?? new ScimError(500, undefined, 'Internal error')
  if (answer.status === 401) res.set('WWW-Authenticate', 'Bearer')
  const retryAfter = retryAfterOf(answer)
  if (retryAfter !== undefined) res.set('Retry-After', String(retryAfter))
  res.status(answer.status)
  sendScim(res, scimErrorBody(answer))
}
