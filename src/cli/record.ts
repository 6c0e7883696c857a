import { plain } from './plain.ts'
import type { Colours } from './terminal.ts'
import { absolute, relative } from './times.ts'
import { pad, widthOf } from './width.ts'

export type Field = string | number | boolean | null | undefined | readonly string[]
export type Fields = ReadonlyArray<readonly [label: string, value: Field]>

/** Labels and values of one thing, aligned. A list is a line for each; what is undefined is left out, null is a dash. */
export function drawRecord(fields: Fields, colours: Colours): string {
  const shown = fields.filter(([, value]) => value !== undefined)
  const width = Math.max(0, ...shown.map(([label]) => widthOf(label)))
  return shown
    .flatMap(([label, value]) =>
      lines(value).map((line, index) => `${colours.dim(pad(index === 0 ? label : '', width))}  ${plain(line)}`),
    )
    .join('\n')
}

function lines(value: Field): readonly string[] {
  if (typeof value === 'object' && value !== null) return value.length === 0 ? ['-'] : value
  if (typeof value === 'boolean') return [value ? 'yes' : 'no']
  return [value === null || value === '' ? '-' : String(value)]
}

/** For a record: the time itself, and how long ago. `never` where there is none. */
export function moment(time: string | null | undefined, now: Date, never = '-'): string {
  return time ? `${absolute(time)} (${relative(time, now)})` : never
}
