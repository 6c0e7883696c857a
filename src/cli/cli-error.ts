import { TenureError } from '../errors.ts'

/** What the command line exits with; `tenure --help` lists the same. */
export const exitCodes = {
  done: 0,
  /** Tenure refused, or something went wrong on the way. `check`: a fault was found. */
  failed: 1,
  /** The command line cannot be meant, or a setting is missing. */
  usage: 2,
  /** `alarm`: a critical one is open. `job replay`: something that matched is being sent right now and was left alone. */
  attention: 3,
  /** No answer from Tenure: nothing listens there, it is not Tenure, or it took too long. */
  unreachable: 4,
} as const

/** Why a command ended, in one line for standard error, and what belongs under it. */
export class CliError extends TenureError {
  readonly exitCode: number
  readonly lines: readonly string[]

  constructor(message: string, exitCode: number = exitCodes.failed, lines: readonly string[] = []) {
    super('ERR_CLI', message)
    this.exitCode = exitCode
    this.lines = lines
  }
}
