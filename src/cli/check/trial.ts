import { performance } from 'node:perf_hooks'
import type { AuthorizationServer } from './authorization-server.ts'
import { Door, isRefusal } from './door.ts'
import { isMcp } from './endpoint.ts'
import { type Doubt, doubt, type Finding, isDoubt, virtue } from './findings.ts'
import { type IdJags, judgeIdJag } from './id-jag.ts'
import type { Answer, Requests } from './requests.ts'
import { awaitCut, revoke, type TakingBack, type Tried } from './taking-back.ts'
import { createTokenClient, judgeRedeemed, type McpClient } from './token.ts'

export interface Trial {
  readonly idJags: IdJags
  readonly client: McpClient
  /** Left out: what a client would ask for. */
  readonly scope: string | undefined
  readonly takingBack: TakingBack
  /** How long a token that was taken back may go on. */
  readonly withinMs: number
  readonly now: () => Date
  note(text: string): void
}

export interface Target {
  readonly url: string
  readonly server: AuthorizationServer
  readonly resource: string
  readonly scopes: readonly string[]
}

/** A real ID-JAG for a real token for a real call, and whether all of that ends when it is taken back. */
export async function tryForReal(requests: Requests, target: Target, trial: Trial): Promise<Tried> {
  const { url, server, resource, scopes } = target
  const wanted = { issuer: server.issuer, resource, clientId: trial.client.id, scope: trial.scope ?? scopes.join(' ') }
  const tokens = createTokenClient(requests, server, trial.client)

  const taken = await trial.idJags.take(wanted)
  if (taken.kind === 'none') return { findings: [doubt('id-jag-not-minted', 'there is no ID-JAG')] }
  if (taken.kind !== 'taken') return { findings: [taken.doubt ?? doubt('id-jag-not-minted', taken.seen)] }
  const { assertion } = taken
  const judged = judgeIdJag(assertion, wanted, trial.now())
  if (judged.some(({ id }) => id === 'id-jag-unreadable')) return { findings: judged }
  const issuedAt = performance.now()
  const redeemed = await tokens.redeem(assertion, wanted)
  const { token } = redeemed
  const findings = [...judged, ...judgeRedeemed(redeemed)]
  if (token === undefined) return { findings }

  const door = new Door(requests, url, token)
  const opened = judgeOpened(await door.knock())
  findings.push(opened)
  if (opened.level === 'fault') {
    await tokens.revoke(token)
    return { findings }
  }
  const { takingBack } = trial
  const expiresAt = issuedAt + redeemed.lifeSeconds * 1_000
  const steps = { ...trial, tokens, wanted, door, token, assertion, expiresAt }
  const tried = takingBack.by === 'revocation' ? await revoke(steps) : await awaitCut(steps, takingBack)
  await door.leave()
  return { ...tried, findings: [...findings, ...tried.findings] }
}

function judgeOpened(answer: Answer | Doubt): Finding {
  if (isDoubt(answer)) return answer
  const { status, headers } = answer
  if (isRefusal(answer)) {
    const challenge = headers['www-authenticate']
    return doubt('token-refused', `${status}${challenge === undefined ? '' : ` with ${challenge}`}`)
  }
  if (status < 300 && isMcp(answer)) return virtue('token-accepted', `initialize answered ${status}`)
  return doubt('not-mcp', `initialize answered ${status}${status < 300 ? ' without JSON-RPC' : ''}`)
}
