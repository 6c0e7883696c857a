import { ScimError } from '../errors.ts'
import { isObject, type Json, property } from '../json.ts'
import { referenceIn, referencesOf } from './references.ts'

export type Method = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** One operation of a bulk request, readable. */
export interface BulkOperation {
  readonly method: Method
  readonly bulkId?: string
  readonly resourceType: 'User' | 'Group'
  /** Of the path: an id, or `bulkId:` and one; undefined for POST. */
  readonly target?: string
  /** The precondition, as If-Match has it. */
  readonly version?: string
  readonly data?: Json
  /** The `bulkId`s that must have become ids before: of the path, and of the data. */
  readonly references: readonly string[]
}

/** @throws ScimError for an operation that cannot be meant */
export function readOperation(raw: unknown): BulkOperation {
  if (!isObject(raw)) throw invalid('Each of Operations must be an object')
  const method = readMethod(property(raw, 'method'))
  const bulkId = readText(raw, 'bulkId')
  if (method === 'POST' && !bulkId) throw invalid('A POST needs a bulkId')
  const version = readText(raw, 'version')
  const { resourceType, target } = readPath(property(raw, 'path'), method)
  const data = method === 'DELETE' ? undefined : readData(property(raw, 'data'), method, resourceType)
  const ofPath = target === undefined ? undefined : referenceIn(target)
  return {
    method,
    resourceType,
    ...(bulkId && { bulkId }),
    ...(target !== undefined && { target }),
    ...(version && { version }),
    ...(data && { data }),
    references: [...(ofPath === undefined ? [] : [ofPath]), ...referencesOf(data)],
  }
}

/** What an answer repeats of an operation, readable or not. */
export function nameOf(raw: unknown): { method?: string; bulkId?: string } {
  if (!isObject(raw)) return {}
  const method = property(raw, 'method')
  const bulkId = property(raw, 'bulkId')
  return {
    ...(typeof method === 'string' && { method: method.toUpperCase() }),
    ...(typeof bulkId === 'string' && { bulkId }),
  }
}

function readMethod(raw: unknown): Method {
  const method = typeof raw === 'string' ? raw.toUpperCase() : ''
  if (method === 'POST' || method === 'PUT' || method === 'PATCH' || method === 'DELETE') return method
  throw invalid('method must be "POST", "PUT", "PATCH" or "DELETE"')
}

function readText(raw: Json, name: string): string | undefined {
  const value = property(raw, name) ?? ''
  if (typeof value !== 'string') throw invalid(`${name} must be a text`)
  return value === '' ? undefined : value
}

/** The collection for POST, the resource otherwise, relative to the base URL (RFC 7644 §3.7). */
function readPath(raw: unknown, method: Method): Pick<BulkOperation, 'resourceType' | 'target'> {
  if (typeof raw !== 'string') throw invalid('path must be a text')
  if (/^\/Bulk$/i.test(raw)) throw invalid('A bulk request cannot hold another')
  const [, collection, target] = /^\/(Users|Groups)(?:\/([^/?#]+))?$/i.exec(raw) ?? []
  if (!collection) throw new ScimError(404, undefined, 'There is nothing at this path')
  if ((method === 'POST') !== (target === undefined))
    throw new ScimError(405, undefined, `${method} is not possible here`)
  return {
    resourceType: collection.toLowerCase() === 'users' ? 'User' : 'Group',
    ...(target !== undefined && { target }),
  }
}

/** A user's `groups` are read-only: what they refer to is no reason to wait for it, nor a circle with the group's members. */
function readData(raw: unknown, method: Method, resourceType: 'User' | 'Group'): Json {
  if (!isObject(raw)) throw invalid(`A ${method} needs an object as its data`)
  if (resourceType === 'Group' || method === 'PATCH') return raw
  return Object.fromEntries(Object.entries(raw).filter(([key]) => key.toLowerCase() !== 'groups'))
}

function invalid(message: string): ScimError {
  return new ScimError(400, 'invalidSyntax', message)
}
