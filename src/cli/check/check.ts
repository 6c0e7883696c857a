import { checkAuthorizationServer } from './authorization-server.ts'
import { checkEndpoint } from './endpoint.ts'
import { doubt, type Finding } from './findings.ts'
import type { Requests } from './requests.ts'
import { checkResource } from './resource.ts'
import type { TakenBack } from './taking-back.ts'
import { type Trial, tryForReal } from './trial.ts'

export const subjects = ['server', 'resource-metadata', 'authorization-server', 'trial'] as const
export type Subject = (typeof subjects)[number]

export interface Report {
  readonly url: string
  /** Without a fault. */
  readonly ready: boolean
  readonly resource: string | null
  readonly issuer: string | null
  readonly findings: ReadonlyArray<Finding & { readonly about: Subject }>
  readonly takenBack: TakenBack | null
}

/**
 * Goes the way of an MCP client: the 401, the protected-resource metadata, the authorization server's, and with `trial`
 * on to a token. Whatever is asked of strangers goes through `requests`.
 */
export async function check(requests: Requests, url: string, trial?: Trial): Promise<Report> {
  const findings: Array<Finding & { about: Subject }> = []
  const add = (about: Subject, found: readonly Finding[]) =>
    findings.push(...found.map((finding) => ({ ...finding, about })))
  const report = (rest: Partial<Report> = {}): Report => ({
    url,
    ready: findings.every(({ level }) => level !== 'fault'),
    resource: null,
    issuer: null,
    takenBack: null,
    findings,
    ...rest,
  })
  const notTried = (why: string) => {
    if (trial !== undefined) add('trial', [doubt('not-tried', why)])
  }

  const endpoint = await checkEndpoint(requests, url)
  add('server', endpoint.findings)
  if (!endpoint.answers) {
    notTried('the server cannot be asked')
    return report()
  }
  const resource = await checkResource(requests, url, endpoint)
  add('resource-metadata', resource.findings)
  const named = { resource: resource.resource ?? null, issuer: resource.issuer ?? null }
  if (resource.issuer === undefined) {
    notTried('no authorization server is known')
    return report(named)
  }
  const { findings: found, server } = await checkAuthorizationServer(requests, resource.issuer, resource)
  add('authorization-server', found)
  if (trial === undefined) return report(named)
  if (server === undefined || resource.resource === undefined) {
    notTried(server === undefined ? 'the authorization server is in doubt' : 'the resource is in doubt')
    return report(named)
  }
  const target = { url, server, resource: resource.resource, scopes: resource.scopes }
  const { findings: tried, takenBack = null } = await tryForReal(requests, target, trial)
  add('trial', tried)
  return report({ ...named, takenBack })
}
