import type { ChannelKind } from '../db/tables.ts'
import type { Channels, Turn } from '../directory/channels.ts'
import { repeat } from '../repeat.ts'
import { oktaWork } from './okta/work.ts'
import type { ChannelWork, ChannelWorkParts } from './receiver.ts'
import { ssfWork } from './ssf/work.ts'

const everyMs = 1_000
/** At one time in one process: a sender that hangs keeps one of these. */
const most = 8
/** After a turn that failed by a mistake of ours. */
const againMs = 60_000

/** What each kind of channel asks of its sender. */
const works: Partial<Record<ChannelKind, (parts: ChannelWorkParts) => ChannelWork>> = { okta: oktaWork, ssf: ssfWork }

/**
 * Gives channels their turns: whatever is due and at nobody's hand, in any worker process.
 *
 * @returns stops it: ends what is under way and waits for it
 */
export function startChannelWork(parts: ChannelWorkParts & { channels: Channels }): () => Promise<void> {
  const { channels, log } = parts
  const ends = new AbortController()
  const running = new Set<Promise<void>>()
  const byKind = new Map(Object.entries(works).map(([kind, work]) => [kind, work(parts)]))

  const look = async (): Promise<void> => {
    if (running.size >= most) return
    for (const turn of await channels.takeTurns(most - running.size)) {
      const done = give(turn).finally(() => running.delete(done))
      running.add(done)
    }
  }
  const stop = repeat(everyMs, look, (error) => log.warn({ error }, 'channel.turns_not_taken'))
  return async () => {
    ends.abort()
    await stop()
    await Promise.all(running)
  }

  async function give(turn: Turn): Promise<void> {
    const names = { directoryId: turn.directoryId, channel: turn.kind }
    const work = byKind.get(turn.kind)
    try {
      const result = work
        ? await work(turn, () => channels.keepTurn(turn), ends.signal)
        : { state: turn.state, againMs: undefined }
      await channels.endTurn(turn, result)
      if (result.error !== undefined) log.warn({ ...names, reason: result.error }, 'channel.work_failed')
    } catch (error) {
      log.error({ ...names, error }, 'channel.work_failed')
      await channels
        .endTurn(turn, { state: turn.state, againMs, error: 'It failed by a mistake of ours: see the log' })
        .catch((error) => log.warn({ ...names, error }, 'channel.turn_not_ended'))
    }
  }
}
