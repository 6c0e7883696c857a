import type { OktaConfig } from '../../directory/channel-config.ts'
import type { ChannelWork, ChannelWorkParts } from '../receiver.ts'
import { createOktaApi } from './api.ts'
import { createIdJagRecorder } from './id-jag.ts'
import { createAsking } from './standing.ts'
import { createLogReader } from './system-log.ts'

const defaultPollSeconds = 60

/**
 * What is asked of an Okta org with an API token: its System Log, then how the users stand whom it says may work again.
 * One that fails does not keep the other from being done.
 */
export function oktaWork(parts: ChannelWorkParts): ChannelWork {
  const readLog = createLogReader({ ...parts, recordIdJag: createIdJagRecorder(parts) })
  const ask = createAsking(parts)
  return async (turn, keep, signal) => {
    const { apiUrl, pollSeconds = defaultPollSeconds } = turn.config as OktaConfig
    if (apiUrl === undefined || turn.token === undefined) return { state: turn.state, againMs: undefined }
    const api = createOktaApi({ egress: parts.egress, apiUrl, token: turn.token })
    const { state, againMs = pollSeconds * 1_000, error } = await readLog(turn, api, keep, signal)
    const failure = await ask(turn, api, keep, signal)
    const errors = [...new Set([error, failure].filter((one) => one !== undefined))]
    return { state: { ...state }, againMs, ...(errors.length > 0 && { error: errors.join('; ') }) }
  }
}
