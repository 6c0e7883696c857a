import { type Request, Router } from 'express'
import type { GroupRecord, Groups } from '../../directory/groups.ts'
import type { UserRecord, Users } from '../../directory/users.ts'
import type { RateLimit } from '../../http/rate-limit.ts'
import { ScimError } from '../errors.ts'
import { groupWrites } from '../group-writes.ts'
import type { Json } from '../json.ts'
import { refusalOf } from '../refusal.ts'
import { representGroup, representUser, sendScim } from '../representation.ts'
import { ownerOf } from '../request.ts'
import { userWrites } from '../user-writes.ts'
import type { ResourceWrites } from '../write.ts'
import { writeOf } from '../write.ts'
import { readBulkRequest } from './request.ts'
import { type BulkTarget, runBulk, type Written } from './run.ts'

/** `/Bulk` (RFC 7644 §3.7): many writes in one request, each as if it had come alone. */
export function bulkRoutes(parts: {
  users: Users
  groups: Groups
  baseOf: (directoryId: string) => string
  rateLimit: RateLimit
}): Router {
  const { baseOf, rateLimit } = parts
  const users = userWrites(parts.users)
  const groups = groupWrites(parts.groups)
  const routes = Router()

  /** Each operation is charged like the request that it stands for. */
  routes.post('/Bulk', async (req, res) => {
    const request = readBulkRequest(req.body)
    const { tokenId, requestsPerSecond } = ownerOf(req)
    rateLimit.charge(tokenId, requestsPerSecond, Math.max(0, request.operations.length - 1))
    const results = await runBulk(request, writeOf(req), targetOf(req), () => res.closed)
    req.facts.bulkOperations = results.length
    req.facts.bulkFailures = results.filter(({ response }) => response).length
    sendScim(res, { schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkResponse'], Operations: results })
  })

  return routes

  function targetOf(req: Request): BulkTarget {
    const base = baseOf(ownerOf(req).directoryId)
    const user = written(users, (record: UserRecord) => representUser(record, base))
    const group = written(groups, (record: GroupRecord) => representGroup(record, undefined, base))
    const of = (resourceType: 'User' | 'Group') => (resourceType === 'User' ? user : group)
    return {
      create: (resourceType, write) => of(resourceType).create(write),
      replace: (resourceType, write, id) => of(resourceType).replace(write, id),
      patch: (resourceType, write, id) => of(resourceType).patch(write, id),
      remove: (resourceType, write, id) => of(resourceType).remove(write, id),
      locationOf: (resourceType, id) => `${base}/${resourceType}s/${id}`,
      refusalOf(error) {
        const refusal = refusalOf(error)
        if (!refusal || refusal.status >= 500) req.log.error({ error }, 'request.failed')
        return refusal ?? new ScimError(500, undefined, 'Internal error')
      },
    }
  }
}

function written<T extends { id: string }>(
  writes: ResourceWrites<T>,
  represent: (record: T) => Json,
): ResourceWrites<Written> {
  const show = (record: T): Written => {
    const meta = represent(record).meta as Json
    return { id: record.id, location: String(meta.location), version: String(meta.version) }
  }
  return {
    create: async (write) => show(await writes.create(write)),
    replace: async (write, id) => show(await writes.replace(write, id)),
    patch: async (write, id) => show(await writes.patch(write, id)),
    remove: (write, id) => writes.remove(write, id),
  }
}
