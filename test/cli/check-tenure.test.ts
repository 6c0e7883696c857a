import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { Json } from '../support/clients.ts'
import { CommandLine } from '../support/command-line.ts'
import { type Enterprise, startEnterprise } from '../support/enterprise.ts'
import { adminKey } from '../support/tenure.ts'

/** What docs/mcp-server.md leads to: a server behind the guard, with Tenure for its authorization server. */

const folder = mkdtempSync(join(tmpdir(), 'tenure-check-tenure-'))
let backend: RunningBackend
let acme: Enterprise
let secret: string
let operator: CommandLine

beforeAll(async () => {
  backend = await backends()[0]!.start()
  acme = await startEnterprise(backend)
  secret = (await acme.admin.post('/clients/claude/rotate-secret')).secret
  operator = new CommandLine({ TENURE_URL: acme.tenure.url, TENURE_ADMIN_KEY: adminKey })
})
afterAll(async () => {
  await acme?.close()
  await backend?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

async function findings(...args: string[]): Promise<{ code: number | null; levels: string[]; report: Json }> {
  const { code, stdout } = await operator.run([
    'check',
    acme.mcp.url,
    '--allow-private',
    '127.0.0.1',
    '--json',
    ...args,
  ])
  const report = JSON.parse(stdout)
  return { code, report, levels: report.findings.map(({ level, id }: Json) => `${level} ${id}`) }
}

/** As the MCP client of somebody who has just joined and logged in. */
async function asNewcomer(): Promise<{ userName: string; args: string[] }> {
  const { userName, externalId } = await acme.hire(await acme.team('read', 'write'))
  const { id, secret: idpSecret } = acme.idp.client
  const args = [
    ...['--client-id', 'claude', '--client-secret-file', file('secret', secret)],
    ...['--idp-token-endpoint', await tokenEndpoint(), '--idp-client-id', id],
    ...['--idp-client-secret-file', file('idp-secret', idpSecret)],
    ...['--id-token-file', file('id-token', await acme.idp.logIn(externalId))],
  ]
  return { userName, args }
}

async function tokenEndpoint(): Promise<string> {
  const response = await fetch(`${acme.idp.issuer}/.well-known/openid-configuration`)
  return ((await response.json()) as Json).token_endpoint
}

describe('tenure check of a server behind the guard', () => {
  it('finds nothing to mend', async () => {
    const { code, levels, report } = await findings()
    expect(levels.filter((level) => !level.startsWith('ok '))).toEqual([])
    expect(code).toBe(0)
    expect(report).toMatchObject({ ready: true, resource: acme.mcp.url, issuer: acme.tenure.url })
  })

  it('gets a token with a real ID-JAG, and sees its revocation honoured', async () => {
    const { code, levels } = await findings(...(await asNewcomer()).args)
    expect(levels.slice(-5)).toEqual([
      'ok id-jag',
      'ok token-issued',
      'ok token-accepted',
      'ok replay-refused',
      'ok revocation-honoured',
    ])
    expect(levels.filter((level) => !level.startsWith('ok '))).toEqual([])
    expect(code).toBe(0)
  })

  it('sees a cut honoured, and no way back with an ID-JAG from before it', async () => {
    const { userName, args } = await asNewcomer()
    const { code, levels } = await findings(...args, '--then-cut', userName, '--yes')
    expect(levels.slice(-2)).toEqual(['ok cut-honoured', 'ok remint-refused'])
    expect(levels.filter((level) => !level.startsWith('ok '))).toEqual([])
    expect(code).toBe(0)
  })
})
