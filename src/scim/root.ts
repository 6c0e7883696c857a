import { type Request, type Response, Router } from 'express'
import { compileFilter } from '../directory/filter-sql.ts'
import type { Groups } from '../directory/groups.ts'
import type { Part, Resource, ResourceListing, Resources } from '../directory/resources.ts'
import { sortKeyOf } from '../directory/sort-sql.ts'
import { anyResourceType, filterFor, pathFor } from '../filter/across.ts'
import type { Filter } from '../filter/ast.ts'
import { parseFilter } from '../filter/parse.ts'
import { groupResourceType } from '../schemas/group.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { userResourceType } from '../schemas/user.ts'
import type { Cursors } from './cursor.ts'
import { resourceTypeIn } from './dialects/strict.ts'
import { representGroups } from './groups.ts'
import type { Json } from './json.ts'
import { answerPage, type ListQuery, readListQuery } from './list.ts'
import { type Projection, parseProjection, project } from './projection.ts'
import { representUser, sendScim } from './representation.ts'
import { ownerOf } from './request.ts'
import { readSearchRequest } from './search.ts'
import { readSort, refuseToSort, type Sort } from './sort.ts'

/** Queries of the whole directory, users and groups in one list (RFC 7644 §3.4.2.1, §3.4.3). */
export function rootRoutes(parts: {
  resources: Resources
  groups: Groups
  cursors: Cursors
  baseOf: (directoryId: string) => string
}): Router {
  const { resources, groups, cursors, baseOf } = parts
  const routes = Router()
  routes.get('/', (req, res) => sendList(req, res, req.query))
  routes.post('/.search', (req, res) => sendList(req, res, readSearchRequest(req.body)))
  return routes

  async function sendList(req: Request, res: Response, parameters: Readonly<Json>): Promise<void> {
    const { directoryId, provider } = ownerOf(req)
    const projection = parseProjection(parameters)
    const query = readListQuery(parameters)
    const compiled = compileAcross(query, resourceTypeIn(provider, anyResourceType))
    const answer = await answerPage({ query, scope: '', cursors }, directoryId, async (part) => {
      const page = await resources.list(directoryId, { ...compiled, ...part })
      return { ...page, items: await show(page.items, projection, baseOf(directoryId)) }
    })
    sendScim(res, answer)
  }

  async function show(items: readonly Resource[], projection: Projection, base: string): Promise<Json[]> {
    const records = items.flatMap((item) => (item.type === 'Group' ? [item.record] : []))
    const represented = await representGroups(groups, records, projection, base)
    const groupsById = new Map(represented.map((group) => [group.id, group]))
    return items.map(({ type, record }) =>
      type === 'User'
        ? project(userResourceType, representUser(record, base), projection)
        : project(groupResourceType, groupsById.get(record.id)!, projection),
    )
  }
}

function compileAcross(query: ListQuery, any: ResourceType): Pick<ResourceListing, 'users' | 'groups' | 'sort'> {
  const filter = query.filter === undefined ? undefined : parseFilter(query.filter, any)
  const sort = readSort(query, any)
  const users = compilePart(filter, sort, userResourceType, 'u')
  const groups = compilePart(filter, sort, groupResourceType, 'g')
  if (!sort) return { users, groups }
  const { kind } = users.key ?? groups.key ?? refuseToSort(sort.path)
  return { users, groups, sort: { kind, descending: sort.descending } }
}

function compilePart(
  filter: Filter | undefined,
  sort: Sort | undefined,
  resourceType: ResourceType,
  alias: string,
): Part {
  const columns = { resourceType, alias }
  const path = sort && pathFor(sort.path, resourceType)
  return {
    where: filter && compileFilter(filterFor(filter, resourceType), columns),
    key: path && sortKeyOf(path, columns),
  }
}
