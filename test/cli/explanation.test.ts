import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { drawWhy, type Why } from '../../src/cli/explanation.ts'

const terminal = { colours: pc.createColors(false), now: new Date('2026-11-22T10:00:00Z') }
const rule = {
  rule: 'engineers',
  scopes: ['read', 'write'],
  clients: ['claude'],
  satisfied: [
    {
      text: 'groups.display eq "Engineering"',
      because: {
        attribute: 'groups.display',
        value: 'Engineering',
        via: [
          { id: '1', displayName: 'Platform' },
          { id: '2', displayName: 'Engineering' },
        ],
      },
    },
  ],
  missing: [],
}
const has: Why = {
  user: { userName: 'ada@acme.example' },
  server: 'linear',
  has: true,
  blockedBy: null,
  since: '2026-11-22T09:00:00Z',
  by: { kind: 'event', event: 'joined', source: 'scim' },
  rules: [rule],
  nearest: null,
}

describe('why somebody has access', () => {
  it('names every rule that gives it, with the path of groups', () => {
    expect(draw(has)).toEqual([
      'yes: ada@acme.example has access to linear',
      '  since 2026-11-22 09:00:00Z (1 h ago), by joined (scim)',
      'by the rule engineers: read write through claude',
      '  ✓ groups.display eq "Engineering"  (groups.display is "Engineering" through Platform → Engineering)',
    ])
  })

  it('names what the closest rule lacks', () => {
    const missing = [{ text: 'userType eq "Employee"', because: { attribute: 'userType', value: 'Contractor' } }]
    expect(draw({ ...has, has: false, since: null, by: null, rules: [], nearest: { ...rule, missing } })).toEqual([
      'no: ada@acme.example has no access to linear: no rule gives it',
      'closest is the rule engineers: read write through claude',
      expect.stringContaining('✓ groups.display'),
      '  ✗ userType eq "Employee"  (userType is "Contractor")',
    ])
  })

  it.each([
    ['inactive', 'inactive in its directory'],
    ['held', 'tenure user release'],
    ['something_new', 'something_new'],
  ])('says what denies everything: %s', (blockedBy, words) => {
    const [first, , third] = draw({ ...has, has: false, blockedBy, rules: [], nearest: rule, by: { kind: 'policy' } })
    expect(first).toContain(words)
    expect(third).toMatch(/^else given by the rule engineers/)
  })

  it('shows names from a directory as plain text', () => {
    expect(draw({ ...has, user: { userName: 'ada\u001b[2J' } })[0]).toBe('yes: ada [2J has access to linear')
  })
})

function draw(why: Why): string[] {
  return drawWhy(why, terminal).split('\n')
}
