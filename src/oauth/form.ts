import express, { type Request } from 'express'
import { invalidRequest } from './errors.ts'

/** No ID-JAG is longer, with all that comes with it. */
const largestBody = '16kb'
const formType = 'application/x-www-form-urlencoded'

export const formParser = express.urlencoded({ extended: false, limit: largestBody })

/** The parameters of a request. One that is sent without a value is as if it were not sent (RFC 6749 §3.1). */
export interface Form {
  get(name: string): string | undefined
  all(name: string): readonly string[]
}

/** @throws OAuthError `invalid_request` for another form, or when a parameter that is not `repeatable` is repeated */
export function readForm(req: Request, repeatable: readonly string[] = []): Form {
  if (!req.is(formType)) throw invalidRequest(`The body must be ${formType}`)
  const values = new Map<string, readonly string[]>()
  for (const [name, value] of Object.entries((req.body ?? {}) as Record<string, string | string[]>)) {
    if (Array.isArray(value) && !repeatable.includes(name)) throw invalidRequest(`${nameOf(name)} is repeated`)
    values.set(
      name,
      [value].flat().filter((text) => text !== ''),
    )
  }
  return { get: (name) => values.get(name)?.[0], all: (name) => values.get(name) ?? [] }
}

/** A name that we did not give is not said back. */
function nameOf(parameter: string): string {
  return /^[a-z_]{1,40}$/.test(parameter) ? parameter : 'A parameter'
}
