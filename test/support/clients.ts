import { checkDescribed } from './described.ts'
import { waitFor } from './wait-for.ts'

// What comes back is as loosely typed as JSON is: tests say what they expect of it.
// biome-ignore lint/suspicious/noExplicitAny: the shape is what the test is about
export type Json = any

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Json
}

async function send(url: string, method: string, headers: Record<string, string>, body: unknown): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

function succeeded(what: string, { status, body }: Answer): Json {
  if (status >= 300) throw new Error(`${what} answered ${status}: ${JSON.stringify(body)}`)
  return body
}

/** The operators' API, whose answers must be as its document says, and introspection. `get`, `post`, … reject unless the answer is 2xx; `send` never does. */
export class AdminClient {
  readonly url: string
  readonly #key: string

  constructor(url: string, key: string) {
    this.url = url
    this.#key = key
  }

  async send(method: string, path: string, body?: unknown): Promise<Answer> {
    const authorization = `Bearer ${this.#key}`
    const answer = await send(`${this.url}/admin/v1${path}`, method, { authorization }, body)
    await checkDescribed(this.url, method, `/admin/v1${path}`, answer)
    return answer
  }

  async get(path: string): Promise<Json> {
    return succeeded(`GET ${path}`, await this.send('GET', path))
  }

  async post(path: string, body: unknown = {}): Promise<Json> {
    return succeeded(`POST ${path}`, await this.send('POST', path, body))
  }

  async put(path: string, body: unknown): Promise<Json> {
    return succeeded(`PUT ${path}`, await this.send('PUT', path, body))
  }

  async delete(path: string): Promise<void> {
    succeeded(`DELETE ${path}`, await this.send('DELETE', path))
  }

  /** Form parameters beside `token`, e.g. `{server: 'linear'}`. */
  async introspect(token: string, parameters: Record<string, string> = {}): Promise<Json> {
    return succeeded('introspection', await this.sendIntrospection(token, parameters))
  }

  async sendIntrospection(token: string, parameters: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.url}/oauth2/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#key}` },
      body: new URLSearchParams({ token, ...parameters }),
    })
    return { status: response.status, headers: response.headers, body: await response.json() }
  }

  /** A grant for an hour; `fields` as `POST /grants` takes them. */
  grant(fields: Record<string, unknown>): Promise<Answer> {
    return this.send('POST', '/grants', {
      client: 'claude',
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      ...fields,
    })
  }

  /** Nothing behind, nothing pending, nothing in flight. */
  async waitUntilSettled(timeoutMs = 30_000): Promise<void> {
    await waitFor(
      async () => {
        const { users, servers } = await this.get('/stats')
        return users.behind === 0 && servers.every((server: Json) => server.pending === 0 && server.inFlight === 0)
      },
      { what: 'everything to be told', timeoutMs },
    )
  }

  /** Nobody behind: whatever is to be told is written down, delivered or not. */
  async waitUntilConverged(timeoutMs = 30_000): Promise<void> {
    await waitFor(async () => (await this.get('/stats')).users.behind === 0, {
      what: 'everyone to converge',
      timeoutMs,
    })
  }

  async waitUntilReady(): Promise<void> {
    await waitFor(async () => (await fetch(`${this.url}/readyz`)).ok, { what: `${this.url} to be ready` })
  }
}

/** A server that asks with credentials of its own. */
export class ServerClient {
  readonly url: string
  readonly #authorization: string

  constructor(url: string, { clientId, clientSecret }: { clientId: string; clientSecret: string }) {
    this.url = url
    this.#authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  }

  async send(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await send(`${this.url}${path}`, method, { authorization: this.#authorization }, body)
    await checkDescribed(this.url, method, path, answer)
    return answer
  }

  async introspect(token: string, parameters: Record<string, string> = {}): Promise<Json> {
    const response = await fetch(`${this.url}/oauth2/introspect`, {
      method: 'POST',
      headers: { authorization: this.#authorization },
      body: new URLSearchParams({ token, ...parameters }),
    })
    const answer = { status: response.status, headers: response.headers, body: await response.json() }
    return succeeded('introspection', answer)
  }
}

export const userSchema = 'urn:ietf:params:scim:schemas:core:2.0:User'
export const groupSchema = 'urn:ietf:params:scim:schemas:core:2.0:Group'
export const patchSchema = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'

/** An identity provider's side of SCIM: the documented requests, sent as they are documented. */
export class ScimClient {
  readonly base: string
  readonly token: string

  constructor(base: string, token: string) {
    this.base = base
    this.token = token
  }

  /** The same directory, asked through another process. */
  at(url: string): ScimClient {
    return new ScimClient(url + new URL(this.base).pathname, this.token)
  }

  send(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/scim+json; charset=utf-8' }
    return send(`${this.base}${path}`, method, headers, body)
  }

  async call(method: string, path: string, body?: unknown): Promise<Json> {
    return succeeded(`${method} ${path}`, await this.send(method, path, body))
  }

  /** As Okta creates one. @returns the user as answered */
  createUser(userName: string, fields: Record<string, unknown> = {}): Promise<Json> {
    return this.call('POST', '/Users', {
      schemas: [userSchema],
      userName,
      name: { givenName: 'Given', familyName: 'Family' },
      emails: [{ primary: true, value: userName, type: 'work' }],
      displayName: userName.split('@')[0],
      externalId: `ext-${userName}`,
      groups: [],
      active: true,
      ...fields,
    })
  }

  createGroup(displayName: string, members: readonly string[] = []): Promise<Json> {
    return this.call('POST', '/Groups', {
      schemas: [groupSchema],
      displayName,
      members: members.map((value) => ({ value })),
    })
  }

  patchUser(id: string, ...operations: unknown[]): Promise<Json> {
    return this.call('PATCH', `/Users/${id}`, { schemas: [patchSchema], Operations: operations })
  }

  patchGroup(id: string, ...operations: unknown[]): Promise<Json> {
    return this.call('PATCH', `/Groups/${id}`, { schemas: [patchSchema], Operations: operations })
  }

  /** Okta: no path, lower-case op, a real boolean. */
  setActive(id: string, active: boolean): Promise<Json> {
    return this.patchUser(id, { op: 'replace', value: { active } })
  }

  addMembers(groupId: string, ...ids: string[]): Promise<Json> {
    return this.patchGroup(groupId, { op: 'add', path: 'members', value: ids.map((value) => ({ value })) })
  }

  removeMember(groupId: string, id: string): Promise<Json> {
    return this.patchGroup(groupId, { op: 'remove', path: `members[value eq "${id}"]` })
  }
}
