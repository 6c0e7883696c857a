import type { Request, RequestHandler } from 'express'
import type { Directories, TokenOwner } from '../directory/directories.ts'
import type { Cause } from '../directory/state.ts'
import type { UnknownAttributes } from '../directory/unknown-attributes.ts'
import { NotFound } from '../errors.ts'
import { bearerOf } from '../http/credentials.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { ScimError } from './errors.ts'
import { nameOfPath } from './foreign.ts'

const owners = new WeakMap<Request, TokenOwner>()
const notes = new WeakMap<Request, UnknownAttributes['note']>()

/**
 * Lets in whoever holds a token of the directory in the path. A token of another directory finds nothing there, exactly
 * as if the directory did not exist: there is no oracle for ids.
 */
export function authenticateDirectory({
  directories,
  unknownAttributes,
}: {
  directories: Directories
  unknownAttributes: UnknownAttributes
}): RequestHandler {
  return async (req, _res, next) => {
    const token = bearerOf(req)
    const owner = token === undefined ? undefined : await directories.ownerOf(token)
    if (!owner) throw new ScimError(401, undefined, 'A valid bearer token of this directory is required')
    req.facts.directoryId = owner.directoryId
    req.facts.tokenId = owner.tokenId
    if (owner.directoryId !== req.params.directory) throw new NotFound('There is nothing at this address')
    owners.set(req, owner)
    notes.set(req, unknownAttributes.note)
    next()
  }
}

export function ownerOf(req: Request): TokenOwner {
  const owner = owners.get(req)
  if (!owner) throw new Error('this route is not behind authenticateDirectory()')
  return owner
}

/** What a SCIM write brings into the directory: the token that carried it, and the request. */
export function causeOf(req: Request): Cause {
  return { source: 'scim', actor: ownerOf(req).tokenId, requestId: req.id }
}

/**
 * Names that no schema has are skipped, so that what is known gets through. The request's line says which, and so does
 * the directory; a value, such as a filter compares with, does not reach either.
 */
export function noteUnknown(req: Request, { name }: ResourceType, unknown: readonly string[]): void {
  const paths = unknown.map(nameOfPath).filter((path) => path !== '')
  if (paths.length === 0) return
  req.facts.unknownAttributes = paths.slice(0, 20)
  notes.get(req)?.(ownerOf(req).directoryId, name, paths)
}
