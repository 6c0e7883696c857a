import { groupResourceType } from '../schemas/group.ts'
import { findAttribute, resolvePath } from '../schemas/resolve.ts'
import type { ResourceType } from '../schemas/schema.ts'
import { userResourceType } from '../schemas/user.ts'
import type { AttributePath, Filter, Term } from './ast.ts'

const types = [userResourceType, groupResourceType]
const schemaIds = types.flatMap(({ schema, extensions }) => [schema.id, ...extensions.map((each) => each.schema.id)])

/**
 * What a query over all types may name (RFC 7644 §3.4.2.1): a bare name is an attribute of whichever type has it, a name
 * under a URN of that schema alone. Paths in it are to be brought to one type by `pathFor` before they are used.
 */
export const anyResourceType: ResourceType = {
  name: 'User',
  endpoint: '/',
  schema: {
    id: '',
    name: 'Any',
    description: 'What any type has',
    attributes: types.flatMap(({ schema }) => schema.attributes),
  },
  extensions: types.flatMap(({ schema, extensions }) => [{ schema, required: false }, ...extensions]),
}

/** The same attribute of that type, undefined where the type has none. */
export function pathFor({ urn, attribute, sub }: AttributePath, type: ResourceType): AttributePath | undefined {
  const isCore = urn === undefined || urn === type.schema.id
  if (!isCore)
    return type.extensions.some(({ schema }) => schema.id === urn) ? { urn, attribute, ...(sub && { sub }) } : undefined
  const resolved = resolvePath(type, attribute.name)
  if (resolved?.kind !== 'attribute' || resolved.path.urn !== undefined) return undefined
  const own = resolved.path.attribute
  const ownSub = sub && findAttribute(own.subAttributes, sub.name)
  return ownSub ? { attribute: own, sub: ownSub } : { attribute: own }
}

/** The filter as it is for resources of one type, of which an attribute of another type has no value. */
export function filterFor(filter: Filter, type: ResourceType): Filter {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return { kind: filter.kind, filters: filter.filters.map((each) => filterFor(each, type)) }
    case 'not':
      return { kind: 'not', filter: filterFor(filter.filter, type) }
    default:
      return termFor(filter, type)
  }
}

function termFor(term: Term, type: ResourceType): Filter {
  const path = pathFor(term.path, type)
  if (!path) return isTrueWithoutValue(term) ? everyone : nobody
  return namesOtherSchema(term, type) ? nobody : { ...term, path }
}

function isTrueWithoutValue(term: Term): boolean {
  return term.kind === 'compare' && term.op === (term.value === null ? 'eq' : 'ne')
}

/** `schemas eq "…:Group"` asked of a user. */
function namesOtherSchema(term: Term, type: ResourceType): boolean {
  if (term.kind !== 'compare' || term.op !== 'eq' || term.path.attribute.name !== 'schemas') return false
  const wanted = String(term.value).toLowerCase()
  const own = [type.schema.id, ...type.extensions.map(({ schema }) => schema.id)]
  return !own.some((id) => id.toLowerCase() === wanted) && schemaIds.some((id) => id.toLowerCase() === wanted)
}

const id = resolvePath(userResourceType, 'id') as { readonly path: AttributePath }
const everyone: Filter = { kind: 'present', path: id.path }
const nobody: Filter = { kind: 'not', filter: everyone }
