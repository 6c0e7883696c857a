import fc from 'fast-check'
import { enterpriseUserSchema } from '../../src/schemas/enterprise-user.ts'
import { type Json, patchSchema } from './clients.ts'

/**
 * What RFC 7644 §3.5.2 makes of a resource, over plain objects and by the meaning of each step: no path is ever parsed
 * here. `patchBody` says the same steps to a server, each in one of the forms that it may have.
 */
export interface Step {
  readonly op: 'add' | 'replace' | 'remove'
  readonly at: Place
  /** Absent, null, '' and [] are "unassigned". */
  readonly value?: unknown
}

export type Place =
  | { readonly kind: 'single'; readonly name: string; readonly urn?: string; readonly required?: boolean }
  | { readonly kind: 'complex'; readonly name: string; readonly urn?: string; readonly sub?: string }
  | {
      readonly kind: 'list'
      readonly name: string
      /** The values that have all of these; every value when absent. */
      readonly where?: Readonly<Record<string, unknown>>
      readonly sub?: string
    }
  | { readonly kind: 'extension'; readonly urn: string }
  | { readonly kind: 'members'; readonly how: 'list' | 'filter' }
  | { readonly kind: 'unknown'; readonly name: string }
  | { readonly kind: 'readOnly'; readonly name: string }

/** A step that is refused, by its `scimType`. */
export class Refused extends Error {}

type Element = Record<string, unknown>

const enterprise = enterpriseUserSchema.id
const foreign = 'urn:example:params:2.0:Badge'
const labels = new Set(['type', 'primary', 'display'])

/** All steps or, by throwing, none. The `members` of a group are ids. @throws Refused */
export function applySteps(before: Json, steps: readonly Step[]): Json {
  const after = structuredClone(before)
  for (const step of steps) applyStep(after, step)
  for (const urn of [enterprise, foreign]) if (after[urn] && Object.keys(after[urn]).length === 0) delete after[urn]
  return after
}

function applyStep(resource: Json, { op, at, value }: Step): void {
  switch (at.kind) {
    case 'unknown':
      return
    case 'readOnly':
      throw new Refused('mutability')
    case 'extension':
      if (op === 'remove' || isNone(value)) delete resource[at.urn]
      else for (const [name, each] of Object.entries(value as Element)) put(partOf(resource, at.urn), name, each)
      return
    case 'members':
      resource.members = membersAfter(resource.members, op, value as string[] | undefined)
      return
    case 'single': {
      const isGone = op === 'remove' || isNone(value)
      if (isGone && at.required) throw new Refused('mutability')
      if (!isGone && typeof value !== (at.name === 'active' ? 'boolean' : 'string')) throw new Refused('invalidValue')
      put(at.urn ? partOf(resource, at.urn) : resource, at.name, isGone ? undefined : value)
      return
    }
    case 'complex': {
      const container = at.urn ? partOf(resource, at.urn) : resource
      put(container, at.name, complexAfter(container[at.name] as Element | undefined, op, at, value))
      return
    }
    case 'list':
      put(resource, at.name, listAfter(resource[at.name] ?? [], op, at, value))
  }
}

function isNone(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

function same(a: unknown, b: unknown): boolean {
  return typeof a === 'string' && typeof b === 'string' ? a.toLowerCase() === b.toLowerCase() : a === b
}

function put(container: Element, name: string, value: unknown): void {
  if (isNone(value)) delete container[name]
  else container[name] = value
}

function partOf(resource: Json, urn: string): Element {
  resource[urn] ??= {}
  return resource[urn]
}

function membersAfter(members: string[], op: Step['op'], named: string[] | undefined): string[] {
  if (op === 'replace') return [...new Set(named ?? [])]
  if (op === 'add') return [...new Set([...members, ...named!])]
  return named === undefined ? [] : members.filter((each) => !named.includes(each))
}

/** Named parts change, the others stay. A manager is its `value`, and an old `$ref` leads to the old one. */
function complexAfter(
  before: Element | undefined,
  op: Step['op'],
  { name, sub }: { name: string; sub?: string },
  value: unknown,
): unknown {
  if (!sub && (op === 'remove' || isNone(value))) return undefined
  const given: Element = sub ? { [sub]: op === 'remove' ? null : value } : (value as Element)
  const after = { ...before }
  for (const [part, each] of Object.entries(given)) put(after, part, each)
  if (name === 'manager' && after.value !== before?.value && !('$ref' in given)) delete after.$ref
  const isGone = name === 'manager' ? after.value === undefined : Object.keys(after).length === 0
  return isGone ? undefined : after
}

function listAfter(
  before: readonly Element[],
  op: Step['op'],
  { where, sub }: { where?: Readonly<Element>; sub?: string },
  value: unknown,
): Element[] {
  const list = before.map((each) => ({ ...each }))
  const meant = list.filter((each) => Object.entries(where ?? {}).every(([name, wanted]) => same(each[name], wanted)))
  const written = new Set<Element>()
  const write = (element: Element, given: Element) => written.add(Object.assign(element, given))
  const make = (given: Element) => {
    const element = { ...where, ...given }
    list.push(element)
    written.add(element)
  }

  if (sub && (op === 'remove' || isNone(value))) {
    for (const each of meant) delete each[sub]
    return list.filter((each) => !meant.includes(each) || Object.keys(each).some((name) => !labels.has(name)))
  }
  if (sub) {
    if (meant.length === 0) make({ [sub]: value })
    for (const each of meant) write(each, { [sub]: value })
  } else if (where) {
    if (op === 'remove' || (op === 'replace' && isNone(value))) return list.filter((each) => !meant.includes(each))
    if (isNone(value)) return list
    if (meant.length === 0 && op === 'replace') throw new Refused('noTarget')
    if (meant.length === 0) make(value as Element)
    for (const each of meant) {
      if (op === 'replace') for (const name of Object.keys(each)) delete each[name]
      write(each, op === 'replace' ? { ...where, ...(value as Element) } : (value as Element))
    }
  } else {
    const given = isNone(value) ? [] : unique([value].flat() as Element[])
    if (op === 'replace') return given
    if (op === 'remove')
      return isNone(value) && !Array.isArray(value)
        ? []
        : list.filter((each) => !given.some((gone) => isNamed(each, gone)))
    for (const each of given) {
      const twin = list.find((known) => isTwin(known, each))
      if (twin) write(twin, each)
      else make(each)
    }
  }
  return withOnePrimary(list, written)
}

/** A list as it was sent: each value once, one primary. */
function unique(given: readonly Element[]): Element[] {
  const list: Element[] = []
  for (const each of given) {
    const twin = list.find((known) => isTwin(known, each))
    if (twin) Object.assign(twin, each)
    else list.push({ ...each })
  }
  return withOnePrimary(list, new Set())
}

function isTwin(a: Element, b: Element): boolean {
  if ('value' in a || 'value' in b) return same(a.value, b.value) && same(a.type, b.type)
  const bare = ({ primary: _primary, display: _display, ...rest }: Element) =>
    JSON.stringify(Object.entries(rest).toSorted())
  return bare(a) === bare(b)
}

/** Without a type one of any type is named. */
function isNamed(element: Element, gone: Element): boolean {
  const { type: _type, ...untyped } = element
  return isTwin('type' in gone ? element : untyped, gone)
}

/** One that was just written, else one that was there; of several a work one, else the first. */
function withOnePrimary(list: Element[], written: ReadonlySet<Element>): Element[] {
  const primaries = list.filter((each) => each.primary === true)
  const fresh = primaries.filter((each) => written.has(each))
  const candidates = fresh.length > 0 ? fresh : primaries
  const kept = candidates.find((each) => same(each.type, 'work')) ?? candidates[0]
  for (const each of primaries) if (each !== kept) each.primary = false
  return list
}

const text = fc.constantFrom('a', 'A', 'b', 'B c', 'x]y"z\\')
const none = fc.constantFrom(null, '')
const type = fc.constantFrom('work', 'Work', 'home', 'other')
const verb = fc.constantFrom<Step['op'][]>('add', 'replace', 'remove')

function mostly(value: fc.Arbitrary<unknown>, else_: fc.Arbitrary<unknown> = none): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 5, arbitrary: value }, { weight: 1, arbitrary: else_ })
}

function step(at: fc.Arbitrary<Place> | Place, value: fc.Arbitrary<unknown>, op = verb): fc.Arbitrary<Step> {
  return fc.record({ op, at: 'kind' in at ? fc.constant(at) : at, value })
}

function partsOf(names: readonly string[]): fc.Arbitrary<Element> {
  const one = fc.tuple(fc.constantFrom(...names), mostly(text))
  return fc.array(one, { minLength: 1, maxLength: 2 }).map((parts) => Object.fromEntries(parts))
}

function complex(name: string, parts: readonly string[], urn?: string): fc.Arbitrary<Step> {
  const place = { kind: 'complex', name, ...(urn && { urn }) } as const
  const part = fc.constantFrom(...parts).map((sub) => ({ ...place, sub }))
  return fc.oneof(step(place, mostly(partsOf(parts), fc.constant(null))), step(part, mostly(text)))
}

function list(name: string, [first, ...others]: readonly [string, ...string[]]): fc.Arbitrary<Step> {
  const place = { kind: 'list', name } as const
  const element = fc
    .record(
      { [first]: text, type, primary: fc.boolean(), ...Object.fromEntries(others.map((part) => [part, text])) },
      {
        requiredKeys: [],
      },
    )
    .filter((each) => Object.keys(each).length > 0)
  const where = fc.oneof(
    type.map((wanted) => ({ type: wanted })),
    text.map((wanted) => ({ [first]: wanted })),
    fc.tuple(type, text).map(([wanted, value]) => ({ type: wanted, [first]: value })),
    fc.constant({ primary: true }),
  )
  const some = place as fc.Arbitrary<Place> | Place
  const filtered = where.map((wanted) => ({ ...place, where: wanted }) as Place)
  const subs = fc.constantFrom(first, ...others, 'type', 'primary').chain((sub) => {
    const at = fc
      .option(where, { nil: undefined })
      .map((wanted) => ({ ...place, sub, ...(wanted && { where: wanted }) }))
    return step(at, sub === 'primary' ? fc.boolean() : sub === 'type' ? type : mostly(text))
  })
  const writes = fc.constantFrom<Step['op'][]>('add', 'replace')
  const removes = fc.constant<Step['op']>('remove')
  return fc.oneof(
    {
      weight: 3,
      arbitrary: step(some, fc.oneof(element, fc.array(element, { maxLength: 3 }), fc.constant(null)), writes),
    },
    { weight: 1, arbitrary: step(some, fc.oneof(element, fc.array(element, { maxLength: 2 })), removes) },
    { weight: 1, arbitrary: fc.constant<Step>({ op: 'remove', at: place }) },
    { weight: 2, arbitrary: step(filtered, mostly(element, fc.constant(null))) },
    { weight: 3, arbitrary: subs },
  )
}

/** Steps on a user, none of which takes somebody else's name. */
export const userSteps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: step({ kind: 'single', name: 'title' }, mostly(text, fc.constantFrom(null, '', 7))) },
  { weight: 4, arbitrary: step({ kind: 'single', name: 'externalId' }, mostly(text)) },
  { weight: 4, arbitrary: step({ kind: 'single', name: 'department', urn: enterprise }, mostly(text)) },
  { weight: 4, arbitrary: step({ kind: 'single', name: 'badge', urn: foreign }, mostly(text)) },
  { weight: 8, arbitrary: complex('name', ['givenName', 'familyName', 'formatted']) },
  { weight: 12, arbitrary: complex('manager', ['value', '$ref'], enterprise) },
  { weight: 20, arbitrary: list('emails', ['value', 'display']) },
  { weight: 12, arbitrary: list('addresses', ['locality', 'region']) },
  {
    weight: 4,
    arbitrary: step(
      { kind: 'extension', urn: enterprise },
      mostly(partsOf(['department', 'costCenter']), fc.constant(null)),
    ),
  },
  { weight: 4, arbitrary: step({ kind: 'extension', urn: foreign }, partsOf(['badge', 'floor'])) },
  {
    weight: 3,
    arbitrary: step(
      fc.constantFrom('shoeSize', 'emails[nope eq "x"].value').map((name) => ({ kind: 'unknown', name })),
      text,
    ),
  },
  {
    weight: 3,
    arbitrary: step(
      { kind: 'single', name: 'active', required: true },
      mostly(fc.boolean(), fc.constantFrom(null, 'maybe')),
      fc.constantFrom('add', 'replace'),
    ),
  },
  { weight: 1, arbitrary: step({ kind: 'single', name: 'userName', required: true }, none) },
  { weight: 1, arbitrary: step({ kind: 'readOnly', name: 'meta.version' }, text, fc.constant('replace')) },
)

/** Steps on a group whose members come from `ids`. */
export function groupSteps(ids: readonly [string, ...string[]]): fc.Arbitrary<Step> {
  const some = fc.array(fc.constantFrom(...ids), { minLength: 1, maxLength: 4 })
  const removes = fc.constant<Step['op']>('remove')
  return fc.oneof(
    { weight: 4, arbitrary: step({ kind: 'members', how: 'list' }, fc.oneof(some, fc.constant([]))) },
    { weight: 3, arbitrary: step({ kind: 'members', how: 'filter' }, some, removes) },
    { weight: 1, arbitrary: fc.constant<Step>({ op: 'remove', at: { kind: 'members', how: 'list' } }) },
    { weight: 1, arbitrary: step({ kind: 'single', name: 'externalId' }, mostly(text)) },
    { weight: 1, arbitrary: step({ kind: 'single', name: 'displayName', required: true }, none) },
  )
}

/** How a step is written: which of the forms that mean it, and the spelling of op and names. */
export interface Wording {
  readonly form: 'path' | 'key' | 'nested'
  readonly urn: boolean
  readonly spelling: 'as it is' | 'lower' | 'upper'
  readonly label: boolean
}

export const wordings: fc.Arbitrary<Wording> = fc.record({
  form: fc.constantFrom<Wording['form'][]>('path', 'path', 'key', 'nested'),
  urn: fc.boolean(),
  spelling: fc.constantFrom<Wording['spelling'][]>('as it is', 'lower', 'upper'),
  label: fc.boolean(),
})

/** The body of a PATCH. `schema`: of the resource. */
export function patchBody(schema: string, steps: readonly (readonly [Step, Wording])[]): Json {
  return { schemas: [patchSchema], Operations: steps.map(([each, wording]) => operationOf(schema, each, wording)) }
}

function operationOf(schema: string, { op, at, value }: Step, wording: Wording): Json {
  const [urn, name] = nameOf(schema, at, value, wording)
  const path = [urn, name].filter((part) => part !== '').join(':')
  const isBare = op === 'remove' && ((at.kind === 'members' && at.how === 'filter') || isSaidByPath(at))
  const given = at.kind === 'members' ? membersOf(value as string[] | undefined, wording) : value
  const said = isBare || given === undefined ? {} : { value: given }
  const written = spelled(op, wording)
  if (op === 'remove' || at.kind === 'readOnly' || wording.form === 'path') return { op: written, path, ...said }
  if (wording.form === 'key' || urn === '' || name === '') return { op: written, value: { [path]: given } }
  return { op: written, value: { [urn]: { [name]: given } } }
}

/** Which values go is said by the path, so that `remove` needs no value. */
function isSaidByPath(at: Place): boolean {
  return at.kind === 'list' ? at.where !== undefined || at.sub !== undefined : at.kind !== 'members'
}

/** The URN and what comes behind it, either of which may be ''. */
function nameOf(schema: string, at: Place, value: unknown, wording: Wording): [string, string] {
  const core = wording.urn ? schema : ''
  switch (at.kind) {
    case 'extension':
      return [at.urn, '']
    case 'single':
      if (at.urn === foreign) return [foreign, at.name]
      return [urnOf(at, core, wording), spelled(at.name, wording)]
    case 'complex':
      return [urnOf(at, core, wording), spelled(at.sub ? `${at.name}.${at.sub}` : at.name, wording)]
    case 'list': {
      const terms = Object.entries(at.where ?? {}).map(
        ([name, each]) => `${spelled(`${name} eq`, wording)} ${JSON.stringify(each)}`,
      )
      const brackets = terms.length > 0 ? `[${terms.join(' and ')}]` : ''
      return [core, spelled(at.name, wording) + brackets + (at.sub ? spelled(`.${at.sub}`, wording) : '')]
    }
    case 'members': {
      const terms = at.how === 'filter' ? (value as string[]).map((id) => `value eq "${id}"`) : []
      return [core, spelled('members', wording) + (terms.length > 0 ? `[${terms.join(' or ')}]` : '')]
    }
    default:
      return ['', at.name]
  }
}

/** What the core schema has not is found in the extension without its URN. */
function urnOf({ urn }: { urn?: string }, core: string, wording: Wording): string {
  if (urn === undefined) return core
  return wording.urn ? urn : ''
}

function membersOf(ids: readonly string[] | undefined, { label }: Wording): unknown {
  return ids?.map((id) => (label ? { value: id, display: 'Somebody', $ref: null } : { value: id }))
}

function spelled(name: string, { spelling }: Wording): string {
  return spelling === 'as it is' ? name : spelling === 'lower' ? name.toLowerCase() : name.toUpperCase()
}
