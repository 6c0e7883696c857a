import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, type ScimClient, userSchema } from '../support/clients.ts'
import {
  applySteps,
  groupSteps,
  patchBody,
  Refused,
  type Step,
  userSteps,
  type Wording,
  wordings,
} from '../support/patch-model.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type RunningTenure, registerDirectory, runTenure } from '../support/tenure.ts'

let database: TestDatabase
let tenure: RunningTenure

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
})
afterAll(async () => {
  await tenure?.close()
  await database?.drop()
})

const people = ['m1', 'm2', 'm3', 'm4', 'm5']

/** What a client can write of an answer, members as their ids. */
function shownBy({ schemas: _schemas, id: _id, meta: _meta, groups: _groups, members, ...rest }: Json): Json {
  return inOrder({ ...rest, members: members?.map(({ value }: Json) => value) })
}

function inOrder({ members, ...rest }: Json): Json {
  return members?.length ? { ...rest, members: members.toSorted() } : rest
}

function byModel(before: Json, steps: readonly Step[]): Json | Refused {
  try {
    return applySteps(before, steps)
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
}

describe.each(['okta', 'entra'])('random PATCH requests to a directory of %s', (provider) => {
  let scim: ScimClient
  let ids: [string, ...string[]]

  beforeAll(async () => {
    scim = await registerDirectory(tenure.admin, `model-${provider}`, provider)
    const users = await Promise.all(people.map((name) => scim.createUser(`${name}@x.example`)))
    ids = users.map(({ id }) => id) as [string, ...string[]]
  })

  /** A resource and what the model says that it is by now: one request after another, none of which may go astray. */
  async function follow(
    path: string,
    schema: string,
    before: Json,
    requests: readonly (readonly (readonly [Step, Wording])[])[],
  ) {
    let expected = before
    for (const steps of requests) {
      const was = await scim.call('GET', path)
      const answer = await scim.send('PATCH', path, patchBody(schema, steps))
      const said = JSON.stringify(answer.body)
      const after = byModel(
        expected,
        steps.map(([step]) => step),
      )
      if (after instanceof Refused) expect(answer.body, said).toMatchObject({ status: '400', scimType: after.message })
      else expect(answer.status, said).toBeLessThan(300)
      if (!(after instanceof Refused)) expected = after
      const now = await scim.call('GET', path)
      expect(shownBy(now)).toEqual(inOrder(expected))
      // A version for each change, and for nothing else.
      expect(now.meta.version === was.meta.version).toBe(isDeepStrictEqual(shownBy(now), shownBy(was)))
    }
  }

  it('do to users what the model says', async () => {
    let made = 0
    const requests = fc.array(fc.array(fc.tuple(userSteps, wordings), { minLength: 1, maxLength: 4 }), {
      minLength: 6,
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(requests, async (each) => {
        const userName = `model-${made++}@x.example`
        const { id } = await scim.call('POST', '/Users', { schemas: [userSchema], userName })
        await follow(`/Users/${id}`, userSchema, { userName, active: true }, each)
      }),
      { numRuns: 15, endOnFailure: true },
    )
  })

  it('do to groups what the model says', async () => {
    let made = 0
    const requests = fc.array(fc.array(fc.tuple(groupSteps(ids), wordings), { minLength: 1, maxLength: 4 }), {
      minLength: 6,
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(requests, async (each) => {
        const displayName = `Model ${made++}`
        const { id } = await scim.call('POST', '/Groups', { schemas: [groupSchema], displayName })
        await follow(`/Groups/${id}`, groupSchema, { displayName, members: [] }, each)
      }),
      { numRuns: 15, endOnFailure: true },
    )
  })
})
