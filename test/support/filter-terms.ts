import fc from 'fast-check'
import { commonAttributes } from '../../src/schemas/common.ts'
import type { Attribute, ResourceType } from '../../src/schemas/schema.ts'

/** What resources hold, for literals to meet it. */
export interface Population {
  readonly ids: readonly string[]
  readonly texts: readonly string[]
  /** With offsets, fractions and without a time. */
  readonly times: readonly string[]
}

export interface FilterSources {
  /** Filters that every resource can be asked for in SQL. */
  readonly answered: fc.Arbitrary<string>
  /** One term about what is kept in rows of its own or made up when shown: to be answered rightly or refused. */
  readonly special: fc.Arbitrary<string>
}

/** Attributes about which not everything can be asked in SQL. To teach SQL one more, take it out of here. */
const specialNames = new Set(['schemas', 'members', 'groups', 'meta'])
const ordering = ['gt', 'ge', 'lt', 'le']
const textual = ['eq', 'ne', 'co', 'sw', 'ew', ...ordering]

/** Filters over resources of the type in every form that the language has, made from its schemas. */
export function filterSources(type: ResourceType, population: Population): FilterSources {
  const places = placesOf(type)
  const plain = places.filter(({ attribute }) => !specialNames.has(attribute.name))
  const known = knownSpecials(type, population)
  const rest = places.filter(({ attribute }) => specialNames.has(attribute.name))
  return {
    answered: combined(fc.oneof({ weight: 8, arbitrary: terms(plain, population) }, { weight: 1, arbitrary: known })),
    special: terms(rest, population),
  }
}

/** An attribute and the names it goes by. */
interface Place {
  readonly attribute: Attribute
  readonly names: readonly string[]
}

function placesOf({ schema, extensions }: ResourceType): Place[] {
  const core = new Set([...schema.attributes, ...commonAttributes].map(({ name }) => name))
  const asked = (attributes: readonly Attribute[]) => attributes.filter(({ returned }) => returned !== 'never')
  return [
    ...asked([...commonAttributes, ...schema.attributes]).map((attribute) => ({
      attribute,
      names: [attribute.name, `${schema.id}:${attribute.name}`],
    })),
    ...extensions.flatMap((extension) =>
      asked(extension.schema.attributes).map((attribute) => ({
        attribute,
        names: [
          `${extension.schema.id}:${attribute.name}`,
          `${extension.schema.id}.${attribute.name}`,
          ...(core.has(attribute.name) ? [] : [attribute.name]),
        ],
      })),
    ),
  ]
}

/** What is answered of the special ones. */
function knownSpecials({ name, schema, extensions }: ResourceType, { ids, times }: Population): fc.Arbitrary<string> {
  const time = fc.constantFrom(...times)
  const urn = fc.constantFrom(schema.id, ...extensions.map((extension) => extension.schema.id.toUpperCase()))
  const ofBoth = [
    fc
      .tuple(fc.constantFrom('created', 'LastModified'), fc.constantFrom('eq', 'ne', ...ordering), time)
      .map(([sub, op, at]) => `meta.${sub} ${op} "${at}"`),
    time.map((at) => `meta[created gt "${at}"]`),
    fc.constantFrom('eq', 'ne', 'co', 'sw').map((op) => `meta.resourceType ${op} "${name}"`),
    fc.constantFrom('meta pr', 'meta.created pr', 'schemas pr', 'meta.created ne null', 'meta.lastModified eq null'),
    urn.map((id) => `schemas eq "${id}"`),
  ]
  if (name === 'User') return fc.oneof(...ofBoth)
  const member = fc.constantFrom(...ids, 'nobody', ids[0]!.toUpperCase())
  const forms = fc.constantFrom('members.value eq "*"', 'members eq "*"', 'members[value eq "*"]')
  return fc.oneof(
    ...ofBoth,
    fc.tuple(forms, member).map(([form, id]) => form.replace('*', id)),
  )
}

function terms(places: readonly Place[], population: Population): fc.Arbitrary<string> {
  const leaf = oneOf(places).chain(({ attribute, names }) => {
    const name = spelling(fc.constantFrom(...names))
    const own = attribute.type === 'complex' ? partOf(attribute, name, population) : comparison(attribute, population)
    const whole = attribute.type === 'complex' ? fc.constantFrom('pr', 'eq null', 'ne null') : own
    const parts = attribute.type === 'complex' ? [own] : []
    return fc.oneof(
      fc.tuple(name, whole).map((words) => words.join(' ')),
      ...parts,
    )
  })
  const complex = places.filter(({ attribute }) => attribute.type === 'complex')
  const valuePath = oneOf(complex.length > 0 ? complex : places).chain(({ attribute, names }) => {
    if (attribute.type !== 'complex') return leaf
    const name = spelling(fc.constantFrom(...names))
    const inner = innerFilter(attribute, population)
    const linked = subOf(attribute).chain((sub) => comparison(sub, population).map((words) => `.${sub.name} ${words}`))
    return fc
      .tuple(name, inner, fc.option(linked, { nil: '' }))
      .map(([path, filter, link]) => `${path}[${filter}]${link}`)
  })
  return fc.oneof({ weight: 3, arbitrary: leaf }, { weight: 2, arbitrary: valuePath })
}

/** `emails.type eq "work"`, and `emails eq "x"`, which is about its value. */
function partOf(attribute: Attribute, name: fc.Arbitrary<string>, population: Population): fc.Arbitrary<string> {
  const value = attribute.subAttributes!.find((sub) => sub.name === 'value')
  const named = subOf(attribute).chain((sub) =>
    fc
      .tuple(name, spelling(fc.constant(sub.name)), comparison(sub, population))
      .map(([path, part, rest]) => `${path}.${part} ${rest}`),
  )
  if (!value) return named
  const bare = comparison(value, population).filter((words) => !/^(pr|.. null)$/i.test(words))
  return fc.oneof(
    named,
    fc.tuple(name, bare).map((words) => words.join(' ')),
  )
}

function innerFilter(attribute: Attribute, population: Population): fc.Arbitrary<string> {
  const one = subOf(attribute).chain((sub) =>
    fc.tuple(spelling(fc.constant(sub.name)), comparison(sub, population)).map((words) => words.join(' ')),
  )
  // What no value can be, unless one of the two is dropped.
  const both = subOf(attribute).chain((sub) => {
    const equals = comparison(sub, population).filter((words) => /^eq (?!null)/i.test(words))
    return fc.tuple(equals, equals).map(([a, b]) => `${sub.name} ${a} and ${sub.name} ${b}`)
  })
  return fc.oneof(
    { weight: 3, arbitrary: one },
    { weight: 1, arbitrary: both },
    { weight: 2, arbitrary: fc.tuple(one, connective, one).map((words) => words.join(' ')) },
    { weight: 1, arbitrary: one.map((filter) => `not (${filter})`) },
    { weight: 1, arbitrary: fc.tuple(one, one, one).map(([a, b, c]) => `(${a} or ${b}) and not (${c})`) },
  )
}

function subOf({ subAttributes }: Attribute): fc.Arbitrary<Attribute> {
  return oneOf(subAttributes!)
}

const connective = fc.constantFrom('and', 'or', 'AND', 'Or')

function comparison({ type }: Attribute, { ids, texts, times }: Population): fc.Arbitrary<string> {
  const unary = fc.constantFrom('pr', 'PR', 'eq null', 'ne null', 'eq Null')
  const operators = type === 'boolean' || type === 'binary' ? ['eq', 'ne'] : textual
  const withoutText = type === 'dateTime' ? ['eq', 'ne', ...ordering] : operators
  const op = spelling(fc.constantFrom(...withoutText))
  return fc.oneof(
    { weight: 1, arbitrary: unary },
    { weight: 5, arbitrary: fc.tuple(op, literal()).map((words) => words.join(' ')) },
  )

  function literal(): fc.Arbitrary<string> {
    if (type === 'boolean') return fc.constantFrom('true', 'false', '"True"', '"false"', 'False')
    if (type === 'dateTime') return fc.constantFrom(...times).map(quoted)
    const part = fc.tuple(oneOf(texts), fc.nat({ max: 3 })).map(([text, from]) => [...text].slice(from).join(''))
    const id = fc.constantFrom(ids[0]!, ids[1]!, ids[2]!.slice(0, 8), ids[0]!.toUpperCase())
    return fc
      .oneof(
        { weight: 6, arbitrary: oneOf(texts) },
        { weight: 2, arbitrary: part },
        { weight: 1, arbitrary: fc.constantFrom('', '%', '_', '\\', '"', 'nobody', '\u{1F600}\u{1F600}') },
        { weight: 1, arbitrary: id },
      )
      .chain((text) => fc.constantFrom(quoted(text), escaped(text)))
  }
}

function quoted(text: string): string {
  return JSON.stringify(text)
}

/** The same text with every character as an escape. */
function escaped(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16).padStart(4, '0'))
  return `"${units.map((unit) => `\\u${unit}`).join('')}"`
}

/** In the case that it has, and in others. */
function spelling(name: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(name, fc.constantFrom('as it is', 'as it is', 'lower', 'upper'))
    .map(([text, way]) => (way === 'lower' ? text.toLowerCase() : way === 'upper' ? text.toUpperCase() : text))
}

function oneOf<T>(all: readonly T[]): fc.Arbitrary<T> {
  return fc.constantFrom(...all)
}

function combined(term: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.letrec<{ filter: string }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 3, arbitrary: term },
      {
        weight: 2,
        arbitrary: fc
          .tuple(connective, fc.array(tie('filter'), { minLength: 2, maxLength: 3 }))
          .map(([word, parts]) => parts.map((part) => `(${part})`).join(` ${word} `)),
      },
      { weight: 1, arbitrary: fc.tuple(term, connective, term, connective, term).map((words) => words.join(' ')) },
      { weight: 1, arbitrary: tie('filter').map((part) => `not (${part})`) },
    ),
  })).filter
}
