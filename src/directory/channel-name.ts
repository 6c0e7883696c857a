import type { ChannelKind, EventSource } from '../db/tables.ts'

/** Over which channel of which directory something comes. */
export interface ChannelName {
  readonly directoryId: string
  readonly kind: ChannelKind
}

/** As whose doing an event of this channel is shown: Okta alone sends global token revocations. */
export function sourceOf(kind: ChannelKind): EventSource {
  return kind === 'global-token-revocation' ? 'okta' : kind
}
