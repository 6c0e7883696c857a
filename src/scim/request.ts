import type { Request, RequestHandler } from 'express'
import type { Directories, TokenOwner } from '../directory/directories.ts'
import type { Cause } from '../directory/state.ts'
import { NotFound } from '../errors.ts'
import { bearerOf } from '../http/credentials.ts'
import { ScimError } from './errors.ts'

const owners = new WeakMap<Request, TokenOwner>()

/**
 * Lets in whoever holds a token of the directory in the path. A token of another directory finds nothing there, exactly
 * as if the directory did not exist: there is no oracle for ids.
 */
export function authenticateDirectory({ directories }: { directories: Directories }): RequestHandler {
  return async (req, _res, next) => {
    const token = bearerOf(req)
    const owner = token === undefined ? undefined : await directories.ownerOf(token)
    if (!owner) throw new ScimError(401, undefined, 'A valid bearer token of this directory is required')
    req.facts.directoryId = owner.directoryId
    req.facts.tokenId = owner.tokenId
    if (owner.directoryId !== req.params.directory) throw new NotFound('There is nothing at this address')
    owners.set(req, owner)
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

/** Names that no schema has are skipped, so that what is known gets through; the request's line says which. */
export function noteUnknown(req: Request, unknown: readonly string[]): void {
  if (unknown.length > 0) req.facts.unknownAttributes = unknown.slice(0, 20)
}
