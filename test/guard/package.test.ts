import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { record } from '../support/secret-setup.ts'
import { waitFor } from '../support/wait-for.ts'
import { connectMcp } from './mcp-server.ts'
import { resource, startStandIn } from './stand-in.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const tsc = join(root, 'node_modules/.bin/tsc')
let folder: string
let tarball: string
let packed: string[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tenure-pack-'))
  const { stdout } = await run('npm', ['pack', '--json', '--offline', '--pack-destination', folder], { cwd: root })
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[')))
  tarball = join(folder, filename)
  packed = files.map(({ path }: { path: string }) => path)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A folder in which the tarball is installed, beside what else it has. */
async function install(name: string, packages: readonly string[]): Promise<string> {
  const home = join(folder, name)
  await mkdir(join(home, 'node_modules/tenure'), { recursive: true })
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(home, 'node_modules/tenure')])
  for (const each of packages) {
    await mkdir(dirname(join(home, 'node_modules', each)), { recursive: true })
    await symlink(join(root, 'node_modules', each), join(home, 'node_modules', each))
  }
  // As `npm init -y` makes it.
  await writeFile(join(home, 'package.json'), '{"type": "commonjs"}')
  return home
}

async function typecheck(home: string, options: object): Promise<void> {
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    noEmit: true,
    types: ['node'],
    ...options,
  }
  await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  await run(tsc, ['-p', home]).catch(({ stdout }) => {
    throw new Error(stdout)
  })
}

describe('the package', () => {
  it('holds the guard and its types, and none of Tenure itself', () => {
    expect(packed).toEqual(
      expect.arrayContaining(['dist/guard/guard.js', 'dist/guard/guard.d.ts', 'dist/guard/guard.js.map', 'LICENSE']),
    )
    expect(packed.filter((path) => /^(src|test|workers|migrations|deploy)\//.test(path))).toEqual([])
  })

  it('is imported as tenure/guard, typed, without Express or the MCP SDK', async () => {
    const home = await install('bare', ['jose', 'standardwebhooks', '@types/node', 'undici-types'])
    const source = `import { createGuard, GuardError, type Guard, type GuardedRequest } from 'tenure/guard'
const guard: Guard = createGuard({ tenure: 'https://tenure.example', resource: 'https://mcp.example/mcp', clientId: 'a', clientSecret: 'b' })
export const userOf = (req: GuardedRequest): string | undefined => req.auth?.extra.userId
try {
  guard.webhook()
} catch (error) {
  if (error instanceof GuardError) console.log(error.code)
}
`
    await writeFile(join(home, 'app.mts'), source)
    await typecheck(home, {})
    const { stdout } = await run(process.execPath, ['app.mts'], { cwd: home })
    expect(stdout).toBe('ERR_GUARD_OPTIONS\n')

    await writeFile(join(home, 'app.mts'), source.replace("resource: 'https://mcp.example/mcp', ", ''))
    await expect(typecheck(home, {})).rejects.toThrow("Property 'resource' is missing")
  })
})

describe('docs/mcp-server.md', () => {
  it('has a server that compiles, runs, and ends a running call', async () => {
    const text = await readFile(join(root, 'docs/mcp-server.md'), 'utf8')
    const [, source] = /```ts\n([\s\S]*?)```/.exec(text)!
    const home = await install('documented', [
      ...['jose', 'standardwebhooks', 'express', 'zod', '@types/node', '@types/express', 'undici-types'],
      ...['server', 'express', 'node'].map((name) => `@modelcontextprotocol/${name}`),
    ])
    await writeFile(join(home, 'server.mts'), source!)
    await typecheck(home, { skipLibCheck: true })

    const tenure = await startStandIn()
    const port = await freePort()
    const { clientId, clientSecret } = tenure.options
    const env = {
      ...process.env,
      PORT: String(port),
      RESOURCE: resource,
      TENURE_URL: tenure.url,
      TENURE_CREDENTIALS: `${clientId}:${clientSecret}`,
      TENURE_WEBHOOK_SECRET: tenure.webhookSecret,
    }
    const server = spawn(process.execPath, ['server.mts'], { cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', (chunk) => record.output('the documented server', String(chunk)))
    try {
      const url = `http://127.0.0.1:${port}`
      const metadata = `${url}/.well-known/oauth-protected-resource/mcp`
      const response = await waitFor(() => fetch(metadata).catch(() => undefined), { what: 'the server to listen' })
      expect(await response.json()).toMatchObject({ resource, scopes_supported: ['read'] })

      const client = await connectMcp(`${url}/mcp`, tenure.issue(), { versionNegotiation: { mode: 'auto' } })
      const { content } = await client.callTool({ name: 'whoami', arguments: {} })
      expect(content).toEqual([{ type: 'text', text: 'ada' }])
      const call = client.callTool({ name: 'wait', arguments: { seconds: 600 } }).catch((error) => error)
      const begun = tenure.message({ active: true, scopes: ['read', 'write'], user: 'bob' })
      expect((await fetch(`${url}/tenure`, { method: 'POST', ...begun })).status).toBe(204)
      expect(await tenure.tell(`${url}/tenure`)).toBe(204)
      expect(await call).toEqual(expect.objectContaining({ message: 'Unauthorized' }))
      await client.close()
    } finally {
      server.kill()
      await tenure.close()
    }
  })
})
