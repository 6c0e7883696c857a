import { isObject, type Json } from '../json.ts'
import { patchOpSchema } from '../patch/parse.ts'

/** @returns the SCIM id for a `bulkId`; throws when there is none */
export type Resolve = (bulkId: string) => string

const whole = /^bulkId:(.+)$/is
const inLocation = /^(.*\/)bulkId:([^/]+)$/is
const inFilter = /(?<=")bulkId:([^"\\]+)(?=")/gi

/** The `bulkId` of a text that is a reference and nothing else (RFC 7644 §3.7.2). */
export function referenceIn(text: string): string | undefined {
  return whole.exec(text)?.[1]
}

/**
 * `data` with every reference replaced: a text that is one, the end of a `$ref`, and the values in the value path of a
 * PATCH operation. Where a reference may stand is left to whoever reads the result: vendors put ids in several shapes.
 */
export function resolveReferences(data: unknown, resolve: Resolve): unknown {
  return walk(data, '', resolve)
}

/** The `bulkId`s that `data` refers to, each once. */
export function referencesOf(data: unknown): string[] {
  const found = new Set<string>()
  walk(data, '', (bulkId) => {
    found.add(bulkId)
    return ''
  })
  return [...found]
}

function walk(value: unknown, key: string, resolve: Resolve): unknown {
  if (typeof value === 'string') return replaceIn(value, key.toLowerCase(), resolve)
  if (Array.isArray(value)) return value.map((each) => walk(each, key, resolve))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, walk(each, name, resolve)]))
}

function replaceIn(text: string, key: string, resolve: Resolve): string {
  const reference = referenceIn(text)
  if (reference !== undefined) return resolve(reference)
  if (key === '$ref') return text.replace(inLocation, (_, before: string, bulkId: string) => before + resolve(bulkId))
  if (key === 'path') return text.replace(inFilter, (_, bulkId: string) => resolve(bulkId))
  return text
}

/**
 * A user's data without its manager, and the manager as a PATCH body. Users can refer to one another in a circle by
 * nothing else, so that a circle is made without one manager, who is put in afterwards (RFC 7644 §3.7.1).
 */
export function withoutManager(data: Json): { rest: Json; manager: Json } {
  const { rest, manager } = strip(data)
  return { rest, manager: { schemas: [patchOpSchema], Operations: [{ op: 'add', value: manager }] } }
}

/** Each manager under the URN that it stood under: a key that is a whole path is not for every client to send. */
function strip(object: Json): { rest: Json; manager: Json } {
  const rest: [string, unknown][] = []
  const manager: [string, unknown][] = []
  for (const [key, value] of Object.entries(object)) {
    if (/^(.*:)?manager(\.\$?\w+)?$/i.test(key)) {
      manager.push([key, value])
      continue
    }
    const parts = isObject(value) && key.includes(':') ? strip(value) : undefined
    rest.push([key, parts ? parts.rest : value])
    if (parts && Object.keys(parts.manager).length > 0) manager.push([key, parts.manager])
  }
  return { rest: Object.fromEntries(rest), manager: Object.fromEntries(manager) }
}
