import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startTenure, type TestProcess } from '../support/processes.ts'
import { waitFor } from '../support/wait-for.ts'

const program = fileURLToPath(new URL('../../bin/tenure.js', import.meta.url))
const run = promisify(execFile)

/** Whatever works for a demo: by its command line, its environment or, for sessions of Postgres, where it is. */
function processesOf(home: string): string[] {
  const running = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const isOurs = (pid: string) => [read(pid, 'cmdline'), read(pid, 'environ'), folderOf(pid)].join(' ').includes(home)
  return running.filter(isOurs).map((pid) => `${pid} ${read(pid, 'cmdline')}`)
}

/** Empty for what has just ended. */
function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

function folderOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}

function expectAscending(...numbers: number[]): void {
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  expect(numbers[0]).toBeGreaterThan(0)
}

describe.runIf(process.platform === 'linux')('tenure demo', () => {
  let folder: string
  let home: string
  let demo: TestProcess | undefined

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tenure-demo-test-'))
    home = join(folder, 'home')
  })
  afterEach(async () => {
    await demo?.kill('SIGTERM')
    await rm(folder, { recursive: true, force: true })
  })

  it('plays to its end and leaves nothing running', { timeout: 120_000 }, async () => {
    // Rejects unless it exits with 0. The settings are of a Tenure that the demo must not touch, and of a way out that it need not take.
    const { stdout, stderr } = await run(
      process.execPath,
      [program, 'demo', '--people', '60', '--json', '--home', home],
      {
        env: {
          ...process.env,
          DATABASE_URL: 'postgres://127.0.0.1:1/elsewhere',
          REDIS_URL_FILE: '/nowhere/redis-url',
          TENURE_ADMIN_KEY: 'x',
          PORT: '1',
          OTEL_EXPORTER_OTLP_ENDPOINT: 'not a collector',
          NODE_USE_ENV_PROXY: '1',
          HTTP_PROXY: 'http://127.0.0.1:1',
        },
      },
    )
    expect(processesOf(home)).toEqual([])

    const figures = JSON.parse(stdout)
    expect(figures).toMatchObject({ ok: true, people: 60, servers: 8, groups: 8 })
    expect(figures.onboarding.deliveries).toBeGreaterThanOrEqual(240)

    const { agent, leaver, mover, replay, release, suspension } = figures
    expect(mover.told.map(({ server, type }: { server: string; type: string }) => `${server} ${type}`).sort()).toEqual([
      'atlassian access.granted',
      'canva access.revoked',
      'figma access.changed',
      'linear access.granted',
    ])
    expect(agent).toMatchObject({ name: leaver.name, server: 'warehouse' })
    expectAscending(agent.challengedMs, agent.idJagMs, agent.tokenMs, agent.answeredMs)
    expect(leaver).toMatchObject({ tokens: 8, tokensDenied: 8, hanging: { server: 'figma', openAtTheEnd: true } })
    expect(leaver.hanging.sinceMs).toBeLessThan(0)
    expect(leaver.introspectionDeniesMs).toBeGreaterThan(leaver.committedMs)
    expect(leaver.told.map(({ server }: { server: string }) => server).sort()).toEqual([
      'asana',
      'atlassian',
      'granola',
      'linear',
      'supabase',
      'warehouse',
    ])
    const { runningCallMs, nextCallMs, retryMs, idJagsMinted, idJagsRefused } = leaver.agent
    const warehouse = leaver.told.find(({ server }: { server: string }) => server === 'warehouse')
    expectAscending(warehouse.ms, runningCallMs, nextCallMs, retryMs)
    // The SDK's client goes the whole way twice before it gives up.
    expect({ idJagsMinted, idJagsRefused }).toEqual({ idJagsMinted: 2, idJagsRefused: 2 })
    expect(leaver.failing).toMatchObject({ server: 'canva', status: 500 })
    expect(replay).toMatchObject({ server: 'canva', requeued: 1 })
    expect(release).toMatchObject({ server: 'figma', delivered: true })
    expect(suspension).toMatchObject({ tokens: 5, tokensDenied: 5 })
    expect(suspension.told).toHaveLength(6)
    expectAscending(suspension.answeredMs, suspension.introspectionDeniesMs, suspension.leadMs)
    expect(figures.checks.filter(({ held }: { held: boolean }) => !held)).toEqual([])
    expect(figures.checks.map(({ claim }: { claim: string }) => claim)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('with no step by hand'),
        expect.stringContaining('running call was ended'),
        expect.stringContaining('next call was answered 401'),
        expect.stringContaining('silent retry got new ID-JAGs'),
        expect.stringContaining('confirmed the cut: no server was told twice'),
      ]),
    )
    for (const row of ["Ada's running call has ended", 'the next call is answered 401', 'silent retry: 2 of 2'])
      expect(stderr).toMatch(new RegExp(`${row}.* ms `))
    expect(stderr.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  it('takes everything with it when it is killed', { timeout: 120_000 }, async () => {
    const killed = startTenure({ args: ['demo', '--people', '1000', '--home', home] })
    demo = killed
    await waitFor(() => killed.output().includes(' % '), { what: 'people to be onboarded', timeoutMs: 60_000 })
    // Tenure, the keeper, Postgres and its sessions
    expect(processesOf(home).length).toBeGreaterThan(3)
    await killed.kill('SIGKILL')
    await waitFor(() => processesOf(home).length === 0, { what: 'everything to stop', timeoutMs: 40_000 })
  })

  it('stops at a SIGINT, says so in its exit code, and removes what it made', { timeout: 120_000 }, async () => {
    demo = startTenure({ args: ['demo', '--people', '5000'], env: { TMPDIR: folder } })
    await waitFor(() => readdirSync(folder).length === 1, { what: 'its temporary home' })
    const [made] = readdirSync(folder)
    await waitFor(() => processesOf(made!).length > 0, { what: 'Tenure to start', timeoutMs: 60_000 })
    const { code } = await demo.kill('SIGINT')
    expect(code).toBe(130)
    expect(processesOf(made!)).toEqual([])
    expect(existsSync(join(folder, made!))).toBe(false)
  })
})
