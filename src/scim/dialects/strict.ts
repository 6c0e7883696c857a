import { anyResourceType } from '../../filter/across.ts'
import { groupResourceType } from '../../schemas/group.ts'
import type { ResourceType } from '../../schemas/schema.ts'
import { userResourceType } from '../../schemas/user.ts'
import type { Dialect } from './normalise.ts'

const strict = new Map(
  [userResourceType, groupResourceType, anyResourceType].map((each) => [each, { ...each, strict: true }]),
)

/** The resource type as requests of that dialect are read: those of `generic` by the letter of the RFCs. */
export function resourceTypeIn(dialect: Dialect, resourceType: ResourceType): ResourceType {
  return dialect === 'generic' ? strict.get(resourceType)! : resourceType
}
