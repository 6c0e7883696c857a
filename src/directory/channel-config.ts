import type { SignalKind, SubjectAttribute } from '../lifecycle/signals.ts'

/** How each kind of channel is set up, apart from its secrets. Stored as it is given; admin/channels.ts checks it. */
export interface ChannelConfigs {
  okta: OktaConfig
  ssf: SsfConfig
  'global-token-revocation': GlobalTokenRevocationConfig
}

export interface OktaConfig {
  /** The org, `https://acme.okta.com`: its System Log is read and its users are asked about, with the outbound token. */
  readonly apiUrl?: string
  /** Of the app integration that provisions Tenure (`0oa…`): who loses this app has left. */
  readonly appId?: string
  /** Between two readings of the System Log; default 60. */
  readonly pollSeconds?: number
  /** What an event type does, other than by default. */
  readonly effects?: Readonly<Record<string, SignalKind>>
  /**
   * ID-JAGs that are minted there are recorded as grants of the servers they are for, those of Tenure's own tokens
   * excepted; left out: not.
   */
  readonly idJag?: OktaIdJag
}

export interface OktaIdJag {
  /** For so long a token that came of one is taken to live; default 3600. */
  readonly lifeSeconds?: number
  /** By an audience, a resource, an app or an authorization server of Okta: the id of the server here. */
  readonly servers?: Readonly<Record<string, string>>
  /** By a client or an agent of Okta: the MCP client as rules name it. */
  readonly clients?: Readonly<Record<string, string>>
}

export interface SsfConfig {
  /** The `iss` of its SETs, byte for byte. */
  readonly issuer: string
  readonly jwksUri: string
  /** One of these must be in `aud`. */
  readonly audience: readonly string[]
  readonly delivery: 'push' | 'poll'
  /** RFC 8936: of a stream that was created elsewhere. */
  readonly pollUrl?: string
  /** The stream is created, verified and watched by Tenure, at the transmitter's own endpoints (SSF 1.0 §8). */
  readonly stream?: {
    readonly configurationEndpoint: string
    readonly statusEndpoint?: string
    readonly verificationEndpoint?: string
    readonly events?: readonly string[]
  }
  /**
   * Before the final specifications: the subject inside the event (also as `subject_type`), a `typ` left out, `exp`
   * present and not applied, times in milliseconds.
   */
  readonly legacy?: boolean
  /** What the `sub` of an `iss_sub` of this issuer is; default `externalId`. */
  readonly subject?: SubjectAttribute
  /** Other issuers of the subjects that it names: the identity provider, where the transmitter is not it. */
  readonly subjectIssuers?: readonly string[]
  /** What the `tenant` of a complex subject must be; one that has another is refused, and any where this is left out. */
  readonly tenant?: string
  /** Of its signatures; default RS256 alone. */
  readonly algorithms?: readonly string[]
  /** What an event type does, other than by default; by the last segment of its URI or the whole. */
  readonly effects?: Readonly<Record<string, SignalKind>>
}

export interface GlobalTokenRevocationConfig {
  /** The `iss` of the bearer token, byte for byte. */
  readonly issuer: string
  readonly jwksUri: string
  /** Its `sub`: the client id or app instance that it speaks for; left out: any. */
  readonly client?: string
  /** What the `sub` of an `iss_sub` is; default `id`: what SCIM answered when the user was created. */
  readonly subject?: SubjectAttribute | 'id'
  readonly algorithms?: readonly string[]
}
