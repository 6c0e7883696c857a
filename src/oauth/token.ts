import { type Request, Router } from 'express'
import type { Database } from '../db/pool.ts'
import { findSubject } from '../directory/find-subject.ts'
import type { RateLimit } from '../http/rate-limit.ts'
import type { Issued, IssueToken } from '../ledger/issuance.ts'
import { contradictsEmail, isSubject } from '../lifecycle/linking.ts'
import type { Clients, McpClient } from '../trust/clients.ts'
import type { PrepareToken } from './access-token.ts'
import type { IdJag, VerifyAssertion } from './assertion.ts'
import type { AuthenticateClient } from './client-authentication.ts'
import { postOnly } from './edge.ts'
import { invalidGrant, invalidRequest, invalidScope, OAuthError } from './errors.ts'
import { type Form, readForm } from './form.ts'
import { intersection, parseScopes } from './scopes.ts'
import { requireSignIn } from './step-up.ts'
import type { ChooseTarget } from './target.ts'

const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

export interface TokenParts {
  readonly db: Database
  readonly authenticate: AuthenticateClient
  readonly verifyAssertion: VerifyAssertion
  readonly chooseTarget: ChooseTarget
  readonly prepareToken: PrepareToken
  readonly issue: IssueToken
  readonly clients: Pick<Clients, 'hold'>
  /** By MCP client and user. */
  readonly rateLimit: RateLimit
}

/**
 * `POST /oauth2/token`: an ID-JAG in, an access token for one server out (RFC 7523 §2.1). There are no refresh tokens:
 * the client comes back with a new ID-JAG, and the gate is asked anew.
 */
export function tokenRoutes(parts: TokenParts): Router {
  const { db, authenticate, verifyAssertion, chooseTarget, prepareToken, issue, clients, rateLimit } = parts
  const routes = Router()

  routes.post('/oauth2/token', async (req, res) => {
    const form = readForm(req, ['resource'])
    const client = await authenticate(req, form)
    req.facts.client = client.id
    const assertion = assertionOf(form, client)
    const idJag = await verifyAssertion(assertion, client.id, (facts) => Object.assign(req.facts, facts))
    const target = await chooseTarget(idJag.resources, form.all('resource'))
    req.facts.serverId = target.id
    const scopes = intersection(idJag.scopes, requestedScopes(form) ?? idJag.scopes, target.scopes ?? idJag.scopes)
    if (scopes.length === 0) throw invalidScope()
    const userId = await subjectOf(idJag)
    req.facts.userId = userId
    const perMinute = client.tokenRequestsPerMinute
    rateLimit.take(`${userId} ${client.id}`, perMinute / 60, perMinute)
    const { lifeSeconds, mint } = await prepareToken(target, client.id)
    const issued = await issue({
      userId,
      serverId: target.id,
      client: client.id,
      scopes,
      lifeSeconds,
      format: target.tokenFormat,
      assertion: { ...idJag, issuerId: idJag.issuer.id, reuse: idJag.issuer.assertionReuse },
      holdClient: (trx) => clients.hold(trx, client),
      contradiction: (document) => contradictionOf(idJag, document),
      mint: async (made) => {
        requireSignIn(idJag)
        return mint(made)
      },
    })
    answer(req, issued, (granted) =>
      res.set({ 'Cache-Control': 'no-store', Pragma: 'no-cache' }).json({
        access_token: granted.token,
        token_type: 'Bearer',
        expires_in: lifeSeconds,
        scope: granted.scopes.join(' '),
        resource: target.resource,
      }),
    )
  })
  routes.all('/oauth2/token', postOnly)
  return routes

  async function subjectOf({ issuer, sub }: IdJag): Promise<string> {
    const [userId, another] = await findSubject(db, issuer.directoryId, issuer.subject, sub)
    if (userId === undefined) throw invalidGrant('subject_unknown')
    if (another !== undefined) throw invalidGrant('subject_ambiguous')
    return userId
  }
}

/** @throws OAuthError for what can be told from the form and the client alone */
function assertionOf(form: Form, client: McpClient): string {
  const grantType = form.get('grant_type')
  if (grantType === undefined) throw invalidRequest('grant_type is required')
  if (grantType !== jwtBearer) throw new OAuthError(400, 'unsupported_grant_type', `Only ${jwtBearer} is supported`)
  if (!client.mayUseJwtBearer)
    throw new OAuthError(400, 'unauthorized_client', 'This client may not use this grant type')
  const assertion = form.get('assertion')
  if (assertion === undefined) throw invalidRequest('assertion is required')
  return assertion
}

function requestedScopes(form: Form): string[] | undefined {
  const text = form.get('scope')
  if (text === undefined) return undefined
  const scopes = parseScopes(text)
  if (!scopes) throw new OAuthError(400, 'invalid_scope', 'scope is not a list of scopes (RFC 6749 §3.3)')
  return scopes
}

/** Of the document as it is under the lock: what the search has found may have changed since. */
function contradictionOf({ issuer, sub, email }: IdJag, document: Readonly<Record<string, unknown>>) {
  if (!isSubject(document, issuer.subject, sub)) return 'subject_unknown'
  return email !== undefined && contradictsEmail(document, email) ? 'email_contradicts' : undefined
}

type Granted = Exclude<Issued, { refused: string }>

function answer(req: Request, issued: Issued, send: (granted: Granted) => void): void {
  if (issued.refused === 'no_scope') throw invalidScope()
  if (issued.refused !== undefined) throw invalidGrant(issued.refused)
  req.facts.grantId = issued.grantId
  send(issued)
}
