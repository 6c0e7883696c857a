import type { Answer, Json, ScimClient } from './clients.ts'
import { createRandom, type Random } from './random.ts'
import { waitFor } from './wait-for.ts'

/** What an identity provider was told to make of one person, as far as every write was accepted. */
export interface Written {
  readonly id: string
  readonly active: boolean
  readonly member: boolean
}

/** Writes of an identity provider that never gives up: what is not answered with 2xx is sent again until it is. */
export interface Traffic {
  /** Writes that were answered with 2xx. */
  readonly accepted: number
  /** Answers that were not 2xx, oldest first; a broken connection is none. */
  readonly refused: readonly Answer[]
  readonly people: readonly Written[]
  /** No new write; those under way go on until they are accepted. */
  stop(): Promise<void>
}

const patienceMs = 120_000

/**
 * People join, leave, come back and go in and out of a group, each in turn of his own, all at once. A write whose answer was
 * lost may have been done; sent again it is the same, so what was accepted last is what must be so in the end.
 */
export function startTraffic(scim: ScimClient, options: { group: string; people: number; random?: Random }): Traffic {
  const { seed } = options.random ?? createRandom()
  const people: Array<{ id: string; active: boolean; member: boolean }> = []
  const refused: Answer[] = []
  let accepted = 0
  let stopped = false

  const insist = (method: string, path: string, body: unknown, settled: (answer: Answer) => boolean = () => false) =>
    waitFor(
      async () => {
        const answer = await scim.send(method, path, body).catch(lostConnection)
        if (!answer) return undefined
        if (answer.status < 300) {
          accepted++
          return answer
        }
        if (settled(answer)) return answer
        refused.push(answer)
        return undefined
      },
      { what: `${method} ${path} to be accepted`, timeoutMs: patienceMs },
    )
  const patch = (path: string, operation: Json) =>
    insist('PATCH', path, { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [operation] })

  /** A POST whose answer was lost has left a user of that name behind: identity providers look it up. */
  const create = async (userName: string): Promise<string> => {
    const body = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName, active: true }
    const answer = await insist('POST', '/Users', body, ({ status }) => status === 409)
    if (answer.status < 300) return answer.body.id
    const found = await insist('GET', `/Users?filter=${encodeURIComponent(`userName eq "${userName}"`)}`, undefined)
    return found.body.Resources[0].id
  }

  const live = async (number: number): Promise<void> => {
    const random = createRandom(seed + number)
    const person = { id: await create(`traffic-${number}@acme.example`), active: true, member: false }
    people.push(person)
    while (!stopped) {
      if (random.between(0, 1) === 0) {
        await patch(`/Users/${person.id}`, { op: 'replace', value: { active: !person.active } })
        person.active = !person.active
      } else {
        const leave = { op: 'remove', path: `members[value eq "${person.id}"]` }
        const join = { op: 'add', path: 'members', value: [{ value: person.id }] }
        await patch(`/Groups/${options.group}`, person.member ? leave : join)
        person.member = !person.member
      }
    }
  }

  const lives = Promise.all(Array.from({ length: options.people }, (_, number) => live(number)))
  lives.catch(() => {})
  return {
    get accepted() {
      return accepted
    },
    refused,
    people,
    async stop() {
      stopped = true
      await lives
    },
  }
}

/** `fetch` says so of a connection that was refused, reset or ended before its answer. */
function lostConnection(error: unknown): undefined {
  if (error instanceof TypeError) return undefined
  throw error
}
