import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Access, allows, covers, flatten, isSameAccess, noAccess, unionOf } from '../../src/lifecycle/access.ts'
import { type Change, type Held, type Identity, planChanges } from '../../src/lifecycle/plan.ts'
import type { Wanted } from '../../src/lifecycle/rules.ts'

const scope = fc.constantFrom('read', 'write', 'admin')
const client = fc.constantFrom('claude', 'vscode')
const part = fc.record({
  scopes: fc.array(scope, { minLength: 1, maxLength: 3 }),
  clients: fc.option(fc.array(client, { minLength: 1, maxLength: 2 })),
})
const given = fc.array(part, { minLength: 1, maxLength: 3 })
const server = fc.constantFrom('asana', 'linear', 'slack')
const identity = fc
  .constantFrom('ada', 'grace')
  .map((name): Identity => ({ userName: `${name}@acme.example`, email: null, externalId: null, displayName: name }))
const epoch = fc.integer({ min: 0, max: 2 })
const wanted = fc
  .dictionary(server, given)
  .map(
    (byServer) =>
      new Map(
        Object.entries(byServer).map(([id, parts]): [string, Wanted] => [id, { access: unionOf(parts), rules: ['r'] }]),
      ),
  )
const held = fc
  .dictionary(server, fc.record({ parts: fc.option(given), epoch, identity }))
  .map(
    (byServer) =>
      new Map(
        Object.entries(byServer).map(([id, { parts, ...rest }]): [string, Held] => [
          id,
          { active: parts !== null, access: parts ? unionOf(parts) : noAccess, ...rest },
        ]),
      ),
  )

function applyAll(before: ReadonlyMap<string, Held>, changes: readonly Change[], now: number): Map<string, Held> {
  return new Map([
    ...before,
    ...changes.map(({ serverId, active, access, identity }): [string, Held] => [
      serverId,
      { active, access, identity, epoch: now },
    ]),
  ])
}

describe('planChanges', () => {
  it('leaves exactly the wanted access, and plans nothing the second time', () => {
    fc.assert(
      fc.property(held, wanted, identity, epoch, (before, want, who, now) => {
        const after = applyAll(before, planChanges(before, want, who, now), now)
        for (const [id, state] of after) {
          expect(state.access).toEqual(want.get(id)?.access ?? noAccess)
          expect(state.active).toBe(want.has(id))
        }
        expect([...want.keys()].every((id) => after.has(id))).toBe(true)
        expect(planChanges(after, want, who, now)).toEqual([])
      }),
    )
  })

  it('says that something narrows exactly when some client loses a scope, or the epoch moved on', () => {
    fc.assert(
      fc.property(held, wanted, identity, epoch, (before, want, who, now) => {
        for (const change of planChanges(before, want, who, now)) {
          const was = before.get(change.serverId)
          const loses = ['claude', 'vscode', 'another'].some((via) =>
            ['read', 'write', 'admin'].some(
              (one) => allows(was?.access ?? noAccess, via, [one]) && !allows(change.access, via, [one]),
            ),
          )
          expect(change.narrows).toBe(loses || (was !== undefined && was.epoch !== now))
        }
      }),
    )
  })

  it('keeps the identity its servers know for a leaver, and tells a rename while access is active', () => {
    const ada: Identity = { userName: 'ada@acme.example', email: null, externalId: null, displayName: null }
    const mangled = { ...ada, userName: '0123456789abcdef0123456789abcdefada@acme.example' }
    const access = unionOf([{ scopes: ['read'], clients: null }])
    const before = new Map([['linear', { active: true, epoch: 0, access, identity: ada }]])
    expect(planChanges(before, new Map(), mangled, 1)).toMatchObject([{ active: false, identity: ada, narrows: true }])
    expect(planChanges(before, new Map([['linear', { access, rules: ['r'] }]]), mangled, 0)).toMatchObject([
      { active: true, identity: mangled, narrows: false },
    ])
  })

  it('hears of a grant that was earned and lost between two converges', () => {
    const nobody: Identity = { userName: 'x', email: null, externalId: null, displayName: null }
    expect(planChanges(new Map(), new Map(), nobody, 0, new Set(['linear']))).toMatchObject([
      { serverId: 'linear', active: false, narrows: true },
    ])
  })
})

describe('access', () => {
  it('is the same however the rules that give it are ordered, and in whatever order a jsonb comes back', () => {
    fc.assert(
      fc.property(given, (parts) => {
        expect(isSameAccess(unionOf(parts), unionOf(parts.toReversed()))).toBe(true)
      }),
    )
    const stored: Access = { byClient: { zed: ['read'], claude: ['read'] }, any: [] }
    expect(isSameAccess(stored, unionOf([{ scopes: ['read'], clients: ['claude', 'zed'] }]))).toBe(true)
  })

  it('covers another exactly when it allows whatever the other allows', () => {
    const access = given.map(unionOf)
    fc.assert(
      fc.property(access, access, (larger: Access, smaller: Access) => {
        const each = ['claude', 'vscode', 'another'].every((via) =>
          ['read', 'write', 'admin'].every((one) => !allows(smaller, via, [one]) || allows(larger, via, [one])),
        )
        expect(covers(larger, smaller)).toBe(each)
      }),
    )
  })

  it('names no client once any client will do', () => {
    expect(
      flatten(
        unionOf([
          { scopes: ['read'], clients: null },
          { scopes: ['write'], clients: ['claude'] },
        ]),
      ),
    ).toEqual({ scopes: ['read', 'write'], clients: [] })
    expect(flatten(unionOf([{ scopes: ['write'], clients: ['claude'] }]))).toEqual({
      scopes: ['write'],
      clients: ['claude'],
    })
  })

  it('gives nothing to a client that is given nothing, not even a token without scopes', () => {
    expect(allows(unionOf([{ scopes: ['read'], clients: ['claude'] }]), 'vscode', [])).toBe(false)
  })
})
