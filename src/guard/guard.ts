import type { IncomingMessage, ServerResponse } from 'node:http'
import { createCalls } from './calls.ts'
import { type Checked, createCheck } from './check.ts'
import type { Claims } from './claims.ts'
import type { Handler } from './handler.ts'
import { metadataHandler } from './metadata.ts'
import { createRefusals } from './refusals.ts'
import { endCall, type Refusal, refuse } from './responses.ts'
import { type GuardOptions, readOptions } from './settings.ts'
import { createStates } from './states.ts'
import { webhookHandler } from './webhook.ts'

export { GuardError, type GuardErrorCode } from './errors.ts'
export type { Handler } from './handler.ts'
export type { GuardOptions } from './settings.ts'

/** What a call is let in as: `req.auth`, in the shape that `@modelcontextprotocol/*` hands on to tools as `authInfo`. */
export interface GuardedAuth {
  token: string
  clientId: string
  scopes: string[]
  /** Seconds since 1970. */
  expiresAt: number
  resource: URL
  resourceMetadataUrl: string
  extra: {
    /** Tenure's id of the user, which is the user's SCIM id. */
    userId: string
    /** Aborted when access ends, and when the connection breaks before the answer is complete. */
    signal: AbortSignal
    [name: string]: unknown
  }
}

export type GuardedRequest = IncomingMessage & { auth?: GuardedAuth }

export interface Guard {
  /** RFC 9728 metadata at its two paths; mount it without a path. */
  metadata(): Handler
  /** Takes what Tenure tells this server. Ahead of body parsers where possible. */
  webhook(): Handler
  /**
   * Lets in whoever has a good token with all `scopes` (default: those of the guard), and ends the call when it is no
   * longer good.
   */
  protect(options?: { scopes?: readonly string[] }): Handler
}

const tries = 3

/**
 * Protects an MCP server, or any HTTP server, with tokens that end when Tenure says so.
 *
 * @throws GuardError `ERR_GUARD_OPTIONS` that names the option
 */
export function createGuard(options: GuardOptions): Guard {
  const settings = readOptions(options)
  const refusals = createRefusals(settings)
  const states = createStates({ isWired: settings.verifiers.length > 0 })
  const check = createCheck(settings, states)
  const calls = createCalls({ settings, check, states })

  return {
    metadata: () => metadataHandler(settings),
    webhook: () =>
      webhookHandler(settings, (told) => {
        if (states.take(told)) calls.told(told.userId)
      }),
    protect:
      ({ scopes = settings.scopes } = {}) =>
      (req, res, next) => {
        admit(req, res, scopes).then((isIn) => isIn && next(), next)
      },
  }

  async function admit(req: GuardedRequest, res: ServerResponse, scopes: readonly string[]): Promise<boolean> {
    const token = bearerOf(req.headers.authorization)
    if (token === undefined) return refused(res, refusals.missing)
    if (token === 'malformed') return refused(res, refusals.malformed)
    const checked = await checkNow(token)
    if (res.destroyed) return false
    if (checked.kind === 'unknown') return refused(res, refusals.unknown)
    if (checked.kind === 'bad') return refused(res, refusals.bad)
    const { claims } = checked
    if (!scopes.every((scope) => claims.scopes.includes(scope))) return refused(res, refusals.insufficient(scopes))
    req.auth = letIn(req, res, token, claims)
    return true
  }

  /** A webhook may overtake the answer that is waited for. */
  async function checkNow(token: string): Promise<Checked> {
    for (let left = tries; left > 0; left--) {
      const checked = await check.token(token)
      if (checked.kind !== 'good' || !states.isAfter(checked.sequence, checked.claims.userId)) return checked
    }
    return { kind: 'unknown' }
  }

  function letIn(req: IncomingMessage, res: ServerResponse, token: string, claims: Claims): GuardedAuth {
    const controller = new AbortController()
    const release = calls.begin(token, claims, (reason) => {
      endCall(req, res, reason === 'revoked' ? refusals.ended : refusals.unknown)
      controller.abort(new Error('Access has ended'))
    })
    res.once('close', () => {
      release()
      if (!res.writableFinished) controller.abort(new Error('The connection was closed'))
    })
    // Where a header is set, those of writeHead can be read later on (endCall does); and no cache may keep the answer.
    res.setHeader('Cache-Control', 'no-store')
    return {
      token,
      clientId: claims.clientId,
      scopes: [...claims.scopes],
      expiresAt: claims.expiresAt,
      resource: settings.resourceUrl,
      resourceMetadataUrl: settings.metadataUrl.href,
      extra: { userId: claims.userId, signal: controller.signal },
    }
  }
}

/** Undefined without a bearer. RFC 6750 §2.1; never from the query or a form (MCP). */
function bearerOf(header: string | undefined): string | 'malformed' | undefined {
  const given = /^Bearer(?: +(.*))?$/is.exec(header ?? '')
  if (!given) return undefined
  return /^[A-Za-z0-9\-._~+/]+=*$/.test(given[1]?.trim() ?? '') ? given[1]!.trim() : 'malformed'
}

function refused(res: ServerResponse, refusal: Refusal): false {
  refuse(res, refusal)
  return false
}
