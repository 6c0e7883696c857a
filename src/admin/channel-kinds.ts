import { z } from 'zod'
import type { channelKinds, GivenChannel } from '../directory/channels.ts'
import { instant, instantText } from '../http/operation.ts'
import { type FormParts, givenOkta, givenRevocation, givenSsf } from './channel-forms.ts'
import { channelHealth } from './channel-health.ts'
import {
  oktaChannel,
  oktaSettings,
  revocationChannel,
  revocationShown,
  ssfChannel,
  ssfShown,
} from './channel-settings.ts'

export type ConfigurableKind = (typeof channelKinds)[number]

/** What there is to know of one kind of event channel, to describe and to serve it. */
export interface Form {
  /** As it stands in the names of operations. */
  readonly name: string
  /** As people call it. */
  readonly called: string
  readonly body: z.ZodObject
  readonly shown: z.ZodObject
  /** What its own work does; undefined: it has none. */
  readonly works: string | undefined
  given(body: never, parts: FormParts): Promise<GivenChannel>
}

function shape<K extends ConfigurableKind, S extends z.ZodRawShape>(kind: K, settings: S) {
  return z.object({
    kind: z.literal(kind),
    directory: z.string(),
    url: z.string().meta({ description: 'To be entered at the provider' }),
    ...settings,
    secrets: z
      .array(z.object({ createdAt: instant, lastUsedAt: instant.nullable() }))
      .meta({ description: 'What its sender may show, newest first; to the minute when each was last used' }),
    hasToken: z.boolean().meta({ description: 'Whether there is a token to be shown to it' }),
    checkedAt: instant
      .nullable()
      .meta({ description: 'When it was last read or its stream was looked after, with success' }),
    failingSince: instant.nullable(),
    error: z.string().nullable().meta({ description: 'What went wrong the last time' }),
    streamStatus: z
      .string()
      .nullable()
      .meta({ description: 'Of its stream, as the transmitter has it', example: 'enabled' }),
    hookFailure: z
      .object({ at: instantText, hook: z.string().nullable() })
      .nullable()
      .meta({ description: 'The last call to an event hook of the org that Okta gave up, as its System Log has it' }),
    createdAt: instant,
    changedAt: instant,
    health: channelHealth,
  })
}

export const forms = {
  okta: {
    name: 'Okta',
    called: 'Okta: event hooks and the System Log',
    body: oktaChannel,
    shown: shape('okta', oktaSettings).meta({ id: 'OktaChannel' }),
    works: 'Reads the System Log on from where it was read, and asks about users whom an event says to be enabled.',
    given: givenOkta,
  },
  ssf: {
    name: 'Ssf',
    called: 'a Shared Signals transmitter (SSF, CAEP, RISC)',
    body: ssfChannel,
    shown: shape('ssf', ssfShown).meta({ id: 'SsfChannel' }),
    works: 'Polls, or looks after the stream: its status, and a verification that comes back over it.',
    given: givenSsf,
  },
  'global-token-revocation': {
    name: 'GlobalTokenRevocation',
    called: 'Universal Logout, received as a global token revocation',
    body: revocationChannel,
    shown: shape('global-token-revocation', revocationShown).meta({ id: 'GlobalTokenRevocationChannel' }),
    works: undefined,
    given: givenRevocation,
  },
} as const satisfies Record<ConfigurableKind, Form>

export const anyChannel = z.discriminatedUnion('kind', [
  forms.okta.shown,
  forms.ssf.shown,
  forms['global-token-revocation'].shown,
])
