import { Invalid, TenureError } from '../errors.ts'

/** The filter cannot be meant. `position` is the 0-based offset in the source, as near to the mistake as is known. */
export class FilterError extends TenureError {
  readonly position: number | undefined

  constructor(message: string, position?: number, options?: ErrorOptions) {
    super('ERR_FILTER', message, options)
    this.position = position
  }
}

/** The filter names an attribute that no schema has. */
export class UnknownAttributeError extends FilterError {
  readonly attribute: string

  constructor(attribute: string, position: number) {
    super(`no attribute is called "${attribute}"`, position)
    this.attribute = attribute
  }
}

/** What `read` reads of a request's `field`. @throws Invalid naming it, with the position, where `read` throws FilterError */
export function filterOf<T>(field: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    const { message, position } = error
    throw new Invalid('The filter cannot be used', [
      { field, message, ...(position === undefined ? {} : { position }) },
    ])
  }
}
