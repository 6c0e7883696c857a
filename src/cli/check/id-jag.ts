import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import { textIn } from './documents.ts'
import { type Doubt, doubt, type Finding, virtue } from './findings.ts'
import { type OAuthAnswer, postForm } from './oauth.ts'
import type { Requests } from './requests.ts'

/** What an ID-JAG is wanted for. */
export interface Wanted {
  readonly issuer: string
  readonly resource: string
  readonly clientId: string
  readonly scope: string
}

export interface IdentityProvider {
  readonly tokenEndpoint: string
  readonly idToken: string
  readonly clientId: string
  readonly clientSecret: string | undefined
}

export type Taken =
  | { readonly kind: 'taken'; readonly assertion: string }
  | { readonly kind: 'none' }
  /** The identity provider says no, or nothing that helps. */
  | { readonly kind: 'refused' | 'failed'; readonly seen: string; readonly doubt?: Doubt }

/** Where ID-JAGs come from, one after the other. */
export interface IdJags {
  /** Whether the next one is made when it is taken. */
  readonly minted: boolean
  take(wanted: Wanted): Promise<Taken>
}

/** Those that were given, each once. */
export function givenIdJags(assertions: readonly string[]): IdJags {
  const left = [...assertions]
  return {
    minted: false,
    async take() {
      const assertion = left.shift()
      return assertion === undefined ? { kind: 'none' } : { kind: 'taken', assertion }
    },
  }
}

const tokenTypes = 'urn:ietf:params:oauth:token-type'

/** RFC 8693 at the identity provider, as MCP SDKs send it. */
export function mintedIdJags(requests: Requests, provider: IdentityProvider): IdJags {
  return {
    minted: true,
    async take({ issuer, resource, scope }) {
      const answer = await postForm(requests, provider.tokenEndpoint, {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        requested_token_type: `${tokenTypes}:id-jag`,
        audience: issuer,
        resource,
        subject_token: provider.idToken,
        subject_token_type: `${tokenTypes}:id_token`,
        client_id: provider.clientId,
        client_secret: provider.clientSecret,
        scope: scope || undefined,
      })
      return takenFrom(answer)
    },
  }
}

function takenFrom(answer: OAuthAnswer): Taken {
  if (answer.kind !== 'given') return answer
  const assertion = textIn(answer.fields, 'access_token')
  const type = textIn(answer.fields, 'issued_token_type')
  return assertion !== undefined && type === `${tokenTypes}:id-jag`
    ? { kind: 'taken', assertion }
    : { kind: 'failed', seen: `the identity provider gave ${type ?? 'something without issued_token_type'}` }
}

const longestLifeSeconds = 300
const skewSeconds = 60

/** What is wrong with an ID-JAG before anybody looks at its signature; one virtue when nothing is. */
export function judgeIdJag(assertion: string, wanted: Wanted, now: Date): Finding[] {
  const read = readIdJag(assertion)
  if (read === undefined) return [doubt('id-jag-unreadable', 'this is no signed JWT')]
  const { type, claims } = read
  const doubts = [
    ...(/^(application\/)?oauth-id-jag\+jwt$/i.test(type) ? [] : [doubt('id-jag-type', `typ is ${type || 'absent'}`)]),
    ...(sole(claims.aud) === wanted.issuer
      ? []
      : [doubt('id-jag-audience', `aud is ${said(claims.aud)}, not ${wanted.issuer}`)]),
    ...(claims.resource === undefined || sole(claims.resource) === wanted.resource
      ? []
      : [doubt('id-jag-resource', `resource is ${said(claims.resource)}, not ${wanted.resource}`)]),
    ...(claims.client_id === wanted.clientId
      ? []
      : [doubt('id-jag-client', `client_id is ${said(claims.client_id)}, not ${wanted.clientId}`)]),
    ...judgeLife(claims, now),
  ]
  return doubts.length > 0 ? doubts : [virtue('id-jag', `from ${said(claims.iss)}`)]
}

function judgeLife({ iat, exp }: JWTPayload, now: Date): Finding[] {
  const seconds = Math.floor(now.getTime() / 1_000)
  if (iat === undefined || exp === undefined) return [doubt('id-jag-life', 'iat or exp is missing')]
  if (exp <= seconds - skewSeconds) return [doubt('id-jag-life', `it expired ${seconds - exp} s ago`)]
  if (iat > seconds + skewSeconds) return [doubt('id-jag-life', `its iat is ${iat - seconds} s ahead of this clock`)]
  return exp - iat > longestLifeSeconds + skewSeconds ? [doubt('id-jag-life', `it lives for ${exp - iat} s`)] : []
}

/** Whether they are one and the same to a server that takes each once. */
export function isSameIdJag(one: string, other: string): boolean {
  const id = readIdJag(one)?.claims.jti
  return one === other || (id !== undefined && id === readIdJag(other)?.claims.jti)
}

function readIdJag(assertion: string): { type: string; claims: JWTPayload } | undefined {
  try {
    return { type: decodeProtectedHeader(assertion).typ ?? '', claims: decodeJwt(assertion) }
  } catch {
    return undefined
  }
}

/** RFC 7519 has one audience as a text or as a list of one. */
function sole(claim: unknown): unknown {
  return Array.isArray(claim) && claim.length === 1 ? claim[0] : claim
}

function said(claim: unknown): string {
  return claim === undefined ? 'absent' : typeof claim === 'string' ? claim : JSON.stringify(claim)
}
