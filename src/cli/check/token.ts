import { type AuthorizationServer, jwtBearer } from './authorization-server.ts'
import { textIn } from './documents.ts'
import { splitScopes } from './endpoint.ts'
import { doubt, type Finding, virtue } from './findings.ts'
import type { Wanted } from './id-jag.ts'
import { type Form, type OAuthAnswer, postForm } from './oauth.ts'
import type { Requests } from './requests.ts'

export const authMethods = ['client_secret_basic', 'client_secret_post', 'none'] as const

export interface McpClient {
  readonly id: string
  readonly secret: string | undefined
  /** Left out: by what the authorization server lists. */
  readonly auth?: (typeof authMethods)[number] | undefined
}

export interface Redeemed {
  readonly answer: OAuthAnswer
  /** Undefined unless the answer gave one that can be used. */
  readonly token: string | undefined
  /** Infinite where it is not said. */
  readonly lifeSeconds: number
}

/** The client's side of the token and the revocation endpoint. */
export interface TokenClient {
  redeem(assertion: string, wanted: Wanted): Promise<Redeemed>
  /** Undefined where there is no endpoint for it. */
  revoke(token: string): Promise<OAuthAnswer | undefined>
}

export function createTokenClient(requests: Requests, server: AuthorizationServer, client: McpClient): TokenClient {
  const method = client.auth ?? choose(server.authMethods, client.secret)

  function post(url: string, form: Form): Promise<OAuthAnswer> {
    if (method === 'none') return postForm(requests, url, { ...form, client_id: client.id })
    if (method === 'client_secret_post')
      return postForm(requests, url, { ...form, client_id: client.id, client_secret: client.secret })
    // As MCP SDKs send it: not form-encoded, whatever RFC 6749 §2.3.1 has.
    const credentials = Buffer.from(`${client.id}:${client.secret ?? ''}`).toString('base64')
    return postForm(requests, url, form, { authorization: `Basic ${credentials}` })
  }

  return {
    async redeem(assertion, { resource, scope }) {
      const answer = await post(server.tokenEndpoint, {
        grant_type: jwtBearer,
        assertion,
        scope: scope || undefined,
        resource,
      })
      const life = answer.kind === 'given' ? answer.fields.expires_in : undefined
      const lifeSeconds = typeof life === 'number' ? life : Number.POSITIVE_INFINITY
      return { answer, token: usableToken(answer), lifeSeconds }
    },
    async revoke(token) {
      if (server.revocationEndpoint === undefined) return undefined
      return post(server.revocationEndpoint, { token, token_type_hint: 'access_token' })
    },
  }
}

function choose(listed: readonly string[], secret: string | undefined): (typeof authMethods)[number] {
  if (secret === undefined) return 'none'
  return listed.includes('client_secret_basic') || !listed.includes('client_secret_post')
    ? 'client_secret_basic'
    : 'client_secret_post'
}

function usableToken(answer: OAuthAnswer): string | undefined {
  if (answer.kind !== 'given') return undefined
  const token = textIn(answer.fields, 'access_token')
  // What does not fit into a header would be repeated by the error that says so.
  const fits = token !== undefined && /^[\x21-\x7e]+$/.test(token)
  return fits && textIn(answer.fields, 'token_type')?.toLowerCase() === 'bearer' ? token : undefined
}

const longestLifeSeconds = 3_600

/** What the answer of the token endpoint says about it. */
export function judgeRedeemed({ answer, token, lifeSeconds }: Redeemed): Finding[] {
  if (answer.kind === 'refused') return [doubt('id-jag-refused', answer.seen)]
  if (answer.kind !== 'given') return [answer.doubt ?? doubt('token-response-wrong', answer.seen)]
  const { fields, headers } = answer
  if (token === undefined)
    return [doubt('token-response-wrong', 'it has no access_token with token_type Bearer that fits into a header')]
  const scopes = splitScopes(fields.scope)
  const life = Number.isFinite(lifeSeconds) ? `${lifeSeconds} s` : 'a time that it does not say'
  return [
    virtue('token-issued', `for ${life}, with ${scopes.length === 0 ? 'no scope named' : `scope ${scopes.join(' ')}`}`),
    ...(headers['cache-control']?.includes('no-store')
      ? []
      : [doubt('token-cacheable', `cache-control is ${headers['cache-control'] ?? 'absent'}`)]),
    ...(lifeSeconds <= longestLifeSeconds ? [] : [doubt('token-life-long', `the token is good for ${life}`)]),
    ...(fields.refresh_token === undefined ? [] : [doubt('refresh-token-returned', 'the answer has a refresh_token')]),
    ...(scopes.length > 0 ? [] : [doubt('scope-not-echoed', 'the answer has no scope')]),
  ]
}
