import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Webhook } from 'standardwebhooks'
import { GuardError } from './errors.ts'
import type { Handler } from './handler.ts'
import { sendJson } from './responses.ts'
import type { Settings } from './settings.ts'
import type { Told } from './states.ts'

const largestBody = 1_048_576
const types = new Set(['access.granted', 'access.changed', 'access.revoked', 'sessions.revoked'])

/**
 * Takes Tenure's webhooks (Standard Webhooks). `take` is done before the answer leaves, so a 2xx means that whatever the
 * message ends has ended. One that was sent again, or is older than what is known, is answered 2xx and does nothing;
 * Standard Webhooks refuses what was signed more than 5 minutes ago.
 */
export function webhookHandler({ verifiers, report }: Settings, take: (told: Told) => void): Handler {
  if (verifiers.length === 0) throw new GuardError('ERR_GUARD_OPTIONS', 'webhook() needs webhookSecret')

  return (req, res, next) => {
    withBody(req, (body) => {
      try {
        if (!res.closed) answer(res, problemOf(req, body))
      } catch (error) {
        next(error)
      }
    })
  }

  /** Undefined when the message was taken, or is not for the guard. */
  function problemOf(req: IncomingMessage, body: string | Problem): Problem | undefined {
    if (req.method !== 'POST') return { status: 405, error: 'A webhook is sent by POST' }
    if (typeof body !== 'string') {
      if (body.status === 500) report(new GuardError('ERR_GUARD_BODY', body.error))
      return body
    }
    if (!verifiers.some((verifier) => verifies(verifier, body, req))) {
      const hint = 'A webhook came whose signature does not hold: is webhookSecret right?'
      report(new GuardError('ERR_GUARD_SIGNATURE', hint))
      return { status: 401, error: 'The signature does not hold' }
    }
    const message = readMessage(body)
    if (message === 'malformed') return { status: 400, error: 'This is not what Tenure tells a server' }
    if (message) take(message)
    return undefined
  }
}

function answer(res: ServerResponse, problem: Problem | undefined): void {
  if (problem?.status === 405) res.setHeader('Allow', 'POST')
  if (problem) sendJson(res, problem.status, { error: problem.error })
  else {
    res.statusCode = 204
    res.end()
  }
}

interface Problem {
  readonly status: number
  readonly error: string
}

function verifies(verifier: Webhook, body: string, { headers }: IncomingMessage): boolean {
  try {
    verifier.verify(body, headers as Record<string, string>, { jsonParse: false })
    return true
  } catch {
    return false
  }
}

/**
 * The raw body; or, where a parser has been there before, what it is made of: Tenure writes JSON as `JSON.stringify` does,
 * so that parsed and written again it is the same text, and if it is not, the signature says so.
 */
function withBody(
  req: IncomingMessage & { body?: unknown; rawBody?: unknown },
  done: (body: string | Problem) => void,
) {
  const given = req.rawBody ?? req.body
  const read = textOf(given)
  if (read !== undefined || req.readableEnded) {
    done(
      read ?? { status: 500, error: 'The body was read before guard.webhook(): mount it ahead of what reads bodies' },
    )
    return
  }

  const chunks: Buffer[] = []
  let size = 0
  req.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= largestBody) chunks.push(chunk)
  })
  req.on('end', () => {
    done(size > largestBody ? { status: 413, error: 'The body is too large' } : Buffer.concat(chunks).toString())
  })
  req.on('error', () => {})
}

function textOf(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  if (given instanceof Uint8Array) return Buffer.from(given).toString()
  return typeof given === 'object' && given !== null ? JSON.stringify(given) : undefined
}

/** Undefined: a kind of message that is not for the guard. */
function readMessage(body: string): Told | 'malformed' | undefined {
  const message = parse(body)
  if (!message) return 'malformed'
  if (!types.has(String(message.type))) return undefined
  const { data, timestamp } = message as { data?: Record<string, unknown>; timestamp?: unknown }
  const { generation, active, scopes, clients, notBefore, user, revokedGrants = [] } = data ?? {}
  const userId = (user as { id?: unknown } | undefined)?.id
  const at = secondsOf(timestamp)
  const cutAt = notBefore === null || notBefore === undefined ? undefined : secondsOf(notBefore)
  const isWhole =
    typeof userId === 'string' &&
    Number.isSafeInteger(generation) &&
    typeof active === 'boolean' &&
    isTexts(scopes) &&
    isTexts(clients) &&
    !Number.isNaN(at) &&
    !Number.isNaN(cutAt ?? 0) &&
    Array.isArray(revokedGrants)
  if (!isWhole) return 'malformed'
  const revoked = revokedGrants.map((grant) => grant?.jti).filter((jti) => typeof jti === 'string')
  return { userId, generation: generation as number, active, scopes, clients, at, notBefore: cutAt, revoked }
}

function parse(body: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/** Down, as `iat` is rounded; NaN when it is no time. */
function secondsOf(time: unknown): number {
  return Math.floor(Date.parse(typeof time === 'string' ? time : '') / 1_000)
}
