import { type RequestHandler, Router } from 'express'
import type { Database } from '../db/pool.ts'
import type { Gate } from '../entitlement/gate.ts'
import { RateLimit } from '../http/rate-limit.ts'
import type { Grants } from '../ledger/grants.ts'
import { createIssuance } from '../ledger/issuance.ts'
import type { Clients } from '../trust/clients.ts'
import type { Issuers } from '../trust/issuers.ts'
import type { KeySets } from '../trust/key-sets.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'
import { createAccessTokens } from './access-token.ts'
import type { AskingParts } from './asking.ts'
import { createAssertions } from './assertion.ts'
import { createClientAuthentication } from './client-authentication.ts'
import { oauthEdge } from './edge.ts'
import { formParser } from './form.ts'
import { introspectionRoutes } from './introspection.ts'
import { metadataRoutes } from './metadata.ts'
import { revocationRoutes } from './revocation.ts'
import { createTargets } from './target.ts'
import { tokenRoutes } from './token.ts'

export interface AuthorizationServerParts extends AskingParts {
  readonly db: Database
  readonly gate: Gate
  readonly grants: Grants
  readonly clients: Clients
  readonly issuers: Issuers
  /** Of issuers; those of MCP clients are kept apart, since whoever names documents could push the others out. */
  readonly keySets: KeySets
  readonly clientKeySets: KeySets
  readonly signingKeys: SigningKeys
  /** Our issuer identifier. */
  readonly issuer: () => string
  readonly requireReady: RequestHandler
}

/** The authorization server: its metadata, and the `/oauth2` routes with one parser and one edge. */
export function authorizationServer(parts: AuthorizationServerParts): Router {
  const { db, gate, clients, issuers, keySets, clientKeySets, signingKeys, issuer } = parts
  const tokenEndpoint = () => `${issuer()}/oauth2/token`
  const authenticate = createClientAuthentication({ db, clients, keySets: clientKeySets, issuer, tokenEndpoint })
  return Router()
    .use(metadataRoutes(parts))
    .use('/oauth2', parts.requireReady, formParser)
    .use(
      tokenRoutes({
        db,
        authenticate,
        verifyAssertion: createAssertions({ db, issuers, keySets, audience: issuer }),
        chooseTarget: createTargets({ db }),
        prepareToken: createAccessTokens({ signingKeys, issuer }),
        issue: createIssuance({ db, gate }),
        clients,
        rateLimit: new RateLimit(),
      }),
    )
    .use(introspectionRoutes(parts))
    .use(revocationRoutes({ ...parts, authenticate }))
    .use('/oauth2', oauthEdge)
}
