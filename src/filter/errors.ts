import { TenureError } from '../errors.ts'

/** The filter cannot be meant. `position` is the 0-based offset in the source, as near to the mistake as is known. */
export class FilterError extends TenureError {
  readonly position: number | undefined

  constructor(message: string, position?: number, options?: ErrorOptions) {
    super('ERR_FILTER', message, options)
    this.position = position
  }
}
