import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AdminClient, Json, ScimClient } from '../support/clients.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'

let database: TestDatabase
let tenure: RunningTenure
let admin: AdminClient
let okta: ScimClient
let ada: string
let engineering: string

const engineers = { server: 'linear', when: 'groups.display eq "Engineering"', scopes: ['read'] }

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  admin = tenure.admin
  okta = await registerDirectory(admin, 'acme')
  await admin.post('/servers', {
    id: 'linear',
    name: 'Linear',
    resource: 'https://linear.example/mcp',
    scopes: ['read', 'write'],
    connectors: [{ type: 'webhook', url: 'http://127.0.0.1:9/' }],
  })
  ada = (await okta.createUser('ada@acme.example')).id
  await okta.createUser('grace@acme.example')
  const core = await okta.createGroup('Core', [ada])
  engineering = (await okta.createGroup('Engineering', [core.id])).id
})
afterAll(async () => {
  await tenure?.close()
  await database?.drop()
})

function fieldsOf({ body }: { body: Json }): string[] {
  return body.errors.map(({ field }: Json) => field)
}

describe('PUT /rules/{id}', () => {
  it('tries a rule with dryRun: every answer but the change', async () => {
    const tried = await admin.send('PUT', '/rules/engineers?dryRun=true', engineers)
    expect(tried).toMatchObject({ status: 200, body: { id: 'engineers', directory: 'acme', ...engineers, touched: 1 } })
    expect((await admin.send('GET', '/rules/engineers')).status).toBe(404)

    const made = await admin.send('PUT', '/rules/engineers?dryRun=false', engineers)
    expect(made).toMatchObject({ status: 201, body: { id: 'engineers', touched: 1 } })
    expect(await admin.get('/rules/engineers')).not.toHaveProperty('touched')

    const widened = await admin.send('PUT', '/rules/engineers?dryRun=true', { ...engineers, when: 'active eq true' })
    expect(widened).toMatchObject({ status: 200, body: { when: 'active eq true', touched: 1 } })
    expect(await admin.get('/rules/engineers')).toMatchObject(engineers)
    expect(await admin.send('PUT', '/rules/engineers', engineers)).toMatchObject({ status: 200, body: { touched: 0 } })
  })

  it.each([
    ['a filter that does not parse', { when: 'groups.display eq' }],
    ['a directory that there is not', { directory: 'nobody' }],
    ['a server that there is not', { server: 'asana' }],
    ['a scope that its server does not have', { scopes: ['admin'] }],
    ['a client that cannot be stored', { clients: ['a\0b'] }],
    ['a field that nobody knows', { note: 'x' }],
  ])('answers to %s the same with dryRun and without', async (_what, fields) => {
    const body = { ...engineers, ...fields }
    const tried = await admin.send('PUT', '/rules/wrong?dryRun=true', body)
    expect(tried.status).toBe(422)
    expect(tried.body).toEqual((await admin.send('PUT', '/rules/wrong', body)).body)
  })

  it('answers to a rule of another directory the same with dryRun and without', async () => {
    await registerDirectory(admin, 'other')
    const body = { ...engineers, directory: 'acme' }
    await admin.put('/rules/elsewhere', { ...engineers, directory: 'other' })
    const tried = await admin.send('PUT', '/rules/elsewhere?dryRun=true', body)
    expect(tried.status).toBe(409)
    expect(tried.body).toEqual((await admin.send('PUT', '/rules/elsewhere', body)).body)
  })
})

describe('POST /rules/test', () => {
  it('counts who matches, and explains it for one of them', async () => {
    const when = `${engineers.when} and title pr`
    expect(await admin.post('/rules/test', { directory: 'acme', when })).toEqual({ matches: 0, of: 2 })
    expect(
      await admin.post('/rules/test', { directory: 'acme', when, user: { userName: 'ADA@acme.example' } }),
    ).toEqual({
      matches: 0,
      of: 2,
      user: {
        id: ada,
        userName: 'ada@acme.example',
        matches: false,
        satisfied: [
          {
            text: engineers.when,
            because: {
              attribute: 'groups.display',
              value: 'Engineering',
              via: [
                { id: expect.any(String), displayName: 'Core' },
                { id: engineering, displayName: 'Engineering' },
              ],
            },
          },
        ],
        missing: [{ text: 'title pr' }],
      },
    })
  })

  it('refuses what cannot be meant', async () => {
    const wrong = await admin.send('POST', '/rules/test', { directory: 'acme', when: 'title eq' })
    expect(wrong.status).toBe(422)
    expect(wrong.body.errors).toMatchObject([{ field: 'when', position: 8 }])
    expect(fieldsOf(await admin.send('POST', '/rules/test', { when: 'title pr' }))).toEqual(['directory'])
    expect(fieldsOf(await admin.send('POST', '/rules/test', { directory: 'no', when: 'title pr' }))).toEqual([
      'directory',
    ])
    expect(fieldsOf(await admin.send('POST', '/rules/test', { directory: 'acme', when: 'password pr' }))).toEqual([
      'when',
    ])
    const nobody = { directory: 'acme', when: 'title pr', user: { userName: 'nobody' } }
    expect((await admin.send('POST', '/rules/test', nobody)).status).toBe(404)
  })
})

describe('GET /users/{id}/why', () => {
  it('explains access, and the want of it', async () => {
    await admin.put('/rules/engineers', { ...engineers, directory: 'acme' })
    expect(await admin.get(`/users/${ada}/why?server=linear`)).toMatchObject({
      user: { id: ada, userName: 'ada@acme.example', directory: 'acme' },
      has: true,
      rules: [{ rule: 'engineers', satisfied: [{ because: { via: [{}, { id: engineering }] } }] }],
      nearest: null,
    })
    await okta.setActive(ada, false)
    expect(await admin.get(`/users/${ada}/why?server=linear`)).toMatchObject({
      has: false,
      access: { scopes: [], clients: [] },
      blockedBy: 'inactive',
      rules: [],
      nearest: { rule: 'engineers', matches: true, missing: [] },
    })
  })

  it('refuses what cannot be meant', async () => {
    expect((await admin.send('GET', `/users/${ada}/why?server=asana`)).status).toBe(404)
    expect((await admin.send('GET', '/users/nobody/why?server=linear')).status).toBe(404)
    expect(fieldsOf(await admin.send('GET', `/users/${ada}/why`))).toEqual(['server'])
  })
})
