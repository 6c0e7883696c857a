import { STATUS_CODES } from 'node:http'
import express, { type ErrorRequestHandler, type Request, type RequestHandler } from 'express'
import type { ChannelKind } from '../db/tables.ts'
import type { Channel, Channels, Config } from '../directory/channels.ts'
import type { RefusalReason, Refusals } from '../directory/refusals.ts'
import { NotFound, TenureError } from '../errors.ts'
import { isStorable } from '../filter/lex.ts'
import { bodyProblem, sendProblem } from '../http/problem.ts'

/**
 * A call to a channel that is turned away for good. The reason is counted; what is answered says nothing of what would
 * have been right.
 */
export class TurnedAway extends TenureError {
  readonly status: 400 | 401 | 403 | 413
  readonly reason: RefusalReason

  constructor(status: TurnedAway['status'], reason: RefusalReason, options?: ErrorOptions) {
    super('ERR_TURNED_AWAY', words[status], options)
    this.status = status
    this.reason = reason
  }
}

const words: Readonly<Record<TurnedAway['status'], string>> = {
  400: 'The body is not what this channel takes',
  401: 'The credentials are not accepted',
  403: 'These credentials do not open this channel',
  413: 'The body is too large',
}

const channels = new WeakMap<Request, Channel>()

/** What is not set up is not there, whether the directory is or not. @throws NotFound */
export function findChannel(kind: ChannelKind, known: Pick<Channels, 'find'>): RequestHandler {
  return async (req, _res, next) => {
    const directoryId = String(req.params.directory)
    const channel = isStorable(directoryId) ? await known.find({ directoryId, kind }) : undefined
    if (!channel) throw new NotFound('There is no such event channel')
    req.facts.directoryId = channel.directoryId
    req.facts.channel = kind
    channels.set(req, channel)
    next()
  }
}

/** `C`: how channels of this kind are set up. */
export function channelOf<C = Config>(req: Request): Channel<C> {
  const channel = channels.get(req)
  if (!channel) throw new Error('this route is not behind findChannel()')
  return channel as Channel<C>
}

/** The body as it comes, whatever it calls itself. */
export function readBody(limitBytes: number): RequestHandler {
  return express.raw({ type: () => true, limit: limitBytes })
}

/** No body is an empty one. */
export function bodyOf(req: Request): Buffer {
  return Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0)
}

/** Counts and answers who is turned away; whatever else went wrong is passed on. */
export function turnAway(refusals: Pick<Refusals, 'note'>): ErrorRequestHandler {
  return (error, req, res, next) => {
    const refusal = refusalOf(error)
    const channel = channels.get(req)
    if (!refusal || !channel || res.headersSent) return next(error)
    refusals.note(channel, refusal.reason)
    req.facts.reason = refusal.reason
    if (refusal.status === 401) res.set('WWW-Authenticate', 'Bearer')
    sendProblem(res, { status: refusal.status, title: STATUS_CODES[refusal.status]!, detail: refusal.message })
  }
}

function refusalOf(error: unknown): TurnedAway | undefined {
  if (error instanceof TurnedAway) return error
  const problem = bodyProblem(error)
  return problem && (problem.status === 413 ? new TurnedAway(413, 'size') : new TurnedAway(400, 'content'))
}
