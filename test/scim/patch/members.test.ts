import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../../src/schemas/group.ts'
import { applyPatch } from '../../../src/scim/patch/apply.ts'
import type { MemberDelta } from '../../../src/scim/patch/members.ts'
import { parsePatch, patchOpSchema } from '../../../src/scim/patch/parse.ts'

type Op = { op: string; path?: string; value?: unknown }

const staff = { displayName: 'Staff', externalId: 'x1' }

function patch(...operations: Op[]) {
  const parsed = parsePatch({ schemas: [patchOpSchema], Operations: operations }, groupResourceType)
  return applyPatch(groupResourceType, staff, parsed)
}

function delta(replaceAll: boolean, add: string[], remove: string[]): MemberDelta {
  return { replaceAll, add: add.map((value) => ({ value })), remove }
}

it('counts the members that one PATCH names in all of its operations', () => {
  const ids = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => ({ value: `${prefix}${n}` }))
  const add = (value: unknown) => ({ op: 'add', path: 'members', value })
  const remove = (value: unknown) => ({ op: 'remove', path: 'members', value })
  const tooMany = expect.objectContaining({ status: 413, message: expect.stringContaining('100000 members') })
  const most = ids('a', 50_000)
  expect(patch(add(most), remove(ids('b', 50_000)), add(most)).members?.add).toHaveLength(50_000)
  expect(() => patch(add(most), remove(ids('b', 50_000)), add(ids('c', 1)))).toThrow(tooMany)
  expect(() => patch(add(most), add(ids('b', 50_001)))).toThrow(tooMany)
})

describe('members as sent (Okta, Entra, WSO2)', () => {
  it.each<[string, Op, MemberDelta]>([
    ['Entra adds one', { op: 'Add', path: 'members', value: [{ $ref: null, value: 'u1' }] }, delta(false, ['u1'], [])],
    [
      'Entra adds several',
      { op: 'Add', path: 'members', value: [{ value: 'u1' }, { value: 'u2' }] },
      delta(false, ['u1', 'u2'], []),
    ],
    [
      'Entra removes by value',
      { op: 'Remove', path: 'members', value: [{ $ref: null, value: 'u1' }] },
      delta(false, [], ['u1']),
    ],
    ['removes nobody for an empty list', { op: 'Remove', path: 'members', value: [] }, delta(false, [], [])],
    ['removes by filter', { op: 'remove', path: 'members[value eq "u1"]' }, delta(false, [], ['u1'])],
    [
      'removes by several filters',
      { op: 'remove', path: 'members[value eq "u1" or value eq "u2"]' },
      delta(false, [], ['u1', 'u2']),
    ],
    ['empties without a value', { op: 'Remove', path: 'members' }, delta(true, [], [])],
    ['adds bare ids', { op: 'Add', path: 'members', value: ['u1'] }, delta(false, ['u1'], [])],
    [
      'Okta adds with display',
      { op: 'add', path: 'members', value: [{ value: 'u1', display: null }] },
      delta(false, ['u1'], []),
    ],
    [
      'Okta overwrites',
      { op: 'replace', path: 'members', value: [{ value: 'u1' }, { value: 'u1' }] },
      delta(true, ['u1'], []),
    ],
    ['Okta overwrites with nobody', { op: 'replace', path: 'members', value: [] }, delta(true, [], [])],
    ['adds one that is no list', { op: 'add', path: 'members', value: { value: 'u1' } }, delta(false, ['u1'], [])],
    ['adds without a path', { op: 'add', value: { members: [{ value: 'u1' }] } }, delta(false, ['u1'], [])],
  ])('%s', (_behaviour, operation, expected) => {
    const { members, changed, document } = patch(operation)
    expect(members).toEqual(expected)
    expect(changed).toBe(false)
    expect(document).toEqual(staff)
  })

  it('reads an id in any case, so that a removal finds who was added', () => {
    const add = { op: 'add', path: 'members', value: ['U1', 'U2', 'U3', 'u4'] }
    const remove = [
      { op: 'remove', path: 'members[value eq "u1"]' },
      { op: 'remove', path: 'members', value: [{ value: 'u2' }] },
      { op: 'remove', path: 'members[value eq "U4"]' },
    ]
    expect(patch(add, ...remove).members).toEqual(delta(false, ['u3'], ['u1', 'u2', 'u4']))
  })

  it('does not touch members unless they are named', () => {
    const { members, document } = patch({ op: 'replace', value: { displayName: 'Crew' } })
    expect(members).toBeUndefined()
    expect(document).toEqual({ displayName: 'Crew', externalId: 'x1' })
  })

  it.each<[Op, string]>([
    [{ op: 'remove', path: 'members[type eq "User"]' }, 'invalidFilter'],
    [{ op: 'remove', path: 'members[value sw "u"]' }, 'invalidFilter'],
    [{ op: 'remove', path: 'members[not (value eq "u")]' }, 'invalidFilter'],
    [{ op: 'replace', path: 'members[value eq "u1"].value', value: 'u2' }, 'mutability'],
    [{ op: 'add', path: 'members.value', value: 'u2' }, 'invalidPath'],
    [{ op: 'remove', path: 'members.x' }, 'invalidPath'],
    [{ op: 'remove', path: 'members[value eq "u1"].x' }, 'invalidPath'],
    [{ op: 'replace', value: { 'members[value eq "u1"': [] } }, 'invalidPath'],
    [{ op: 'add', path: 'members', value: [{ display: 'no id' }] }, 'invalidValue'],
    [{ op: 'add', path: 'members', value: [7] }, 'invalidValue'],
  ])('refuses %j with %s', (operation, scimType) => {
    expect(() => patch(operation)).toThrow(expect.objectContaining({ status: 400, scimType }))
  })
})

describe('the net effect of a sequence', () => {
  const ids = fc.uniqueArray(fc.constantFrom('u1', 'u2', 'u3', 'u4'))
  const step = fc.record({ op: fc.constantFrom('add', 'remove', 'replace', 'clear', 'filter'), ids })

  it('equals applying one operation after another to the set of members', () => {
    fc.assert(
      fc.property(ids, fc.array(step, { minLength: 1, maxLength: 8 }), (before, steps) => {
        const { members } = patch(...steps.flatMap(toOperations))
        if (!members) return steps.every((each) => each.op === 'filter' && each.ids.length === 0)
        const start = new Set(members.replaceAll ? [] : before)
        const added = new Set(members.add.map(({ value }) => value))
        const after = start.difference(new Set(members.remove)).union(added)
        expect([...after].sort()).toEqual([...steps.reduce(applyStep, new Set(before))].sort())
        expect(added.isDisjointFrom(new Set(members.remove))).toBe(true)
        return true
      }),
    )
  })

  function toOperations(each: { op: string; ids: string[] }): Op[] {
    const value = each.ids.map((id) => ({ value: id }))
    if (each.op === 'clear') return [{ op: 'remove', path: 'members' }]
    if (each.op === 'filter') return each.ids.map((id) => ({ op: 'remove', path: `members[value eq "${id}"]` }))
    return [{ op: each.op, path: 'members', value }]
  }

  function applyStep(members: Set<string>, { op, ids }: { op: string; ids: string[] }): Set<string> {
    const named = new Set(ids)
    if (op === 'add') return members.union(named)
    if (op === 'replace') return named
    return op === 'clear' ? new Set() : members.difference(named)
  }
})
