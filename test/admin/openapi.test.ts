import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { described, document, routed } from '../support/admin-document.ts'
import type { Json } from '../support/clients.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { adminKey, type RunningTenure, runTenure } from '../support/tenure.ts'

describe('the document of the admin API', () => {
  let database: TestDatabase
  let tenure: RunningTenure

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  it('is served to anybody, as OpenAPI 3.1', async () => {
    const answer = await fetch(`${tenure.url}/admin/v1/openapi.json`)
    expect(answer.status).toBe(200)
    const served = (await answer.json()) as Json
    expect(served).toEqual(document)
    expect(served).toMatchObject({
      openapi: expect.stringMatching(/^3\.1\.\d$/),
      info: { title: expect.any(String), version: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
      servers: [{ url: '/admin/v1' }],
    })
  })

  it('is of what is routed, neither more nor less', () => {
    expect(described.map(({ name }) => name).sort()).toEqual(routed())
  })

  it.each(described)('serves $name', async ({ method, path }) => {
    const answer = await fetch(`${tenure.url}/admin/v1${path.replaceAll(/\{\w+\}/g, 'nothing')}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      ...(method === 'GET' ? {} : { body: '{}' }),
    })
    expect(answer.status).toBeLessThan(500)
    expect(await answer.text()).not.toContain('There is no ')
  })

  describe.each(described)('$name', ({ path, operation }) => {
    it('has a name, a line that says what it does, a tag that is explained, and security', () => {
      expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/)
      expect(described.filter((other) => other.operation.operationId === operation.operationId)).toHaveLength(1)
      expect(operation.summary).toMatch(/^[A-Z][^\n]{3,80}[^.\n]$/)
      expect(document.tags.map(({ name }: Json) => name)).toContain(operation.tags[0])
      const security: Json[] = operation.security ?? document.security
      expect(security.length > 0 || operation.operationId === 'getOpenApi').toBe(true)
      for (const scheme of security.flatMap(Object.keys)) {
        expect(Object.keys(document.components.securitySchemes)).toContain(scheme)
      }
    })

    it('describes each answer: a success, and every refusal as problem details', () => {
      const statuses = Object.keys(operation.responses)
      expect(statuses.some((status) => status.startsWith('2'))).toBe(true)
      for (const [status, response] of Object.entries<Json>(operation.responses)) {
        const { description, content } = response.$ref ? target(response.$ref) : response
        expect(description).toMatch(/\w/)
        if (status !== '204') {
          expect(Object.keys(content)).toEqual([status < '300' ? 'application/json' : 'application/problem+json'])
        }
      }
    })

    it('names each parameter of its path once', () => {
      const inPath = (operation.parameters ?? []).filter((parameter: Json) => parameter.in === 'path')
      expect(inPath.every(({ required, schema }: Json) => required === true && schema.type === 'string')).toBe(true)
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      expect(inPath.map(({ name }: Json) => name)).toEqual(names)
    })

    it('takes a body without unknown fields', () => {
      const schema = operation.requestBody?.content['application/json'].schema
      if (schema === undefined) return
      expect(schema.$ref ? target(schema.$ref) : schema).toMatchObject({ type: 'object', additionalProperties: false })
    })
  })

  it('refers to nothing that is not there, and keeps nothing that is not referred to', () => {
    const wanted = new Set([...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!))
    for (const ref of wanted) expect(target(ref), ref).toBeDefined()
    const kept = ['schemas', 'responses'].flatMap((kind) =>
      Object.keys(document.components[kind]).map((name) => `#/components/${kind}/${name}`),
    )
    expect(kept.filter((ref) => !wanted.has(ref))).toEqual([])
  })

  it('has schemas that are JSON Schema 2020-12, with examples that fit', () => {
    const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true })
    formats.default(ajv)
    for (const word of ['example', 'components']) ajv.addKeyword(word)
    ajv.addSchema({ $id: 'openapi', components: document.components })
    for (const name of Object.keys(document.components.schemas)) {
      expect(() => ajv.compile({ $ref: `openapi#/components/schemas/${name}` }), name).not.toThrow()
    }
    walk(document, (schema) => {
      if (schema.example === undefined || typeof schema.type !== 'string') return
      expect(ajv.validate({ ...schema, example: undefined }, schema.example), JSON.stringify(schema)).toBe(true)
    })
  })

  it('shows nothing that could be taken for a secret', () => {
    const shown: string[] = []
    walk(document, ({ example, examples, default: given }) => {
      shown.push(JSON.stringify([example, examples, given]))
    })
    expect(shown.filter((text) => /[A-Za-z0-9+/_-]{24,}|whsec_|Bearer /.test(text))).toEqual([])
  })
})

describe('the page of the admin API', () => {
  let database: TestDatabase
  let tenure: RunningTenure

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('api', database)
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  it('is served to anybody, with everything that it asks for, from here alone', async () => {
    const page = await fetch(`${tenure.url}/admin/v1/docs`)
    expect(page).toMatchObject({ status: 200, url: `${tenure.url}/admin/v1/docs/` })
    expect(page.headers.get('content-type')).toMatch(/^text\/html/)
    const html = await page.text()
    const asked = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => new URL(url!, page.url))
    expect(asked.length).toBeGreaterThan(2)
    for (const url of asked.filter(({ protocol }) => protocol !== 'data:')) {
      expect(url.href.startsWith(page.url)).toBe(true)
      expect((await fetch(url, { method: 'HEAD' })).status, url.href).toBe(200)
    }
  })

  it('runs no script of anybody else, and none that stands in the page', async () => {
    const page = await fetch(`${tenure.url}/admin/v1/docs/`)
    const policy = page.headers.get('content-security-policy')
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self';")
    expect(policy).not.toMatch(/https?:|\*/)
    expect(await page.text()).not.toMatch(/<script(?![^>]*\ssrc=)/)
  })

  it('serves nothing beside', async () => {
    for (const path of ['index.js', 'package.json', 'swagger-ui.js', '../docs.ts', '%2e%2e/docs.ts', 'nothing']) {
      const answer = await fetch(`${tenure.url}/admin/v1/docs/${path}`)
      expect([401, 404], path).toContain(answer.status)
      expect(answer.headers.get('content-type'), path).toMatch(/^application\/problem\+json/)
    }
  })
})

/** What a `$ref` of the document names. */
function target(ref: string): Json {
  return ref
    .slice(2)
    .split('/')
    .reduce((node: Json, part) => node?.[part], document)
}

/** Every object in it. */
function walk(node: Json, visit: (object: Json) => void): void {
  if (typeof node !== 'object' || node === null) return
  visit(node)
  for (const child of Object.values(node)) walk(child, visit)
}
