import { type RequestHandler, Router } from 'express'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { knownAlgorithms } from '../trust/algorithms.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'

/** For as long as a new signing key is published before it signs: whoever keeps the set so long has it in time. */
const cacheSeconds = 300
const mostScopes = 1_000
const clientAuthMethods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']

export interface MetadataParts {
  readonly db: Database
  readonly signingKeys: Pick<SigningKeys, 'jwks'>
  /** Our issuer identifier. */
  readonly issuer: () => string
  readonly requireReady: RequestHandler
}

/**
 * What MCP clients and servers read of the authorization server: its metadata (RFC 8414, and at the place of OpenID
 * Connect Discovery for those that look only there) and its public keys. It never says whose ID-JAGs it trusts.
 */
export function metadataRoutes({ db, signingKeys, issuer, requireReady }: MetadataParts): Router {
  const routes = Router()
  routes.use(['/.well-known', '/oauth2/jwks'], requireReady)

  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    // With the path of the issuer inserted after the name (RFC 8414 §3.1); without it, since a proxy may take it off.
    routes.get(`/.well-known/${name}{/*path}`, async (req, res, next) => {
      const path = req.path.slice(`/.well-known/${name}`.length)
      if (path !== '' && (path === '/' || path !== new URL(issuer()).pathname)) return next()
      const metadata = describe(issuer(), await readScopes(db))
      publish(res).json(name === 'openid-configuration' ? { ...metadata, ...forOpenId } : metadata)
    })
  }

  routes.get('/oauth2/jwks', async (_req, res) => {
    publish(res)
      .type('application/jwk-set+json')
      .json(await signingKeys.jwks())
  })

  // Metadata must name one, and here is none: people have signed in at their identity provider before.
  routes.all('/oauth2/authorize', (_req, res) => {
    res
      .set('Cache-Control', 'no-store')
      .status(400)
      .json({
        error: 'unsupported_response_type',
        error_description: `There is no interactive sign-in here: present an ID-JAG of your identity provider at the token endpoint (grant type ${jwtBearer})`,
      })
  })
  return routes
}

const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** RFC 8414 §2. */
function describe(issuer: string, scopes: readonly string[]) {
  const of = (path: string) => `${issuer}/oauth2/${path}`
  return {
    issuer,
    authorization_endpoint: of('authorize'),
    token_endpoint: of('token'),
    jwks_uri: of('jwks'),
    // Empty, although such a member should rather be left out: MCP clients refuse metadata without it.
    response_types_supported: [],
    grant_types_supported: [jwtBearer],
    authorization_grant_profiles_supported: ['urn:ietf:params:oauth:grant-profile:id-jag'],
    token_endpoint_auth_methods_supported: clientAuthMethods,
    token_endpoint_auth_signing_alg_values_supported: knownAlgorithms,
    ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
    revocation_endpoint: of('revoke'),
    revocation_endpoint_auth_methods_supported: clientAuthMethods,
    revocation_endpoint_auth_signing_alg_values_supported: knownAlgorithms,
    introspection_endpoint: of('introspect'),
    introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
    client_id_metadata_document_supported: true,
  }
}

/** OpenID Connect Discovery requires these of everybody, also of us who issue no ID token. */
const forOpenId = { subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['ES256'] }

async function readScopes(db: Database): Promise<string[]> {
  const { rows } = await sql<{ scope: string }>`
    select distinct unnest(coalesce(s.scopes, r.scopes)) collate "C" as scope
    from server s left join rule r on r.server_id = s.id
    where s.deleted_at is null order by scope limit ${mostScopes}`.execute(db)
  return rows.map(({ scope }) => scope)
}

/** Anybody may read it, from any page. */
function publish(res: Parameters<RequestHandler>[1]) {
  return res.set({ 'Cache-Control': `public, max-age=${cacheSeconds}`, 'Access-Control-Allow-Origin': '*' })
}
