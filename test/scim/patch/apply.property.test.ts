import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { groupResourceType } from '../../../src/schemas/group.ts'
import type { ResourceType } from '../../../src/schemas/schema.ts'
import { userResourceType } from '../../../src/schemas/user.ts'
import { ScimError } from '../../../src/scim/errors.ts'
import { applyPatch } from '../../../src/scim/patch/apply.ts'
import { parsePatch } from '../../../src/scim/patch/parse.ts'
import type { Json } from '../../support/clients.ts'
import {
  applySteps,
  groupSteps,
  patchBody,
  Refused,
  type Step,
  userSteps,
  type Wording,
  wordings,
} from '../../support/patch-model.ts'

type Worded = readonly (readonly [Step, Wording])[]

/** The resource afterwards, or the `scimType` of the refusal. */
function byModel(before: Json, steps: Worded): unknown {
  try {
    const after = applySteps(
      before,
      steps.map(([step]) => step),
    )
    return after.members ? { ...after, members: after.members.toSorted() } : after
  } catch (error) {
    if (error instanceof Refused) return error.message
    throw error
  }
}

function byEngine(type: ResourceType, { members, ...document }: Json, steps: Worded): unknown {
  const given = structuredClone(document)
  try {
    const patched = applyPatch(type, document, parsePatch(patchBody(type.schema.id, steps), type))
    expect(patched.changed).toBe(!isDeepStrictEqual(patched.document, given))
    return members ? { ...patched.document, members: membersAfter(members, patched.members) } : patched.document
  } catch (error) {
    if (error instanceof ScimError) return error.scimType
    throw error
  } finally {
    expect(document).toEqual(given)
  }
}

function membersAfter(members: string[], delta: ReturnType<typeof applyPatch>['members']): string[] {
  const kept = new Set(delta?.replaceAll ? [] : members).difference(new Set(delta?.remove))
  return [...kept.union(new Set(delta?.add.map(({ value }) => value)))].toSorted()
}

describe('a random sequence of PATCH operations', () => {
  it('does to a user what the model says, in whatever forms it is written', () => {
    const outcomes: unknown[] = []
    fc.assert(
      fc.property(fc.array(fc.tuple(userSteps, wordings), { minLength: 1, maxLength: 10 }), (steps) => {
        const before = { userName: 'ada', active: true }
        const expected = byModel(before, steps)
        expect(byEngine(userResourceType, before, steps)).toEqual(expected)
        outcomes.push(typeof expected === 'string' ? expected : 'done')
      }),
      { numRuns: 3_000 },
    )
    expect([...new Set(outcomes)].toSorted()).toEqual(['done', 'invalidValue', 'mutability', 'noTarget'])
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBeGreaterThan(1_500)
  })

  it('does to a group what the model says, members included', () => {
    const ids = ['u1', 'u2', 'u3', 'u4', 'u5'] as const
    const some = fc.uniqueArray(fc.constantFrom(...ids))
    fc.assert(
      fc.property(
        some,
        fc.array(fc.tuple(groupSteps(ids), wordings), { minLength: 1, maxLength: 10 }),
        (members, steps) => {
          const before = { displayName: 'Staff', members }
          expect(byEngine(groupResourceType, before, steps)).toEqual(byModel(before, steps))
        },
      ),
      { numRuns: 1_500 },
    )
  })
})
