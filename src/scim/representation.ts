import type { Response } from 'express'
import type { GroupRecord, Member } from '../directory/groups.ts'
import type { UserRecord } from '../directory/users.ts'
import { groupResourceType } from '../schemas/group.ts'
import { userResourceType } from '../schemas/user.ts'
import type { Json } from './json.ts'
import { entityTag } from './precondition.ts'
import { schemasOf } from './resource.ts'

export const mediaType = 'application/scim+json'

/** A user as SCIM answers it (RFC 7643 §4.1). `base`: the directory's SCIM base URL. */
export function representUser(user: UserRecord, base: string): Json {
  const groups = user.groups.map(({ value, display }) => ({
    value,
    $ref: `${base}/Groups/${value}`,
    display,
    type: 'direct',
  }))
  return {
    schemas: schemasOf(userResourceType, user.document),
    id: user.id,
    ...user.document,
    ...(groups.length > 0 ? { groups } : {}),
    meta: metaOf('User', user, `${base}/Users/${user.id}`),
  }
}

/** A group as SCIM answers it (RFC 7643 §4.2): without the key when it has no members (§2.5). `members` undefined: not asked for. */
export function representGroup(group: GroupRecord, members: readonly Member[] | undefined, base: string): Json {
  const shown = members?.map(({ value, type, display }) => ({
    value,
    $ref: `${base}/${type}s/${value}`,
    type,
    display,
  }))
  return {
    schemas: schemasOf(groupResourceType, group.document),
    id: group.id,
    ...group.document,
    ...(shown && shown.length > 0 ? { members: shown } : {}),
    meta: metaOf('Group', group, `${base}/Groups/${group.id}`),
  }
}

function metaOf(
  resourceType: string,
  record: { version: number; createdAt: Date; lastModified: Date },
  location: string,
): Json {
  return {
    resourceType,
    created: record.createdAt.toISOString(),
    lastModified: record.lastModified.toISOString(),
    location,
    version: entityTag(record.version),
  }
}

/** `Location` and `ETag` hold the same as `meta.location` and `meta.version`. */
export function sendResource(res: Response, status: number, resource: Json, meta: Json): void {
  res.status(status).set({ Location: String(meta.location), ETag: String(meta.version) })
  sendScim(res, resource)
}

/** 304: the client has it already. */
export function sendNotModified(res: Response, { version }: { readonly version: number }): void {
  res.status(304).set('ETag', entityTag(version)).end()
}

export function sendScim(res: Response, body: unknown): void {
  res.type(`${mediaTypeFor(res.req.get('Accept'))}; charset=utf-8`).send(JSON.stringify(body))
}

/** Microsoft's validator faults `application/json`: only who takes nothing else, as OneLogin's page says of its client, is given it. */
function mediaTypeFor(accept = ''): string {
  const ranges = accept.split(',').map((range) => range.split(';', 1)[0]!.trim().toLowerCase())
  return ranges.every((range) => range === 'application/json') ? 'application/json' : mediaType
}
