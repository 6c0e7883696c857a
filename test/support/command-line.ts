import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Json } from './clients.ts'
import { recorderOf } from './processes.ts'

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Record<string, string>
  /** Has the process believe that its three streams are a terminal of 80 columns, and answers its question. */
  readonly terminal?: { readonly answer?: string }
  /** What is piped into it. */
  readonly input?: string
  readonly cwd?: string
}

/** `bin/tenure.js` as an operator runs it: a process of its own, with nothing of this one's environment. */
export class CommandLine {
  readonly #env: Record<string, string>

  constructor(env: Record<string, string>) {
    this.#env = env
  }

  async run(args: readonly string[], { env = {}, terminal, input, cwd }: RunOptions = {}): Promise<Ran> {
    const child = spawn(process.execPath, [...(terminal ? ['--import', playTerminal] : []), program, ...args], {
      env: { PATH: process.env.PATH ?? '', ...this.#env, ...env },
      stdio: 'pipe',
      cwd,
    })
    child.stdin.end(input ?? terminal?.answer ?? '')
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    const note = recorderOf('bin/tenure.js', args)
    for (const [stream, said] of Object.entries({ stdout, stderr }))
      for (const line of said.split('\n')) note(stream, line)
    return { code, stdout, stderr }
  }

  /** What it prints; rejects unless it exits with 0 and has nothing to say on standard error. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args)
    if (code !== 0 || stderr !== '') throw new Error(`tenure ${args.join(' ')} ended with ${code}: ${stderr}`)
    return stdout
  }

  /** The one document that it prints with `--json`. */
  async json(...args: string[]): Promise<Json> {
    return JSON.parse(await this.ok(...args, '--json'))
  }
}

const program = fileURLToPath(new URL('../../bin/tenure.js', import.meta.url))
const playTerminal = `data:text/javascript,${encodeURIComponent(
  'for (const s of [process.stdin, process.stdout, process.stderr]) s.isTTY = true; process.stdout.columns = 80',
)}`
