import { type RequestHandler, Router } from 'express'
import type { OktaConfig } from '../../directory/channel-config.ts'
import type { Signal } from '../../lifecycle/signals.ts'
import { isObject, parseObject } from '../../trust/json-object.ts'
import type { Receiver, ReceiverParts } from '../receiver.ts'
import { bodyOf, channelOf, findChannel, readBody, TurnedAway, turnAway } from '../turned-away.ts'
import { issuerOf, translate } from './events.ts'

const largestBodyBytes = 1024 * 1024
/** Of the value that Okta has us say back. */
const longestChallenge = 512

/**
 * Okta's event hooks: one GET, ever, to see that the address is ours, then POSTs of one or more events each, unsigned,
 * with a secret of the hook's own. Okta gives 3 seconds, tries once more after a 5xx or silence, and never after a 4xx:
 * so a call is taken whatever is wrong with single events of it.
 */
export const oktaHook: Receiver = ({ channels, intake, refusals }) => {
  const routes = Router({ mergeParams: true })
  routes.use(findChannel('okta', channels))
  routes.get('/', answerChallenge)
  routes.post('/', requireSecret(channels), readBody(largestBodyBytes), async (req, res) => {
    const channel = channelOf<OktaConfig>(req)
    const { signals, unusable } = readCall(bodyOf(req), channel.config)
    if (unusable > 0) refusals.note(channel, 'content')
    await intake.receive(channel, signals)
    req.facts.events = signals.length
    res.status(200).end()
  })
  routes.use(turnAway(refusals))
  return routes
}

/** Okta sends the secret along, or does not: whoever asks learns nothing but what they said. */
const answerChallenge: RequestHandler = (req, res) => {
  const challenge = req.get('x-okta-verification-challenge')
  if (!challenge || challenge.length > longestChallenge) throw new TurnedAway(400, 'content')
  res.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' }).json({ verification: challenge })
}

/** Without a signature the secret is all there is: a channel that has none takes nothing. */
function requireSecret(channels: ReceiverParts['channels']): RequestHandler {
  return (req, _res, next) => {
    if (!channels.admits(channelOf(req), req.get('authorization'))) throw new TurnedAway(401, 'credential')
    next()
  }
}

/** @throws TurnedAway when there is no event in it that can be used, although it holds some */
function readCall(body: Buffer, config: OktaConfig): { signals: Signal[]; unusable: number } {
  const envelope = parseObject(body)
  const events = isObject(envelope?.data) ? envelope.data.events : undefined
  if (!Array.isArray(events)) throw new TurnedAway(400, 'content')
  const issuer = issuerOf(config, envelope?.source)
  const signals = events.flatMap((event) => translate(event, config, issuer) ?? [])
  const unusable = events.length - signals.length
  if (unusable > 0 && signals.length === 0) throw new TurnedAway(400, 'content')
  return { signals, unusable }
}
