import Table from 'cli-table3'
import { plain } from './plain.ts'
import type { Colours } from './terminal.ts'
import { pad, shorten, widthOf, wrap } from './width.ts'

export interface Column<Row> {
  readonly head: string
  /** Shown in one line; null and undefined are a dash. */
  readonly value: (row: Row) => string | number | null | undefined
  /** May be cut down to this many cells on a narrow terminal. Without it, never: ids are there to be copied. */
  readonly least?: number
  /** One of the last columns where there is room; else with the others of its kind on a line of their own under the row. */
  readonly under?: true
  readonly align?: 'right'
  readonly paint?: (text: string, row: Row, colours: Colours) => string
}

export interface Paper {
  /** In cells; undefined: as wide as it takes, for what reads from a pipe. */
  readonly width: number | undefined
  readonly colours: Colours
}

const gap = 2
const indent = '  '
const nothing = '-'
const noBorders = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '',
  },
}

/** Rows under dim heads, without lines. Cells are cut, and text put under its row, until it fits the paper. */
export function drawTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], paper: Paper): string {
  const shown = columns.filter(({ value, under }) => !under || rows.some((row) => value(row)))
  const natural = shown.map((column) =>
    Math.max(widthOf(column.head), ...rows.map((row) => widthOf(textOf(column, row)))),
  )
  const roomy = paper.width === undefined || total(natural) <= paper.width
  const across = shown.flatMap((column, index) => (roomy || !column.under ? [{ column, width: natural[index]! }] : []))
  const under = roomy ? [] : shown.filter((column) => column.under)
  shrink(across, paper.width)
  const widths = across.map(({ width }) => width + gap)
  // What stands under a row spans all columns: the last one takes the room that is left.
  if (under.length > 0)
    widths[widths.length - 1]! += Math.max(0, paper.width! - total(across.map(({ width }) => width)))

  const table = new Table({
    chars: noBorders,
    style: {
      'padding-left': 0,
      'padding-right': gap,
      head: [],
      border: [],
      compact: true,
    },
    colWidths: widths,
  })
  table.push(across.map(({ column, width }) => paper.colours.dim(aligned(column, column.head, width))))
  for (const row of rows) {
    table.push(
      across.map(({ column, width }) =>
        painted(column, row, aligned(column, textOf(column, row), width), paper.colours),
      ),
    )
    const below = under.map((column) => textOf(column, row)).filter((text) => text !== nothing)
    for (const line of below.length === 0 ? [] : wrap(below.join(' '.repeat(gap)), paper.width! - indent.length)) {
      table.push([{ colSpan: across.length, content: `${indent}${line}` }])
    }
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

function textOf<Row>(column: Column<Row>, row: Row): string {
  const value = column.value(row)
  return value === null || value === undefined || value === '' ? nothing : plain(value)
}

/** By ourselves: the last column may be wider than what stands in it. */
function aligned<Row>({ align }: Column<Row>, text: string, width: number): string {
  return align === 'right' ? pad(text, width, 'left') : shorten(text, width)
}

function painted<Row>({ paint }: Column<Row>, row: Row, text: string, colours: Colours): string {
  return paint ? paint(text, row, colours) : text
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + gap, -gap)
}

/** Takes from the widest that gives, cell by cell, until all fit or none gives any more. */
function shrink<Row>(across: Array<{ column: Column<Row>; width: number }>, width: number | undefined): void {
  if (width === undefined) return
  while (total(across.map((each) => each.width)) > width) {
    const giving = across.filter((each) => each.column.least !== undefined && each.width > each.column.least)
    if (giving.length === 0) return
    giving.reduce((widest, each) => (each.width > widest.width ? each : widest)).width--
  }
}
