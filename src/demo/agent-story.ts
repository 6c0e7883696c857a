import { setTimeout as sleep } from 'node:timers/promises'
import type { Agent, Ending, Hop } from './agent.ts'
import { inHouse, nameOf } from './company.ts'
import { DemoFailure } from './failure.ts'
import type { AgentCut, Part, SignedIn } from './figures.ts'
import type { Stage } from './stage.ts'

const patienceMs = 15_000
const tokenRequest = 'POST /oauth2/token'

/** The leaver signs in, and their agent calls a tool. Nobody at Tenure does anything for it. */
export async function signIn(stage: Stage): Promise<Part<SignedIn> & { agent: Agent }> {
  const { company, okta, identityProvider, warehouse, tenure } = stage
  const agent = await stage.signIn(company.leaver)
  const startedAt = performance.now()
  const answer = await succeeding(async () => {
    await agent.connect()
    return agent.call('whoami')
  })
  const answeredMs = performance.now() - startedAt
  const firstMs = (origin: string, request: string, status: number) => {
    const hop = agent.hops.find((one) => one.origin === origin && one.request === request && one.status === status)
    return hop === undefined ? answeredMs : hop.at - startedAt
  }
  return {
    agent,
    figures: {
      name: nameOf(company.leaver),
      server: inHouse.id,
      serverName: inHouse.name,
      challengedMs: firstMs(new URL(warehouse.resource).origin, 'POST /mcp', 401),
      idJagMs: firstMs(identityProvider.issuer, 'POST /token', 200),
      tokenMs: firstMs(tenure.url, tokenRequest, 200),
      answeredMs,
    },
    checks: [
      {
        claim: 'an agent had its token with no step by hand, and for its person',
        held: answer === okta.idOf(company.leaver) && identityProvider.minted === 1,
      },
    ],
  }
}

/** The agent calls a tool that runs until it is stopped. @throws DemoFailure when it does not come to run */
export function beginQuery(agent: Agent): Promise<{ ended: Promise<Ending> }> {
  return succeeding(() => agent.begin('query'))
}

async function succeeding<T>(call: () => Promise<T>): Promise<T> {
  return call().catch((error: Error) => {
    throw new DemoFailure(`The agent's call at ${inHouse.name} failed: ${error.message}`)
  })
}

/**
 * What becomes of the agent of somebody who is offboarded: of the call that runs, and, as soon as that has ended, of the
 * next one with all that its MCP client does by itself.
 *
 * @param running the call that is under way
 * @param sentAt when Okta sent the deactivation
 */
export async function watchAgent(
  { identityProvider, warehouse }: Stage,
  agent: Agent,
  running: Promise<Ending>,
  sentAt: number,
): Promise<Part<AgentCut>> {
  const late = sleep(patienceMs, undefined, { ref: false }).then(() => {
    throw new DemoFailure(`${inHouse.name} did not end the running call within ${patienceMs / 1000} s`)
  })
  const ending = await Promise.race([running, late])
  const [hopsBefore, mintedBefore] = [agent.hops.length, identityProvider.minted]
  const isRefused = await agent.call('whoami').then(
    () => false,
    () => true,
  )
  const retriedAt = performance.now()
  const hops = agent.hops.slice(hopsBefore)
  const [first] = hops
  const asked = hops.filter(({ request }) => request === tokenRequest)
  const refused = asked.filter(({ status }) => status === 400)
  const idJagsMinted = identityProvider.minted - mintedBefore
  const isChallenge = (hop: Hop | undefined) => hop?.request === 'POST /mcp' && hop.status === 401
  return {
    figures: {
      runningCallMs: ending.at - sentAt,
      nextCallMs: (first?.at ?? retriedAt) - sentAt,
      retryMs: retriedAt - sentAt,
      idJagsMinted,
      idJagsRefused: refused.length,
    },
    checks: [
      {
        claim: "the leaver's running call was ended, for the agent and at the server",
        held: ending.at > sentAt && ending.error?.message === 'Access has ended' && warehouse.queries === 0,
      },
      { claim: 'the next call was answered 401', held: isChallenge(first) && isRefused },
      {
        claim: 'its silent retry got new ID-JAGs, and none of them bought a token',
        held: idJagsMinted > 0 && refused.length === idJagsMinted && asked.length === refused.length,
      },
    ],
  }
}
