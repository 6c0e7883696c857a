import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../support/clients.ts'
import { CommandLine } from '../support/command-line.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { adminKey, type RunningTenure, runTenure } from '../support/tenure.ts'

const timeout = 240_000

let database: TestDatabase
let tenure: RunningTenure
let cli: CommandLine

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  await tenure.admin.post('/directories', { id: 'acme', provider: 'okta' })
  cli = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: adminKey })
})
afterAll(async () => {
  await tenure?.close()
  await database?.drop()
})

describe('tenure issuer', () => {
  it('sets, lists and removes, the one that there mostly is and further ones', { timeout }, async () => {
    const okta = ['--issuer', 'https://acme.okta.example', '--jwks-uri', 'https://acme.okta.example/keys']
    expect(await cli.ok('issuer', 'set', 'acme', ...okta, '--subject', 'externalId', '-q')).toBe(
      'https://acme.okta.example/keys\n',
    )
    const idp = ['--issuer', 'https://idp.example', '--jwks-uri', 'https://idp.example/keys', '--tenant', 't1']
    expect(await cli.ok('issuer', 'set', 'acme', 'contractors', ...idp, '--subject', 'email')).toMatch(
      /^id +contractors$/m,
    )
    expect(await cli.ok('issuer', 'list', 'acme')).toMatch(/contractors +https:\/\/idp\.example +t1 +email +fine/)
    expect(await cli.ok('issuer', 'list', 'acme', '-q')).toBe('https://idp.example\nhttps://acme.okta.example\n')
    expect((await cli.run(['issuer', 'remove', 'acme'])).stderr).toContain('trust of acme in https://acme.okta.example')
    expect((await tenure.admin.get('/directories/acme/issuers')).items).toHaveLength(2)
    await cli.ok('issuer', 'remove', 'acme', '--yes')
    expect(await cli.ok('issuer', 'remove', 'acme', 'contractors', '--yes')).toContain('contractors of acme is removed')
    expect((await tenure.admin.get('/directories/acme/issuers')).items).toEqual([])
  })

  it('says by which rule an ID-JAG is taken, with its directory', { timeout }, async () => {
    expect(await cli.ok('directory', 'show', 'acme')).toMatch(/^ID-JAGs +good once$/m)
    const reuse = ['--assertion-reuse', 'same_client_until_exp']
    expect(await cli.ok('directory', 'set', 'acme', ...reuse)).toMatch(/^ID-JAGs +good again for the same MCP client$/m)
    expect(await tenure.admin.get('/directories/acme')).toMatchObject({ assertionReuse: 'same_client_until_exp' })
  })
})

describe('tenure client', () => {
  it('adds by a preset, shows, and removes by the URL that is its id', { timeout }, async () => {
    const id = 'https://claude.ai/oauth/claude-code-client-metadata'
    expect(await cli.json('client', 'add', '--preset', 'claude-code')).toMatchObject({ id, auth: 'none' })
    expect(await cli.ok('client', 'show', id)).toMatch(/^preset +claude-code$/m)
    expect(await cli.ok('client', 'presets', '-q')).toBe('claude-chat\nclaude-code\nclaude-cowork\nvscode\n')
    await tenure.admin.post('/servers', { id: 's', name: 's', resource: 'https://s.example/mcp', connectors: [] })
    const rule = { directory: 'acme', server: 's', when: 'userName pr', scopes: ['read'], clients: [id] }
    await tenure.admin.put('/rules/for-code', rule)
    const asked = await cli.run(['client', 'remove', id])
    expect(asked).toMatchObject({ code: 2, stdout: '' })
    expect(asked.stderr).toContain('Rules that name it stay: for-code')
    await cli.ok('client', 'remove', id, '--yes')
    expect((await cli.json('client', 'list')).items).toEqual([])
  })

  it('gives a secret once, rotates it, and changes the rest', { timeout }, async () => {
    const secret = (await cli.ok('client', 'add', 'agent', '--auth', 'client_secret_basic', '-q')).trim()
    expect(secret).toMatch(/^mcp_[A-Za-z0-9_-]{43}$/)
    const rate = ['--token-requests-per-minute', '60']
    expect(await cli.ok('client', 'set', 'agent', ...rate)).toMatch(/^token requests +60 a minute/m)
    expect(await cli.json('client', 'set', 'agent', '--no-token-requests-per-minute')).toMatchObject({
      tokenRequestsPerMinute: 600,
    })
    const rotated = (await cli.ok('client', 'rotate-secret', 'agent', '-q')).trim()
    expect(rotated).toMatch(/^mcp_/)
    expect(rotated).not.toBe(secret)
    expect((await cli.ok('client', 'show', 'agent')).match(/^.*made .*$/gm)).toHaveLength(2)
    expect(await cli.ok('client', 'list')).toMatch(/agent +agent +client_secret_basic/)
    expect((await cli.run(['client', 'add', 'agent'])).stderr).toContain('auth')
  })
})

describe('tenure server', () => {
  it('adds one that asks and is told nothing', { timeout }, async () => {
    const server = ['--name', 'Notes', '--resource', 'https://notes.example/mcp']
    expect(await cli.json('server', 'add', 'notes', ...server)).toMatchObject({ id: 'notes', connectors: [] })
  })
})

describe('tenure signing-key', () => {
  it('rotates, and lists what is published', { timeout }, async () => {
    await fetch(`${tenure.url}/oauth2/jwks`)
    const kid = (await cli.ok('signing-key', 'rotate', '-q')).trim()
    const listed: Json = await cli.json('signing-key', 'list')
    expect(listed.items).toMatchObject([{ kid, state: 'next' }, { state: 'signing' }])
    expect(await cli.ok('signing-key')).toMatch(new RegExp(`${kid} +ES256 +next`))
  })
})
