import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { drawRecord } from '../../src/cli/record.ts'
import { type Column, drawTable } from '../../src/cli/table.ts'
import { widthOf } from '../../src/cli/width.ts'

interface Job {
  readonly id: string
  readonly user: string | null
  readonly tries: number
  readonly error?: string
}

const columns: Column<Job>[] = [
  { head: 'USER', value: ({ user }) => user, least: 8 },
  { head: 'TRIES', value: ({ tries }) => tries, align: 'right' },
  { head: 'ID', value: ({ id }) => id, under: true },
  { head: 'ERROR', value: ({ error }) => error, under: true, paint: (text, _row, { red }) => red(text) },
]
const jobs: Job[] = [
  { id: 'dlv_5b0c1f', user: 'ada@acme.example', tries: 8, error: 'answered 400' },
  { id: 'dlv_77aa02', user: '表示名@acme.example', tries: 12 },
  { id: 'dlv_90de13', user: null, tries: 1, error: 'no answer within 10 seconds' },
]

describe('a table', () => {
  it('is as wide as it takes where nobody looks', () => {
    expect(`\n${draw(jobs, undefined)}\n`).toMatchInlineSnapshot(`
      "
      USER                 TRIES  ID          ERROR
      ada@acme.example         8  dlv_5b0c1f  answered 400
      表示名@acme.example     12  dlv_77aa02  -
      -                        1  dlv_90de13  no answer within 10 seconds
      "
    `)
  })

  it('puts ids and texts under their row where they do not fit beside it', () => {
    expect(`\n${draw(jobs, 40)}\n`).toMatchInlineSnapshot(`
      "
      USER                 TRIES
      ada@acme.example         8
        dlv_5b0c1f  answered 400
      表示名@acme.example     12
        dlv_77aa02
      -                        1
        dlv_90de13  no answer within 10
        seconds
      "
    `)
  })

  it.each([20, 30, 40, 60])('fits %i columns, and never cuts what is under a row', (width) => {
    const table = draw(jobs, width)
    for (const line of table.split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(width)
    for (const { id, error } of jobs) {
      expect(table).toContain(id)
      if (error) expect(table.replaceAll(/\n +/g, ' ')).toContain(error)
    }
  })

  it('cuts a cell at a character, with a sign that it did', () => {
    expect(draw(jobs, 22)).toMatch(/^表示名@acme\.ex… +12$/m)
  })

  it('leaves out a column for which no row has a value', () => {
    expect(draw([jobs[1]!], undefined)).not.toContain('ERROR')
  })

  it('colours after it has measured', () => {
    const painted = drawTable(jobs, columns, { width: undefined, colours: pc.createColors(true) })
    expect(painted).toContain('\u001b[31manswered 400\u001b[39m')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
    expect(painted.replaceAll(/\u001b\[\d+m/g, '')).toBe(draw(jobs, undefined))
  })

  it('keeps control characters of others away from the terminal', () => {
    const hostile = draw([{ id: 'x', user: 'ada\u001b[31m\u0007\n\u202eevil', tries: 1 }], undefined)
    expect(hostile.split('\n')).toHaveLength(2)
    expect(hostile.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })
})

describe('a record', () => {
  it('aligns its labels, has a line for each of a list, and leaves out what is undefined', () => {
    const record = drawRecord(
      [
        ['id', 'linear'],
        ['scopes', null],
        ['paused', false],
        ['held', undefined],
        ['connectors', ['con_1', 'con_2']],
        ['rules', []],
      ],
      pc.createColors(false),
    )
    expect(record.split('\n')).toEqual([
      'id          linear',
      'scopes      -',
      'paused      no',
      'connectors  con_1',
      '            con_2',
      'rules       -',
    ])
  })
})

function draw(rows: readonly Job[], width: number | undefined): string {
  return drawTable(rows, columns, { width, colours: pc.createColors(false) })
}
