import { readFileSync } from 'node:fs'
import { CliError, exitCodes } from './cli-error.ts'
import { plain } from './plain.ts'
import type { Session } from './session.ts'

/**
 * A secret from a file, `-` for standard input: never from the command line, where every process could read it. Blanks at
 * its ends are not of it.
 */
export function secretFrom(file: string): string {
  const name = file === '-' ? 'standard input' : plain(file)
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8').trim()
  } catch {
    throw new CliError(`${name} cannot be read`, exitCodes.usage)
  }
  if (text === '') throw new CliError(`${name} is empty`, exitCodes.usage)
  return text
}

/** One, or the new one and the old one, a line for each: as the API takes what a sender may show. */
export function rotatingSecretFrom(file: string): string | readonly string[] {
  const lines = secretFrom(file).split(/\s*\n\s*/)
  if (lines.length > 2)
    throw new CliError(`${plain(file)} has more than two lines: the new secret and the old one`, exitCodes.usage)
  return lines.length === 1 ? lines[0]! : lines
}

/** Asks somebody for it without showing it; elsewhere it has to be in a file. */
export async function askedSecret({ terminal }: Session, question: string, option: string): Promise<string> {
  if (!terminal.interactive)
    throw new CliError(`a secret is needed: give ${option} <file>, - for standard input`, exitCodes.usage)
  const given = (await terminal.askSecret(question)).trim()
  if (given === '') throw new CliError('nothing was changed')
  return given
}

/** Standard input has one content. */
export function onceFromStdin(...files: ReadonlyArray<string | boolean | undefined>): void {
  if (files.filter((file) => file === '-').length > 1)
    throw new CliError('standard input can be one file only', exitCodes.usage)
}
