import { z } from 'zod'
import { Invalid } from '../errors.ts'
import { knownAlgorithms } from '../trust/algorithms.ts'

/** What each kind of event channel is given, checked for its form; what follows from it is channel-forms.ts's. */

const url = z.string().max(2_000)
/** Plain ASCII: another spelling would be another issuer to whoever compares bytes. */
const issuerUrl = z
  .string()
  .max(1_000)
  .regex(/^[ -~]*$/, 'must be ASCII')
  .meta({ description: 'The `iss`, compared byte for byte', example: 'https://acme.okta.example' })
const attribute = z.enum(['externalId', 'userName', 'email'])
const algorithms = z
  .array(z.enum(knownAlgorithms))
  .min(1)
  .optional()
  .meta({ description: 'Of its signatures; left out: RS256, ES256 and EdDSA' })

/** A header carries it as it is. */
const shownByThem = z
  .string()
  .min(16)
  .max(4_096)
  .regex(/^[!-~]([ -~]*[!-~])?$/, 'must be printable ASCII without a space at either end')
const secret = z.union([shownByThem, z.tuple([shownByThem, shownByThem])])
const shownByUs = z
  .string()
  .min(1)
  .max(8_192)
  .regex(/^[!-~]+$/, 'must be printable ASCII without spaces')

const named = z
  .record(z.string().min(1).max(1_000), z.string().min(1).max(300))
  .refine((given) => Object.keys(given).length <= 500, 'must not have more than 500')

const signalKind = z.enum(['left', 'suspended', 'sessions_revoked', 'enabled', 'changed', 'noted'])
const effects = (what: string) =>
  z
    .record(z.string().min(1).max(300), signalKind)
    .refine((given) => Object.keys(given).length <= 500, 'must not have more than 500')
    .optional()
    .meta({ description: `What an event does, other than by default: ${what}` })

export const oktaSettings = {
  apiUrl: url.optional().meta({
    description: 'The org: its System Log is read, and its users are asked about, with `apiToken`',
    example: 'https://acme.okta.example',
  }),
  appId: z.string().min(1).max(100).optional().meta({
    description: 'Of the app integration that provisions Tenure: who loses this app has left',
    example: '0oa1b2c3',
  }),
  pollSeconds: z
    .int()
    .min(10)
    .max(3_600)
    .optional()
    .meta({ description: 'Between two readings of the System Log [60]' }),
  idJag: z
    .strictObject({
      lifeSeconds: z.int().min(60).max(86_400).optional().meta({
        description: 'For so long a token that came of one is taken to live [3600]',
      }),
      servers: named.optional().meta({
        description: 'The server here, by an audience, a resource, an app or an authorization server of Okta',
      }),
      clients: named.optional().meta({
        description: 'The MCP client as rules name it, by a client or an agent of Okta',
      }),
    })
    .optional()
    .meta({
      description:
        'ID-JAGs that the System Log shows are recorded as grants of the servers that they are for; left out: not',
    }),
  effects: effects('by event type'),
}

export const oktaChannel = z
  .strictObject({
    secret: secret.optional().meta({
      description:
        'The whole `Authorization` header of a hook call, or [new, old] while both are good. Left out of a channel that is there: as before',
    }),
    apiToken: shownByUs
      .nullable()
      .optional()
      .meta({ description: 'An API token of the org; null: none any more; left out: as before' }),
    ...oktaSettings,
  })
  .meta({ id: 'NewOktaChannel' })

const stream = z.strictObject({
  configurationEndpoint: url.optional().meta({ description: 'Left out: these are read from its metadata, now' }),
  statusEndpoint: url.optional(),
  verificationEndpoint: url.optional(),
  events: z.array(z.string().min(1).max(300)).min(1).max(100).optional().meta({
    description: 'The event types that are asked for; left out: all that mean something here',
  }),
})

const ssfSettings = {
  issuer: issuerUrl,
  delivery: z.enum(['push', 'poll']),
  pollUrl: url.optional().meta({ description: 'RFC 8936: of a stream that was created elsewhere' }),
  legacy: z.boolean().optional().meta({
    description:
      'It speaks as before the final specifications: the subject inside the event, a `typ` left out, `exp` present, times in milliseconds',
  }),
  subject: attribute.optional().meta({ description: 'What the `sub` of an `iss_sub` of this issuer is [externalId]' }),
  subjectIssuers: z.array(issuerUrl).min(1).max(20).optional().meta({
    description: 'Other issuers of the subjects that it names: the identity provider, where the transmitter is not it',
  }),
  tenant: z.string().min(1).max(300).optional().meta({
    description: 'What the `tenant` of a complex subject must be; any is refused where this is left out',
  }),
  algorithms: algorithms.meta({ description: 'Of its signatures [RS256 alone]' }),
  effects: effects('by the last segment of its URI, or the whole'),
}

const audiences = z.array(z.string().min(1).max(1_000)).min(1).max(20)

/** As it is kept and shown. */
export const ssfShown = {
  ...ssfSettings,
  jwksUri: url,
  audience: audiences,
  stream: z
    .object({ ...stream.shape, configurationEndpoint: url })
    .optional()
    .meta({ description: 'Created, verified and watched by Tenure' }),
}

export const ssfChannel = z
  .strictObject({
    ...ssfSettings,
    jwksUri: url
      .optional()
      .meta({ description: 'Left out: read from the metadata of the transmitter, now and not again' }),
    audience: z.union([z.string().min(1).max(1_000), audiences]).meta({ description: 'One of these must be in `aud`' }),
    stream: stream.optional().meta({
      description: 'Have the stream created, verified and watched (SSF 1.0 §8), with `token`',
    }),
    pushAuthorization: secret.nullable().optional().meta({
      description:
        'The whole `Authorization` header of a push, or [new, old] while both are good; null: none is asked for; left out: as before',
    }),
    token: shownByUs.nullable().optional().meta({
      description: 'Bearer token for the endpoints of the transmitter; null: none any more; left out: as before',
    }),
  })
  .meta({ id: 'NewSsfChannel' })

const revocationSettings = {
  issuer: issuerUrl,
  client: z.string().min(1).max(300).optional().meta({
    description: 'The `sub` of its token: the client or app instance that it speaks for; left out: any',
  }),
  subject: z
    .enum([...attribute.options, 'id'])
    .optional()
    .meta({ description: 'What the `sub` of an `iss_sub` is [id, as SCIM answered it]' }),
  algorithms,
}

export const revocationShown = { ...revocationSettings, jwksUri: url }

export const revocationChannel = z
  .strictObject({
    ...revocationSettings,
    jwksUri: url.optional().meta({ description: 'Left out: read from the metadata of the issuer, now and not again' }),
  })
  .meta({ id: 'NewGlobalTokenRevocationChannel' })

/** Newest first. @throws Invalid when both are the same */
export function secretsOf(
  given: z.output<typeof secret> | null | undefined,
  field: string,
): readonly string[] | undefined {
  if (given === undefined) return undefined
  const secrets = given === null ? [] : [given].flat()
  if (secrets.length > 1 && secrets[0] === secrets[1]) throw wrong(field, 'must be two different ones: [new, old]')
  return secrets
}

export function wrong(field: string, message: string): Invalid {
  return new Invalid('The request has fields that cannot be used', [{ field, message }])
}
