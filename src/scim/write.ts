import type { Request } from 'express'
import type { TokenOwner } from '../directory/directories.ts'
import type { Cause } from '../directory/state.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { causeOf, noteUnknown, ownerOf } from './request.ts'

/** One write, whether it is a request of its own or an operation of a bulk request. */
export interface Write {
  readonly owner: TokenOwner
  readonly cause: Cause
  /** As received: each kind of write brings it to the RFC's shape by the directory's dialect. */
  readonly body: unknown
  /** The version that a PUT, PATCH or DELETE is meant for (RFC 7644 §3.14): the header, or `version` of a bulk operation. */
  readonly ifMatch: string | undefined
  /** Names that no schema has. */
  noteUnknown(resourceType: ResourceType, names: readonly string[]): void
}

/** The writes of one resource type. Each is one transaction, with the lifecycle events that it causes. */
export interface ResourceWrites<T> {
  create(write: Write): Promise<T>
  replace(write: Write, id: string): Promise<T>
  patch(write: Write, id: string): Promise<T>
  remove(write: Write, id: string): Promise<void>
}

export function writeOf(req: Request): Write {
  return {
    owner: ownerOf(req),
    cause: causeOf(req),
    body: req.body,
    ifMatch: req.get('If-Match'),
    noteUnknown: (resourceType, names) => noteUnknown(req, resourceType, names),
  }
}
