import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectOkta, type Okta as ProvisioningApp } from '../../../src/demo/okta.ts'
import { type LogEvent, logEvent, type Party, party } from '../../../src/demo/okta-events.ts'
import { createOktaApi, type OktaApi, type OktaStatus, type OktaUser } from './okta-api.ts'
import { isHookEligible, type RunningHook, runHook } from './okta-hooks.ts'
import { createSystemLog, type SystemLog } from './okta-log.ts'
import { createOktaSigner, type OktaSigner, type Over } from './okta-tokens.ts'

export type { OktaUser, RunningHook }

/**
 * An Okta org over HTTP: people, whose changes go into its System Log, out through its event hooks, and, for those who
 * have the app, out by SCIM. What it is told to do resolves once all that has been sent.
 */
export interface OktaOrg {
  readonly url: string
  /** The app that provisions Tenure. */
  readonly appId: string
  readonly log: SystemLog
  readonly api: OktaApi
  readonly signer: OktaSigner
  /** Undefined until it is provisioned. */
  readonly provisioning: ProvisioningApp | undefined
  /** The app gets provisioning, over SCIM. */
  provision(to: { scimBaseUrl: string; token: string; verb?: 'PATCH' | 'PUT' }): ProvisioningApp
  /** Nothing goes out by SCIM for so long. */
  withoutProvisioning<T>(act: () => Promise<T>): Promise<T>
  /** Set up and verified; rejects when it does not verify. */
  addHook(to: { uri: string; secret: string; events?: readonly string[] }): Promise<RunningHook>

  /** Created, activated and given the app. */
  hire(userName: string, fields?: Partial<Pick<OktaUser, 'oktaId' | 'groups' | 'hasApp'>>): Promise<OktaUser>
  assign(user: OktaUser): Promise<void>
  unassign(user: OktaUser): Promise<void>
  /** Sends nothing by SCIM: a suspended user keeps the app. */
  suspend(user: OktaUser): Promise<LogEvent>
  unsuspend(user: OktaUser): Promise<LogEvent>
  /** Takes the app away too, which SCIM hears of. */
  deactivate(user: OktaUser): Promise<LogEvent>
  /** Of somebody deactivated; the app has to be assigned again. */
  activate(user: OktaUser): Promise<LogEvent>
  /** Of somebody deactivated. */
  remove(user: OktaUser): Promise<void>
  /** By an administrator; each session that ends by it is in the log too. */
  clearSessions(user: OktaUser): Promise<LogEvent>
  signOut(user: OktaUser): Promise<LogEvent>
  lock(user: OktaUser): Promise<LogEvent>
  /** Mints an ID-JAG for an MCP client that acts for the user. The documented part of the entry ends with its type. */
  grantIdJag(
    user: OktaUser,
    of: { client: string; resource: string; scopes: string; byUser?: boolean },
  ): Promise<LogEvent>
  /** Whatever else happens there. */
  happen(event: LogEvent): Promise<LogEvent>

  /** Universal Logout at an endpoint of the app: `POST` with a token of the org's. `subject` default: the user's e-mail. */
  revokeTokens(
    endpoint: string,
    user: OktaUser,
    options?: Over & { app?: string; subject?: Record<string, string> },
  ): Promise<Response>
  /** A SET of its SSF transmitter, pushed (RFC 8935). */
  push(endpoint: string, set: string, authorization?: string): Promise<Response>
  close(): Promise<void>
}

/** @param hookTimeoutMs in which a hook must be answered; Okta's is 3 s */
export async function startOkta({ hookTimeoutMs = 3_000 }: { hookTimeoutMs?: number } = {}): Promise<OktaOrg> {
  const users = new Map<string, OktaUser>()
  const hooks: Array<(happened: readonly LogEvent[]) => Promise<void>> = []
  const appId = '0oatenure00000000001'
  let url = ''
  let provisioning: ProvisioningApp | undefined
  let pushes = true
  let numbered = 0

  const log = createSystemLog(() => url)
  const api = createOktaApi(log, (id) => users.get(id) ?? [...users.values()].find(({ userName }) => userName === id))
  const signer = await createOktaSigner(() => url)
  api.app.get('/oauth2/v1/keys', (_req, res) => void res.json(signer.jwks))
  const server = createServer(api.app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  /** Written down and told to the hooks, all at once. */
  async function happen<E extends readonly LogEvent[]>(...events: E): Promise<E> {
    for (const event of events) log.append(event)
    await Promise.all(hooks.map((tell) => tell(events)))
    return events
  }

  async function one(eventType: string, target: readonly Party[], fields: Partial<LogEvent> = {}): Promise<LogEvent> {
    return (await happen(logEvent(eventType, target, fields)))[0]
  }

  const partyOf = ({ oktaId, userName, givenName, familyName }: OktaUser): Party =>
    party(oktaId, 'User', userName, `${givenName} ${familyName}`)
  /** What Okta lists of an app's member. */
  const membershipOf = (user: OktaUser): Party[] => [
    party(user.oktaId.replace(/^00u/, '0ua'), 'AppUser', user.userName),
    party(appId, 'AppInstance', 'Tenure'),
    partyOf(user),
  ]

  async function turn(user: OktaUser, status: OktaStatus, eventType: string): Promise<LogEvent> {
    user.status = status
    return one(eventType, [partyOf(user)])
  }

  async function provisionTo(user: OktaUser, isActive: boolean): Promise<void> {
    if (!provisioning || !pushes) return
    if (!isActive) await provisioning.deactivate(user)
    else await provisioning.assign([user], () => {})
  }

  async function assign(user: OktaUser): Promise<void> {
    user.hasApp = true
    await one('application.user_membership.add', membershipOf(user))
    await provisionTo(user, true)
  }

  return {
    url,
    appId,
    log,
    api,
    signer,
    get provisioning() {
      return provisioning
    },
    provision(to) {
      provisioning = connectOkta(to)
      return provisioning
    },
    async withoutProvisioning(act) {
      pushes = false
      try {
        return await act()
      } finally {
        pushes = true
      }
    },
    async addHook({ uri, secret, events }) {
      const unfit = events?.find((type) => !isHookEligible(type))
      if (unfit !== undefined) throw new Error(`Okta has no event hooks for ${unfit}`)
      const hook = { id: `who${++numbered}`, orgUrl: url, uri, secret }
      const { running, tell } = runHook(hook, { events, timeoutMs: hookTimeoutMs, log })
      hooks.push(tell)
      if (!(await running.verify())) throw new Error('The event hook was not verified')
      return running
    },

    async hire(userName, { hasApp = true, ...fields } = {}) {
      const [givenName = 'Given', familyName = 'Family'] = userName.split('@')[0]!.split('.')
      const oktaId = `00u${(++numbered).toString(36).padStart(17, '0')}`
      const names = { userName, givenName, familyName }
      const user: OktaUser = { oktaId, ...names, groups: [], ...fields, status: 'ACTIVE', hasApp: false }
      users.set(user.oktaId, user)
      const about = [partyOf(user)]
      await happen(logEvent('user.lifecycle.create', about), logEvent('user.lifecycle.activate', about))
      if (hasApp) await assign(user)
      return user
    },
    assign,
    async unassign(user) {
      user.hasApp = false
      await one('application.user_membership.remove', membershipOf(user))
      await provisionTo(user, false)
    },
    suspend: (user) => turn(user, 'SUSPENDED', 'user.lifecycle.suspend'),
    unsuspend: (user) => turn(user, 'ACTIVE', 'user.lifecycle.unsuspend'),
    lock: (user) => turn(user, 'LOCKED_OUT', 'user.account.lock'),
    activate: (user) => turn(user, 'ACTIVE', 'user.lifecycle.activate'),
    async deactivate(user) {
      const { hasApp } = user
      user.status = 'DEPROVISIONED'
      user.hasApp = false
      const left = logEvent('user.lifecycle.deactivate', [partyOf(user)])
      const { transaction } = left
      await happen(
        ...(hasApp ? [logEvent('application.user_membership.remove', membershipOf(user), { transaction })] : []),
        left,
      )
      if (hasApp) await provisionTo(user, false)
      return left
    },
    async remove(user) {
      await happen(logEvent('user.lifecycle.delete.initiated', [partyOf(user)]))
      users.delete(user.oktaId)
      await happen(logEvent('user.lifecycle.delete.completed', [partyOf(user)]))
    },
    async clearSessions(user) {
      const cleared = logEvent('user.session.clear', [partyOf(user)])
      const { transaction } = cleared
      await happen(cleared, logEvent('user.session.end', [], { actor: partyOf(user), transaction }))
      return cleared
    },
    signOut: (user) => one('user.session.end', [], { actor: partyOf(user) }),
    grantIdJag(user, { client, resource, scopes, byUser = false }) {
      const agent = party(client, 'AI Agent')
      const server = party('aus0000000000000001', 'AuthorizationServer', resource)
      return one('app.oauth2.token.grant.id_jag', byUser ? [server] : [partyOf(user), server], {
        actor: byUser ? partyOf(user) : agent,
        client: { id: client },
        debugContext: { debugData: { requestUri: '/oauth2/v1/token', resource, grantedScopes: scopes } },
      })
    },
    happen: async (event) => (await happen(event))[0],

    async revokeTokens(endpoint, user, { app = appId, subject, ...over } = {}) {
      const token = await signer.revocationToken({ app, endpoint }, over)
      return fetch(endpoint, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ sub_id: subject ?? { format: 'email', email: user.userName } }),
      })
    },
    push(endpoint, set, authorization) {
      const headers = { 'content-type': 'application/secevent+jwt', accept: 'application/json' }
      return fetch(endpoint, {
        method: 'POST',
        headers: { ...headers, ...(authorization && { authorization }) },
        body: set,
      })
    },
    async close() {
      await provisioning?.close()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
