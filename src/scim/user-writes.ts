import type { UserChange, UserRecord, Users } from '../directory/users.ts'
import { userResourceType } from '../schemas/user.ts'
import { normalisePatch, normaliseResource } from './dialects/normalise.ts'
import { resourceTypeIn } from './dialects/strict.ts'
import { applyPatch } from './patch/apply.ts'
import { parsePatch } from './patch/parse.ts'
import { requireMatch } from './precondition.ts'
import { readResource, recreateDocument, replaceDocument } from './resource.ts'
import type { ResourceWrites, Write } from './write.ts'

/** What POST, PUT, PATCH and DELETE do to a user (RFC 7644 §3.3, §3.5, §3.6): the same for `/Users` and for `/Bulk`. */
export function userWrites(users: Users): ResourceWrites<UserRecord> {
  return {
    create({ owner, cause, body, noteUnknown }) {
      const resourceType = resourceTypeIn(owner.provider, userResourceType)
      const read = readResource(resourceType, normaliseResource(owner.provider, resourceType, body))
      noteUnknown(resourceType, read.unknown)
      // Answered 201 with the id that the user has: whoever creates takes nothing else for success.
      const takeBack = (current: UserRecord) => recreateDocument(read, current.document)
      return users.create(owner.directoryId, read.document, cause, owner.reactivateOnCreate ? takeBack : undefined)
    },

    replace(write, id) {
      const { provider } = write.owner
      const resourceType = resourceTypeIn(provider, userResourceType)
      const body = normaliseResource(provider, resourceType, write.body)
      return change(write, id, 'PUT', (current) => {
        const read = replaceDocument(resourceType, current.document, body)
        write.noteUnknown(resourceType, read.unknown)
        return read
      })
    },

    patch(write, id) {
      const { provider } = write.owner
      const resourceType = resourceTypeIn(provider, userResourceType)
      const operations = parsePatch(normalisePatch(provider, resourceType, write.body), resourceType)
      return change(write, id, 'PATCH', (current) => {
        const patched = applyPatch(resourceType, current.document, operations, { id: current.id })
        write.noteUnknown(resourceType, patched.unknown)
        return patched
      })
    },

    remove({ owner, cause, ifMatch }, id) {
      return users.remove(owner.directoryId, id, cause, (current) => requireMatch(ifMatch, current))
    },
  }

  function change(
    { owner, cause, ifMatch }: Write,
    id: string,
    operation: string,
    apply: (current: UserRecord) => UserChange,
  ): Promise<UserRecord> {
    const applyIfMatched = (current: UserRecord) => {
      requireMatch(ifMatch, current)
      return apply(current)
    }
    return users.change(owner.directoryId, id, applyIfMatched, cause, operation)
  }
}
