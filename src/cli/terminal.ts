import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import pc from 'picocolors'

export type Colours = ReturnType<typeof pc.createColors>

/** Where a command speaks: answers on standard output, everything about them on standard error. */
export interface Terminal {
  /** Of standard output. */
  readonly colours: Colours
  /** Of standard output, in cells; undefined where nobody looks. */
  readonly width: number | undefined
  readonly now: Date
  print(text: string): void
  note(text: string): void
  /** Whether somebody can be asked. */
  readonly interactive: boolean
  ask(question: string): Promise<boolean>
  /** What is typed is not shown. */
  askSecret(question: string): Promise<string>
}

export function createTerminal(): Terminal {
  const { stdin, stdout, stderr } = process
  return {
    colours: pc.createColors(pc.isColorSupported && stdout.isTTY === true),
    width: stdout.isTTY ? stdout.columns : undefined,
    now: new Date(),
    print: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    ask: async (question) => {
      const lines = createInterface({ input: stdin, output: stderr })
      try {
        const closed = once(lines, 'close').then(() => '')
        return /^y(es)?$/i.test((await Promise.race([lines.question(`${question} [y/N] `), closed])).trim())
      } finally {
        lines.close()
      }
    },
    askSecret: async (question) => {
      stderr.write(`${question}: `)
      const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
      // As a terminal, it takes over the echo, which then goes nowhere.
      const lines = createInterface({ input: stdin, output: nowhere, terminal: true })
      try {
        const closed = once(lines, 'close').then(() => '')
        return await Promise.race([lines.question(''), closed])
      } finally {
        lines.close()
        stderr.write('\n')
      }
    },
  }
}
