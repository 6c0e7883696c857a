import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { createEgress } from '../../src/connectors/egress.ts'
import { createPool, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { OktaConfig } from '../../src/directory/channel-config.ts'
import type { ChannelRecord, Turn, TurnResult } from '../../src/directory/channels.ts'
import { createIntake } from '../../src/directory/intake.ts'
import { createGate } from '../../src/entitlement/gate.ts'
import { PolicyCache } from '../../src/entitlement/policy.ts'
import { createGrants } from '../../src/ledger/grants.ts'
import { createLogger } from '../../src/log.ts'
import { parsePrivateTargets } from '../../src/private-targets.ts'
import { oktaWork } from '../../src/receivers/okta/work.ts'
import type { ChannelWorkParts } from '../../src/receivers/receiver.ts'
import { createKeySets } from '../../src/trust/key-sets.ts'
import { type OktaOrg, type OktaUser, type RunningHook, startOkta } from '../support/idps/okta.ts'
import type { LogLine } from '../support/processes.ts'
import { record } from '../support/secret-setup.ts'
import { type ChannelWorld, makeSecret, type Person, startChannelWorld } from './world.ts'

/** A rate limit that no test comes near. */
export const plenty = { limit: 10_000, remaining: 10_000, resetInSeconds: 600 }

/** Somebody of the org who has the app: known here by SCIM, and with a grant at `linear`. */
export type Colleague = OktaUser & Person

/**
 * A Tenure without workers, and an Okta org that provisions its directory `acme` and tells it by a hook. What the channel
 * asks of the org it asks when the test gives it its turn.
 */
export async function startOktaWorld() {
  const world: ChannelWorld = await startChannelWorld('api')
  const okta: OktaOrg = await startOkta()
  const db = openDatabase(createPool(world.database.url, { max: 4, name: 'channel work of the test' }))
  const egress = createEgress({ allowPrivateTargets: parsePrivateTargets('127.0.0.1') })
  const secret = makeSecret('event hook')
  for (const token of [okta.api.apiToken, okta.api.accessToken]) record.secret(token.split(' ')[1]!, 'token of Okta')

  const lines: LogLine[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      record.output('the log of channel work', String(chunk))
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const log = createLogger({ level: 'info', destination })
  const hintUser = () => {}
  const grants = createGrants({ db, gate: createGate({ policies: new PolicyCache(log) }), hintUser })
  const parts: ChannelWorkParts = {
    db,
    channels: world.channels,
    egress,
    intake: createIntake({ db, hintUser }),
    grants,
    keySets: createKeySets({ egress }),
    publicUrl: () => world.tenure.url,
    refusals: { note: () => {} },
    log,
  }

  /** Now, whether somebody is at it or not. */
  async function takeTurn(): Promise<Turn> {
    await world.owner.query(
      `update channel set work_due_at = now(), work_leased_until = null where kind = 'okta' and work_due_at is not null`,
    )
    const [turn] = await world.channels.takeTurns(1)
    if (!turn) throw new Error('the channel has nothing to do')
    return turn
  }

  function give(turn: Turn, over: Partial<ChannelWorkParts> = {}): Promise<TurnResult> {
    const keep = () => world.channels.keepTurn(turn)
    return oktaWork({ ...parts, ...over })(turn, keep, new AbortController().signal)
  }

  const app = okta.provision({ scimBaseUrl: world.scim.base, token: world.scim.token })
  await setUp()
  const hook: RunningHook = await okta.addHook({ uri: world.url('okta'), secret })

  async function setUp(config: Partial<OktaConfig> = {}, token = okta.api.apiToken): Promise<void> {
    await world.channels.put(
      { directoryId: 'acme', kind: 'okta' },
      {
        config: { apiUrl: okta.url, appId: okta.appId, ...config },
        inbound: [secret],
        outbound: token.replace(/^\w+ /, ''),
        works: true,
        source: ['apiUrl'],
      },
    )
  }

  return {
    ...world,
    okta,
    hook,
    parts,
    lines,
    setUpOkta: setUp,
    takeTurn,
    /** Hired, provisioned, and with a grant. */
    async hire(userName: string): Promise<Colleague> {
      const user = await okta.hire(userName)
      const id = app.idOf(user)
      const token = `at_${randomBytes(32).toString('base64url')}`
      const grant = { directory: 'acme', user: { id }, server: 'linear', scopes: ['read'], token }
      const { status } = await world.admin.grant(grant)
      if (status !== 201) throw new Error(`the grant was answered ${status}`)
      return Object.assign(user, { id, token })
    },
    /** One turn of the channel's work. */
    async work(): Promise<TurnResult> {
      const turn = await takeTurn()
      const result = await give(turn)
      await world.channels.endTurn(turn, result)
      return result
    },
    /** One that fails in one of its parts, and of which nobody is left to write down how it ended. */
    async crash(over: Partial<ChannelWorkParts>): Promise<void> {
      await give(await takeTurn(), over).then(
        () => Promise.reject(new Error('it was to crash')),
        () => {},
      )
    },
    channel: (): Promise<ChannelRecord> => world.channels.get({ directoryId: 'acme', kind: 'okta' }),
    /** How often an event is in the log of what was received. */
    async countOf(type: string): Promise<number> {
      const { rows } = await world.owner.query('select count(*)::int as n from inbound_event where type = $1', [type])
      return rows[0].n
    },
    async close() {
      await okta.close()
      await egress.close()
      await db.destroy()
      await world.close()
    },
  }
}

export type OktaWorld = Awaited<ReturnType<typeof startOktaWorld>>
