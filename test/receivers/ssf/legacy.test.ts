import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SsfConfig } from '../../../src/directory/channel-config.ts'
import { audience, caep, risc } from '../../support/set-transmitter.ts'
import { type PushedDirectory, push, type SsfWorld, startSsfWorld } from '../../support/ssf-world.ts'

let world: SsfWorld
let people = 0

beforeAll(async () => {
  world = await startSsfWorld()
})
afterAll(() => world?.close())

const now = () => Math.floor(Date.now() / 1_000)
const revoked = `${caep}session-revoked`

interface Shape {
  readonly claims: (person: Person) => Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly config?: Partial<SsfConfig>
  /** What becomes of the user; default: cut, without a hold. */
  readonly outcome?: { epoch: number; held: boolean }
}

interface Person {
  readonly id: string
  readonly sub: string
  readonly email: string
}

/** As they stand in the reference (§1.7, §1.8, §2.10) and in Google's Cross-Account Protection. */
const shapes: Record<string, Shape> = {
  'Okta (§1.7)': {
    claims: ({ sub }) => ({
      events: {
        [revoked]: {
          event_timestamp: Date.now() - 5_000,
          initiating_entity: 'admin',
          reason_admin: { en: 'User session ended' },
          subject: { format: 'iss_sub', iss: world.transmitter.issuer, sub },
        },
      },
    }),
  },
  'a complex subject without a format (§1.8)': {
    claims: ({ email }) => ({ events: { [revoked]: { subject: { user: { format: 'email', email } } } } }),
  },
  'a complex subject without a format, of one device (§1.8, P10)': {
    claims: ({ email }) => ({
      events: { [revoked]: { subject: { user: { format: 'email', email }, device: { format: 'opaque', id: 'd' } } } },
    }),
    outcome: { epoch: 0, held: false },
  },
  'Google: subject_type, and an issuer with a slash at the end (P6)': {
    config: { subjectIssuers: ['https://accounts.google.com/'] },
    claims: ({ sub }) => ({
      exp: now() - 60,
      events: {
        [`${risc}sessions-revoked`]: {
          subject: { subject_type: 'iss-sub', iss: 'https://accounts.google.com/', sub },
        },
      },
    }),
  },
  'Google: claims of the ID token': {
    claims: ({ email }) => ({
      events: {
        [`${risc}account-disabled`]: {
          reason: 'hijacking',
          subject: {
            subject_type: 'id_token_claims',
            iss: 'https://accounts.google.com/',
            sub: '7375626A656374',
            email,
          },
        },
      },
    }),
    outcome: { epoch: 1, held: true },
  },
  'no typ': {
    header: { typ: undefined },
    claims: ({ email }) => ({ sub_id: { format: 'email', email }, events: { [revoked]: {} } }),
  },
  'a sub beside': {
    claims: ({ email }) => ({ sub: 'whatever', sub_id: { format: 'email', email }, events: { [revoked]: {} } }),
  },
  'iat in milliseconds': {
    claims: ({ email }) => ({ iat: Date.now(), sub_id: { format: 'email', email }, events: { [revoked]: {} } }),
  },
}

async function pushed(shape: Shape, config: Partial<SsfConfig>): Promise<[Person, PushedDirectory, number, unknown]> {
  const directory = await world.directory(`d-${people++}`, { ...shape.config, ...config })
  const sub = `00u-legacy-${people}`
  const email = `${sub}@acme.example`
  const person = { id: (await directory.scim.createUser(email, { externalId: sub })).id, sub, email }
  const set = await world.transmitter.sign(shape.claims(person), { header: shape.header ?? {} })
  const { status, body } = await push(directory.pushUrl, set)
  return [person, directory, status, body]
}

describe('transmitters from before the final specifications, behind `legacy`', () => {
  it.each(Object.keys(shapes))('takes %s', async (name) => {
    const { outcome = { epoch: 1, held: false } } = shapes[name]!
    const [person, directory, status] = await pushed(shapes[name]!, { legacy: true })
    expect(status).toBe(202)
    const { epoch, hold } = await world.admin.get(`/users/${person.id}`)
    expect({ epoch, held: hold !== null }).toEqual(outcome)
    expect(await world.events(directory.id)).toMatchObject([{ userId: person.id }])
  })

  it.each(Object.keys(shapes))('refuses %s without it', async (name) => {
    const [person, directory, status, body] = await pushed(shapes[name]!, {})
    expect({ status, body }).toMatchObject({ status: 400, body: { err: 'invalid_request' } })
    expect(await world.events(directory.id)).toEqual([])
    expect(await world.admin.get(`/users/${person.id}`)).toMatchObject({ epoch: 0, hold: null })
  })

  it('P13: dates an event of Okta by its milliseconds', async () => {
    const at = Date.now() - 90_000
    const claims = ({ email }: Person) => ({
      events: { [revoked]: { event_timestamp: at, subject: { format: 'email', email } } },
    })
    const [, directory] = await pushed({ claims }, { legacy: true })
    expect((await world.events(directory.id))[0].occurredAt).toEqual(new Date(at))
  })

  it.each<[string, string, Record<string, unknown>]>([
    ['P9: subjects that disagree', 'subject', { sub_id: { format: 'email', email: 'kim@acme.example' } }],
    ['an event without a subject', 'subject', { events: { [revoked]: {} } }],
    ['a typ of something else', 'type', {}],
    ['iat a week and a day ago, in milliseconds', 'time', { iat: Date.now() - 8 * 86_400_000 }],
    ['an iss with a slash at the end (P6)', 'issuer', { iss: 'slash' }],
  ])('still refuses %s', async (_name, reason, wrong) => {
    const shape: Shape = {
      header: reason === 'type' ? { typ: 'JWT' } : {},
      claims: ({ email }) => ({
        events: { [revoked]: { subject: { subject_type: 'email', email } } },
        ...wrong,
        ...(wrong.iss === 'slash' && { iss: `${world.transmitter.issuer}/` }),
      }),
    }
    const [, directory, status] = await pushed(shape, { legacy: true })
    expect(status).toBe(400)
    expect(await world.refusals(directory.id, 1)).toEqual({ [reason]: 1 })
    expect(await world.events(directory.id)).toEqual([])
  })

  it.each(['secevent/risc/event-type/verification', 'secevent/sse/event-type/verification'])(
    'takes a %s without a subject',
    async (name) => {
      const directory = await world.directory(`d-${people++}`, { legacy: true })
      await world.channels.noteState(
        { directoryId: directory.id, kind: 'ssf' },
        { verification: { state: 'asked-for', requestedAt: new Date().toISOString() } },
      )
      const events = { [`https://schemas.openid.net/${name}`]: { state: 'asked-for' } }
      const set = await world.transmitter.sign({ aud: [audience], jti: randomUUID(), events })
      expect(await push(directory.pushUrl, set)).toMatchObject({ status: 202 })
      const channel = await world.channels.get({ directoryId: directory.id, kind: 'ssf' })
      expect(channel.state).toMatchObject({ verified: { state: 'asked-for' } })
    },
  )
})
