import { type RawBuilder, sql } from 'kysely'
import type { Database } from '../../db/pool.ts'
import type { OktaConfig } from '../../directory/channel-config.ts'
import type { Channel } from '../../directory/channels.ts'
import { resolveUser } from '../../directory/identity.ts'
import { Forbidden, Invalid } from '../../errors.ts'
import type { ReportedGrant } from '../../ledger/grants.ts'
import { isObject, type Json } from '../../trust/json-object.ts'
import type { ChannelWorkParts } from '../receiver.ts'
import { translate } from './events.ts'

export const idJagGranted = 'app.oauth2.token.grant.id_jag'

const defaultLifeSeconds = 3_600

/** Records what an entry of `idJagGranted` stands for, as often as it is met. */
export type RecordIdJag = (channel: Channel, event: Json) => Promise<void>

/**
 * An ID-JAG that Okta minted becomes a token at the server of a vendor, which nobody reports here: it is taken for a
 * grant there, of the configured life, named by the entry.
 *
 * What the entry holds apart from its type is not documented. So the server is looked for in all that it names (its
 * resource, or a name that the channel maps to a server), the client in `client`, else in an actor that is no user, the
 * user in the targets, else in the actor. What is not found out is not guessed: no grant, and a line in the log.
 */
export function createIdJagRecorder({
  db,
  grants,
  publicUrl,
  log,
}: Pick<ChannelWorkParts, 'db' | 'grants' | 'publicUrl' | 'log'>): RecordIdJag {
  return async (channel, event) => {
    const { idJag } = channel.config as OktaConfig
    const signal = translate(event, channel.config)
    if (!idJag || !signal || !isObject(event.outcome) || event.outcome.result !== 'SUCCESS') return
    const names = namesIn(event)
    // Its token is issued here, and is in the ledger by that.
    if (names.has(publicUrl())) return
    const times = timesOf(signal.occurredAt ?? new Date(), idJag.lifeSeconds ?? defaultLifeSeconds)
    if (times.expiresAt <= new Date()) return
    const about = { directoryId: channel.directoryId, channel: channel.kind, jti: signal.dedupeKey }
    const userId = await userOf(channel, event)
    const serverId = await serverOf(names, idJag.servers ?? {})
    const client = clientOf(event, idJag.clients ?? {})
    if (userId === undefined || serverId === undefined || client === undefined) {
      log.warn({ ...about, userId, serverId, client, reason: 'not all of it is known' }, 'grant.not_recorded')
      return
    }
    const given = { directoryId: channel.directoryId, userId, serverId, client, scopes: scopesOf(event), ...times }
    await record({ ...given, jti: signal.dedupeKey })
  }

  async function record(given: ReportedGrant): Promise<void> {
    try {
      await grants.record(given, 'channel:okta')
    } catch (error) {
      if (!(error instanceof Forbidden || error instanceof Invalid)) throw error
      const { directoryId, userId, serverId, client, jti } = given
      const about = { directoryId, channel: 'okta', userId, serverId, client, jti }
      log.warn({ ...about, reason: error.message }, 'grant.not_recorded')
    }
  }

  async function userOf(channel: Channel, event: Json): Promise<string | undefined> {
    const people = [event.target, event.actor].flat().filter((party) => isObject(party) && party.type === 'User')
    const subject = translate({ ...event, target: people.slice(0, 1) }, channel.config)?.subject ?? []
    const named = await resolveUser(db, channel.directoryId, subject)
    return typeof named === 'object' ? named.userId : undefined
  }

  /** A name that is mapped goes first; of several servers none. */
  async function serverOf(
    names: ReadonlySet<string>,
    mapped: Readonly<Record<string, string>>,
  ): Promise<string | undefined> {
    const ids = [...names].filter((name) => Object.hasOwn(mapped, name)).map((name) => mapped[name]!)
    const found = await findServers(db, ids.length > 0 ? sql`id = any(${ids})` : sql`resource = any(${[...names]})`)
    return found.length === 1 ? found[0] : undefined
  }
}

async function findServers(db: Database, where: RawBuilder<unknown>): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from server where deleted_at is null and ${where} limit 2`.execute(db)
  return rows.map(({ id }) => id)
}

/** From when the entry says, unless that is still to come by our clock. */
function timesOf(published: Date, lifeSeconds: number): Pick<ReportedGrant, 'issuedAt' | 'expiresAt'> {
  const isPast = published.getTime() <= Date.now()
  return {
    ...(isPast && { issuedAt: published }),
    expiresAt: new Date(published.getTime() + lifeSeconds * 1_000),
  }
}

/** The client's id at Okta, or what the channel says it is called in the rules. */
function clientOf({ client, actor }: Json, mapped: Readonly<Record<string, string>>): string | undefined {
  const ids = [
    isObject(client) ? client.id : undefined,
    isObject(actor) && actor.type !== 'User' ? actor.id : undefined,
  ].filter(isName)
  const known = ids.find((id) => Object.hasOwn(mapped, id))
  return known === undefined ? ids[0] : mapped[known]
}

/** Separated by spaces or commas: entries of other grants have both. */
function scopesOf(event: Json): string[] {
  const { grantedScopes, scopes, scope } = debugDataOf(event)
  const text = [grantedScopes, scopes, scope].find(isName) ?? ''
  return [...new Set(text.split(/[\s,]+/).filter((one) => one !== ''))]
}

function namesIn(event: Json): Set<string> {
  const targets = [event.target].flat().filter(isObject)
  const texts = [
    ...targets.flatMap(({ id, alternateId, displayName }) => [id, alternateId, displayName]),
    ...Object.values(debugDataOf(event)),
  ].filter(isName)
  return new Set(texts.flatMap((text) => [text, ...text.split(/[\s,]+/)]))
}

function debugDataOf({ debugContext }: Json): Json {
  return isObject(debugContext) && isObject(debugContext.debugData) ? debugContext.debugData : {}
}

/** What Postgres can be asked about. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 2_048 && !value.includes('\0')
}
