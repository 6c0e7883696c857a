import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely'

/** The database as migrations/ leaves it. Times are `timestamptz`; bigint arrives as a number (pool.ts). */
export interface Tables {
  directory: DirectoryTable
  directory_token: DirectoryTokenTable
  scim_user: ScimUserTable
  scim_group: ScimGroupTable
  group_user: { group_id: string; user_id: string }
  group_nesting: { parent_id: string; child_id: string }
  user_state: UserStateTable
  lifecycle_event: LifecycleEventTable
  server: ServerTable
  connector: ConnectorTable
  connector_secret: ConnectorSecretTable
  server_credential: ServerCredentialTable
  rule: RuleTable
  entitlement: EntitlementTable
  delivery: DeliveryTable
  attempt: AttemptTable
  access_grant: AccessGrantTable
  grant_use: GrantUseTable
  ledger_entry: LedgerEntryTable
  installation: InstallationTable
  admin_key: AdminKeyTable
  admin_action: AdminActionTable
  unknown_attribute: UnknownAttributeTable
  trusted_issuer: TrustedIssuerTable
  assertion_use: AssertionUseTable
  mcp_client: McpClientTable
  mcp_client_secret: McpClientSecretTable
  signing_key: SigningKeyTable
  channel: ChannelTable
  channel_secret: ChannelSecretTable
  channel_refusal: ChannelRefusalTable
  inbound_event: InboundEventTable
  identity_link: IdentityLinkTable
}

type Json = Record<string, unknown>
type Timestamp = ColumnType<Date, Date | string, Date | string>
type GeneratedTimestamp = ColumnType<Date, Date | string | undefined, Date | string>

export interface DirectoryTable {
  id: string
  provider: Provider
  name: string
  policy_version: Generated<number>
  created_at: GeneratedTimestamp
  deleted_at: Timestamp | null
  purged_at: Timestamp | null
  last_seen_at: Timestamp | null
  silent_after_hours: Generated<number>
  /** Null: the default. */
  scim_requests_per_second: number | null
  reactivate_on_create: Generated<boolean>
  assertion_reuse: Generated<AssertionReuse>
}

export type AssertionReuse = 'forbid' | 'same_client_until_exp'

export type Provider = 'okta' | 'entra' | 'google' | 'ping' | 'generic'

export interface DirectoryTokenTable {
  id: string
  directory_id: string
  label: string | null
  token_hash: Buffer
  created_at: GeneratedTimestamp
  expires_at: Timestamp | null
  last_used_at: Timestamp | null
}

export interface UnknownAttributeTable {
  directory_id: string
  resource_type: 'User' | 'Group'
  path_key: string
  path: string
  occurrences: number
  first_seen_at: GeneratedTimestamp
  last_seen_at: GeneratedTimestamp
}

export interface ScimUserTable {
  id: string
  directory_id: string
  user_name_key: string
  external_id: string | null
  active: boolean
  document: JSONColumnType<Json>
  folded: JSONColumnType<Json>
  version: Generated<number>
  created_at: GeneratedTimestamp
  last_modified: GeneratedTimestamp
  deleted_at: Timestamp | null
}

export interface ScimGroupTable {
  id: string
  directory_id: string
  display_name: string
  display_name_key: string
  external_id: string | null
  document: JSONColumnType<Json>
  folded: JSONColumnType<Json>
  version: Generated<number>
  created_at: GeneratedTimestamp
  last_modified: GeneratedTimestamp
  deleted_at: Timestamp | null
}

export interface UserStateTable {
  user_id: string
  directory_id: string
  epoch: Generated<number>
  not_before: Timestamp | null
  version: Generated<number>
  converged_version: Generated<number>
  converged_policy_version: Generated<number>
  urgent: Generated<boolean>
  behind_since: Timestamp | null
  converge_due_at: Timestamp | null
  converge_attempts: Generated<number>
  converge_error: string | null
  converge_failed_at: Timestamp | null
  hold_source: EventSource | null
  hold_at: Timestamp | null
  /** Of the last SCIM write that itself states `active: true`. */
  stated_active_at: Timestamp | null
}

export type EventKind = 'joined' | 'changed' | 'left' | 'suspended' | 'resumed' | 'sessions_revoked'
export type EventSource = 'scim' | 'okta' | 'ssf' | 'graph' | 'google' | 'ping' | 'admin'

export interface LifecycleEventTable {
  id: string
  seq: GeneratedAlways<number>
  directory_id: string
  user_id: string
  kind: EventKind
  source: EventSource
  occurred_at: Timestamp
  recorded_at: GeneratedTimestamp
  epoch: number | null
  detail: JSONColumnType<Json>
}

export interface ServerTable {
  id: string
  name: string
  resource: string
  scopes: string[] | null
  token_life_seconds: number | null
  token_format: Generated<'opaque' | 'jwt'>
  concurrency: number
  paused_at: Timestamp | null
  paused_reason: string | null
  failures_in_a_row: Generated<number>
  probe_at: Timestamp | null
  failing_since: Timestamp | null
  created_at: GeneratedTimestamp
  deleted_at: Timestamp | null
  purged_at: Timestamp | null
}

export interface ConnectorTable {
  id: string
  server_id: string
  type: string
  config: JSONColumnType<Json>
  created_at: GeneratedTimestamp
  deleted_at: Timestamp | null
}

export interface ConnectorSecretTable {
  id: string
  connector_id: string
  sealed: string
  sealed_under: string
  created_at: GeneratedTimestamp
  signs_until: Timestamp | null
}

export interface ServerCredentialTable {
  client_id: string
  server_id: string
  secret_hash: Buffer
  label: string | null
  created_at: GeneratedTimestamp
  expires_at: Timestamp | null
  last_used_at: Timestamp | null
}

export interface RuleTable {
  id: string
  directory_id: string
  server_id: string
  filter: string
  scopes: string[]
  clients: string[] | null
  created_at: GeneratedTimestamp
  changed_at: GeneratedTimestamp
}

export interface EntitlementTable {
  user_id: string
  server_id: string
  generation: number
  epoch: number
  active: boolean
  access: JSONColumnType<Json>
  identity: JSONColumnType<Json>
  rules: string[]
  changed_at: GeneratedTimestamp
}

export interface DeliveryTable {
  id: string
  connector_id: string
  server_id: string
  user_id: string
  wanted_generation: number
  delivered_generation: number | null
  urgent: boolean
  behind_since: Timestamp | null
  due_at: Timestamp | null
  attempts: Generated<number>
  parked_at: Timestamp | null
  leased_until: Timestamp | null
  lease: string | null
  leased_generation: number | null
  body: string | null
  body_generation: number | null
  body_state: JSONColumnType<Json> | null
  body_event_seq: number | null
  told: JSONColumnType<Json> | null
  told_event_seq: Generated<number>
  delivered_at: Timestamp | null
  last_outcome: string | null
  last_status: number | null
  last_error: string | null
  created_at: GeneratedTimestamp
}

export interface AttemptTable {
  id: string
  delivery_id: string
  generation: number
  started_at: Timestamp
  ms: number | null
  outcome: string
  status: number | null
  error: string | null
}

export interface AccessGrantTable {
  id: string
  directory_id: string
  user_id: string
  server_id: string
  client: string
  scopes: string[]
  jti: string | null
  token_hash: Buffer | null
  epoch: number
  issued_at: Timestamp
  expires_at: Timestamp
  recorded_by: string
  recorded_at: GeneratedTimestamp
  closed_at: Timestamp | null
  closed_reason: string | null
  closed_generation: number | null
  /** Null: issued elsewhere. */
  token_format: 'opaque' | 'jwt' | null
}

export interface GrantUseTable {
  grant_id: string
  used_at: GeneratedTimestamp
}

export type LedgerKind = 'cut' | 'entitled' | 'granted' | 'closed' | 'delivered'

export interface LedgerEntryTable {
  id: GeneratedAlways<number>
  kind: LedgerKind
  directory_id: string
  user_id: string
  server_id: string | null
  event_id: string | null
  grant_id: string | null
  delivery_id: string | null
  generation: number | null
  epoch: number | null
  since_at: Timestamp | null
  detail: JSONColumnType<Json>
  recorded_at: GeneratedTimestamp
}

export interface InstallationTable {
  singleton: Generated<boolean>
  sealed_check: string
  created_at: GeneratedTimestamp
}

export interface AdminKeyTable {
  id: string
  name: string
  key_hash: Buffer
  created_by: string
  created_at: GeneratedTimestamp
  expires_at: Timestamp | null
  last_used_at: Timestamp | null
}

export interface AdminActionTable {
  id: string
  actor: string
  operation: string
  path: string
  request_id: string
  started_at: GeneratedTimestamp
  status: number | null
}

export type IssuerSubject = 'externalId' | 'userName' | 'email'

export interface TrustedIssuerTable {
  id: string
  directory_id: string
  key: string
  issuer: string
  tenant: string | null
  jwks_uri: string
  subject: IssuerSubject
  algorithms: string[]
  /** Null: whenever it was. */
  max_auth_age_seconds: number | null
  /** Null: however it was. */
  acr_values: string[] | null
  created_at: GeneratedTimestamp
  keys_failing_since: Timestamp | null
  keys_failed_at: Timestamp | null
}

export interface AssertionUseTable {
  issuer_id: string
  jti_hash: Buffer
  client: string
  expires_at: Timestamp
}

export type ClientAuth = 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'none'

export interface McpClientTable {
  id: string
  name: string
  auth: ClientAuth
  jwks_uri: string | null
  preset: string | null
  /** Null: the default. */
  token_requests_per_minute: number | null
  created_at: GeneratedTimestamp
}

export interface McpClientSecretTable {
  id: string
  client_id: string
  secret_hash: Buffer
  created_at: GeneratedTimestamp
  expires_at: Timestamp | null
}

export interface SigningKeyTable {
  kid: string
  public_jwk: JSONColumnType<Json>
  sealed: string
  sealed_under: string
  created_at: GeneratedTimestamp
  signs_from: Timestamp
  published_until: Timestamp | null
}

export type ChannelKind = 'okta' | 'ssf' | 'graph' | 'google' | 'ping' | 'global-token-revocation'

export interface ChannelTable {
  directory_id: string
  kind: ChannelKind
  config: JSONColumnType<Json>
  state: JSONColumnType<Json>
  created_at: GeneratedTimestamp
  changed_at: GeneratedTimestamp
  /** Null: nothing is asked of the sender. */
  work_due_at: Timestamp | null
  work_leased_until: Timestamp | null
  work_lease: string | null
  worked_at: Timestamp | null
  work_error: string | null
  work_failing_since: Timestamp | null
}

export interface ChannelSecretTable {
  id: string
  directory_id: string
  channel_kind: ChannelKind
  purpose: 'inbound' | 'outbound'
  place: number
  secret_hash: Buffer | null
  sealed: string | null
  sealed_under: string | null
  created_at: GeneratedTimestamp
  last_used_at: Timestamp | null
}

export interface ChannelRefusalTable {
  directory_id: string
  channel_kind: ChannelKind
  reason: string
  count: number
  first_at: GeneratedTimestamp
  last_at: GeneratedTimestamp
}

export interface InboundEventTable {
  id: string
  seq: GeneratedAlways<number>
  directory_id: string
  channel_kind: ChannelKind
  dedupe_hash: Buffer
  type: string
  kind: SignalKind
  occurred_at: Timestamp | null
  received_at: GeneratedTimestamp
  effect: SignalEffect
  user_id: string | null
  /** The lifecycle event that it became, or that it confirms. */
  event_id: string | null
  subject: JSONColumnType<Json[]> | null
  waits_until: Timestamp | null
  ask_due_at: Timestamp | null
  detail: JSONColumnType<Json>
}

export type SignalKind = 'left' | 'suspended' | 'sessions_revoked' | 'enabled' | 'changed' | 'noted'
export type SignalEffect = 'cut' | 'confirmed' | 'overtaken' | 'recorded' | 'waiting' | 'unmatched' | 'ambiguous'

export interface IdentityLinkTable {
  directory_id: string
  issuer: string
  subject: string
  user_id: string
  first_seen_at: GeneratedTimestamp
}
