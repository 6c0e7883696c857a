import { setTimeout as sleep } from 'node:timers/promises'
import { accessOf, nameOf } from './company.ts'
import { DemoFailure } from './failure.ts'
import type { Part, Suspended } from './figures.ts'
import { logEvent, party } from './okta-events.ts'
import { deliverEvents, isDelivered, verifyEventHook } from './okta-hooks.ts'
import type { Stage } from './stage.ts'
import { askOfAll, issueTokens, toldAt } from './story.ts'

/**
 * Okta suspends somebody, of which SCIM says nothing; its event hook does. When SCIM deactivates them in the end, that is
 * no news to anybody.
 */
export async function suspend(stage: Stage): Promise<Part<Suspended>> {
  const { okta, servers, vendors, company, directory, hook, fetch } = stage
  const { suspended } = company
  const userId = okta.idOf(suspended)
  if (!(await verifyEventHook(hook, { fetch }))) throw new DemoFailure("Okta's event hook could not be verified")
  const tokens = await issueTokens(vendors, directory, suspended)
  const wereActive = await Promise.all(tokens.map(({ server, token }) => server.isActive(token)))
  const access = accessOf(suspended.groups)
  const revocations = servers
    .filter(({ id }) => access.has(id as never))
    .map((server) => server.hears((heard) => heard.userId === userId && !heard.active).then(toldAt(server)))

  const sentAt = performance.now()
  const since = () => performance.now() - sentAt
  const about = party(suspended.oktaId, 'User', suspended.userName, nameOf(suspended))
  const [attempt] = await deliverEvents(hook, [logEvent('user.lifecycle.suspend', [about])], { fetch })
  const answeredMs = since()
  if (!attempt || !isDelivered(attempt)) throw new DemoFailure(`Okta's event hook was answered ${attempt?.status}`)
  const denied = await askOfAll(tokens)
  const told = (await Promise.all(revocations)).map((tell) => tell(sentAt))

  const toldBefore = servers.map(({ people }) => people.get(userId)?.at)
  const scimAt = performance.now()
  await okta.deactivate(suspended)
  await untilDecided(stage, userId)
  const confirmed = await epochOf(stage, userId)
  return {
    figures: {
      name: nameOf(suspended),
      userName: suspended.userName,
      answeredMs,
      introspectionDeniesMs: denied.firstAt - sentAt,
      tokens: tokens.length,
      tokensDenied: denied.count,
      told: told.sort((a, b) => a.ms - b.ms),
      leadMs: scimAt - sentAt,
    },
    checks: [
      { claim: 'the suspended one had good tokens until then', held: wereActive.every(Boolean) && tokens.length > 0 },
      {
        claim: 'no introspection that began after the hook was answered called a token good',
        held: denied.count === tokens.length,
      },
      {
        claim: 'SCIM, late, confirmed the cut: no server was told twice',
        held: confirmed === 1 && servers.every(({ people }, at) => people.get(userId)?.at === toldBefore[at]),
      },
    ],
  }
}

/** How often the person was cut. */
async function epochOf({ tenure }: Stage, userId: string): Promise<number> {
  const { items } = await tenure.admin.call('GET', `/users/${userId}/timeline`)
  return items.filter(({ kind }: { kind: string }) => kind === 'cut').length
}

/** Until Tenure has made up its mind about what SCIM said last. */
async function untilDecided({ tenure }: Stage, userId: string): Promise<void> {
  while ((await tenure.admin.call('GET', `/users/${userId}`)).behind) await sleep(20)
}
