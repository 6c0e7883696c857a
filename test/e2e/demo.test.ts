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
    // Rejects unless it exits with 0. The settings are of a Tenure that the demo must not touch.
    const { stdout } = await run(process.execPath, [program, 'demo', '--people', '60', '--json', '--home', home], {
      env: { ...process.env, DATABASE_URL: 'postgres://127.0.0.1:1/elsewhere', TENURE_ADMIN_KEY: 'x', PORT: '1' },
    })
    expect(processesOf(home)).toEqual([])

    const figures = JSON.parse(stdout)
    expect(figures).toMatchObject({ ok: true, people: 60, servers: 7, groups: 8 })
    expect(figures.onboarding.deliveries).toBeGreaterThanOrEqual(240)

    const { leaver, mover, replay, release } = figures
    expect(mover.told.map(({ server, type }: { server: string; type: string }) => `${server} ${type}`).sort()).toEqual([
      'atlassian access.granted',
      'canva access.revoked',
      'figma access.changed',
      'linear access.granted',
    ])
    expect(leaver).toMatchObject({ tokens: 7, tokensDenied: 7, hanging: { server: 'figma', openAtTheEnd: true } })
    expect(leaver.hanging.sinceMs).toBeLessThan(0)
    expect(leaver.introspectionDeniesMs).toBeGreaterThan(leaver.committedMs)
    expect(leaver.told.map(({ server }: { server: string }) => server).sort()).toEqual([
      'asana',
      'atlassian',
      'granola',
      'linear',
      'supabase',
    ])
    expect(leaver.failing).toMatchObject({ server: 'canva', status: 500 })
    expect(replay).toMatchObject({ server: 'canva', requeued: 1 })
    expect(release).toMatchObject({ server: 'figma', delivered: true })
    expect(figures.checks.filter(({ held }: { held: boolean }) => !held)).toEqual([])
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
