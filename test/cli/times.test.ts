import { describe, expect, it } from 'vitest'
import { absolute, duration, parseTime, relative } from '../../src/cli/times.ts'

const now = new Date('2026-11-22T10:00:00Z')

describe('times', () => {
  it.each([
    ['2026-11-22T09:59:59.500Z', 'now'],
    ['2026-11-22T09:59:18Z', '42 s ago'],
    ['2026-11-22T09:56:01Z', '3 min ago'],
    ['2026-11-22T04:00:00Z', '6 h ago'],
    ['2026-11-01T04:00:00Z', '21 d ago'],
    ['2026-11-22T10:05:00Z', 'in 5 min'],
    ['2027-02-20T09:59:58Z', 'in 90 d'],
  ])('%s is %s', (time, text) => {
    expect(relative(time, now)).toBe(text)
  })

  it('are absolute in UTC, to the millisecond where there is one', () => {
    expect(absolute('2026-11-22T11:00:00+01:00')).toBe('2026-11-22 10:00:00Z')
    expect(absolute('2026-11-22T10:00:00.120Z')).toBe('2026-11-22 10:00:00.120Z')
  })

  it.each([
    [0, '0 ms'],
    [34.4, '34 ms'],
    [999.6, '1 s'],
    [1_254, '1.25 s'],
    [59_999, '1 min'],
    [243_000, '4 min 3 s'],
    [11_100_000, '3 h 5 min'],
    [187_200_000, '2 d 4 h'],
  ])('%d ms last %s', (ms, text) => {
    expect(duration(ms)).toBe(text)
  })

  it.each([
    ['90d', 'ahead', '2027-02-20T10:00:00.000Z'],
    ['12h', 'ahead', '2026-11-22T22:00:00.000Z'],
    ['30min', 'ago', '2026-11-22T09:30:00.000Z'],
    ['2h', 'ago', '2026-11-22T08:00:00.000Z'],
    ['2027-01-01', 'ahead', '2027-01-01T00:00:00.000Z'],
    ['2027-01-01T00:00:00+02:00', 'ahead', '2026-12-31T22:00:00.000Z'],
  ] as const)('%s %s is read as %s', (text, direction, time) => {
    expect(parseTime(text, now, direction)).toBe(time)
  })

  it.each(['', 'tomorrow', '90', '1y', '-5d', '2027-13-01', '2027-01-01T00:00:00', '9999999d'])(
    '%j is no time: what has no offset could be meant in any',
    (text) => {
      expect(parseTime(text, now, 'ahead')).toBeUndefined()
    },
  )
})
