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

  it('does not touch members unless they are named', () => {
    const { members, document } = patch({ op: 'replace', value: { id: 'g1', displayName: 'Crew' } })
    expect(members).toBeUndefined()
    expect(document).toEqual({ displayName: 'Crew', externalId: 'x1' })
  })

  it.each<[Op, string]>([
    [{ op: 'remove', path: 'members[type eq "User"]' }, 'invalidFilter'],
    [{ op: 'remove', path: 'members[value sw "u"]' }, 'invalidFilter'],
    [{ op: 'remove', path: 'members[not (value eq "u")]' }, 'invalidFilter'],
    [{ op: 'replace', path: 'members[value eq "u1"].value', value: 'u2' }, 'mutability'],
    [{ op: 'add', path: 'members.value', value: 'u2' }, 'invalidPath'],
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
