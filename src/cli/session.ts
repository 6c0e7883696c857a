import { readCliConfig } from '../config.ts'
import { Api, type Listed } from './api.ts'
import { type NameOf, namesOf } from './people.ts'
import { drawRecord, type Fields } from './record.ts'
import { type Column, drawTable } from './table.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** What every command may be given. */
export interface OutputOptions {
  readonly json?: boolean
  readonly quiet?: boolean
}

/** What one run of the command line works with. The environment is read when it is first needed, so that help needs none. */
export class Session {
  #api: Api | undefined
  #terminal: Terminal | undefined

  get api(): Api {
    this.#api ??= new Api(readCliConfig())
    return this.#api
  }

  get terminal(): Terminal {
    this.#terminal ??= createTerminal()
    return this.#terminal
  }

  /**
   * Prints an answer in one of its three forms: the API's JSON, the bare value that a script wants (nothing, where there
   * is none), or `text` for a reader.
   */
  give(
    answer: unknown,
    options: OutputOptions,
    forms: { quiet?: string | readonly string[]; text: () => string },
  ): void {
    const texts = options.json
      ? [JSON.stringify(answer ?? null, undefined, 2)]
      : options.quiet
        ? [forms.quiet ?? []].flat()
        : [forms.text()]
    for (const text of texts) this.terminal.print(text)
  }

  /** A list, as a table. `none` is said, on standard error, when there is nothing. */
  giveList<T>(
    { items, next }: Listed<T>,
    options: OutputOptions & { limit?: number },
    form: {
      columns: ReadonlyArray<Column<T>>
      id: (item: T) => string
      none: string
    },
  ): void {
    const bare = options.json || options.quiet
    if (items.length > 0 || bare)
      this.give({ items, next }, options, {
        quiet: items.map(form.id),
        text: () => this.table(items, form.columns),
      })
    else this.terminal.note(form.none)
    if (next !== null && !bare) this.terminal.note(`These are the first ${items.length}; --limit shows more.`)
  }

  /** One thing with all its fields. */
  giveRecord(answer: unknown, options: OutputOptions, form: { id: string; fields: Fields }): void {
    this.give(answer, options, {
      quiet: form.id,
      text: () => this.record(form.fields),
    })
  }

  /** What is shown this once. */
  giveSecret(
    answer: unknown,
    options: OutputOptions,
    form: { secret: string | readonly string[]; fields: Fields },
  ): void {
    const note = 'Keep the secret now: it is stored in a form that cannot be shown again.'
    this.give(answer, options, {
      quiet: form.secret,
      text: () => `${this.record(form.fields)}\n\n${this.terminal.colours.yellow(note)}`,
    })
  }

  /** What to call the people of these items: by userName for a reader, by id elsewhere. */
  async namesOf(options: OutputOptions, items: ReadonlyArray<{ readonly user?: string | null }>): Promise<NameOf> {
    if (options.json || options.quiet) return (id) => id ?? '-'
    return await namesOf(
      this.api,
      items.map(({ user }) => user),
    )
  }

  table<T>(rows: readonly T[], columns: ReadonlyArray<Column<T>>): string {
    return drawTable(rows, columns, this.terminal)
  }

  record(fields: Fields): string {
    return drawRecord(fields, this.terminal.colours)
  }
}
