import { randomBytes } from 'node:crypto'
import { Pool } from 'undici'
import type { Employee } from './company.ts'
import { DemoFailure } from './failure.ts'

/**
 * An Okta org with a provisioning-enabled app: the requests that Okta documents, with its headers and bodies, in its
 * order. It knows nothing of Tenure but a SCIM base URL and a token.
 */
export interface Okta {
  /** Requests answered so far. */
  readonly requests: number
  /** "Test API credentials", as when an admin enables provisioning. */
  test(): Promise<void>
  /** Looked up, created if absent and activated if not, then put into the person's groups as those are pushed. */
  assign(employees: readonly Employee[], onAssigned: () => void): Promise<void>
  /** Group push: looked up, created if absent. */
  pushGroup(displayName: string): Promise<void>
  addMember(group: string, employee: Employee): Promise<void>
  removeMember(group: string, employee: Employee): Promise<void>
  /** Resolves with the answer. */
  deactivate(employee: Employee): Promise<void>
  /** Its id at the service provider. */
  idOf(employee: Employee): string
  close(): Promise<void>
}

interface PushedGroup {
  readonly id: string
  waiting: Employee[]
  /** Pushes of one group follow one another. */
  push: Promise<void>
}

const requestsInFlight = 16
/** Members that are pushed together. */
const pushSize = 50

const userSchema = 'urn:ietf:params:scim:schemas:core:2.0:User'
const groupSchema = 'urn:ietf:params:scim:schemas:core:2.0:Group'
const patchSchema = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'

/** @param verb an app of the catalogue patches who is active; one that an admin made reads the user and puts it back whole */
export function connectOkta({
  scimBaseUrl,
  token,
  verb = 'PATCH',
}: {
  scimBaseUrl: string
  token: string
  verb?: 'PATCH' | 'PUT'
}): Okta {
  const { origin, pathname } = new URL(scimBaseUrl)
  const pool = new Pool(origin, { connections: requestsInFlight })
  const headers = {
    'user-agent': 'Okta SCIM Client 1.0.0',
    accept: 'application/scim+json',
    'accept-charset': 'utf-8',
    'accept-encoding': 'gzip,deflate',
    'content-type': 'application/scim+json; charset=utf-8',
    authorization: `Bearer ${token}`,
  }
  const ids = new Map<string, string>()
  const groups = new Map<string, PushedGroup>()
  let requests = 0

  async function send(method: 'GET' | 'POST' | 'PUT' | 'PATCH', path: string, body?: unknown) {
    const { statusCode, body: answer } = await pool.request({
      method,
      path: `${pathname}${path}`,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    })
    const text = await answer.text()
    requests++
    if (statusCode >= 300) throw new DemoFailure(`Okta's ${method} ${path} was answered ${statusCode}: ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  async function lookUp(type: 'Users' | 'Groups', attribute: string, value: string): Promise<string | undefined> {
    const filter = encodeURIComponent(`${attribute} eq "${value}"`)
    const { Resources: found = [] } = await send('GET', `/${type}?filter=${filter}&startIndex=1&count=100`)
    return found[0]?.id
  }

  const patch = (path: string, ...operations: unknown[]) =>
    send('PATCH', path, { schemas: [patchSchema], Operations: operations })

  async function setActive(employee: Employee, active: boolean): Promise<void> {
    const path = `/Users/${idOf(employee)}`
    if (verb === 'PATCH') await patch(path, { op: 'replace', value: { active } })
    else await send('PUT', path, { ...(await send('GET', path)), active })
  }

  function idOf({ userName, oktaId }: Employee): string {
    const id = ids.get(oktaId)
    if (id === undefined) throw new Error(`${userName} is not assigned`)
    return id
  }

  const memberOf = (employee: Employee) => ({ value: idOf(employee), display: employee.userName })

  /** A membership change comes with the group's name, whether that changed or not. */
  function pushMembership(displayName: string, operation: unknown): Promise<void> {
    const group = groups.get(displayName)!
    group.push = group.push.then(async () => {
      await patch(`/Groups/${group.id}`, { op: 'replace', value: { id: group.id, displayName } })
      await patch(`/Groups/${group.id}`, operation)
    })
    group.push.catch(() => {}) // whoever pushed hears of it when they wait for it
    return group.push
  }

  function pushWaiting(displayName: string): Promise<void> {
    const group = groups.get(displayName)!
    const value = group.waiting.map(memberOf)
    group.waiting = []
    return pushMembership(displayName, { op: 'add', path: 'members', value })
  }

  async function assignOne(employee: Employee): Promise<void> {
    const { userName, givenName, familyName, oktaId } = employee
    const known = await lookUp('Users', 'userName', userName)
    const { id } = known
      ? { id: known }
      : await send('POST', '/Users', {
          schemas: [userSchema],
          userName,
          name: { givenName, familyName },
          emails: [{ primary: true, value: userName, type: 'work' }],
          displayName: `${givenName} ${familyName}`,
          locale: 'en-US',
          externalId: oktaId,
          groups: [],
          password: randomBytes(9).toString('base64url'),
          active: true,
        })
    ids.set(oktaId, id)
    if (known) await setActive(employee, true)
  }

  return {
    get requests() {
      return requests
    },
    async test() {
      await send('GET', '/Users?startIndex=1&count=2')
      await send('GET', '/Groups?startIndex=1&count=100')
    },
    async assign(employees, onAssigned) {
      const queue = employees.values()
      const pushes: Array<Promise<void>> = []
      const worker = async () => {
        for (const employee of queue) {
          await assignOne(employee)
          for (const name of employee.groups) {
            const group = groups.get(name)!
            if (group.waiting.push(employee) >= pushSize) pushes.push(pushWaiting(name))
          }
          onAssigned()
        }
      }
      await Promise.all(Array.from({ length: requestsInFlight }, worker))
      for (const [name, { waiting }] of groups) if (waiting.length > 0) pushes.push(pushWaiting(name))
      await Promise.all(pushes)
    },
    async pushGroup(displayName) {
      const known = await lookUp('Groups', 'displayName', displayName)
      const { id } = known
        ? { id: known }
        : await send('POST', '/Groups', { schemas: [groupSchema], displayName, members: [] })
      groups.set(displayName, { id, waiting: [], push: Promise.resolve() })
    },
    addMember: (group, employee) => pushMembership(group, { op: 'add', path: 'members', value: [memberOf(employee)] }),
    removeMember: (group, employee) =>
      pushMembership(group, { op: 'remove', path: `members[value eq "${idOf(employee)}"]` }),
    deactivate: (employee) => setActive(employee, false),
    idOf,
    close: () => pool.destroy(),
  }
}
