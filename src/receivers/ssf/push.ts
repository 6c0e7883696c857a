import { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import type { SsfConfig } from '../../directory/channel-config.ts'
import type { RefusalReason } from '../../directory/refusals.ts'
import { NotFound, TenureError } from '../../errors.ts'
import { bodyProblem } from '../../http/problem.ts'
import { KeySetUnreachable, UnknownKey } from '../../trust/key-sets.ts'
import { asUnavailable } from '../../unreachable.ts'
import type { Receiver, ReceiverParts } from '../receiver.ts'
import { bodyOf, channelOf, findChannel, readBody } from '../turned-away.ts'
import { type SetErrorCode, SetRefusal } from './refusal.ts'
import { largestSetBytes } from './set.ts'
import { takeSet } from './take.ts'

const mediaType = 'application/secevent+jwt'
/** A new key is served by then: a key set is asked again after half a minute. */
const newKeySeconds = 30
const keySetRetrySeconds = 5

/** SETs pushed by a transmitter (RFC 8935). 202, with nothing in it, when what they say is committed. */
export const ssfReceiver: Receiver = (parts) => {
  const { channels, refusals } = parts
  const routes = Router({ mergeParams: true })
  routes.use(findChannel('ssf', channels))
  routes.post('/', requirePush, admit(channels), requireSet, readBody(largestSetBytes), async (req, res) => {
    const received = await takeSet(parts, channelOf<SsfConfig>(req), bodyOf(req).toString('utf8'))
    req.facts.effects = received.map(({ effect }) => effect)
    res.status(202).end()
  })
  routes.use(answerInForm(refusals))
  return routes
}

/** What is polled is not open to everybody beside. */
const requirePush: RequestHandler = (req, _res, next) => {
  if (channelOf<SsfConfig>(req).config.delivery !== 'push') throw new NotFound('There is no such event channel')
  next()
}

function admit(channels: ReceiverParts['channels']): RequestHandler {
  return (req, _res, next) => {
    if (!channels.admits(channelOf(req), req.get('authorization')))
      throw new NotTaken(401, 'authentication_failed', 'credential')
    next()
  }
}

const requireSet: RequestHandler = (req, _res, next) => {
  if (!req.is(mediaType)) throw new NotTaken(415, 'invalid_request', 'type')
  next()
}

/** Turned away before it is a SET. */
class NotTaken extends TenureError {
  readonly status: number
  readonly err: SetErrorCode
  readonly reason: RefusalReason

  constructor(status: number, err: SetErrorCode, reason: RefusalReason) {
    super('ERR_PUSH', `The call is not taken: ${reason}`)
    this.status = status
    this.err = err
    this.reason = reason
  }
}

/** Every answer but 202: RFC 8935 §2.3 and §2.4. */
function answerInForm(refusals: ReceiverParts['refusals']): ErrorRequestHandler {
  return (error, req, res, next) => {
    if (res.headersSent) return next(error)
    const { status, err, reason, retryAfterSeconds } = answerTo(error)
    if (reason !== undefined) {
      refusals.note(channelOf(req), reason)
      req.facts.reason = reason
    } else if (status >= 500) req.log.error({ error }, 'request.failed')
    if (status === 401) res.set('WWW-Authenticate', 'Bearer')
    if (retryAfterSeconds !== undefined) res.set('Retry-After', String(retryAfterSeconds))
    res.status(status)
    // Always the same: nothing of what is expected, nor whether anybody is known here.
    if (err !== undefined) res.set('Content-Language', 'en').json({ err, description: 'The SET is not accepted' })
    else res.end()
  }
}

interface Answer {
  readonly status: number
  readonly err?: SetErrorCode
  readonly reason?: RefusalReason
  readonly retryAfterSeconds?: number
}

/** 4xx is final for most senders, so it is kept for what is wrong on their side. */
function answerTo(error: unknown): Answer {
  if (error instanceof NotFound) return { status: 404, err: 'invalid_request' }
  if (error instanceof NotTaken) return { status: error.status, err: error.err, reason: error.reason }
  if (error instanceof SetRefusal)
    return { status: error.reason === 'size' ? 413 : 400, err: error.err, reason: error.reason }
  if (error instanceof UnknownKey) return { status: 503, reason: 'key', retryAfterSeconds: newKeySeconds }
  if (error instanceof KeySetUnreachable) return { status: 503, retryAfterSeconds: keySetRetrySeconds }
  const unavailable = asUnavailable(error)
  if (unavailable) return { status: 503, retryAfterSeconds: unavailable.retryAfterSeconds }
  const problem = bodyProblem(error)
  if (!problem) return { status: 500 }
  return { status: problem.status, err: 'invalid_request', reason: problem.status === 413 ? 'size' : 'content' }
}
