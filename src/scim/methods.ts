import type { RequestHandler } from 'express'
import { ScimError } from './errors.ts'

/** What each address answers (RFC 7644 §3.2). */
const addresses: readonly (readonly [RegExp, string])[] = [
  [/^\/$/, 'GET'],
  [/^(\/Users|\/Groups)?\/\.search$/i, 'POST'],
  [/^\/(Users|Groups)$/i, 'GET, POST'],
  [/^\/(Users|Groups)\/[^/]+$/i, 'GET, PUT, PATCH, DELETE'],
  [/^\/Bulk$/i, 'POST'],
  [/^\/(ServiceProviderConfig|ResourceTypes(\/[^/]+)?|Schemas(\/[^/]+)?)$/i, 'GET'],
]

/** What is possible at a path of the service provider, for `Allow`; undefined for an address that there is not. */
function allowedAt(path: string): string | undefined {
  const address = path.replace(/(?<=.)\/$/, '')
  return addresses.find(([pattern]) => pattern.test(address))?.[1]
}

/** @throws ScimError 405 for a method that its address never answers */
export const requireMethod: RequestHandler = (req, res, next) => {
  const allowed = allowedAt(req.path)
  const method = req.method === 'HEAD' ? 'GET' : req.method
  if (allowed === undefined || allowed.split(', ').includes(method)) return next()
  res.set('Allow', allowed)
  throw new ScimError(405, undefined, `${req.method} is not possible here`)
}
