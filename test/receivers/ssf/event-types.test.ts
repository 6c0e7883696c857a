import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SsfConfig } from '../../../src/directory/channel-config.ts'
import { forEach } from '../../support/people.ts'
import {
  audience,
  caep,
  oauth,
  risc,
  type SetTransmitter,
  scimEvent,
  ssf,
  startTransmitter,
} from '../../support/set-transmitter.ts'
import { push } from '../../support/ssf-world.ts'
import { type ChannelWorld, makeSecret, type Person, type Standing, startChannelWorld, type Taken } from '../world.ts'

type Kind = 'left' | 'suspended' | 'sessions_revoked' | 'enabled' | 'changed' | 'noted'
type Members = Record<string, unknown>

interface Case {
  readonly type: string
  readonly kind: Kind
  readonly claims?: Members
  /** Default: `iss_sub`, as the channel is set up. */
  readonly subject?: (person: Person, iss: string) => Members
  /** The subject names nobody, or not all of them: nothing is cut. */
  readonly cutsNobody?: 'narrow' | 'unknown'
  readonly effects?: SsfConfig['effects']
}

const event = (type: string, kind: Kind, more: Partial<Case> = {}): Case => ({ type, kind, ...more })
const issSub = (person: Person, iss: string) => ({ format: 'iss_sub', iss, sub: person.oktaId })
const email = (person: Person) => ({ format: 'email', email: person.userName.toUpperCase() })
const withMember = (name: string, member: Members) => (person: Person, iss: string) => ({
  format: 'complex',
  user: issSub(person, iss),
  [name]: member,
})
const credential = (change_type: string) => ({ credential_type: 'password', change_type })
const compliance = (current_status: string) => ({ previous_status: 'compliant', current_status })
const risk = (principal: string, current_level: string) => ({ principal, current_level, risk_reason: 'PASSWORD_FOUND' })
const opaque = (id: string) => ({ format: 'opaque', id })
const revoked = `${caep}session-revoked`

const cases: Record<string, Case> = {
  // §2.9
  'session-revoked': event(revoked, 'sessions_revoked', {
    claims: { initiating_entity: 'admin', reason_admin: { en: 'x' } },
  }),
  'session-revoked of an e-mail address': event(revoked, 'sessions_revoked', { subject: email }),
  'session-revoked of an account': event(revoked, 'sessions_revoked', {
    subject: ({ userName }) => ({ format: 'account', uri: `acct:${userName}` }),
  }),
  'session-revoked of a SCIM resource': event(revoked, 'sessions_revoked', {
    subject: ({ id }) => ({ format: 'scim', uri: `/Users/${id}` }),
  }),
  'session-revoked of several names': event(revoked, 'sessions_revoked', {
    subject: (person, iss) => ({
      format: 'aliases',
      identifiers: [email(person), { format: 'phone_number', phone_number: '+1' }, issSub(person, iss)],
    }),
  }),
  'session-revoked of a user of our tenant': event(revoked, 'sessions_revoked', {
    subject: withMember('tenant', opaque('t-acme')),
  }),
  'session-revoked of one session (P10)': event(revoked, 'sessions_revoked', {
    subject: withMember('session', opaque('s')),
    cutsNobody: 'narrow',
  }),
  'session-revoked on one device (P10)': event(revoked, 'sessions_revoked', {
    subject: withMember('device', opaque('d')),
    cutsNobody: 'narrow',
  }),
  'session-revoked at one application (P10)': event(revoked, 'sessions_revoked', {
    subject: withMember('application', opaque('c')),
    cutsNobody: 'narrow',
  }),
  'session-revoked with a member that is not known (P10)': event(revoked, 'sessions_revoked', {
    subject: withMember('browser', opaque('b')),
    cutsNobody: 'narrow',
  }),
  'session-revoked of one token': event(revoked, 'sessions_revoked', {
    subject: (_person, iss) => ({ format: 'jwt_id', iss, jti: 'j' }),
    cutsNobody: 'unknown',
  }),
  'session-revoked of a sub of somebody else (P25)': event(revoked, 'sessions_revoked', {
    subject: (person) => issSub(person, 'https://elsewhere.example'),
    cutsNobody: 'unknown',
  }),
  'session-revoked of a phone': event(revoked, 'sessions_revoked', {
    subject: () => ({ format: 'phone_number', phone_number: '+12065550100' }),
    cutsNobody: 'unknown',
  }),
  'token-claims-change': event(`${caep}token-claims-change`, 'changed', {
    claims: { claims: { groups: ['Engineering'] } },
  }),
  'credential-change, created': event(`${caep}credential-change`, 'noted', { claims: credential('create') }),
  'credential-change, revoked': event(`${caep}credential-change`, 'noted', { claims: credential('revoke') }),
  'credential-change, updated': event(`${caep}credential-change`, 'noted', { claims: credential('update') }),
  'credential-change, deleted': event(`${caep}credential-change`, 'noted', { claims: credential('delete') }),
  'assurance-level-change': event(`${caep}assurance-level-change`, 'noted', {
    claims: { namespace: 'NIST-AAL', current_level: 'nist-aal1', change_direction: 'decrease' },
  }),
  'device-compliance-change, not compliant': event(`${caep}device-compliance-change`, 'noted', {
    claims: compliance('not-compliant'),
  }),
  'device-compliance-change, compliant': event(`${caep}device-compliance-change`, 'noted', {
    claims: compliance('compliant'),
  }),
  'session-established': event(`${caep}session-established`, 'noted', { claims: { amr: ['mfa'], fp_ua: 'abb0b6e7' } }),
  'session-presented': event(`${caep}session-presented`, 'noted', { claims: { ext_id: 'x' } }),
  'risk-level-change, a user at high risk': event(`${caep}risk-level-change`, 'noted', {
    claims: risk('USER', 'HIGH'),
  }),
  'risk-level-change, a user at low risk': event(`${caep}risk-level-change`, 'noted', { claims: risk('USER', 'LOW') }),

  // §2.10
  'account-credential-change-required': event(`${risc}account-credential-change-required`, 'noted'),
  'account-purged': event(`${risc}account-purged`, 'left'),
  'account-disabled': event(`${risc}account-disabled`, 'suspended', { claims: { reason: 'hijacking' } }),
  'account-disabled of an e-mail address': event(`${risc}account-disabled`, 'suspended', { subject: email }),
  'account-enabled': event(`${risc}account-enabled`, 'enabled'),
  'identifier-changed': event(`${risc}identifier-changed`, 'changed', {
    subject: email,
    claims: { 'new-value': 'new@acme.example' },
  }),
  'identifier-recycled': event(`${risc}identifier-recycled`, 'changed', { subject: email }),
  'credential-compromise': event(`${risc}credential-compromise`, 'sessions_revoked', {
    claims: { credential_type: 'password' },
  }),
  'opt-in': event(`${risc}opt-in`, 'noted'),
  'opt-out-initiated': event(`${risc}opt-out-initiated`, 'noted'),
  'opt-out-cancelled': event(`${risc}opt-out-cancelled`, 'noted'),
  'opt-out-effective': event(`${risc}opt-out-effective`, 'noted'),
  'recovery-activated': event(`${risc}recovery-activated`, 'noted'),
  'recovery-information-changed': event(`${risc}recovery-information-changed`, 'noted'),
  'sessions-revoked': event(`${risc}sessions-revoked`, 'sessions_revoked'),

  // OAuth
  'tokens-revoked': event(`${oauth}tokens-revoked`, 'sessions_revoked'),
  'token-revoked': event(`${oauth}token-revoked`, 'noted', { claims: { token_type: 'refresh_token', token: 'abc' } }),

  // §6.4, and what nobody knows (P12)
  ...Object.fromEntries(
    [
      'feed:add',
      'feed:remove',
      'prov:create:notice',
      'prov:create:full',
      'prov:patch:notice',
      'prov:patch:full',
      'prov:put:notice',
      'prov:put:full',
      'prov:delete',
      'prov:activate',
      'prov:deactivate',
      'misc:asyncresp',
    ].map((name) => [
      name,
      event(`${scimEvent}${name}`, 'noted', { subject: ({ id }) => ({ format: 'scim', uri: `/Users/${id}` }) }),
    ]),
  ),
  'a type that nobody knows (P12)': event('https://vendor.example/secevent/user-abducted', 'noted', {
    claims: { anything: [1] },
  }),
  'a type by the name of a machine part (P12)': event('constructor', 'noted'),
  'a known name of an unknown family (P12)': event('https://vendor.example/event-type/account-purged', 'noted'),

  // What a channel makes of them
  'device-compliance-change, to cut, not compliant': event(`${caep}device-compliance-change`, 'sessions_revoked', {
    claims: compliance('not-compliant'),
    effects: { 'device-compliance-change': 'sessions_revoked' },
  }),
  'device-compliance-change, to cut, compliant': event(`${caep}device-compliance-change`, 'noted', {
    claims: compliance('compliant'),
    effects: { 'device-compliance-change': 'sessions_revoked' },
  }),
  'risk-level-change, to cut, high': event(`${caep}risk-level-change`, 'sessions_revoked', {
    claims: risk('USER', 'HIGH'),
    effects: { 'risk-level-change': 'sessions_revoked' },
  }),
  'risk-level-change, to cut, low': event(`${caep}risk-level-change`, 'noted', {
    claims: risk('USER', 'LOW'),
    effects: { 'risk-level-change': 'sessions_revoked' },
  }),
  'risk-level-change, to cut, of a device': event(`${caep}risk-level-change`, 'noted', {
    claims: risk('DEVICE', 'HIGH'),
    effects: { 'risk-level-change': 'sessions_revoked' },
  }),
  'assurance-level-change, to cut, lower': event(`${caep}assurance-level-change`, 'sessions_revoked', {
    claims: { change_direction: 'decrease' },
    effects: { 'assurance-level-change': 'sessions_revoked' },
  }),
  'assurance-level-change, to cut, higher': event(`${caep}assurance-level-change`, 'noted', {
    claims: { change_direction: 'increase' },
    effects: { 'assurance-level-change': 'sessions_revoked' },
  }),
  'credential-change, to cut, updated': event(`${caep}credential-change`, 'sessions_revoked', {
    claims: credential('update'),
    effects: { 'credential-change': 'sessions_revoked' },
  }),
  'credential-change, to cut, created': event(`${caep}credential-change`, 'noted', {
    claims: credential('create'),
    effects: { 'credential-change': 'sessions_revoked' },
  }),
  'session-revoked, to note only': event(revoked, 'noted', { effects: { 'session-revoked': 'noted' } }),
  'account-disabled, by its whole name before its short one': event(`${risc}account-disabled`, 'left', {
    effects: { 'account-disabled': 'noted', [`${risc}account-disabled`]: 'left' },
  }),
  'prov:deactivate, to suspend': event(`${scimEvent}prov:deactivate`, 'suspended', {
    subject: ({ id }) => ({ format: 'scim', uri: `/Users/${id}` }),
    effects: { 'prov:deactivate': 'suspended' },
  }),
  'a type of a vendor, to hold': event('https://vendor.example/secevent/user-abducted', 'left', {
    effects: { 'user-abducted': 'left' },
  }),
}

interface Outcome {
  readonly person: Person
  readonly status: number
  readonly before: Standing
  readonly isGoodAtOnce: boolean
  after?: Standing
  taken?: Taken
}

let world: ChannelWorld
let transmitter: SetTransmitter
const outcomes = new Map<string, Outcome>()

beforeAll(async () => {
  world = await startChannelWorld('all')
  transmitter = await startTransmitter()
  const { issuer, jwksUri } = transmitter
  const authorization = makeSecret('push authorization')
  const people = new Map<string, Person>()
  await forEach(Object.keys(cases), 8, async (name) => void people.set(name, await world.join()))
  await world.admin.waitUntilSettled()
  const keys = new Map<string, string>()
  for (const [name, { type, claims, subject = issSub, effects }] of Object.entries(cases)) {
    const person = people.get(name)!
    const before = await world.standing(person)
    const config = { issuer, jwksUri, audience: [audience], delivery: 'push', tenant: 't-acme' } as const
    await world.setUp('ssf', { ...config, ...(effects && { effects }) }, [authorization])
    const jti = randomUUID()
    keys.set(name, `${issuer} ${jti} ${type}`)
    const events = { [type]: { event_timestamp: Math.floor(Date.now() / 1_000), ...claims } }
    const set = await transmitter.sign({ jti, txn: `txn-${name}`, sub_id: subject(person, issuer), events })
    const { status } = await push(world.url('ssf'), set, { authorization })
    outcomes.set(name, { person, status, before, isGoodAtOnce: await world.isGood(person) })
  }
  await world.admin.waitUntilSettled()
  for (const [name, outcome] of outcomes) {
    outcome.after = await world.standing(outcome.person)
    outcome.taken = (await world.taken(keys.get(name)!))!
  }
}, 180_000)
afterAll(async () => {
  await world?.close()
  await transmitter?.close()
})

describe('CAEP, RISC, OAuth and SCIM events (reference §2.9, §2.10, §6.4), over HTTP to what servers are told', () => {
  it.each(Object.keys(cases))('%s', (name) => {
    const { kind, cutsNobody } = cases[name]!
    const { person, status, before, isGoodAtOnce, after, taken } = outcomes.get(name)!
    const holds = kind === 'left' || kind === 'suspended'
    const cuts = cutsNobody === undefined && (holds || kind === 'sessions_revoked')
    expect(status).toBe(202)
    expect(taken).toMatchObject({
      kind,
      effect: cuts ? 'cut' : 'recorded',
      userId: cutsNobody === 'unknown' ? null : person.id,
      detail: { txn: `txn-${name}` },
    })
    expect(isGoodAtOnce).toBe(!cuts)
    if (!cuts) return expect(after).toEqual(before)
    expect(after).toEqual({
      epoch: before.epoch + 1,
      hold: holds ? 'ssf' : null,
      active: true,
      openGrants: 0,
      wanted: { generation: expect.any(Number), active: !holds },
    })
    expect(after!.wanted!.generation).toBeGreaterThan(before.wanted!.generation)
    expect(world.linear.receiver.users.get(person.id)).toMatchObject({
      generation: after!.wanted!.generation,
      active: !holds,
      scopes: holds ? [] : ['read'],
    })
  })
})

describe('events about the stream itself (SSF 1.0 §8.1.4)', () => {
  it.each([
    ['verification', {}],
    ['stream-updated', { status: 'enabled' }],
    ['stream-updated', { status: 'paused', reason: 'licence' }],
    ['stream-updated', { status: 'disabled' }],
  ])('notes a %s %j, which is about nobody', async (name, claims) => {
    const jti = randomUUID()
    const { issuer, jwksUri } = transmitter
    await world.setUp('ssf', { issuer, jwksUri, audience: [audience], delivery: 'push' }, [])
    const set = await transmitter.sign({ jti, sub_id: opaque('stream-1'), events: { [`${ssf}${name}`]: claims } })
    expect(await push(world.url('ssf'), set)).toMatchObject({ status: 202, body: undefined })
    expect(await world.taken(`${issuer} ${jti} ${ssf}${name}`)).toMatchObject({
      kind: 'noted',
      effect: 'recorded',
      userId: null,
      detail: { jti, stream: 'stream-1' },
    })
  })
})
