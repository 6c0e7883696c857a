import type { ChannelHealth } from '../directory/channel-health.ts'
import type { ChannelRecord } from '../directory/channels.ts'
import type { ConfigurableKind } from './channel-kinds.ts'

/** Where the sender of a channel is to be pointed at. */
export function eventUrl(publicUrl: string, directoryId: string, kind: ConfigurableKind): string {
  return `${publicUrl}/directories/${directoryId}/events/${kind}`
}

/** A channel as it is shown: its settings beside what every channel has, and no secret. */
export function shownChannel(
  { config, state, workedAt: checkedAt, ...record }: ChannelRecord,
  health: ChannelHealth,
  publicUrl: string,
) {
  const url = eventUrl(publicUrl, record.directory, record.kind as ConfigurableKind)
  return {
    ...config,
    ...record,
    url,
    checkedAt,
    streamStatus: streamStatusOf(state),
    hookFailure: hookFailureOf(state),
    health,
  }
}

/** What the transmitter said of its stream, by an event (SSF 1.0 §8.1.5) or when it was asked. */
function streamStatusOf({ streamStatus, stream }: ChannelRecord['state']): string | null {
  return textIn(streamStatus, 'status') ?? textIn(stream, 'status')
}

/** Of the System Log: a call to a hook of the org that was given up (P30). */
function hookFailureOf({ hookFailure }: ChannelRecord['state']): { at: string; hook: string | null } | null {
  const at = textIn(hookFailure, 'at')
  return at === null ? null : { at, hook: textIn(hookFailure, 'hook') }
}

function textIn(object: unknown, name: string): string | null {
  const value = typeof object === 'object' && object !== null ? (object as Record<string, unknown>)[name] : null
  return typeof value === 'string' ? value : null
}
