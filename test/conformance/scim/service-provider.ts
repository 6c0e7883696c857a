import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Answer, groupSchema, type Json, patchSchema, type ScimClient, userSchema } from '../../support/clients.ts'
import { createDatabase, type TestDatabase } from '../../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../../support/tenure.ts'

export const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
export const mediaType = 'application/scim+json; charset=utf-8'
export const errorSchema = 'urn:ietf:params:scim:api:messages:2.0:Error'
export const listSchema = 'urn:ietf:params:scim:api:messages:2.0:ListResponse'

export const vendors = ['okta', 'entra', 'google', 'ping'] as const
export type Provider = (typeof vendors)[number] | 'generic'
export const providers: readonly Provider[] = [...vendors, 'generic']

/** Well-formed, and nobody's. */
export const stranger = '3f0e2c1a-0000-4000-8000-000000000000'

/** The two collections: what a resource of each must have, under which name. */
export const collections = [
  { type: 'User', path: '/Users', schema: userSchema, nameKey: 'userName' },
  { type: 'Group', path: '/Groups', schema: groupSchema, nameKey: 'displayName' },
] as const

/** One Tenure for the test file, with a directory of each provider; its id is the provider's name. */
export function serviceProvider() {
  let database: TestDatabase
  let tenure: RunningTenure
  const clients = new Map<Provider, ScimClient>()

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
    for (const provider of providers) clients.set(provider, await registerDirectory(tenure.admin, provider, provider))
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  return {
    scim: (provider: Provider): ScimClient => clients.get(provider)!,
    get tenure() {
      return tenure
    },
    get database() {
      return database
    },
  }
}

export const patchOf = (...Operations: unknown[]) => ({ schemas: [patchSchema], Operations })
export const query = (parameters: Record<string, string>) => `?${new URLSearchParams(parameters)}`
export const filtered = (filter: string, more: Record<string, string> = {}) => query({ filter, ...more })

export const searchOf = (parameters: Json) => ({
  schemas: ['urn:ietf:params:scim:api:messages:2.0:SearchRequest'],
  ...parameters,
})
export const bulkOf = (...Operations: unknown[]) => ({
  schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkRequest'],
  Operations,
})

/** A request with the headers named and the token's, and none that a library adds of its own accord. */
export async function sendExactly(
  { base, token }: ScimClient,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const sent = request(`${base}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...headers } })
  sent.on('error', reject)
  sent.on('response', async (response) => {
    const received = await text(response)
    resolve({
      status: response.statusCode!,
      headers: new Headers(response.headers as Record<string, string>),
      body: received === '' ? undefined : JSON.parse(received),
    })
  })
  sent.end(body)
  return promise
}

let names = 0
/** Differs each time. */
export const newName = (stem: string) => `${stem}-${names++}`

export function expectList({ status, headers, body }: Answer, total: number): Json[] {
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe(mediaType)
  expect(body).toMatchObject({ schemas: [listSchema], totalResults: total, Resources: expect.any(Array) })
  expect(body.itemsPerPage).toBe(body.Resources.length)
  return body.Resources
}

export function expectError({ status, headers, body }: Answer, wanted: number, scimType?: string): void {
  const type = scimType === undefined ? {} : { scimType }
  expect(body).toEqual({ schemas: [errorSchema], status: String(wanted), ...type, detail: expect.any(String) })
  expect(status).toBe(wanted)
  expect(headers.get('content-type')).toBe(mediaType)
}

export async function membersOf(scim: ScimClient, group: string): Promise<string[]> {
  const { members = [] } = await scim.call('GET', `/Groups/${group}`)
  return members.map(({ value }: Json) => value).toSorted()
}
