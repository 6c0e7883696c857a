import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { drawTimeline, type TimelineItem } from '../../src/cli/timeline.ts'
import { widthOf } from '../../src/cli/width.ts'

const colours = pc.createColors(false)
const start = Date.parse('2026-11-22T10:00:00.000Z')
const now = new Date(start + 3 * 60_000)

function event(kind: string, afterMs: number, detail: Record<string, unknown> = { source: 'scim' }): TimelineItem {
  const at = new Date(start + afterMs).toISOString()
  return { at, kind: 'event', sinceEventMs: 0, server: null, detail: { kind, ...detail } }
}

function item(kind: string, sinceEventMs: number, server: string | null, detail: Record<string, unknown> = {}) {
  return { at: new Date(start + sinceEventMs).toISOString(), kind, sinceEventMs, server, detail }
}

const leaver: TimelineItem[] = [
  event('left', 0),
  item('cut', 0, null, { epoch: 2 }),
  item('entitled', 12.4, 'linear', { active: false, scopes: [], clients: [] }),
  item('entitled', 12.4, 'figma', { active: false, scopes: [], clients: [] }),
  item('closed', 12.4, 'linear', { reason: 'cut' }),
  item('attempt', 20, 'linear', { outcome: 'applied', status: 204, ms: 80, error: null }),
  item('attempt', 21, 'figma', { outcome: 'unavailable', status: 500, ms: 400, error: 'answered 500' }),
  item('delivered', 104, 'linear', { outcome: 'applied' }),
  item('attempt', 1_200, 'figma', { outcome: 'applied', status: 200, ms: 300, error: null }),
  item('delivered', 1_500, 'figma', {}),
]

describe('the timeline of a person', () => {
  it('is a chapter for each lifecycle event, with a bar where and as long as it was', () => {
    const joined = [
      event('joined', -3_600_000),
      item('entitled', 30, 'linear', { active: true, scopes: ['read', 'write'], clients: ['claude'] }),
      item('attempt', 40, 'linear', { outcome: 'applied', status: 200, ms: 40, error: null }),
      item('granted', 2_000, 'linear', { client: 'claude', scopes: ['read'] }),
    ]
    expect(`\n${draw([...joined, ...leaver], 80).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      joined by scim · 2026-11-22 09:00:00Z · 1 h ago
                 ├──────── 2 s ────────┤
         +30 ms  •                        linear  may have read write through claude
         +40 ms  ━                        linear  ✓ 200, 40 ms
           +2 s                        •  linear  grant to claude: read

      left by scim · 2026-11-22 10:00:00Z · 3 min ago
                 ├─────── 1.5 s ───────┤
          +0 ms  •                                cut, epoch 2
         +12 ms  •                        linear  access ends
         +12 ms  •                        figma   access ends
         +12 ms  •                        linear  grant closed: cut
         +20 ms  ━╸                       linear  ✓ 204, 80 ms
         +21 ms  ━━━━━━╸                  figma   ✗ unavailable: answered 500, 400 ms
        +104 ms   •                       linear  delivered
         +1.2 s                    ━━━━━  figma   ✓ 200, 300 ms
         +1.5 s                        •  figma   delivered
      "
    `)
  })

  it('starts its axis again after a silence, so that a late retry does not flatten what came before', () => {
    const retried = [
      event('left', 0),
      item('attempt', 20, 'figma', { outcome: 'refused', status: 400, ms: 30, error: 'answered 400' }),
      item('attempt', 900_000, 'figma', { outcome: 'applied', status: 200, ms: 500, error: null }),
    ]
    expect(`\n${draw(retried, 80).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      left by scim · 2026-11-22 10:00:00Z · 3 min ago
                 ├─────── 50 ms ────────┤
         +20 ms           ╺━━━━━━━━━━━━━━  figma  ✗ refused: answered 400, 30 ms
                 ⋮ 15 min of nothing
                 ├─────── 500 ms ───────┤
        +15 min  ━━━━━━━━━━━━━━━━━━━━━━━━  figma  ✓ 200, 500 ms
      "
    `)
  })

  it('draws what has a length as long as it lasted, in half cells, and never as nothing', () => {
    const bars = draw(
      [
        event('changed', 0),
        item('attempt', 0, 's', { outcome: 'applied', ms: 1_000 }),
        item('attempt', 0, 's', { outcome: 'applied', ms: 500 }),
        item('attempt', 500, 's', { outcome: 'applied', ms: 500 }),
        item('attempt', 1_000, 's', { outcome: 'applied', ms: 0.4 }),
        item('cut', 1_000, null, {}),
      ],
      80,
    ).slice(2)
    const lengths = bars.map((line) => [...line].filter((cell) => '━╸╺•'.includes(cell)).length)
    expect(lengths[1]).toBeCloseTo(lengths[0]! / 2, -1)
    expect(lengths[2]).toBeCloseTo(lengths[0]! / 2, -1)
    expect(lengths.slice(3)).toEqual([1, 1])
    expect(bars[1]!.indexOf('━')).toBe(bars[0]!.indexOf('━'))
    expect(bars[2]!.lastIndexOf('━')).toBe(bars[0]!.lastIndexOf('━'))
  })

  it.each([40, 60, 80, 132, 200])('fits %i columns', (width) => {
    const wordy = item('attempt', 40, 'a-server-with-a-very-long-name', {
      outcome: 'unanswered',
      ms: 10_000,
      error: 'no answer within 10 seconds '.repeat(5),
    })
    const wide = item('granted', 50, 'linear', { client: '設計設計設計設計設計設計設計', scopes: ['read'] })
    for (const line of draw([...leaver, wordy, wide], width))
      expect(widthOf(line)).toBeLessThanOrEqual(Math.max(width, 56))
  })

  it('says so when nothing followed, and shows what lies before the oldest event', () => {
    expect(draw([event('joined', 0)], 80)).toEqual([
      'joined by scim · 2026-11-22 10:00:00Z · 3 min ago',
      '  nothing followed',
    ])
    const orphan = { ...item('delivered', 0, 'linear'), sinceEventMs: null }
    expect(draw([orphan], 80)[0]).toBe('before the oldest event shown')
    expect(draw([], 80)).toEqual([])
  })

  it('says over which channel it was told, what came of it, and how late it was', () => {
    const caep = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
    const told = (type: string, effect: string, lagMs: number | null) =>
      item('inbound', 5, null, { channel: 'okta', type, kind: 'left', effect, lagMs })
    const lines = draw(
      [event('left', 0), told('user.lifecycle.deactivate', 'cut', 1_240), told(caep, 'confirmed', null)],
      120,
    )
    expect(lines[2]).toMatch(/okta: user\.lifecycle\.deactivate, cut, 1\.24 s after it happened$/)
    expect(lines[3]).toMatch(/okta: session-revoked, confirmed$/)
  })

  it('names the operator behind a cut', () => {
    const [heading] = draw([event('sessions_revoked', 0, { source: 'admin', actor: 'key:ada' })], 80)
    expect(heading).toContain('sessions_revoked by admin (key:ada)')
  })

  it('lets no escape sequence of a server through', () => {
    const hostile = item('attempt', 5, 'linear', {
      outcome: 'refused',
      ms: 1,
      error: 'x\u001b[2J\u001b]0;owned\u0007\r\n\u202ey',
    })
    for (const line of draw([event('left', 0), hostile], 200)) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })

  it('is told apart without colours', () => {
    const lines = draw(leaver, 100)
    expect(lines.find((line) => line.includes('answered 500'))).toContain('✗')
    expect(lines.find((line) => line.includes('204'))).toContain('✓')
  })
})

function draw(items: readonly TimelineItem[], width: number): string[] {
  return drawTimeline(items, { width, colours }, now)
}
