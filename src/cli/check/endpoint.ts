import { version } from '../../version.ts'
import { readChallenges } from './challenge.ts'
import { readObject } from './documents.ts'
import { type Doubt, doubt, type Finding, isDoubt, virtue } from './findings.ts'
import type { Answer, Requests } from './requests.ts'

export interface Endpoint {
  readonly findings: readonly Finding[]
  /** Whether anything at this host is worth asking. */
  readonly answers: boolean
  /** Of the Bearer challenge. */
  readonly resourceMetadata: string | undefined
  readonly scopes: readonly string[]
}

/** The MCP endpoint, as somebody without a token and as somebody with a wrong one meets it. */
export async function checkEndpoint(requests: Requests, url: string): Promise<Endpoint> {
  const nothing = { resourceMetadata: undefined, scopes: [] }
  const weighed = await requests.weigh(url)
  const findings: Finding[] = weighed === undefined ? [] : [weighed]
  const answer = await callEndpoint(requests, url)
  if (isDoubt(answer)) {
    if (answer.id !== weighed?.id) findings.push(answer)
    return { ...nothing, findings, answers: answer.id.startsWith('redirect') }
  }
  if (answer.status < 300) {
    findings.push(doubt('open-without-token', `initialize answered ${answer.status} without a token`))
    return { ...nothing, findings, answers: true }
  }
  const challenge = readChallenge(answer)
  findings.push(...challenge.findings, ...(await tryBadToken(requests, url)))
  return { ...challenge, findings, answers: true }
}

function readChallenge(answer: Answer): Pick<Endpoint, 'findings' | 'resourceMetadata' | 'scopes'> {
  const header = answer.headers['www-authenticate'] ?? ''
  const challenges = readChallenges(header)
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  const link = bearer?.parameters.get('resource_metadata')
  const resourceMetadata = link !== undefined && URL.canParse(link) ? link : undefined
  const scopes = splitScopes(bearer?.parameters.get('scope'))
  const doubts: Doubt[] = []
  if (answer.status !== 401) doubts.push(doubt('no-401', `initialize answered ${answer.status} without a token`))
  else if (bearer === undefined)
    doubts.push(doubt('no-bearer-challenge', header === '' ? '401 without WWW-Authenticate' : `401 with ${header}`))
  else {
    if (challenges[0] !== bearer) doubts.push(doubt('challenge-not-first', header))
    if (resourceMetadata === undefined)
      doubts.push(
        doubt(
          'no-resource-metadata-link',
          link === undefined ? 'Bearer without resource_metadata' : `resource_metadata="${link}" is no URL`,
        ),
      )
  }
  const scope = scopes.length === 0 ? '' : `, scope ${scopes.join(' ')}`
  const findings = doubts.length > 0 ? doubts : [virtue('challenge', `401 with resource_metadata${scope}`)]
  return { findings, resourceMetadata, scopes }
}

async function tryBadToken(requests: Requests, url: string): Promise<Finding[]> {
  const answer = await callEndpoint(requests, url, 'tenure-check-never-was-a-token')
  if (isDoubt(answer)) return [answer]
  if (answer.status < 300)
    return [doubt('bad-token-accepted', `initialize answered ${answer.status} to a made-up token`)]
  if (answer.status !== 401) return [doubt('refusal-not-401', `${answer.status} to a made-up token`)]
  return [virtue('bad-token-refused', '401 to a made-up token')]
}

/** One MCP request over Streamable HTTP; `session` is what the answer to an earlier one named. */
export function callEndpoint(
  requests: Requests,
  url: string,
  token?: string,
  session?: string,
): Promise<Answer | Doubt> {
  const message =
    session === undefined
      ? { jsonrpc: '2.0', id: 1, method: 'initialize', params: introduction }
      : { jsonrpc: '2.0', id: 2, method: 'tools/list', params: {} }
  return requests.ask(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': introduction.protocolVersion,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
    },
    body: JSON.stringify(message),
  })
}

const introduction = {
  protocolVersion: '2025-11-25',
  capabilities: { extensions: { 'io.modelcontextprotocol/enterprise-managed-authorization': {} } },
  clientInfo: { name: 'tenure-check', version },
} as const

/** Whether this is JSON-RPC, plain or as the first message of a stream. */
export function isMcp({ headers, body }: Answer): boolean {
  const isStream = headers['content-type']?.startsWith('text/event-stream')
  const text = isStream ? (/^data: ?(\{.*)$/m.exec(body)?.[1] ?? '') : body
  return readObject(text)?.jsonrpc === '2.0'
}

export function splitScopes(scope: unknown): readonly string[] {
  return typeof scope === 'string' ? scope.split(' ').filter(Boolean) : []
}
