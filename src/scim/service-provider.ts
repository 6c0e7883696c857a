import express, { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import type { Directories } from '../directory/directories.ts'
import type { Groups } from '../directory/groups.ts'
import type { Users } from '../directory/users.ts'
import { TenureError } from '../errors.ts'
import { bodyProblem, isUnstorable } from '../http/problem.ts'
import { asUnavailable } from '../unreachable.ts'
import { discoveryRoutes, largestBodyBytes } from './discovery.ts'
import { ScimError, scimErrorBody, toScimError } from './errors.ts'
import { groupRoutes } from './groups.ts'
import { sendScim } from './representation.ts'
import { authenticateDirectory } from './request.ts'
import { userRoutes } from './users.ts'

/** Media types that identity providers really send (RFC 7644 §3.1 and their dialects). */
const readable = ['application/scim+json', 'application/json', 'application/*+json', 'text/json']

/**
 * The SCIM service provider of every directory, under `/directories/{directory}/scim/v2`. Whatever leaves it is SCIM:
 * a refusal too, a missing route too.
 */
export function serviceProvider(parts: {
  directories: Directories
  users: Users
  groups: Groups
  publicUrl: () => string
  requireReady: RequestHandler
}): Router {
  const baseOf = (directoryId: string) => `${parts.publicUrl()}/directories/${directoryId}/scim/v2`
  const scim = Router({ mergeParams: true })
  scim.use(parts.requireReady)
  scim.use(authenticateDirectory(parts))
  scim.use(express.json({ type: readable, limit: largestBodyBytes }))
  scim.use(discoveryRoutes({ baseOf }))
  scim.use(userRoutes({ users: parts.users, baseOf }))
  scim.use(groupRoutes({ groups: parts.groups, baseOf }))
  scim.use((req) => {
    const known = /^\/(Users|Groups)(\/[^/]+)?$/.test(req.path)
    throw known
      ? new ScimError(405, undefined, `${req.method} is not possible here`)
      : new ScimError(404, undefined, 'There is nothing at this address')
  })
  scim.use(scimEdge)
  return Router().use('/directories/:directory/scim/v2', scim)
}

const scimEdge: ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  const refusal = refusalOf(error)
  if (!refusal || refusal.status >= 500) req.log.error({ error }, 'request.failed')
  const answer = refusal ?? new ScimError(500, undefined, 'Internal error')
  if (answer.status === 401) res.set('WWW-Authenticate', 'Bearer')
  if (answer.status === 405) res.set('Allow', req.path.split('/').length > 2 ? 'GET, PUT, PATCH, DELETE' : 'GET, POST')
  if (answer.status === 503) res.set('Retry-After', '1')
  res.status(answer.status)
  sendScim(res, scimErrorBody(answer))
}

function refusalOf(error: unknown): ScimError | undefined {
  const unavailable = asUnavailable(error)
  if (unavailable) return new ScimError(503, undefined, unavailable.message)
  if (isUnstorable(error)) return new ScimError(400, 'invalidValue', 'A text holds a character that cannot be stored')
  const malformed = bodyProblem(error)
  if (malformed)
    return new ScimError(
      malformed.status,
      malformed.status === 400 ? 'invalidSyntax' : undefined,
      malformed.detail ?? malformed.title,
    )
  return error instanceof TenureError ? toScimError(error) : undefined
}
