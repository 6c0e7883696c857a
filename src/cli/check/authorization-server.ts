import { type Fields, findDocument, shownFrom, textIn, textsIn, wellKnownOf } from './documents.ts'
import { type Doubt, type DoubtId, doubt, type Finding, type VirtueId, virtue } from './findings.ts'
import type { Requests } from './requests.ts'
import { type Resource, withoutSlash } from './resource.ts'

/** What a trial needs of it. */
export interface AuthorizationServer {
  readonly issuer: string
  readonly tokenEndpoint: string
  readonly revocationEndpoint: string | undefined
  readonly authMethods: readonly string[]
}

export interface CheckedAuthorizationServer {
  readonly findings: readonly Finding[]
  /** Undefined unless it may be sent a credential: its metadata is its own, and its token endpoint can be asked. */
  readonly server: AuthorizationServer | undefined
}

const idJagProfile = 'urn:ietf:params:oauth:grant-profile:id-jag'
export const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** RFC 8414 §2: what holds where the metadata does not say. */
const defaultAuthMethods = ['client_secret_basic']
const usableAuthMethods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']

/** Authorization-server metadata (RFC 8414, or OpenID Connect Discovery). */
export async function checkAuthorizationServer(
  requests: Requests,
  issuer: string,
  resource: Resource,
): Promise<CheckedAuthorizationServer> {
  const weighed = await requests.weigh(issuer)
  const url = URL.parse(issuer)
  if (url === null || (weighed !== undefined && weighed.id !== 'not-https'))
    return { findings: [weighed ?? doubt('issuer-mismatch', `${issuer} is no URL`)], server: undefined }
  const { document, findings: seen } = await findDocument(requests, {
    wellKnown: metadataUrls(url),
    missing: 'authorization-server-metadata-missing',
  })
  const findings = [...(weighed === undefined ? [] : [weighed]), ...seen.filter(({ id }) => id !== weighed?.id)]
  if (document === undefined) return { findings, server: undefined }
  const { fields } = document
  const named = judgeIssuer(fields, issuer)
  const token = await judgeTokenEndpoint(requests, fields)
  findings.push(
    virtue('authorization-server-metadata', shownFrom(document.url, url.origin)),
    named,
    judgeProfile(fields),
    judgeGrantType(fields),
    token.finding,
    ...judgeSdkFields(fields),
    judgeClientAuthentication(fields),
    await judgeEndpoint(requests, fields, 'revocation_endpoint', 'revocation', 'no-revocation-endpoint'),
    await judgeEndpoint(requests, fields, 'introspection_endpoint', 'introspection', 'no-introspection-endpoint'),
    ...judgeReach(fields, resource),
  )
  return { findings, server: named.level === 'ok' ? serverOf(fields, issuer, token.endpoint) : undefined }
}

function metadataUrls(issuer: URL): string[] {
  const both = [wellKnownOf(issuer, 'oauth-authorization-server'), wellKnownOf(issuer, 'openid-configuration')]
  const path = withoutSlash(issuer.pathname)
  return path === '' ? both : [...both, `${issuer.origin}${path}/.well-known/openid-configuration`]
}

function serverOf(fields: Fields, issuer: string, tokenEndpoint: string | undefined): AuthorizationServer | undefined {
  if (tokenEndpoint === undefined) return undefined
  return {
    issuer,
    tokenEndpoint,
    revocationEndpoint: textIn(fields, 'revocation_endpoint'),
    authMethods: textsIn(fields, 'token_endpoint_auth_methods_supported') ?? defaultAuthMethods,
  }
}

function judgeIssuer(fields: Fields, issuer: string): Finding {
  const said = textIn(fields, 'issuer')
  if (said === issuer) return virtue('issuer-exact', issuer)
  const seen = said === undefined ? 'the metadata has no issuer' : `issuer is ${said}, not ${issuer}`
  const bySlash = said !== undefined && withoutSlash(said) === withoutSlash(issuer)
  return doubt(bySlash ? 'trailing-slash' : 'issuer-mismatch', seen)
}

function judgeProfile(fields: Fields): Finding {
  const profiles = textsIn(fields, 'authorization_grant_profiles_supported')
  if (profiles?.includes(idJagProfile)) return virtue('profile-advertised', idJagProfile)
  const seen = profiles === undefined ? 'is missing' : `is ${profiles.join(', ') || 'empty'}`
  return doubt('profile-not-advertised', `authorization_grant_profiles_supported ${seen}`)
}

function judgeGrantType(fields: Fields): Finding {
  const types = textsIn(fields, 'grant_types_supported')
  if (types?.includes(jwtBearer)) return virtue('jwt-bearer-supported', jwtBearer)
  const seen = types === undefined ? 'is missing' : `is ${types.join(', ') || 'empty'}`
  return doubt('jwt-bearer-missing', `grant_types_supported ${seen}`)
}

async function judgeTokenEndpoint(
  requests: Requests,
  fields: Fields,
): Promise<{ finding: Finding; endpoint?: string | undefined }> {
  const endpoint = textIn(fields, 'token_endpoint')
  if (endpoint === undefined) return { finding: doubt('token-endpoint-missing', 'the metadata names none') }
  const problem = await requests.weigh(endpoint)
  if (problem === undefined) return { finding: virtue('token-endpoint', endpoint), endpoint }
  return { finding: of('token_endpoint', problem) }
}

async function judgeEndpoint(
  requests: Requests,
  fields: Fields,
  name: string,
  good: VirtueId,
  missing: DoubtId,
): Promise<Finding> {
  const endpoint = textIn(fields, name)
  if (endpoint === undefined) return doubt(missing, `${name} is missing`)
  const problem = await requests.weigh(endpoint)
  return problem === undefined ? virtue(good, endpoint) : of(name, problem)
}

function of(name: string, problem: Doubt): Doubt {
  return doubt(problem.id, `${name}: ${problem.seen}`)
}

function judgeSdkFields(fields: Fields): Finding[] {
  const missing = [
    ...(textIn(fields, 'authorization_endpoint') === undefined ? ['authorization_endpoint'] : []),
    ...(textsIn(fields, 'response_types_supported') === undefined ? ['response_types_supported'] : []),
  ]
  return missing.length === 0 ? [] : [doubt('sdk-fields-missing', `the metadata has no ${missing.join(' and no ')}`)]
}

function judgeClientAuthentication(fields: Fields): Finding {
  const listed = textsIn(fields, 'token_endpoint_auth_methods_supported')
  const methods = listed ?? defaultAuthMethods
  const seen =
    listed === undefined ? 'nothing listed, which means client_secret_basic' : listed.join(', ') || 'none listed'
  if (!methods.some((method) => usableAuthMethods.includes(method)))
    return doubt('client-authentication-unusable', seen)
  const both = methods.includes('client_secret_basic') && methods.includes('client_secret_post')
  return both ? virtue('client-authentication', seen) : doubt('client-authentication-narrow', seen)
}

function judgeReach(fields: Fields, { resource, scopes }: Resource): Finding[] {
  const resources = textsIn(fields, 'protected_resources')
  const known = textsIn(fields, 'scopes_supported')
  const unknown = known === undefined ? [] : scopes.filter((scope) => !known.includes(scope))
  return [
    ...(resource !== undefined && resources !== undefined && !resources.includes(resource)
      ? [doubt('resource-not-listed', `protected_resources is without ${resource}`)]
      : []),
    ...(unknown.length > 0
      ? [doubt('scope-disagrees', `the authorization server does not list ${unknown.join(' ')}`)]
      : []),
  ]
}
