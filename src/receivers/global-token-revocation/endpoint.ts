import { createHash } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import { type Response, Router } from 'express'
import type { SignalEffect } from '../../db/tables.ts'
import type { GlobalTokenRevocationConfig } from '../../directory/channel-config.ts'
import type { Channel } from '../../directory/channels.ts'
import { Unavailable } from '../../errors.ts'
import { bearerOf } from '../../http/credentials.ts'
import { sendProblem } from '../../http/problem.ts'
import type { Identifier } from '../../lifecycle/signals.ts'
import { parseObject } from '../../trust/json-object.ts'
import { KeySetUnreachable, UnknownKey } from '../../trust/key-sets.ts'
import type { Receiver, ReceiverParts } from '../receiver.ts'
import { bodyOf, channelOf, findChannel, readBody, TurnedAway, turnAway } from '../turned-away.ts'
import { subjectOf } from './subject.ts'
import { type Caller, verifyCaller } from './token.ts'

const kind = 'global-token-revocation'
const largestBodyBytes = 16 * 1024
/** A new key is served by then: a key set is asked again after half a minute. */
const newKeySeconds = 30
const keySetRetrySeconds = 5

/**
 * Global Token Revocation (draft-parecki-oauth-global-token-revocation-05), as Okta's Universal Logout asks for it: a
 * command about one user, with a token that is good for this endpoint alone. 204 says that nothing issued before checks
 * out any more.
 */
export const globalTokenRevocation: Receiver = (parts) => {
  const { channels, intake, refusals } = parts
  const routes = Router({ mergeParams: true })
  routes.use(findChannel(kind, channels))
  routes.post('/', readBody(largestBodyBytes), async (req, res) => {
    const channel = channelOf<GlobalTokenRevocationConfig>(req)
    const caller = await authenticate(bearerOf(req), channel, parts)
    const body = parseObject(bodyOf(req))
    if (!body) throw new TurnedAway(400, 'content')
    const subject = subjectOf(body.sub_id, channel.config)
    if (!subject) throw new TurnedAway(400, 'subject')
    answer(res, await revoke(channel, caller, subject, intake))
  })
  routes.use(turnAway(refusals))
  return routes
}

async function authenticate(
  token: string | undefined,
  channel: Channel<GlobalTokenRevocationConfig>,
  { keySets, publicUrl, refusals }: ReceiverParts,
): Promise<Caller> {
  const audience = `${publicUrl()}/directories/${channel.directoryId}/events/${kind}`
  try {
    return await verifyCaller(token, channel.config, audience, keySets)
  } catch (error) {
    if (error instanceof KeySetUnreachable)
      throw new Unavailable('Try again', { retryAfterSeconds: keySetRetrySeconds, cause: error })
    if (!(error instanceof UnknownKey)) throw error
    refusals.note(channel, 'key')
    throw new Unavailable('Try again', { retryAfterSeconds: newKeySeconds, cause: error })
  }
}

/**
 * A token counts once. The same call again gets the answer that it got, in case that was lost; the token with somebody
 * else's name is a token that was stolen, since the name is not in it.
 */
async function revoke(
  channel: Channel<GlobalTokenRevocationConfig>,
  { jti, client, issuedAt }: Caller,
  subject: Identifier,
  intake: ReceiverParts['intake'],
): Promise<SignalEffect> {
  const { directoryId } = channel
  const dedupeKey = `${channel.config.issuer}\n${jti}`
  const call = createHash('sha256')
    .update(JSON.stringify([jti, subject]))
    .digest('base64url')
  const signal = {
    dedupeKey,
    type: kind,
    kind: 'sessions_revoked',
    subject: [subject],
    occurredAt: issuedAt,
    detail: { client: client.slice(0, 128).toWellFormed(), call },
  } as const
  const [received] = await intake.receive({ directoryId, kind }, [signal], { waits: false })
  if (received!.effect !== 'duplicate') return received!.effect
  const before = await intake.recall({ directoryId, kind }, dedupeKey)
  if (before?.detail.call !== call) throw new TurnedAway(401, 'credential')
  return before.effect
}

/** Okta §1.9: unknown is 404, and 422 is for whoever is known and cannot be logged out: between two nobody guesses. */
function answer(res: Response, effect: SignalEffect): void {
  const refused = effect === 'unmatched' ? 404 : effect === 'ambiguous' ? 422 : undefined
  if (refused === undefined) res.status(204).end()
  else sendProblem(res, { status: refused, title: STATUS_CODES[refused]! })
}
