import { type ErrorRequestHandler, type RequestHandler, Router } from 'express'
import { NotFound } from '../errors.ts'
import { problemEdge } from '../http/problem.ts'
import { globalTokenRevocation } from './global-token-revocation/endpoint.ts'
import { oktaHook } from './okta/hook.ts'
import type { Receiver, ReceiverParts } from './receiver.ts'
import { ssfReceiver } from './ssf/push.ts'

/** Inbound channels by the last segment of their address. */
const receivers: Readonly<Record<string, Receiver>> = {
  okta: oktaHook,
  'global-token-revocation': globalTokenRevocation,
  ssf: ssfReceiver,
}

/** The event channels of every directory, under `/directories/{directory}/events`. */
export function eventReceivers(parts: ReceiverParts & { requireReady: RequestHandler }): Router {
  const events = Router({ mergeParams: true })
  events.use(parts.requireReady)
  for (const [kind, receiver] of Object.entries(receivers)) events.use(`/${kind}`, receiver(parts))
  events.use(() => {
    throw new NotFound('There is no such event channel')
  })
  return Router()
    .use('/directories/:directory/events', events)
    .use(eventsBase, problemEdge as ErrorRequestHandler)
}

/** What fails before it is in, as a directory that cannot be decoded does. */
const eventsBase = /^\/directories\/[^/]*\/events(?=\/|$)/i
