import type { ErrorRequestHandler, RequestHandler } from 'express'
import { bodyProblem, isUnstorable } from '../http/problem.ts'
import { TooManyRequests } from '../http/rate-limit.ts'
import { KeySetUnreachable } from '../trust/key-sets.ts'
import { asUnavailable } from '../unreachable.ts'
import { OAuthError } from './errors.ts'

/** How soon a key set that could not be had is worth another try. */
const keySetRetrySeconds = 5

/** What an `/oauth2` route that takes POST answers to any other method. */
export const postOnly: RequestHandler = (_req, res) => {
  res.set('Allow', 'POST')
  throw new OAuthError(405, 'invalid_request', 'This endpoint takes POST')
}

/** The edge of every `/oauth2` route (RFC 6749 §5.2): always JSON, since MCP clients can read nothing else. */
export const oauthEdge: ErrorRequestHandler = (error, req, res, next) => {
  if (res.headersSent) return next(error)
  const { status, retryAfterSeconds, ...body } = refusalOf(error)
  req.facts.error = body.error
  if (error instanceof OAuthError && error.reason !== undefined) req.facts.reason = error.reason
  if (status >= 500) req.log.error({ error }, 'request.failed')
  if (status === 401) res.set('WWW-Authenticate', 'Basic realm="tenure", Bearer')
  if (retryAfterSeconds !== undefined) res.set('Retry-After', String(retryAfterSeconds))
  res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' }).status(status).json(body)
}

interface Refusal {
  readonly status: number
  readonly error: string
  readonly error_description?: string
  readonly retryAfterSeconds?: number
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof OAuthError)
    return { status: error.status, error: error.error, error_description: error.message, ...error.parameters }
  if (error instanceof TooManyRequests) return busy(429, error.retryAfterSeconds)
  if (error instanceof KeySetUnreachable) return busy(503, keySetRetrySeconds)
  if (isUnstorable(error)) return malformed('A parameter holds a character that cannot be')
  const problem = bodyProblem(error)
  if (problem) return malformed(problem.detail ?? problem.title)
  const unavailable = asUnavailable(error)
  if (unavailable) return busy(503, unavailable.retryAfterSeconds)
  return { status: 500, error: 'server_error' }
}

function busy(status: 429 | 503, retryAfterSeconds: number): Refusal {
  const error_description = `Try again in ${retryAfterSeconds} s`
  return { status, error: 'temporarily_unavailable', error_description, retryAfterSeconds }
}

function malformed(error_description: string): Refusal {
  return { status: 400, error: 'invalid_request', error_description }
}
