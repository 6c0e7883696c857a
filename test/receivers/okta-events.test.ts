import { describe, expect, it } from 'vitest'
import type { OktaConfig } from '../../src/directory/channel-config.ts'
import { issuerOf, translate } from '../../src/receivers/okta/events.ts'
import { anotherApp, appId, logEvent, orgUrl, ourApp, party, userTarget } from './okta-calls.ts'
import { eventTypes } from './okta-event-types.ts'

const lee = { oktaId: '00ulee', userName: 'lee@acme.test' }
const admin = { oktaId: '00uadmin', userName: 'admin@acme.test' }
const config: OktaConfig = { apiUrl: orgUrl, appId }

const named = ({ oktaId, userName }: typeof lee) => [
  { by: 'subject', issuer: orgUrl, value: oktaId, attribute: 'externalId' },
  { by: 'userName', value: userName },
]

/** About Lee, done by an admin. */
function aboutLee(type: string, fields: Parameters<typeof logEvent>[2] = {}) {
  return logEvent(type, [userTarget(lee)], { actor: userTarget(admin), ...fields })
}

function kindOf(event: unknown, given: OktaConfig = config) {
  return translate(event, given)?.kind
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]))
}

describe('whom an Okta event is about (reference §1.3, §1.5)', () => {
  it('is picked by type, in whatever order the targets come', () => {
    const targets = [party('00ggroup', 'UserGroup'), ourApp, party('0uaaccount', 'AppUser', 'lee'), userTarget(lee)]
    for (const order of permutations(targets)) {
      const signal = translate(logEvent('application.user_membership.remove', order), config)
      expect(signal).toMatchObject({
        kind: 'left',
        subject: [
          { by: 'subject', issuer: orgUrl, value: lee.oktaId, attribute: 'externalId' },
          { by: 'userName', value: 'lee' },
          { by: 'userName', value: lee.userName },
        ],
        detail: { user: lee.oktaId, app: appId, group: '00ggroup' },
      })
    }
  })

  it('P19: what somebody is called in another app names nobody here', () => {
    const targets = [anotherApp, party('0uaaccount', 'AppUser', 'lee'), userTarget(lee)]
    expect(translate(logEvent('application.user_membership.remove', targets), config)!.subject).toEqual(named(lee))
  })

  it('says a name once, and not the one that stands for none', () => {
    const targets = [ourApp, party('0uaaccount', 'AppUser', lee.userName), userTarget(lee)]
    expect(translate(logEvent('application.user_membership.add', targets), config)!.subject).toEqual(named(lee))
    expect(translate(logEvent('user.lifecycle.suspend', [party(lee.oktaId, 'User')]), config)!.subject).toEqual([
      named(lee)[0],
    ])
  })

  it.each(['user.session.start', 'user.session.end'])('P27: of %s it is the actor', (type) => {
    const event = logEvent(type, [userTarget(admin)], { actor: userTarget(lee) })
    expect(translate(event, config)).toMatchObject({ kind: 'noted', subject: named(lee), detail: { user: lee.oktaId } })
    expect(translate(event, { ...config, effects: { [type]: 'sessions_revoked' } })).toMatchObject({
      kind: 'sessions_revoked',
      subject: named(lee),
    })
    const bySystem = { ...event, actor: party('SYSTEM', 'SystemPrincipal', 'system@okta.com') }
    expect(translate(bySystem, config)!.subject).toEqual([])
  })

  it('P27: of user.session.clear it is the target, and the admin stays', () => {
    const signal = translate(aboutLee('user.session.clear'), config)
    expect(signal).toMatchObject({ kind: 'sessions_revoked', subject: named(lee), detail: { actor: admin.oktaId } })
  })

  it('is nobody where several are named, and the one who is named twice', () => {
    const two = logEvent('user.lifecycle.deactivate', [userTarget(lee), userTarget(admin)])
    expect(translate(two, config)!.subject).toEqual([])
    const twice = logEvent('user.lifecycle.deactivate', [userTarget(lee), userTarget(lee)])
    expect(translate(twice, config)!.subject).toEqual(named(lee))
  })

  it.each([[[]], [undefined], ['00ulee'], [[null, 'lee', { type: 'UserGroup', id: 7 }]]])(
    'is nobody among targets like %j',
    (target) => {
      const signal = translate({ ...aboutLee('user.lifecycle.deactivate'), target }, config)
      expect(signal).toMatchObject({ kind: 'left', subject: [] })
    },
  )

  it('is not guessed from a name that no database keeps', () => {
    for (const alternateId of ['lee\0', 'lee\ud800', 'l'.repeat(513), '', 7]) {
      const event = { ...aboutLee('user.lifecycle.deactivate'), target: [{ ...userTarget(lee), alternateId }] }
      expect(translate(event, config)!.subject).toEqual([named(lee)[0]])
    }
  })
})

describe('what an Okta event does', () => {
  it.each(['FAILURE', 'SKIPPED', 'ALLOW', 'DENY', 'CHALLENGE', 'UNKNOWN', 'success', undefined])(
    'P26: with the outcome %s nothing',
    (result) => {
      for (const { type } of eventTypes) {
        const event = { ...aboutLee(type), outcome: { result, reason: null } }
        expect(kindOf(event, { ...config, effects: { [type]: 'left' } })).toBe('noted')
      }
    },
  )

  it.each([null, undefined, 'SUCCESS', []])('P26: with %j for an outcome nothing', (outcome) => {
    expect(kindOf({ ...aboutLee('user.lifecycle.deactivate'), outcome })).toBe('noted')
  })

  it.each([
    ['of another app', [anotherApp], config],
    ['of no app', [], config],
    ['where the app is not known', [ourApp], { apiUrl: orgUrl }],
    ['of an app without an id, where ours is not known', [{ ...ourApp, id: undefined }], {}],
  ])('§1.5: an assignment %s nothing', (_what, apps, given) => {
    for (const { type } of eventTypes.filter(({ type }) => /^application\.(user_mem|provision)/.test(type))) {
      const event = { ...aboutLee(type), target: [...apps, userTarget(lee)] }
      expect(kindOf(event, { ...given, effects: { 'application.user_membership.update': 'left' } })).toBe('noted')
    }
  })

  it('is for the channel to change, by type', () => {
    const effects = { 'user.account.lock': 'suspended', 'user.lifecycle.suspend': 'noted' } as const
    expect(kindOf(aboutLee('user.account.lock'), { effects })).toBe('suspended')
    expect(kindOf(aboutLee('user.lifecycle.suspend'), { effects })).toBe('noted')
    expect(kindOf(aboutLee('user.lifecycle.deactivate'), { effects })).toBe('left')
  })

  it.each(['user.lifecycle.abduct', '__proto__', 'constructor', 'toString'])(
    'P12: of a type like %s is to be noted',
    (type) => {
      expect(translate(aboutLee(type), { effects: {} })).toMatchObject({ type, kind: 'noted' })
    },
  )

  it('P31: is the same on both ways, with the same key, also for what only the System Log has', () => {
    for (const { type, kind } of eventTypes) {
      const event = logEvent(type, [ourApp, userTarget(lee)])
      expect(translate(event, config)).toEqual(
        translate(event, config, issuerOf(config, `${orgUrl}/api/v1/eventHooks/who1`)),
      )
      expect(translate(event, config)).toMatchObject({ dedupeKey: event.uuid, type, kind })
    }
  })
})

describe('what is kept of an Okta event', () => {
  it('its time, by Okta', () => {
    const published = '2026-08-20T10:00:00.123Z'
    expect(translate(aboutLee('user.session.clear', { published }), config)!.occurredAt).toEqual(new Date(published))
  })

  it.each(['', 'yesterday', '+275760-09-13T00:00:00.000Z', '-000001-01-01T00:00:00Z', 1_755_684_000_000, null])(
    'no time where it gives %j',
    (published) => {
      expect(translate({ ...aboutLee('user.session.clear'), published }, config)).not.toHaveProperty('occurredAt')
    },
  )

  it('P37: ids only', () => {
    const event = {
      ...aboutLee('user.session.clear'),
      actor: party('admin@acme.test', 'User', 'admin@acme.test', 'Ann Admin'),
      transaction: { type: 'WEB', id: 'Ann Admin', detail: {} },
    }
    expect(translate(event, config)!.detail).toEqual({ user: lee.oktaId })
  })

  it.each([
    ['the org of the API', { apiUrl: `${orgUrl}/` }, 'https://other.okta.example/api/v1/eventHooks/who1', orgUrl],
    ['the org of the hook', {}, `${orgUrl}/api/v1/eventHooks/who1`, orgUrl],
    ['a constant', {}, undefined, 'okta'],
    ['a constant where the source is none', {}, 'javascript:alert(1)', 'okta'],
    ['a constant where the source is no text', {}, { toString: (): string => orgUrl }, 'okta'],
  ])('whose ids these are: %s', (_what, given, source, issuer) => {
    expect(issuerOf(given, source)).toBe(issuer)
  })
})

describe('what is no Okta event', () => {
  const event = aboutLee('user.lifecycle.deactivate')

  it.each([
    null,
    'user.lifecycle.deactivate',
    [],
    {},
    { ...event, uuid: undefined },
    { ...event, uuid: '' },
    { ...event, uuid: 7 },
    { ...event, uuid: 'u'.repeat(513) },
    { ...event, uuid: 'u\0' },
    { ...event, eventType: undefined },
    { ...event, eventType: { $ne: '' } },
    { ...event, eventType: 'user.lifecycle\ud800' },
  ])('%#: is not translated', (given) => {
    expect(translate(given, config)).toBeUndefined()
  })
})
