import { type Request, type Response, Router } from 'express'
import type { GroupRecord, Groups } from '../directory/groups.ts'
import { groupResourceType } from '../schemas/group.ts'
import type { Cursors } from './cursor.ts'
import { resourceTypeIn } from './dialects/strict.ts'
import { groupWrites } from './group-writes.ts'
import type { Json } from './json.ts'
import { answerPage, compileQuery, readListQuery } from './list.ts'
import { entityTag, isKnown } from './precondition.ts'
import { includesAttribute, type Projection, parseProjection, project } from './projection.ts'
import { representGroup, sendNotModified, sendResource, sendScim } from './representation.ts'
import { ownerOf } from './request.ts'
import { readSearchRequest } from './search.ts'
import { idOf } from './users.ts'
import { writeOf } from './write.ts'

/** `/Groups` (RFC 7644 §3). Members are rows: read only when they are answered, written as what joins and what leaves. */
export function groupRoutes(parts: {
  groups: Groups
  cursors: Cursors
  baseOf: (directoryId: string) => string
}): Router {
  const { groups, cursors, baseOf } = parts
  const routes = Router()
  const writes = groupWrites(groups)

  routes.post('/Groups', async (req, res) => {
    const projection = parseProjection(req.query)
    await send(req, res, 201, await writes.create(writeOf(req)), projection)
  })

  routes.get('/Groups', (req, res) => sendList(req, res, req.query))
  routes.post('/Groups/.search', (req, res) => sendList(req, res, readSearchRequest(req.body)))

  routes.get('/Groups/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    const group = await groups.get(ownerOf(req).directoryId, idOf(req))
    if (isKnown(req.get('If-None-Match'), group)) sendNotModified(res, group)
    else await send(req, res, 200, group, projection)
  })

  routes.put('/Groups/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    await send(req, res, 200, await writes.replace(writeOf(req), idOf(req)), projection)
  })

  /**
   * 204 unless the request says what to answer: `attributes` must be answered with 200 (RFC 7644 §3.5.2), and whoever
   * leaves something out expects the rest. Entra wants no members back, and Okta takes either.
   */
  routes.patch('/Groups/:id', async (req, res) => {
    const projection = parseProjection(req.query)
    const group = await writes.patch(writeOf(req), idOf(req))
    const { attributes, excludedAttributes } = req.query
    if (attributes !== undefined || excludedAttributes !== undefined) await send(req, res, 200, group, projection)
    else res.status(204).set('ETag', entityTag(group.version)).end()
  })

  routes.delete('/Groups/:id', async (req, res) => {
    await writes.remove(writeOf(req), idOf(req))
    res.status(204).end()
  })

  return routes

  async function sendList(req: Request, res: Response, parameters: Readonly<Json>): Promise<void> {
    const { directoryId, provider } = ownerOf(req)
    const projection = parseProjection(parameters)
    const query = readListQuery(parameters)
    const compiled = compileQuery(query, resourceTypeIn(provider, groupResourceType), 'g')
    const answer = await answerPage({ query, scope: 'Group', cursors }, directoryId, async (part) => {
      const page = await groups.list(directoryId, { ...compiled, ...part })
      return { ...page, items: await show(directoryId, page.items, projection) }
    })
    sendScim(res, answer)
  }

  async function send(req: Request, res: Response, status: number, group: GroupRecord, projection: Projection) {
    req.facts.groupId = group.id
    const [resource] = await representGroups(groups, [group], projection, baseOf(group.directoryId))
    sendResource(res, status, project(groupResourceType, resource!, projection), resource!.meta as Json)
  }

  async function show(directoryId: string, found: readonly GroupRecord[], projection: Projection): Promise<Json[]> {
    const resources = await representGroups(groups, found, projection, baseOf(directoryId))
    return resources.map((resource) => project(groupResourceType, resource, projection))
  }
}

/** With the members, unless the projection leaves them out: then nobody reads them. */
export async function representGroups(
  groups: Groups,
  found: readonly GroupRecord[],
  projection: Projection,
  base: string,
): Promise<Json[]> {
  const shown = includesAttribute(groupResourceType, projection, 'members')
  const members = shown ? await groups.members(found.map(({ id }) => id)) : undefined
  return found.map((group) => representGroup(group, members && (members.get(group.id) ?? []), base))
}
