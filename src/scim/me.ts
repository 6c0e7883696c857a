import { Router } from 'express'
import { ScimError } from './errors.ts'

/** `/Me` (RFC 7644 §3.11). Whoever calls holds the token of a directory and is none of its users. */
export function meRoutes(): Router {
  const routes = Router()
  routes.all(['/Me', '/Me/*rest'], () => {
    throw new ScimError(501, undefined, 'A token of a directory is no user: there is no /Me')
  })
  return routes
}
