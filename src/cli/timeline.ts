import { plain } from './plain.ts'
import type { Paper } from './table.ts'
import type { Colours } from './terminal.ts'
import { absolute, duration, relative } from './times.ts'
import { pad, shorten, widthOf } from './width.ts'

/** As `GET /users/{id}/timeline` has it, oldest first. */
export interface TimelineItem {
  readonly at: string
  readonly kind: string
  /** Since the last lifecycle event; null before the first one shown. */
  readonly sinceEventMs: number | null
  readonly server: string | null
  readonly detail: Readonly<Record<string, unknown>>
}

/** What followed one lifecycle event. */
interface Chapter {
  readonly event: TimelineItem | undefined
  readonly items: readonly Moment[]
}

/** An item on the axis of its chapter. */
interface Moment {
  readonly item: TimelineItem
  readonly from: number
  /** Equal to `from` for what has no length. */
  readonly to: number
}

interface Layout {
  readonly offset: number
  readonly bar: number
  readonly server: number
  readonly what: number
}

const gap = '  '
/** After a silence this long the axis starts again: one scale for a cut and its retry an hour later would show neither. */
const quietMs = 30_000
const widestBar = 40

/**
 * One person's history as a bar chart: a chapter for each lifecycle event, a line for each thing that followed, with a
 * bar that starts and ends where it did on the axis above it. Pure: `now` is for how long ago only.
 */
export function drawTimeline(items: readonly TimelineItem[], paper: Paper, now: Date): string[] {
  const chapters = divide(items)
  const layout = layOut(chapters, paper.width ?? 80)
  return chapters.flatMap((chapter, index) => [
    ...(index === 0 ? [] : ['']),
    heading(chapter.event, paper.colours, now, paper.width ?? 80),
    ...(chapter.items.length === 0 ? [paper.colours.dim(`${gap}nothing followed`)] : []),
    ...stretches(chapter.items).flatMap((stretch, number, all) => [
      ...(number === 0 ? [] : [silence(all[number - 1]!, stretch, layout, paper.colours)]),
      ...drawStretch(stretch, layout, paper.colours),
    ]),
  ])
}

function divide(items: readonly TimelineItem[]): Chapter[] {
  const chapters: Array<{ event: TimelineItem | undefined; items: Moment[] }> = []
  let start = items[0] === undefined ? 0 : Date.parse(items[0].at)
  for (const item of items) {
    if (item.kind === 'event') {
      start = Date.parse(item.at)
      chapters.push({ event: item, items: [] })
      continue
    }
    if (chapters.length === 0) chapters.push({ event: undefined, items: [] })
    const from = Math.max(0, item.sinceEventMs ?? Date.parse(item.at) - start)
    const length = item.kind === 'attempt' ? Number(item.detail.ms ?? 0) : 0
    chapters.at(-1)!.items.push({ item, from, to: from + length })
  }
  return chapters
}

function stretches(moments: readonly Moment[]): Moment[][] {
  const all: Moment[][] = []
  let end = 0
  for (const moment of moments) {
    if (all.length === 0 || moment.from - end > quietMs) all.push([])
    all.at(-1)!.push(moment)
    end = Math.max(end, moment.to)
  }
  return all
}

function layOut(chapters: readonly Chapter[], width: number): Layout {
  const moments = chapters.flatMap(({ items }) => items)
  const offset = Math.max(0, ...moments.map(({ from }) => widthOf(offsetOf(from))))
  const server = Math.min(16, Math.max(0, ...moments.map(({ item }) => widthOf(plain(item.server)))))
  const room = width - offset - server - 4 * gap.length
  const bar = Math.max(10, Math.min(widestBar, Math.floor(room * 0.4)))
  return { offset, server, bar, what: Math.max(10, room - bar) }
}

function drawStretch(moments: readonly Moment[], layout: Layout, colours: Colours): string[] {
  const [first] = moments
  if (!first) return []
  // The first stretch begins with its event.
  const start = first.from <= quietMs ? 0 : first.from
  const span = Math.max(1, ...moments.map(({ to }) => to - start))
  const lines = moments.map(({ item, from, to }) => {
    const drawn = colourOf(item, colours)(barOf((from - start) / span, (to - start) / span, to > from, layout.bar))
    const what = shorten(describe(item), layout.what)
    const failed = item.kind === 'attempt' && !wentThrough(item)
    return [
      gap + pad(offsetOf(from), layout.offset, 'left'),
      drawn,
      pad(plain(item.server), layout.server),
      failed ? colours.red(what) : what,
    ]
      .join(gap)
      .trimEnd()
  })
  return [colours.dim(axis(span, layout)), ...lines]
}

/** `├──── 1.2 s ────┤`, over the bars: how long the axis is. It begins with the event, or with the first thing after a silence. */
function axis(span: number, layout: Layout): string {
  const label = ` ${duration(span)} `
  const line = Math.max(0, layout.bar - widthOf(label) - 2)
  const left = Math.floor(line / 2)
  return `${gap}${' '.repeat(layout.offset)}${gap}├${'─'.repeat(left)}${label}${'─'.repeat(line - left)}┤`
}

function silence(before: readonly Moment[], after: readonly Moment[], layout: Layout, colours: Colours): string {
  const ms = after[0]!.from - Math.max(...before.map(({ to }) => to))
  return colours.dim(`${gap}${' '.repeat(layout.offset)}${gap}⋮ ${duration(ms)} of nothing`)
}

/** Half a cell is the smallest step: `╺━━╸`. What has no length is a dot. */
function barOf(from: number, to: number, hasLength: boolean, width: number): string {
  if (!hasLength) {
    const cell = Math.min(width - 1, Math.floor(from * width))
    return `${' '.repeat(cell)}•${' '.repeat(width - cell - 1)}`
  }
  const start = Math.min(2 * width - 1, Math.floor(from * 2 * width))
  const end = Math.max(start + 1, Math.round(to * 2 * width))
  return Array.from({ length: width }, (_, cell) => {
    const left = start <= 2 * cell && 2 * cell < end
    const right = start <= 2 * cell + 1 && 2 * cell + 1 < end
    return left ? (right ? '━' : '╸') : right ? '╺' : ' '
  }).join('')
}

function heading(event: TimelineItem | undefined, colours: Colours, now: Date, width: number): string {
  if (!event) return colours.bold('before the oldest event shown')
  const { kind, source, actor, detail } = {
    kind: plain(event.detail.kind),
    source: plain(event.detail.source),
    actor: event.detail.source === 'admin' && event.detail.actor ? ` (${plain(event.detail.actor)})` : '',
    detail: `${absolute(event.at)} · ${relative(event.at, now)}`,
  }
  const about = shorten(` by ${source}${actor} · ${detail}`, Math.max(10, width - widthOf(kind)))
  return colours.bold(colours.cyan(kind)) + about
}

function offsetOf(ms: number): string {
  return `+${duration(ms)}`
}

function wentThrough({ detail }: TimelineItem): boolean {
  return detail.outcome === 'applied' || detail.outcome === 'unchanged'
}

function colourOf(item: TimelineItem, colours: Colours): (text: string) => string {
  switch (item.kind) {
    case 'attempt':
      return wentThrough(item) ? colours.green : colours.red
    case 'cut':
    case 'inbound':
      return colours.magenta
    case 'delivered':
      return colours.green
    default:
      return colours.yellow
  }
}

function describe(item: TimelineItem): string {
  const { kind, detail } = item
  const list = (value: unknown) => (Array.isArray(value) ? value.map(plain).join(' ') : '')
  switch (kind) {
    case 'inbound': {
      const lag = typeof detail.lagMs === 'number' ? `, ${duration(detail.lagMs)} after it happened` : ''
      return `${plain(detail.channel)}: ${plain(String(detail.type).split('/').at(-1))}, ${plain(detail.effect)}${lag}`
    }
    case 'cut':
      return `cut, epoch ${plain(detail.epoch)}`
    case 'entitled': {
      const clients = list(detail.clients)
      if (detail.active === false) return 'access ends'
      return `may have ${list(detail.scopes)}${clients === '' ? '' : ` through ${clients}`}`
    }
    case 'granted':
      return `grant to ${plain(detail.client)}: ${list(detail.scopes)}`
    case 'closed':
      return `grant closed: ${plain(detail.reason)}${detail.expectedDeadBy ? `, dead by ${absolute(plain(detail.expectedDeadBy))}` : ''}`
    case 'delivered':
      return 'delivered'
    case 'attempt': {
      const length = detail.ms === null || detail.ms === undefined ? '' : `, ${duration(Number(detail.ms))}`
      if (wentThrough(item)) return `✓ ${plain(detail.status ?? detail.outcome)}${length}`
      return `✗ ${plain(detail.outcome)}${detail.error ? `: ${plain(detail.error)}` : ''}${length}`
    }
    default:
      return plain(kind)
  }
}
