import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type DoubtId, doubts } from '../../src/cli/check/findings.ts'
import type { Json } from '../support/clients.ts'
import { CommandLine, type Ran } from '../support/command-line.ts'
import { freePort } from '../support/free-port.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { idToken, type ReadyServer, startReadyServer } from '../support/ready-server.ts'
import { adminKey, type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const folder = mkdtempSync(join(tmpdir(), 'tenure-check-'))
const cli = new CommandLine({})
const asMetadata = '/.well-known/oauth-authorization-server'
let server: ReadyServer

beforeAll(async () => {
  server = await startReadyServer()
})
afterEach(() => server.restore())
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const listed = ['--allow-private', '127.0.0.1']

function asClient(): string[] {
  return ['--client-id', server.client.id, '--client-secret-file', file('secret', `${server.client.secret}\n`)]
}

function withIdp(): string[] {
  const idp = ['--idp-token-endpoint', server.idpTokenEndpoint, '--idp-client-id', 'claude-at-the-idp']
  return [...asClient(), ...idp, '--id-token-file', file('id-token', idToken)]
}

async function withIdJags(...claims: Json[]): Promise<string[]> {
  const minted = await Promise.all(claims.map((each) => server.mint(each)))
  return [...asClient(), '--id-jag', file('id-jag', minted.join('\n'))]
}

function shownNoSecret({ stdout, stderr }: Ran): void {
  for (const secret of server.secrets) expect(stdout + stderr).not.toContain(secret)
}

describe('tenure check', () => {
  it('finds a ready server ready', async () => {
    const ran = await cli.run(['check', server.url, ...listed])
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect(ran.stdout).toContain(`${server.url} is ready for EMA\n`)
    expect(ran.stdout).not.toMatch(/^ +[✗!]/m)
  })

  it('finds it ready with a real ID-JAG too, and takes the token back', async () => {
    const ran = await cli.run(['check', server.url, ...listed, ...(await withIdJags({})), '--json'])
    const report = JSON.parse(ran.stdout)
    expect(ran.code).toBe(0)
    expect(report).toMatchObject({ ready: true, resource: server.url, issuer: server.issuer })
    const tried = report.findings.filter(({ about }: Json) => about === 'trial')
    expect(tried.map(({ id, level }: Json) => `${level} ${id}`)).toEqual([
      'ok id-jag',
      'ok token-issued',
      'ok token-accepted',
      'ok replay-refused',
      'ok revocation-honoured',
    ])
    expect(report.takenBack).toEqual({ by: 'revocation', refusedAfterMs: 0 })
    shownNoSecret(ran)
  })

  it.each<[string, DoubtId, (server: ReadyServer) => unknown]>([
    [
      'an issuer that is another one',
      'issuer-mismatch',
      ({ metadata }) => Object.assign(metadata, { issuer: 'https://as.example' }),
    ],
    [
      'a profile that is not advertised',
      'profile-not-advertised',
      ({ metadata }) => void delete metadata.authorization_grant_profiles_supported,
    ],
    [
      'a resource that is another one',
      'resource-mismatch',
      ({ resource }) => Object.assign(resource, { resource: 'https://other.example/mcp' }),
    ],
    [
      'a redirect into a private network',
      'redirect-to-private',
      (server) =>
        server.answer(
          'as',
          asMetadata,
          (_seen, res) => void res.writeHead(302, { location: `${server.stranger.url}/` }).end(),
        ),
    ],
  ])('names %s, with its fix', async (_what, id, mutate) => {
    mutate(server)
    const text = await cli.run(['check', server.url, ...listed])
    expect(text.code).toBe(1)
    expect(text.stdout).toMatch(new RegExp(`✗ ${id} .*\\n +why  .*\\n +fix  .*`))
    expect(text.stdout).toContain(doubts[id].fix)
    const quiet = await cli.run(['check', server.url, ...listed, '-q'])
    expect(quiet.stdout.split('\n')).toContain(id)
    expect(server.stranger.requests).toBe(0)
  })

  it('names a revocation that the server ignores', async () => {
    server.honoursRevocation = false
    const ran = await cli.run(['check', server.url, ...listed, ...withIdp(), '--within', '1', '--json'])
    expect(ran.code).toBe(1)
    const { findings, takenBack } = JSON.parse(ran.stdout)
    expect(findings.filter(({ level }: Json) => level !== 'ok')).toEqual([
      { about: 'trial', id: 'revocation-ignored', ...doubts['revocation-ignored'], seen: expect.any(String) },
    ])
    expect(takenBack).toEqual({ by: 'revocation', refusedAfterMs: null })
    shownNoSecret(ran)
  })

  it('asks nothing of an address that is not listed, and says how to list it', async () => {
    const { code, stdout } = await cli.run(['check', `${server.stranger.url}/mcp`])
    expect(code).toBe(1)
    expect(stdout).toMatch(/✗ private-address {2}.*127\.0\.0\.2 is not a public address(.|\n)*--allow-private/)
    expect(server.stranger.requests).toBe(0)
  })

  it('fits a terminal of 80 columns', async () => {
    server.metadata.issuer = 'https://as.example'
    const { stdout } = await cli.run(['check', server.url, ...listed], { terminal: {} })
    for (const line of stdout.split('\n')) expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(80)
    expect(stdout).toContain('is not ready for EMA')
  })

  it.each([
    ['a URL', ['mcp.example/mcp'], /is not the URL of an MCP endpoint/],
    ['hosts that can be', ['https://mcp.example/mcp', '--allow-private', 'http://x'], /list its host alone/],
    ['a client with an ID-JAG', ['https://mcp.example/mcp', '--id-jag', 'x'], /--client-id is missing/],
    ['a token before a cut', ['https://mcp.example/mcp', '--then-wait'], /a cut takes a token/],
    [
      'a file that is there',
      ['https://mcp.example/mcp', '--client-id', 'x', '--id-jag', '/nowhere'],
      /\/nowhere cannot be read/,
    ],
    [
      'an ID token to mint with',
      ['https://mcp.example/mcp', '--client-id', 'x', '--idp-token-endpoint', 'https://idp.example'],
      /needs --id-token-file/,
    ],
  ])('wants %s', async (_what, args, reason) => {
    expect(await cli.run(['check', ...args])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(reason),
    })
  })
})

describe('tenure check and a cut', () => {
  let database: TestDatabase
  let tenure: RunningTenure
  let person: Json
  let operator: CommandLine

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('all', database)
    operator = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: adminKey })
    person = await (await registerDirectory(tenure.admin, 'acme')).createUser('ada@acme.example')
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  /** A server that asks Tenure, as one that introspects does. */
  async function askTenure(): Promise<void> {
    const { epoch } = await tenure.admin.get(`/users/${person.id}`)
    server.isCut = async () => (await tenure.admin.get(`/users/${person.id}`)).epoch > epoch
  }

  it('cuts the user by the admin API, and sees token and older ID-JAG refused', async () => {
    await askTenure()
    const cut = ['--then-cut', 'ada@acme.example', '--yes', '--json']
    const ran = await operator.run(['check', server.url, ...listed, ...withIdp(), ...cut])
    expect(ran.code).toBe(0)
    const { findings, takenBack } = JSON.parse(ran.stdout)
    expect(findings.slice(-2)).toMatchObject([
      { id: 'cut-honoured', seen: '401 at once' },
      { id: 'remint-refused', seen: '400 invalid_grant' },
    ])
    expect(takenBack).toEqual({ by: 'cut', refusedAfterMs: 0 })
    shownNoSecret(ran)
  })

  it('names a cut that the token outlives, and an ID-JAG from before it that gives another', async () => {
    server.honoursRevocation = false
    server.gates = false
    const cut = ['--then-cut', person.id, '--yes', '--within', '1', '-q']
    const ran = await operator.run(['check', server.url, ...listed, ...(await withIdJags({}, {})), ...cut])
    expect(ran).toMatchObject({ code: 1, stdout: 'revocation-ignored\nremint-accepted\n' })
  })

  it('asks before it cuts, and a no sends nothing', async () => {
    const { epoch } = await tenure.admin.get(`/users/${person.id}`)
    const args = ['check', server.url, ...listed, ...withIdp(), '--then-cut', 'ada@acme.example']
    const refused = await operator.run(args, { terminal: { answer: 'n\n' } })
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('voids every token of ada@') })
    expect((await operator.run(args)).code).toBe(2)
    expect(server.requests).toEqual([])
    expect((await tenure.admin.get(`/users/${person.id}`)).epoch).toBe(epoch)
  })

  it('cuts nobody when the token was no good to begin with', async () => {
    const { epoch } = await tenure.admin.get(`/users/${person.id}`)
    server.tokenAnswer = { access_token: 'of-nobody' }
    const args = ['check', server.url, ...listed, ...withIdp(), '--then-cut', person.id, '--yes', '-q']
    expect(await operator.run(args)).toMatchObject({ code: 1, stdout: 'token-refused\n' })
    expect((await tenure.admin.get(`/users/${person.id}`)).epoch).toBe(epoch)
  })

  it('says that Tenure cannot be reached, before anything is sent', async () => {
    const lost = new CommandLine({ TENURE_URL: `http://127.0.0.1:${await freePort()}`, TENURE_ADMIN_KEY: adminKey })
    const ran = await lost.run(['check', server.url, ...listed, ...withIdp(), '--then-cut', 'ada@acme.example'])
    expect(ran).toMatchObject({ code: 4, stdout: '' })
    expect(server.requests).toEqual([])
  })

  it('waits for somebody to take the access away', async () => {
    let isAway = false
    server.isCut = () => isAway
    const running = operator.run(['check', server.url, ...listed, ...withIdp(), '--then-wait', '--json'])
    const calls = () => server.requests.filter(({ host, headers }) => host === 'mcp' && headers.authorization).length
    await waitFor(() => calls() > 3, { what: 'it to look again and again' })
    server.mints = false
    isAway = true
    const ran = await running
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining("Take this user's access away now") })
    const { findings, takenBack } = JSON.parse(ran.stdout)
    expect(findings.slice(-2)).toMatchObject([
      { id: 'cut-honoured', seen: expect.stringMatching(/^401 .* after waiting began$/) },
      { id: 'remint-refused', seen: 'no ID-JAG from the identity provider: 400 access_denied' },
    ])
    expect(takenBack).toEqual({ by: 'operator', refusedAfterMs: expect.any(Number) })
  })
})
