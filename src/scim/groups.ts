import { type Request, type Response, Router } from 'express'
import type { GroupChange, GroupRecord, Groups } from '../directory/groups.ts'
import { groupResourceType } from '../schemas/group.ts'
import { normalisePatch, normaliseResource } from './dialects/normalise.ts'
import type { Json } from './json.ts'
import { listResponse, readListQuery } from './list.ts'
import { applyPatch } from './patch/apply.ts'
import { parsePatch } from './patch/parse.ts'
import { includesAttribute, parseProjection, project } from './projection.ts'
import { representGroup, sendResource, sendScim } from './representation.ts'
import { causeOf, noteUnknown, ownerOf } from './request.ts'
import { readResource, replaceDocument } from './resource.ts'
import { idOf } from './users.ts'

/** `/Groups` (RFC 7644 §3). Members are rows: read only when they are answered, written as what joins and what leaves. */
export function groupRoutes({ groups, baseOf }: { groups: Groups; baseOf: (directoryId: string) => string }): Router {
  const routes = Router()

  routes.post('/Groups', async (req, res) => {
    const { directoryId, provider } = ownerOf(req)
    const read = readResource(groupResourceType, normaliseResource(provider, groupResourceType, req.body))
    noteUnknown(req, read.unknown)
    const members = { replaceAll: false, add: read.members ?? [], remove: [] }
    await send(req, res, 201, await groups.create(directoryId, { document: read.document, members }, causeOf(req)))
  })

  routes.get('/Groups', async (req, res) => {
    const { directoryId } = ownerOf(req)
    const projection = parseProjection(req.query)
    const { where, startIndex, count } = readListQuery(req.query, groupResourceType, 'g')
    const { items, total } = await groups.list(directoryId, { where, offset: startIndex - 1, limit: count })
    const shown = includesAttribute(groupResourceType, projection, 'members')
    const members = shown ? await groups.members(items.map(({ id }) => id)) : undefined
    const resources = items.map((group) =>
      project(
        groupResourceType,
        representGroup(group, members && (members.get(group.id) ?? []), baseOf(directoryId)),
        projection,
      ),
    )
    sendScim(res, listResponse(resources, total, startIndex))
  })

  routes.get('/Groups/:id', async (req, res) => {
    await send(req, res, 200, await groups.get(ownerOf(req).directoryId, idOf(req)))
  })

  routes.put('/Groups/:id', async (req, res) => {
    const body = normaliseResource(ownerOf(req).provider, groupResourceType, req.body)
    const group = await change(req, 'PUT', (current) => {
      const { document, members, unknown } = replaceDocument(groupResourceType, current.document, body)
      noteUnknown(req, unknown)
      return { document, members: members && { replaceAll: true, add: members, remove: [] } }
    })
    await send(req, res, 200, group)
  })

  /** 204 unless attributes are asked for: Entra wants no members back, and Okta takes either. */
  routes.patch('/Groups/:id', async (req, res) => {
    const { provider } = ownerOf(req)
    const operations = parsePatch(normalisePatch(provider, groupResourceType, req.body), groupResourceType)
    const group = await change(req, 'PATCH', (current) => {
      const patched = applyPatch(groupResourceType, current.document, operations, {
        id: current.id,
        strict: provider === 'generic',
      })
      noteUnknown(req, patched.unknown)
      return patched
    })
    if (req.query.attributes !== undefined) await send(req, res, 200, group)
    else res.status(204).set('ETag', `W/"${group.version}"`).end()
  })

  routes.delete('/Groups/:id', async (req, res) => {
    await groups.remove(ownerOf(req).directoryId, idOf(req), causeOf(req))
    res.status(204).end()
  })

  return routes

  function change(req: Request, operation: string, apply: (current: GroupRecord) => GroupChange): Promise<GroupRecord> {
    return groups.change(ownerOf(req).directoryId, idOf(req), apply, causeOf(req), operation)
  }

  async function send(req: Request, res: Response, status: number, group: GroupRecord): Promise<void> {
    const projection = parseProjection(req.query)
    const shown = includesAttribute(groupResourceType, projection, 'members')
    const members = shown ? ((await groups.members([group.id])).get(group.id) ?? []) : undefined
    const resource = representGroup(group, members, baseOf(group.directoryId))
    req.facts.groupId = group.id
    sendResource(res, status, project(groupResourceType, resource, projection), resource.meta as Json)
  }
}
