import { resolvePath } from '../schemas/resolve.ts'
import type { ResourceType } from '../schemas/schema.ts'
import type { AttributePath, Filter } from './ast.ts'

/**
 * The filter as text that `parseFilter` reads back to the same filter: names in the schema's spelling, without their
 * URN where they are found without it, and a value path's `[…].value eq "x"` inside its brackets, which means the same.
 */
export function printFilter(filter: Filter, resourceType: ResourceType): string {
  const print = (each: Filter) => printFilter(each, resourceType)
  switch (filter.kind) {
    case 'or':
      return filter.filters.map((each) => (each.kind === 'or' ? `(${print(each)})` : print(each))).join(' or ')
    case 'and':
      return filter.filters
        .map((each) => (each.kind === 'or' || each.kind === 'and' ? `(${print(each)})` : print(each)))
        .join(' and ')
    case 'not':
      return `not (${print(filter.filter)})`
    case 'element':
      return `${printPath(filter.path, resourceType)}[${print(filter.filter)}]`
    case 'present':
      return `${printPath(filter.path, resourceType)} pr`
    case 'compare':
      return `${printPath(filter.path, resourceType)} ${filter.op} ${JSON.stringify(filter.value)}`
  }
}

/** The shortest name that means this path of the resource type. */
export function printPath({ urn, attribute, sub }: AttributePath, resourceType: ResourceType): string {
  const name = sub ? `${attribute.name}.${sub.name}` : attribute.name
  if (urn === undefined) return name
  const found = resolvePath(resourceType, name)
  return found?.kind === 'attribute' && found.path.urn === urn ? name : `${urn}:${name}`
}
