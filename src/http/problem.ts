import type { ErrorRequestHandler, RequestHandler, Response } from 'express'
import { z } from 'zod'
import { Conflict, Forbidden, Invalid, NotFound, TenureError } from '../errors.ts'
import { asUnavailable } from '../unreachable.ts'

export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail?: string
  readonly [extension: string]: unknown
}

/** The same, as it is described to callers: RFC 9457. `position` is a 0-based offset into the field's text. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    errors: z
      .array(z.object({ field: z.string(), message: z.string(), position: z.int().optional() }))
      .optional()
      .meta({ description: 'Each field that is wrong, dotted' }),
  })
  .meta({ id: 'Problem' })

/** RFC 9457. */
export function sendProblem(res: Response, problem: Problem): void {
  res
    .status(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', ...problem }))
}

/** The request carries no credentials that open this. */
export class Unauthenticated extends TenureError {
  constructor(message: string) {
    super('ERR_UNAUTHENTICATED', message)
  }
}

/** The body is in a form that nobody here reads. */
export class UnsupportedMediaType extends TenureError {
  constructor(message: string) {
    super('ERR_MEDIA_TYPE', message)
  }
}

/** After the JSON parser: a body that it passed over must not be taken for an empty one, which would ask for more. */
export const requireJson: RequestHandler = (req, _res, next) => {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
  if (hasBody && req.body === undefined) throw new UnsupportedMediaType('The body must be JSON')
  next()
}

/** The edge where errors become problem details. What is not the caller's fault leaves empty and is logged whole. */
export const problemEdge: ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  const problem = problemOf(error)
  if (problem.status >= 500) req.log?.error({ error }, 'request.failed')
  if (problem.status === 401) res.set('WWW-Authenticate', 'Bearer')
  const unavailable = asUnavailable(error)
  if (unavailable) res.set('Retry-After', String(unavailable.retryAfterSeconds))
  sendProblem(res, problem)
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Unauthenticated) return { status: 401, title: 'Unauthorized', detail: error.message }
  if (error instanceof Forbidden) return { status: 403, title: 'Forbidden', detail: error.message }
  if (error instanceof NotFound) return { status: 404, title: 'Not Found', detail: error.message }
  if (error instanceof Conflict) return { status: 409, title: 'Conflict', detail: error.message }
  if (error instanceof UnsupportedMediaType)
    return { status: 415, title: 'Unsupported Media Type', detail: error.message }
  if (isUnstorable(error))
    return { status: 422, title: 'Unprocessable Content', detail: 'A text holds a character that cannot be stored' }
  if (error instanceof Invalid)
    return { status: 422, title: 'Unprocessable Content', detail: error.message, errors: error.problems }
  const unavailable = asUnavailable(error)
  if (unavailable) return { status: 503, title: 'Service Unavailable', detail: unavailable.message }
  return bodyProblem(error) ?? { status: 500, title: 'Internal Server Error' }
}

/** Postgres stores no NUL and no broken surrogates (SQLSTATE 22021): the one bad input that its own type cannot show. */
export function isUnstorable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '22021'
}

/** What Express' router and body parsers throw, by the status they carry. */
export function bodyProblem(error: unknown): Problem | undefined {
  if (!(error instanceof Error) || error instanceof TenureError || !('status' in error)) return undefined
  switch (error.status) {
    case 400:
      return {
        status: 400,
        title: 'Bad Request',
        detail: error instanceof URIError ? 'The path is not valid' : 'The body cannot be read',
      }
    case 413:
      return { status: 413, title: 'Content Too Large', detail: 'The body is too large' }
    case 415:
      return { status: 415, title: 'Unsupported Media Type', detail: 'The charset or encoding is not supported' }
    default:
      return undefined
  }
}
