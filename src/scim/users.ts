import { type Request, type Response, Router } from 'express'
import type { UserChange, UserRecord, Users } from '../directory/users.ts'
import { NotFound } from '../errors.ts'
import { isResourceId } from '../ids.ts'
import { userResourceType } from '../schemas/user.ts'
import { normalisePatch, normaliseResource } from './dialects/normalise.ts'
import type { Json } from './json.ts'
import { listResponse, readListQuery } from './list.ts'
import { applyPatch } from './patch/apply.ts'
import { parsePatch } from './patch/parse.ts'
import { parseProjection, project } from './projection.ts'
import { representUser, sendResource, sendScim } from './representation.ts'
import { causeOf, noteUnknown, ownerOf } from './request.ts'
import { readResource, replaceDocument } from './resource.ts'

/** `/Users` (RFC 7644 §3). Speaks SCIM and decides nothing: access follows from the lifecycle event that `users` records. */
export function userRoutes({ users, baseOf }: { users: Users; baseOf: (directoryId: string) => string }): Router {
  const routes = Router()

  routes.post('/Users', async (req, res) => {
    const { directoryId, provider } = ownerOf(req)
    const read = readResource(userResourceType, normaliseResource(provider, userResourceType, req.body))
    noteUnknown(req, read.unknown)
    send(req, res, 201, await users.create(directoryId, read.document, causeOf(req)))
  })

  routes.get('/Users', async (req, res) => {
    const { directoryId } = ownerOf(req)
    const projection = parseProjection(req.query)
    const { where, startIndex, count } = readListQuery(req.query, userResourceType, 'u')
    const { items, total } = await users.list(directoryId, { where, offset: startIndex - 1, limit: count })
    const resources = items.map((user) =>
      project(userResourceType, representUser(user, baseOf(directoryId)), projection),
    )
    sendScim(res, listResponse(resources, total, startIndex))
  })

  routes.get('/Users/:id', async (req, res) => {
    send(req, res, 200, await users.get(ownerOf(req).directoryId, idOf(req)))
  })

  routes.put('/Users/:id', async (req, res) => {
    const body = normaliseResource(ownerOf(req).provider, userResourceType, req.body)
    await change(req, res, 'PUT', (current) => {
      const read = replaceDocument(userResourceType, current.document, body)
      noteUnknown(req, read.unknown)
      return read
    })
  })

  routes.patch('/Users/:id', async (req, res) => {
    const { provider } = ownerOf(req)
    const operations = parsePatch(normalisePatch(provider, userResourceType, req.body), userResourceType)
    await change(req, res, 'PATCH', (current) => {
      const patched = applyPatch(userResourceType, current.document, operations, {
        id: current.id,
        strict: provider === 'generic',
      })
      noteUnknown(req, patched.unknown)
      return patched
    })
  })

  routes.delete('/Users/:id', async (req, res) => {
    await users.remove(ownerOf(req).directoryId, idOf(req), causeOf(req))
    res.status(204).end()
  })

  return routes

  async function change(
    req: Request,
    res: Response,
    operation: string,
    apply: (current: UserRecord) => UserChange,
  ): Promise<void> {
    send(req, res, 200, await users.change(ownerOf(req).directoryId, idOf(req), apply, causeOf(req), operation))
  }

  function send(req: Request, res: Response, status: number, user: UserRecord): void {
    const resource = representUser(user, baseOf(user.directoryId))
    req.facts.userId = user.id
    sendResource(res, status, project(userResourceType, resource, parseProjection(req.query)), resource.meta as Json)
  }
}

/** @throws NotFound for what cannot be an id */
export function idOf(req: Request): string {
  const { id } = req.params
  if (typeof id !== 'string' || !isResourceId(id)) throw new NotFound('There is no resource with this id')
  return id
}
