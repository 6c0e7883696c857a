import { type Fields, findDocument, shownFrom, textIn, textsIn, wellKnownOf } from './documents.ts'
import type { Endpoint } from './endpoint.ts'
import { doubt, type Finding, virtue } from './findings.ts'
import type { Requests } from './requests.ts'

export interface Resource {
  readonly findings: readonly Finding[]
  /** As published; undefined unless it may be used for this URL. */
  readonly resource: string | undefined
  /** The first one: clients read no other. */
  readonly issuer: string | undefined
  /** What a client would ask for: of the challenge, else of the metadata. */
  readonly scopes: readonly string[]
}

const name = 'oauth-protected-resource'

/** Protected-resource metadata (RFC 9728). */
export async function checkResource(requests: Requests, url: string, endpoint: Endpoint): Promise<Resource> {
  const parsed = new URL(url)
  const root = `${parsed.origin}/.well-known/${name}`
  const inserted = wellKnownOf(parsed, name)
  const { document, findings: seen } = await findDocument(requests, {
    named: endpoint.resourceMetadata,
    wellKnown: [inserted, root],
    missing: 'resource-metadata-missing',
  })
  const findings = [...seen]
  if (document === undefined) return { findings, resource: undefined, issuer: undefined, scopes: endpoint.scopes }
  const { fields } = document
  const byChance = document.url === root && root !== inserted && endpoint.resourceMetadata !== root
  findings.push(
    byChance
      ? doubt('resource-metadata-root-only', document.url)
      : virtue('resource-metadata', shownFrom(document.url, parsed.origin)),
    judgeResource(parsed, url, document),
  )
  const usable = findings.at(-1)?.level !== 'fault'
  findings.push(...judgeServers(fields), ...judgeMethods(fields), ...judgeScopes(fields, endpoint.scopes))
  const listed = textsIn(fields, 'scopes_supported') ?? []
  return {
    findings,
    resource: usable ? textIn(fields, 'resource') : undefined,
    issuer: textsIn(fields, 'authorization_servers')?.[0],
    scopes: endpoint.scopes.length > 0 ? endpoint.scopes : listed,
  }
}

function judgeResource(parsed: URL, url: string, document: { url: string; fields: Fields }): Finding {
  const resource = textIn(document.fields, 'resource')
  if (resource === undefined) return doubt('resource-mismatch', 'the metadata has no resource')
  const seen = `resource is ${resource}, not ${url}`
  const own = [url, parsed.href, ...(parsed.pathname === '/' && parsed.search === '' ? [parsed.origin] : [])]
  if (own.includes(resource)) return virtue('resource-exact', resource)
  if (own.some((each) => withoutSlash(each) === withoutSlash(resource))) return doubt('trailing-slash', seen)
  return isPartOf(parsed, resource, document.url) ? doubt('resource-broader', seen) : doubt('resource-mismatch', seen)
}

/** RFC 9728 §3.3: the resource must be the one whose well-known URL the document is from. */
function isPartOf(url: URL, resource: string, foundAt: string): boolean {
  const broader = URL.parse(resource)
  if (broader === null || broader.origin !== url.origin || wellKnownOf(broader, name) !== foundAt) return false
  return `${url.pathname}/`.startsWith(`${withoutSlash(broader.pathname)}/`)
}

function judgeServers(fields: Fields): Finding[] {
  const servers = textsIn(fields, 'authorization_servers') ?? []
  if (servers[0] === undefined) return [doubt('no-authorization-server', 'authorization_servers names none')]
  return servers.length === 1
    ? [virtue('one-authorization-server', servers[0])]
    : [doubt('several-authorization-servers', `${servers.length}, of which ${servers[0]} is the first`)]
}

function judgeMethods(fields: Fields): Finding[] {
  const methods = textsIn(fields, 'bearer_methods_supported')
  if (methods === undefined || methods.includes('header')) return []
  return [doubt('header-not-supported', `bearer_methods_supported is ${methods.join(', ') || 'empty'}`)]
}

function judgeScopes(fields: Fields, challenged: readonly string[]): Finding[] {
  const listed = textsIn(fields, 'scopes_supported')
  const unknown = listed === undefined ? [] : challenged.filter((scope) => !listed.includes(scope))
  const asked = [...challenged, ...(listed ?? [])]
  return [
    ...(asked.length === 0 ? [doubt('no-scopes', 'neither the 401 nor the metadata names any')] : []),
    ...(unknown.length > 0
      ? [doubt('scope-disagrees', `the 401 asks for ${unknown.join(' ')}, which is not listed`)]
      : []),
    ...(asked.includes('offline_access') ? [doubt('offline-access-listed', 'offline_access is among the scopes')] : []),
  ]
}

export function withoutSlash(text: string): string {
  return text.replace(/\/$/, '')
}
