import { type Filter as Parsed, parse } from 'scim2-parse-filter'
import { findAttribute, resolvePath } from '../schemas/resolve.ts'
import type { Attribute, ResourceType } from '../schemas/schema.ts'
import type { AttributePath, Compare, CompareOp, Element, Filter, Present } from './ast.ts'
import { FilterError, UnknownAttributeError } from './errors.ts'
import { guard, type Placeholder } from './guard.ts'
import { isNull, readOperand } from './operand.ts'

/**
 * Reads a filter of RFC 7644 §3.4.2.2 over resources of one type. Every attribute must be known to that type: taking an
 * unknown name for "no value" would answer an empty list, and an identity provider would create the user again. What
 * providers write beyond the RFC's grammar is understood, unless the type is strict.
 *
 * @throws FilterError
 */
export function parseFilter(source: string, resourceType: ResourceType): Filter {
  const scope: Scope = (name) => {
    const resolved = resolvePath(resourceType, name)
    return resolved?.kind === 'attribute' ? resolved.path : undefined
  }
  return read(source, scope, resourceType.strict)
}

/**
 * Reads what stands between the brackets of a PATCH path; its names are sub-attributes of `attribute`.
 *
 * @throws FilterError
 */
export function parseElementFilter(source: string, attribute: Attribute, strict = false): Filter {
  return read(source, within(attribute), strict)
}

type Scope = (name: string) => AttributePath | undefined

interface Reader {
  readonly scope: Scope
  readonly placeholders: readonly Placeholder[]
  readonly strict: boolean
}

function read(source: string, scope: Scope, strict = false): Filter {
  const { rewritten, placeholders } = guard(source, strict)
  return build(parseRewritten(rewritten), { scope, placeholders, strict })
}

function parseRewritten(rewritten: string): Parsed {
  try {
    return parse(rewritten)
  } catch (cause) {
    throw new FilterError('the filter cannot be read', 0, { cause })
  }
}

/** Inside brackets a name is a sub-attribute of the one value that is looked at. */
function within(attribute: Attribute): Scope {
  return (name) => {
    const sub = findAttribute(attribute.subAttributes, name)
    return sub && { attribute: sub }
  }
}

function build(parsed: Parsed, reader: Reader): Filter {
  if (parsed.op === 'not') return { kind: 'not', filter: build((parsed as { filter: Parsed }).filter, reader) }
  if (parsed.op === 'and' || parsed.op === 'or') {
    const { filters } = parsed as { filters: Parsed[] }
    const link = linkOf(filters)
    if (link) return buildElement(link, reader)
    return { kind: parsed.op, filters: filters.map((each) => build(each, reader)) }
  }
  if (parsed.op === '[]') return buildElement({ bracket: parsed as Bracket }, reader)
  return buildTerm(parsed as Term, reader)
}

interface Bracket {
  attrPath: string
  valFilter: Parsed
}

interface Term {
  op: string
  attrPath: string
  compValue?: unknown
}

interface Link {
  bracket: Bracket
  linked?: Term
}

/** The parser turns `p0[…].q2 eq "3"` into `p0[…] and p0.q2 eq "3"`; the `q` tells that both are about one value. */
function linkOf(filters: readonly Parsed[]): Link | undefined {
  const [bracket, linked] = filters as unknown as [Bracket, Term]
  return filters.length === 2 && linked.attrPath?.includes('.q') ? { bracket, linked } : undefined
}

function buildElement({ bracket, linked }: Link, reader: Reader): Element {
  const name = placeholderOf(bracket.attrPath, reader)
  const path = resolve(name, reader)
  const { attribute, sub } = path
  if (sub || !attribute.subAttributes) {
    throw new FilterError(`${name.text} has no sub-attributes to filter by`, name.position)
  }
  const inner: Reader = { ...reader, scope: within(attribute) }
  const filter = build(bracket.valFilter, inner)
  if (!linked) return { kind: 'element', path, filter }
  const term = buildTerm({ ...linked, attrPath: linked.attrPath.slice(bracket.attrPath.length + 1) }, inner)
  const filters = filter.kind === 'and' ? [...filter.filters, term] : [filter, term]
  return { kind: 'element', path, filter: { kind: 'and', filters } }
}

function buildTerm(term: Term, reader: Reader): Compare | Present {
  const name = placeholderOf(term.attrPath, reader)
  const path = resolve(name, reader)
  if (term.op === 'pr') return { kind: 'present', path }
  const op = term.op as CompareOp
  const literal = reader.placeholders[Number(term.compValue)]!
  const isWhole = path.sub || path.attribute.type !== 'complex' || isNull(literal, reader.strict)
  const comparable = isWhole ? path : valuePart(path, name)
  return {
    kind: 'compare',
    path: comparable,
    op,
    value: readOperand(comparable.sub ?? comparable.attribute, op, literal, reader.strict),
  }
}

/** `emails co "x"` and Entra's `manager eq "id"` are about `value`. */
function valuePart(path: AttributePath, name: Placeholder): AttributePath {
  const sub = findAttribute(path.attribute.subAttributes, 'value')
  if (!sub) throw new FilterError(`${name.text} has several parts; name one, such as ${example(path)}`, name.position)
  return { ...path, sub }
}

function example({ attribute }: AttributePath): string {
  return `${attribute.name}.${attribute.subAttributes?.[0]?.name}`
}

function placeholderOf(attrPath: string, { placeholders }: Reader): Placeholder {
  return placeholders[Number(attrPath.slice(1))]!
}

function resolve(name: Placeholder, { scope }: Reader): AttributePath {
  const path = scope(name.text)
  if (!path) throw new UnknownAttributeError(name.text, name.position)
  if (path.attribute.returned === 'never' || path.sub?.returned === 'never') {
    throw new FilterError(`${path.attribute.name} cannot be filtered by`, name.position)
  }
  return path
}
