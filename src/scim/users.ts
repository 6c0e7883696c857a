import { type Request, type Response, Router } from 'express'
import type { UserRecord, Users } from '../directory/users.ts'
import { NotFound } from '../errors.ts'
import { isResourceId } from '../ids.ts'
import { userResourceType } from '../schemas/user.ts'
import type { Cursors } from './cursor.ts'
import { resourceTypeIn } from './dialects/strict.ts'
import type { Json } from './json.ts'
import { answerPage, compileQuery, readListQuery } from './list.ts'
import { isKnown } from './precondition.ts'
import { type Projection, parseProjection, project } from './projection.ts'
import { representUser, sendNotModified, sendResource, sendScim } from './representation.ts'
import { ownerOf } from './request.ts'
import { readSearchRequest } from './search.ts'
import { userWrites } from './user-writes.ts'
import { writeOf } from './write.ts'

/** `/Users` (RFC 7644 §3). Speaks SCIM and decides nothing: access follows from the lifecycle event that `users` records. */
export function userRoutes(parts: { users: Users; cursors: Cursors; baseOf: (directoryId: string) => string }): Router {
  const { users, cursors, baseOf } = parts
  const routes = Router()
  const writes = userWrites(users)

  routes.post('/Users', async (req, res) => {
    const projection = parseProjection(req.query)
    send(req, res, 201, await writes.create(writeOf(req)), projection)
  })

  routes.get('/Users', (req, res) => sendList(req, res, req.query))
  routes.post('/Users/.search', (req, res) => sendList(req, res, readSearchRequest(req.body)))

  routes.get('/Users/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    const user = await users.get(ownerOf(req).directoryId, idOf(req))
    if (isKnown(req.get('If-None-Match'), user)) sendNotModified(res, user)
    else send(req, res, 200, user, projection)
  })

  routes.put('/Users/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    send(req, res, 200, await writes.replace(writeOf(req), idOf(req)), projection)
  })

  routes.patch('/Users/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    send(req, res, 200, await writes.patch(writeOf(req), idOf(req)), projection)
  })

  routes.delete('/Users/:id', async (req, res) => {
    await writes.remove(writeOf(req), idOf(req))
    res.status(204).end()
  })

  return routes

  async function sendList(req: Request, res: Response, parameters: Readonly<Json>): Promise<void> {
    const { directoryId, provider } = ownerOf(req)
    const projection = parseProjection(parameters)
    const query = readListQuery(parameters)
    const compiled = compileQuery(query, resourceTypeIn(provider, userResourceType), 'u')
    const answer = await answerPage({ query, scope: 'User', cursors }, directoryId, async (part) => {
      const page = await users.list(directoryId, { ...compiled, ...part })
      const shown = page.items.map((user) => representUser(user, baseOf(directoryId)))
      return { ...page, items: shown.map((resource) => project(userResourceType, resource, projection)) }
    })
    sendScim(res, answer)
  }

  function send(req: Request, res: Response, status: number, user: UserRecord, projection: Projection): void {
    const resource = representUser(user, baseOf(user.directoryId))
    req.facts.userId = user.id
    sendResource(res, status, project(userResourceType, resource, projection), resource.meta as Json)
  }
}

/** @throws NotFound for what cannot be an id */
export function idOf(req: Request): string {
  const { id } = req.params
  if (typeof id !== 'string' || !isResourceId(id)) throw new NotFound('There is no resource with this id')
  return id
}
