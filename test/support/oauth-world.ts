import type pg from 'pg'
import { expect } from 'vitest'
import { type AdminClient, type Answer, type Json, type ScimClient, ServerClient } from './clients.ts'
import { type IdJagIssuer, startIdJagIssuer } from './id-jag-issuer.ts'
import { connect, createDatabase, type TestDatabase } from './postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from './tenure.ts'

export const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** How an MCP client says who it is: in the header, in the body, or both. */
export interface ClientCredentials {
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
}

export function basic(id: string, secret: string): ClientCredentials {
  return { headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` } }
}

export interface Person {
  readonly id: string
  readonly userName: string
  /** What the identity provider has for a `sub`. */
  readonly externalId: string
}

/** A form to one of the `/oauth2` endpoints; a list of values repeats a parameter. */
export async function postForm(
  url: string,
  form: Readonly<Record<string, string | readonly string[] | undefined>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const pairs = Object.entries(form).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((each) => [name, each] as [string, string]),
  )
  const response = await fetch(url, { method: 'POST', headers: { ...headers }, body: new URLSearchParams(pairs) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/**
 * A Tenure, without workers unless told otherwise, an identity provider whose ID-JAGs it trusts for the directory `acme`, the MCP client
 * `claude`, and the servers `linear` (opaque tokens) and `figma` (JWTs), where the group Engineering has `read` and
 * `write`.
 */
export async function startOAuthWorld(role: 'api' | 'all' = 'api') {
  const database: TestDatabase = await createDatabase()
  const tenure: RunningTenure = await runTenure(role, database)
  const admin: AdminClient = tenure.admin
  const idp: IdJagIssuer = await startIdJagIssuer()
  const owner: pg.Client = await connect({ url: database.ownerUrl })
  const okta: ScimClient = await registerDirectory(admin, 'acme')
  await admin.put('/directories/acme/issuer', {
    issuer: idp.issuer,
    jwksUri: idp.jwksUri,
    subject: 'externalId',
  })
  for (const [id, tokenFormat] of [
    ['linear', 'opaque'],
    ['figma', 'jwt'],
  ]) {
    await admin.post('/servers', { id, name: id, resource: resourceOf(id!), connectors: [], tokenFormat })
    const rule = { directory: 'acme', server: id, when: 'groups.display eq "Engineering"', scopes: ['read', 'write'] }
    await admin.put(`/rules/engineering-${id}`, rule)
  }
  const { secret } = await admin.post('/clients', { id: 'claude', auth: 'client_secret_basic' })
  const engineering: string = (await okta.createGroup('Engineering')).id
  const asLinear = new ServerClient(tenure.url, await admin.post('/servers/linear/credentials'))
  const claude = basic('claude', secret)
  let names = 0

  /** Joined over SCIM, in no group. */
  async function join(fields: Record<string, unknown> = {}): Promise<Person> {
    const userName = `person-${names++}@acme.example`
    const externalId = `00u-${userName}`
    const { id } = await okta.createUser(userName, { externalId, ...fields })
    return { id, userName, externalId }
  }

  return {
    admin,
    asLinear,
    claude,
    claudeSecret: secret as string,
    database,
    engineering,
    idp,
    join,
    okta,
    owner,
    tenure,
    async engineer(fields: Record<string, unknown> = {}): Promise<Person> {
      const person = await join(fields)
      await okta.addMembers(engineering, person.id)
      return person
    },
    /** An ID-JAG as the identity provider makes one for this person, MCP client and server. */
    mint(person: Person, claims: Record<string, unknown> = {}, minting: Parameters<IdJagIssuer['mint']>[1] = {}) {
      return idp.mint(
        {
          sub: person.externalId,
          aud: tenure.url,
          client_id: 'claude',
          resource: resourceOf('linear'),
          scope: 'read write',
          ...claims,
        },
        minting,
      )
    },
    /** The request of the SDK's stand-alone helper, which sends the assertion and nothing more; `form` is added to it. */
    redeem(
      assertion: string,
      form: Record<string, string | readonly string[] | undefined> = {},
      { headers = {}, form: fields = {} }: ClientCredentials = claude,
    ): Promise<Answer> {
      return postForm(`${tenure.url}/oauth2/token`, { grant_type: jwtBearer, assertion, ...fields, ...form }, headers)
    },
    /** The line of the newest request that was answered at this path. */
    lastLine(path = '/oauth2/token'): Json {
      return tenure.log.findLast((line: Json) => line.msg === 'request.served' && line.path === path)
    },
    async close() {
      await owner.end()
      await tenure.close()
      await idp.close()
      await database.drop()
    },
  }
}

export type OAuthWorld = Awaited<ReturnType<typeof startOAuthWorld>>

export function resourceOf(server: string): string {
  return `https://${server}.example/mcp`
}

/** An OAuth error (RFC 6749 §5.2), in JSON and for no cache. */
export function expectRefused(answer: Answer, status: number, error: string): void {
  expect({ status: answer.status, error: answer.body?.error }).toEqual({ status, error })
  expect(answer.body.access_token).toBeUndefined()
  expect(answer.headers.get('content-type')).toContain('application/json')
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

/** `invalid_grant` on the wire says nothing of why; the log does. */
export function expectInvalidGrant({ lastLine }: OAuthWorld, answer: Answer, reason: string): void {
  expectRefused(answer, 400, 'invalid_grant')
  expect(answer.body.error_description).toBe('The assertion is not accepted')
  expect(lastLine()).toMatchObject({ status: 400, error: 'invalid_grant', reason })
}
