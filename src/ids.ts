import { randomBytes, randomUUID } from 'node:crypto'

/** Ids carry their kind, so that one pasted into the wrong field is seen to be wrong. SCIM resources have bare UUIDs. */
export type IdKind = 'evt' | 'grt' | 'dlv' | 'con' | 'tok' | 'att' | 'srv' | 'sec' | 'key' | 'act' | 'inb'

/** Time-ordered within its kind, to the millisecond: rows made together lie together. Only `A–Z a–z 0–9 - _`. */
export function newId(kind: IdKind): string {
  const time = Date.now().toString(36).padStart(9, '0')
  return `${kind}_${time}${randomBytes(12).toString('base64url')}`
}

/** A SCIM resource id (RFC 7643 §3.1). */
export function newResourceId(): string {
  return randomUUID()
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether a path segment can be the id of a resource at all; anything else is simply not found. */
export function isResourceId(text: string): boolean {
  return UUID.test(text)
}
