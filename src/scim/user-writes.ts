import type { UserChange, UserRecord, Users } from '../directory/users.ts'
import { userResourceType } from '../schemas/user.ts'
import { normalisePatch, normaliseResource } from './dialects/normalise.ts'
import { applyPatch } from './patch/apply.ts'
import { parsePatch } from './patch/parse.ts'
import { requireMatch } from './precondition.ts'
import { readResource, replaceDocument } from './resource.ts'
import type { ResourceWrites, Write } from './write.ts'

/** What POST, PUT, PATCH and DELETE do to a user (RFC 7644 §3.3, §3.5, §3.6): the same for `/Users` and for `/Bulk`. */
export function userWrites(users: Users): ResourceWrites<UserRecord> {
  return {
    create({ owner, cause, body, noteUnknown }) {
      const read = readResource(userResourceType, normaliseResource(owner.provider, userResourceType, body))
      noteUnknown(userResourceType, read.unknown)
      return users.create(owner.directoryId, read.document, cause)
    },

    replace(write, id) {
      const body = normaliseResource(write.owner.provider, userResourceType, write.body)
      return change(write, id, 'PUT', (current) => {
        const read = replaceDocument(userResourceType, current.document, body)
        write.noteUnknown(userResourceType, read.unknown)
        return read
      })
    },

    patch(write, id) {
      const { provider } = write.owner
      const operations = parsePatch(normalisePatch(provider, userResourceType, write.body), userResourceType)
      return change(write, id, 'PATCH', (current) => {
        const patched = applyPatch(userResourceType, current.document, operations, {
          id: current.id,
          strict: provider === 'generic',
        })
        write.noteUnknown(userResourceType, patched.unknown)
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
