import { performance } from 'node:perf_hooks'
import { duration } from '../times.ts'
import type { Door, Shut } from './door.ts'
import { doubt, type Finding, virtue } from './findings.ts'
import { type IdJags, isSameIdJag, judgeIdJag, type Taken, type Wanted } from './id-jag.ts'
import type { TokenClient } from './token.ts'

/** How the token is taken back: by the client itself, by Tenure, or by whoever reads the note. */
export type TakingBack =
  | { readonly by: 'revocation' }
  | { readonly by: 'cut'; readonly cut: () => Promise<void> }
  | { readonly by: 'operator' }

export interface TakenBack {
  readonly by: TakingBack['by']
  /** From when it was taken back, or from when waiting began, to the first request that was refused; null: none was. */
  readonly refusedAfterMs: number | null
}

export interface Tried {
  readonly findings: readonly Finding[]
  readonly takenBack?: TakenBack
}

export interface Steps {
  readonly idJags: IdJags
  readonly tokens: TokenClient
  readonly wanted: Wanted
  readonly door: Door
  readonly token: string
  /** On the clock of `performance.now()`: what is refused later has only expired. */
  readonly expiresAt: number
  /** What gave the token. */
  readonly assertion: string
  readonly withinMs: number
  readonly now: () => Date
  note(text: string): void
}

/** The same ID-JAG once more, then the token's revocation by its own client. */
export async function revoke(steps: Steps): Promise<Tried> {
  const { tokens, wanted, door, token, assertion } = steps
  const findings: Finding[] = []
  const again = await tokens.redeem(assertion, wanted)
  if (again.answer.kind === 'refused') findings.push(virtue('replay-refused', again.answer.seen))
  if (again.token !== undefined) {
    findings.push(doubt('replay-accepted', 'the same ID-JAG gave a second token'))
    await tokens.revoke(again.token)
  }
  const revoked = await tokens.revoke(token)
  if (revoked === undefined) return { findings }
  if (revoked.kind !== 'given')
    return { findings: [...findings, revoked.doubt ?? doubt('revocation-failed', revoked.seen)] }
  const withinMs = patience(steps)
  steps.note(`The token is revoked; waiting up to ${duration(withinMs)} for the server to refuse it.`)
  const shut = await door.untilShut(withinMs)
  findings.push(...judgeShut(shut, 'revocation-honoured', 'the revocation', withinMs))
  return { findings, takenBack: { by: 'revocation', refusedAfterMs: shut.afterMs } }
}

/** The cut, and what is left of token and ID-JAG after it. */
export async function awaitCut(steps: Steps, takingBack: TakingBack): Promise<Tried> {
  const { idJags, wanted, door, tokens, token } = steps
  const isTenures = takingBack.by === 'cut'
  // Tenure's own cut voids what was issued before it; where the rules still hold, a newer ID-JAG gives a token by right.
  const older = isTenures || !idJags.minted ? await idJags.take(wanted) : undefined
  if (takingBack.by === 'cut') await takingBack.cut()
  const withinMs = patience(steps)
  steps.note(
    `${isTenures ? 'The user is cut.' : "Take this user's access away now."} Waiting up to ${duration(withinMs)} for the token to be refused.`,
  )
  const shut = await door.untilShut(withinMs)
  const findings = [
    ...judgeShut(shut, 'cut-honoured', isTenures ? 'the cut' : 'waiting began', withinMs),
    older === undefined ? await returnAnew(steps) : await returnWith(steps, older),
  ]
  if (shut.afterMs === null) await tokens.revoke(token)
  return { findings, takenBack: { by: takingBack.by, refusedAfterMs: shut.afterMs } }
}

/** What a client does in silence when its token is refused. */
async function returnAnew(steps: Steps): Promise<Finding> {
  const taken = await steps.idJags.take(steps.wanted)
  if (taken.kind === 'refused') return virtue('remint-refused', `no ID-JAG from the identity provider: ${taken.seen}`)
  return returnWith(steps, taken)
}

/** A refusal proves the cut only if the ID-JAG would have been taken without one. */
async function returnWith({ tokens, wanted, assertion, now }: Steps, taken: Taken): Promise<Finding> {
  if (taken.kind !== 'taken')
    return doubt('remint-not-tried', taken.kind === 'none' ? 'there is no second ID-JAG' : taken.seen)
  if (isSameIdJag(taken.assertion, assertion))
    return doubt('remint-not-tried', 'the second ID-JAG is the first one once more')
  const flaw = judgeIdJag(taken.assertion, wanted, now()).find(({ level }) => level === 'fault')
  if (flaw !== undefined) return doubt('remint-not-tried', `the second ID-JAG: ${flaw.seen}`)
  const { answer, token } = await tokens.redeem(taken.assertion, wanted)
  if (token !== undefined) {
    await tokens.revoke(token)
    return doubt('remint-accepted', 'another ID-JAG gave a new token after the cut')
  }
  if (answer.kind === 'refused') return virtue('remint-refused', answer.seen)
  return doubt('remint-not-tried', answer.kind === 'failed' ? answer.seen : 'the answer has no token')
}

function patience({ withinMs, expiresAt }: Steps): number {
  return Math.max(0, Math.min(withinMs, expiresAt - performance.now()))
}

function judgeShut(
  shut: Shut,
  good: 'cut-honoured' | 'revocation-honoured',
  since: string,
  withinMs: number,
): Finding[] {
  if (shut.afterMs === null)
    return [shut.doubt ?? doubt('revocation-ignored', `the token still opened ${duration(withinMs)} after ${since}`)]
  const seen = `${shut.status} ${shut.afterMs === 0 ? 'at once' : `${duration(shut.afterMs)} after ${since}`}`
  return [virtue(good, seen), ...(shut.status === 401 ? [] : [doubt('refusal-not-401', seen)])]
}
