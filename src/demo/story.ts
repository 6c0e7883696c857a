import { setTimeout as sleep } from 'node:timers/promises'
import type { Agent } from './agent.ts'
import { beginQuery, watchAgent } from './agent-story.ts'
import { accessOf, type Employee, nameOf, type ServerId, type VendorId } from './company.ts'
import { DemoFailure } from './failure.ts'
import type { Left, Moved, Onboarding, Part, Released, Replayed, Told } from './figures.ts'
import type { Heard } from './inbox.ts'
import type { McpServer, Vendor } from './servers.ts'
import type { Stage } from './stage.ts'

export interface Progress {
  readonly people: number
  readonly deliveries: number
}

const stallMs = 20_000
const patienceMs = 15_000
/** A retry that is due sooner could be taken for the replay. */
const replayMarginMs = 300

/** How many deliveries it takes until every server knows everybody that it has to. */
export function deliveriesFor(employees: readonly Employee[]): number {
  return employees.reduce((sum, { groups }) => sum + accessOf(groups).size, 0)
}

/** Okta assigns everybody; over when every server has been told of everybody that it must know. */
export async function onboard(stage: Stage, onProgress: (progress: Progress) => void): Promise<Part<Onboarding>> {
  const { okta, servers, company } = stage
  const { employees } = company
  const expected = deliveriesFor(employees)
  const accepted = () => servers.reduce((sum, server) => sum + server.accepted, 0)
  const requestsBefore = okta.requests
  const start = performance.now()
  let people = 0
  const assigned = okta.assign(employees, () => people++).then(() => performance.now())
  let failure: unknown
  assigned.catch((error) => {
    failure = error
  })

  let moved = { progress: 0, at: start }
  while (accepted() < expected) {
    await sleep(50)
    if (failure !== undefined) throw failure
    onProgress({ people, deliveries: accepted() })
    if (people + accepted() > moved.progress) moved = { progress: people + accepted(), at: performance.now() }
    else if (performance.now() - moved.at > stallMs)
      throw new DemoFailure(`Nothing moved for ${stallMs / 1000} s at ${people} people, ${accepted()} deliveries`)
  }
  const oktaSeconds = ((await assigned) - start) / 1000
  const seconds = (performance.now() - start) / 1000
  const deliveries = accepted()
  onProgress({ people, deliveries })
  return {
    figures: {
      seconds,
      peoplePerSecond: employees.length / seconds,
      deliveries,
      deliveriesPerSecond: deliveries / seconds,
      oktaRequests: okta.requests - requestsBefore,
      oktaSeconds,
    },
    checks: [
      { claim: 'every server knows exactly the people that the rules give it', held: knowsEverybody(stage) },
      { claim: 'every webhook was signed', held: servers.every(({ forged }) => forged === 0) },
    ],
  }
}

function knowsEverybody({ servers, company, okta }: Stage): boolean {
  const access = company.employees.map((employee) => ({ id: okta.idOf(employee), at: accessOf(employee.groups) }))
  return servers.every((server) => {
    const wanted = access.filter(({ at }) => at.has(server.id as ServerId))
    const isKnown = ({ id, at }: (typeof access)[number]) =>
      isTold(server.people.get(id), at.get(server.id as ServerId))
    return wanted.length === server.people.size && wanted.every(isKnown)
  })
}

/** The mover joins one group and leaves another; only the servers for which that changes something may hear of it. */
export async function move(stage: Stage): Promise<Part<Moved>> {
  const { okta, servers, vendors, company, directory } = stage
  const { mover } = company
  const [from, to] = ['Design', 'Product']
  const before = accessOf(mover.groups)
  const after = accessOf([...mover.groups.filter((group) => group !== from), to])
  const userId = okta.idOf(mover)
  const tokens = await issueTokens(vendors, directory, mover)

  const isChanged = ({ id }: McpServer) => String(before.get(id as ServerId)) !== String(after.get(id as ServerId))
  const telling = servers.filter(isChanged).map((server) => {
    const wanted = after.get(server.id as ServerId)
    return server.hears((heard) => heard.userId === userId && isTold(heard, wanted)).then(toldAt(server))
  })
  const sentAt = performance.now()
  await okta.addMember(to, mover)
  await okta.removeMember(from, mover)
  const verdicts = await Promise.all(
    tokens.map(async ({ server, token, scopes }) => {
      const allowed = after.get(server.id as ServerId) ?? []
      return (await server.isActive(token)) === scopes.every((scope) => allowed.includes(scope))
    }),
  )
  const told = (await Promise.all(telling)).map((tell) => tell(sentAt))
  const quiet = servers.filter((server) => before.has(server.id as ServerId) && !isChanged(server))
  return {
    figures: {
      name: nameOf(mover),
      userName: mover.userName,
      from,
      to,
      told: told.sort((a, b) => a.ms - b.ms),
      untold: quiet.map(({ name }) => name),
    },
    checks: [
      { claim: 'the mover keeps exactly the tokens that the new role earns', held: verdicts.every(Boolean) },
      {
        claim: 'servers for which the move changes nothing hear nothing',
        held: quiet.every(({ people }) => people.get(userId)!.at < sentAt),
      },
    ],
  }
}

/**
 * Okta deactivates the leaver in the middle of their agent's call, while one server hangs, with a newcomer's grant, and
 * another answers 500. Both are still ill when this returns.
 */
export async function offboard(
  stage: Stage,
  agent: Agent,
  ill: { hanging: VendorId; failing: VendorId },
): Promise<Part<Left> & { hangingSince: number }> {
  const { okta, servers, vendors, warehouse, company, directory } = stage
  const { leaver } = company
  const [hanging, failing] = [stage.vendor(ill.hanging), stage.vendor(ill.failing)]
  const userId = okta.idOf(leaver)
  const tokens: Held[] = await issueTokens(vendors, directory, leaver)
  tokens.push({ server: warehouse, token: agent.token })
  const wereActive = await Promise.all(tokens.map(({ server, token }) => server.isActive(token)))

  const stuck = await hang(stage, hanging)
  failing.behave('failing')
  const running = await beginQuery(agent)
  const isRevocation = (heard: Heard) => heard.userId === userId && !heard.active
  const revocations = servers
    .filter((server) => server !== hanging && server !== failing)
    .map((server) => server.hears(isRevocation).then(toldAt(server)))
  const hung = hanging.hears(isRevocation)
  const failed = failing.hears(isRevocation)

  const [sentAt, sentWallMs] = [performance.now(), Date.now()]
  const since = (at: number) => at - sentAt
  await okta.deactivate(leaver)
  const committedMs = since(performance.now())
  const [denied, told, cut] = await Promise.all([
    askOfAll(tokens),
    Promise.all(revocations),
    watchAgent(stage, agent, running.ended, sentAt),
  ])
  const openAtTheEnd = hanging.open > 0 && stuck.status === undefined
  const [arrival, refusal] = await Promise.all([hung, failed])

  const { items } = await stage.tenure.admin.call('GET', `/users/${userId}/timeline`)
  const event = items.findLast((item: { kind: string; detail: { kind: string } }) => item.detail.kind === 'left')
  return {
    hangingSince: stuck.at,
    figures: {
      name: nameOf(leaver),
      userName: leaver.userName,
      userId,
      receivedMs: Math.min(Math.max(0, Date.parse(event.at) - sentWallMs), committedMs),
      committedMs,
      introspectionDeniesMs: since(denied.firstAt),
      tokens: tokens.length,
      tokensDenied: denied.count,
      told: told.map((tell) => tell(sentAt)).sort((a, b) => a.ms - b.ms),
      hanging: {
        server: hanging.id,
        name: hanging.name,
        ms: since(arrival.at),
        sinceMs: since(stuck.at),
        openAtTheEnd,
      },
      failing: { server: failing.id, name: failing.name, ms: since(refusal.at), status: refusal.status ?? 0 },
      agent: cut.figures,
    },
    checks: [
      { claim: "the leaver's tokens were good until then", held: wereActive.every(Boolean) },
      {
        claim: 'no introspection that began after the 2xx called a token of the leaver good',
        held: denied.count === tokens.length,
      },
      { claim: `every other server was told while ${hanging.name}'s request was open`, held: openAtTheEnd },
      ...cut.checks,
    ],
  }
}

/** From here on the server keeps everybody waiting, first of all with what it is told of the newcomer. */
async function hang({ okta, servers, company: { newcomer } }: Stage, hanging: Vendor): Promise<Heard> {
  hanging.behave('hanging')
  const isNewcomer = ({ userName }: Heard) => userName === newcomer.userName
  const stuck = hanging.hears(isNewcomer)
  const access = accessOf(newcomer.groups)
  const told = servers.filter(({ id }) => access.has(id as ServerId)).map((server) => server.hears(isNewcomer))
  await okta.assign([newcomer], () => {})
  await Promise.all(told)
  return stuck
}

/** The failing server is well again and an admin has its failed work done anew, ahead of the next retry. */
export async function replay(stage: Stage, failing: VendorId): Promise<Part<Replayed>> {
  const { tenure, company, okta } = stage
  const server = stage.vendor(failing)
  const userId = okta.idOf(company.leaver)
  const nextTryAt = await untilWaiting(stage, failing, userId)
  const landing = server.hears((heard) => heard.userId === userId && !heard.active)
  server.behave('well')
  const sentAt = performance.now()
  const retryAt = sentAt + (nextTryAt - Date.now())
  const { requeued } = await tenure.admin.call('POST', '/jobs/replay', { server: failing })
  const landed = await landing
  return {
    figures: { server: server.id, name: server.name, requeued, landedMs: landed.at - sentAt },
    checks: [
      { claim: `a replay reached ${server.name} before its next retry`, held: requeued === 1 && landed.at < retryAt },
    ],
  }
}

/** @returns when its next try is due, by the wall clock */
async function untilWaiting({ tenure }: Stage, server: ServerId, userId: string): Promise<number> {
  const givesUpAt = performance.now() + patienceMs
  while (performance.now() < givesUpAt) {
    const { items } = await tenure.admin.call('GET', `/jobs?server=${server}&kind=delivery`)
    const job = items.find(({ user }: { user: string }) => user === userId)
    const nextTryAt = Date.parse(job?.nextTry)
    if (nextTryAt > Date.now() + replayMarginMs) return nextTryAt
    await sleep(20)
  }
  throw new DemoFailure(`The delivery that failed at ${server} is not listed under /admin/v1/jobs`)
}

/** The server that hung answers after all. */
export async function release(stage: Stage, hanging: VendorId, since: number): Promise<Part<Released>> {
  const { tenure, company, okta } = stage
  const server = stage.vendor(hanging)
  server.release()
  const heldMs = performance.now() - since
  const path = `/deliveries?user=${okta.idOf(company.leaver)}`
  const givesUpAt = performance.now() + patienceMs
  let items: Array<{ server: string; state: string }>
  do {
    await sleep(20)
    items = (await tenure.admin.call('GET', path)).items
  } while (items.some(({ state }) => state !== 'delivered') && performance.now() < givesUpAt)
  const isDelivered = (id: string) => items.some((item) => item.server === id && item.state === 'delivered')
  const everywhere = stage.servers.every(({ id }) => isDelivered(id))
  const knowNothing = stage.servers.every(({ people }) => people.get(okta.idOf(company.leaver))?.active === false)
  return {
    figures: { server: server.id, name: server.name, heldMs, delivered: isDelivered(server.id) },
    checks: [{ claim: 'in the end all servers know that the leaver has gone', held: everywhere && knowNothing }],
  }
}

interface Held {
  readonly server: McpServer
  readonly token: string
}

interface Token extends Held {
  readonly scopes: readonly string[]
}

/** At every vendor where the person has access, with all the scopes that it gives. */
export async function issueTokens(vendors: readonly Vendor[], directory: string, employee: Employee): Promise<Token[]> {
  const access = accessOf(employee.groups)
  return Promise.all(
    vendors
      .filter(({ id }) => access.has(id as ServerId))
      .map(async (server) => {
        const scopes = access.get(server.id as ServerId)!
        return { server, scopes, token: await server.issueToken({ directory, userName: employee.userName, scopes }) }
      }),
  )
}

/** Each server asks about its token at once. Should one still be called good, it asks until that ends. */
export async function askOfAll(tokens: readonly Held[]): Promise<{ count: number; firstAt: number }> {
  const answers = await Promise.all(
    tokens.map(async ({ server, token }) => {
      const denied = !(await server.isActive(token))
      const givesUpAt = performance.now() + patienceMs
      for (let active = !denied; active && performance.now() < givesUpAt; ) active = await server.isActive(token)
      return { denied, at: performance.now() }
    }),
  )
  return { count: answers.filter(({ denied }) => denied).length, firstAt: Math.min(...answers.map(({ at }) => at)) }
}

/** Whether this is what a server should have heard: exactly these scopes, or, with none, that access has ended. */
function isTold(heard: Heard | undefined, scopes: readonly string[] | undefined): boolean {
  if (heard === undefined) return false
  return scopes === undefined ? !heard.active : heard.active && String([...heard.scopes].sort()) === String(scopes)
}

export function toldAt({ id, name }: McpServer): (heard: Heard) => (sentAt: number) => Told {
  return ({ type, scopes, at }) =>
    (sentAt) => ({ server: id, name, type, scopes, ms: at - sentAt })
}
