import { type Fields, moment } from '../record.ts'
import { duration, relative } from '../times.ts'

export const kinds: readonly string[] = ['okta', 'ssf', 'global-token-revocation']

/** How a channel is doing, as the API shows it. */
export interface Health {
  readonly lastEventAt: string | null
  readonly lagMs: { count: number; p50: number | null; p99: number | null }
  readonly firstSignal: {
    first: number
    confirmed: number
    medianLeadMs: number | null
    later: number
    medianBehindMs: number | null
  }
  readonly waiting: number
  readonly refusals: ReadonlyArray<{ reason: string; count: number; lastAt: string }>
  readonly habitMs: number | null
  readonly silentSince: string | null
}

/** A channel as the API shows it: its settings beside what every channel has. */
export interface Channel {
  readonly kind: string
  readonly directory: string
  readonly url: string
  readonly secrets: ReadonlyArray<{ createdAt: string; lastUsedAt: string | null }>
  readonly hasToken: boolean
  readonly checkedAt: string | null
  readonly failingSince: string | null
  readonly error: string | null
  readonly streamStatus: string | null
  readonly hookFailure: { at: string; hook: string | null } | null
  readonly createdAt: string
  readonly changedAt: string
  readonly health: Health
  readonly effects?: Readonly<Record<string, string>>
  readonly stream?: Readonly<Record<string, unknown>>
  readonly [setting: string]: unknown
}

type Standing = Pick<Channel, 'failingSince' | 'streamStatus' | 'health'>

export function stateOf({ failingSince, streamStatus, health }: Standing, now: Date): string {
  if (streamStatus === 'paused' || streamStatus === 'disabled') return `stream ${streamStatus}`
  if (failingSince) return `failing since ${relative(failingSince, now)}`
  if (health.silentSince) return `silent since ${relative(health.silentSince, now)}`
  return 'ok'
}

export function toneOf({ failingSince, streamStatus, health }: Standing): 'green' | 'yellow' | 'red' {
  if (failingSince || streamStatus === 'paused' || streamStatus === 'disabled') return 'red'
  return health.silentSince ? 'yellow' : 'green'
}

const settings = [
  ['apiUrl', 'org'],
  ['appId', 'app'],
  ['issuer', 'issuer'],
  ['jwksUri', 'key set'],
  ['audience', 'audience'],
  ['delivery', 'delivery'],
  ['pollUrl', 'polled at'],
  ['client', 'client'],
  ['subject', 'subject is'],
  ['subjectIssuers', 'subjects of'],
  ['algorithms', 'algorithms'],
  ['legacy', 'legacy'],
  ['tenant', 'tenant'],
  ['idJag', 'ID-JAGs'],
  ['pollSeconds', 'read every'],
] as const

export function fieldsOf(channel: Channel, now: Date): Fields {
  return [
    ['channel', `${channel.kind} of ${channel.directory}`],
    ['url', channel.url],
    ['state', stateOf(channel, now)],
    ['error', channel.error ?? undefined],
    ...settings.map(([name, label]) => [label, told(name, channel[name])] as const),
    ['stream', channel.stream && Object.values(channel.stream).flat().map(String)],
    ['effects', channel.effects && Object.entries(channel.effects).map(([type, kind]) => `${type}  ${kind}`)],
    ['token', channel.hasToken ? 'kept' : undefined],
    ['secrets', secretsOf(channel, now)],
    ['asked', channel.checkedAt ? moment(channel.checkedAt, now) : undefined],
    [
      'hook given up',
      channel.hookFailure ? `${relative(channel.hookFailure.at, now)}, ${channel.hookFailure.hook ?? ''}` : undefined,
    ],
    ...healthFields(channel.health, now),
    ['created', moment(channel.createdAt, now)],
  ]
}

function told(name: string, value: unknown): string | boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.join(' ')
  if (name === 'idJag') return `recorded as grants: ${JSON.stringify(value)}`
  return name === 'pollSeconds' ? `${value} s` : String(value)
}

function secretsOf({ secrets }: Channel, now: Date): string[] | undefined {
  if (secrets.length === 0) return undefined
  return secrets.map(
    ({ createdAt, lastUsedAt }) =>
      `set ${relative(createdAt, now)}, last shown by the sender ${lastUsedAt ? relative(lastUsedAt, now) : 'never'}`,
  )
}

function healthFields({ lastEventAt, lagMs, firstSignal, waiting, refusals, habitMs }: Health, now: Date): Fields {
  const { first, confirmed, medianLeadMs, later, medianBehindMs } = firstSignal
  const ahead = medianLeadMs === null ? '' : `, ahead of the next by ${duration(medianLeadMs)} (median of ${confirmed})`
  const behind = medianBehindMs === null ? '' : `, behind by ${duration(medianBehindMs)} (median)`
  return [
    ['last event', moment(lastEventAt, now, 'never')],
    ['habit', habitMs === null ? undefined : `silent for ${duration(habitMs)} at most, when all is well`],
    [
      'lag',
      lagMs.p50 === null
        ? undefined
        : `${duration(lagMs.p50)} (median), ${duration(lagMs.p99 ?? lagMs.p50)} (p99), of ${lagMs.count} in 24 hours`,
    ],
    ['told first', `of ${first} cuts in 30 days${ahead}`],
    ['told later', `of ${later}${behind}`],
    ['waiting', waiting === 0 ? undefined : `${waiting}, for their people to become known`],
    [
      'refused',
      refusals.length === 0
        ? undefined
        : refusals.map(({ reason, count, lastAt }) => `${count} for ${reason}, last ${relative(lastAt, now)}`),
    ],
  ]
}
