import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { record } from './secret-setup.ts'
import { waitFor } from './wait-for.ts'

/** A JSON object from a line of a process's standard output. */
export type LogLine = Record<string, unknown>

export interface TestProcess {
  pid: number
  /** Every JSON line so far, oldest first; it grows. */
  lines: readonly LogLine[]
  /** All text of both outputs so far, for lines that are not JSON. */
  output(): string
  /** The first line, past or to come, that fits; rejects at once, with the output, when the process ends without one. */
  waitForLine(predicate: (line: LogLine) => boolean, options?: { timeoutMs?: number; what?: string }): Promise<LogLine>
  /** Sends the signal and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<Ended>
  ended: Promise<Ended>
}

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
}

interface StartOptions {
  args?: string[]
  /** On top of the environment of the tests, from which Tenure's own variables are taken out. */
  env?: Record<string, string>
  cwd?: string
  /** To run as somebody else; for root only. */
  uid?: number
  gid?: number
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const started = new Set<ChildProcess>()
afterAll(() => {
  for (const child of started) child.kill('SIGKILL')
})

/** `bin/tenure.js` with these arguments, say `['start']`. Killed when the test file ends, like everything started here. */
export function startTenure(options: StartOptions = {}): TestProcess {
  return startScript('bin/tenure.js', options)
}

/** `script` is a path from the root of the repository. */
export function startScript(script: string, { args = [], env = {}, ...place }: StartOptions = {}): TestProcess {
  const child = spawn(process.execPath, [`${root}${script}`, ...args], {
    env: { ...foreignEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...place,
  })
  started.add(child)
  record.environment(env)
  const note = recorderOf(script, args)
  const lines: LogLine[] = []
  let output = ''
  for (const [name, stream] of Object.entries({ stdout: child.stdout, stderr: child.stderr })) {
    createInterface({ input: stream }).on('line', (line) => {
      output += `${line}\n`
      note(name, line)
      const parsed = parseLine(line)
      if (parsed) lines.push(parsed)
    })
  }
  let over: Ended | undefined
  const ended = once(child, 'close').then(([code, signal]) => {
    started.delete(child)
    record.environment(env)
    over = { code, signal }
    return over
  })
  return {
    pid: child.pid!,
    lines,
    output: () => output,
    waitForLine: (predicate, { timeoutMs = 30_000, what = `a line of ${script}` } = {}) => {
      const find = () => {
        const line = lines.find(predicate)
        if (!line && over) throw new Error(`${script} ended (${over.signal ?? over.code}) without ${what}:\n${output}`)
        return line
      }
      return waitFor(find, { what, timeoutMs })
    },
    kill: (signal = 'SIGKILL') => {
      child.kill(signal)
      return ended
    },
    ended,
  }
}

/**
 * Tenure's parts never say a secret. Its other commands do to standard output, when asked to make one; and a script of the
 * tests tells its test where the database is.
 */
export function recorderOf(script: string, args: readonly string[]): (stream: string, line: string) => void {
  const command = [script, ...args].join(' ')
  const isPart = ['start', 'api', 'worker', 'migrate', 'demo'].includes(args[0] ?? '')
  return (stream, line) => {
    const told = script === 'bin/tenure.js' ? undefined : parseLine(line)
    if (typeof told?.ownerUrl === 'string')
      record.environment({ DATABASE_MIGRATION_URL: told.ownerUrl, DATABASE_URL: String(told.url) })
    else if (isPart || stream === 'stderr') record.output(`${stream} of ${command}`, line)
    else record.command(`${stream} of ${command}`, line)
  }
}

/** Whatever configures Tenure on the developer's machine must not reach into the tests. */
function foreignEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(TENURE_|OTEL_|DATABASE_|REDIS_URL|PUBLIC_URL$|HOST$|PORT$|LOG_LEVEL$)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
}

/** Command lines of live processes that name the folder. Linux only. */
export async function processesOf(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return commands.map((command) => command.replaceAll('\0', ' ')).filter((command) => command.includes(folder))
}

function parseLine(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
