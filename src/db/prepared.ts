import { type RawBuilder, sql } from 'kysely'
import pg from 'pg'

const mark = '/* prepared */'

/**
 * At the head of a statement of a hot path: each connection parses and plans it once, which otherwise costs more than
 * to read a row by its key. Not for a text that a request shapes: every connection keeps each that it was given.
 *
 * After a few runs it is planned without its parameters, where `= any($1)` counts as ten rows and is planned anew each
 * time: ask for a single row by `=`.
 */
export const prepared: RawBuilder<unknown> = sql.raw(mark)

const names = new Map<string, string>()

/** Kysely does not name statements: the mark is what asks for a name. */
export class PreparingClient extends pg.Client {
  override query(...args: unknown[]): never {
    const query = super.query.bind(this) as (...args: unknown[]) => never
    const [text, values] = args
    if (typeof text !== 'string' || !text.startsWith(mark)) return query(...args)
    return query({ name: nameOf(text), text, values })
  }
}

function nameOf(text: string): string {
  const name = names.get(text) ?? `tenure_${names.size + 1}`
  names.set(text, name)
  return name
}
