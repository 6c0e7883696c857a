import type { GroupChange, GroupRecord, Groups } from '../directory/groups.ts'
import { groupResourceType } from '../schemas/group.ts'
import { normalisePatch, normaliseResource } from './dialects/normalise.ts'
import { resourceTypeIn } from './dialects/strict.ts'
import { applyPatch } from './patch/apply.ts'
import { parsePatch } from './patch/parse.ts'
import { requireMatch } from './precondition.ts'
import { readResource, replaceDocument } from './resource.ts'
import type { ResourceWrites, Write } from './write.ts'

/**
 * What POST, PUT, PATCH and DELETE do to a group (RFC 7644 §3.3, §3.5, §3.6): the same for `/Groups` and for `/Bulk`.
 * Members are written as what joins and what leaves.
 */
export function groupWrites(groups: Groups): ResourceWrites<GroupRecord> {
  return {
    create({ owner, cause, body, noteUnknown }) {
      const resourceType = resourceTypeIn(owner.provider, groupResourceType)
      const read = readResource(resourceType, normaliseResource(owner.provider, resourceType, body))
      noteUnknown(resourceType, read.unknown)
      const members = { replaceAll: false, add: read.members ?? [], remove: [] }
      return groups.create(owner.directoryId, { document: read.document, members }, cause)
    },

    replace(write, id) {
      const { provider } = write.owner
      const resourceType = resourceTypeIn(provider, groupResourceType)
      const body = normaliseResource(provider, resourceType, write.body)
      return change(write, id, 'PUT', (current) => {
        const { document, members, unknown } = replaceDocument(resourceType, current.document, body)
        write.noteUnknown(resourceType, unknown)
        return { document, members: members && { replaceAll: true, add: members, remove: [] } }
      })
    },

    patch(write, id) {
      const { provider } = write.owner
      const resourceType = resourceTypeIn(provider, groupResourceType)
      const operations = parsePatch(normalisePatch(provider, resourceType, write.body), resourceType)
      return change(write, id, 'PATCH', (current) => {
        const patched = applyPatch(resourceType, current.document, operations, { id: current.id })
        write.noteUnknown(resourceType, patched.unknown)
        return patched
      })
    },

    remove({ owner, cause, ifMatch }, id) {
      return groups.remove(owner.directoryId, id, cause, (current) => requireMatch(ifMatch, current))
    },
  }

  function change(
    { owner, cause, ifMatch }: Write,
    id: string,
    operation: string,
    apply: (current: GroupRecord) => GroupChange,
  ): Promise<GroupRecord> {
    const applyIfMatched = (current: GroupRecord) => {
      requireMatch(ifMatch, current)
      return apply(current)
    }
    return groups.change(owner.directoryId, id, applyIfMatched, cause, operation)
  }
}
