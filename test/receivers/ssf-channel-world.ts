import { Writable } from 'node:stream'
import { createEgress } from '../../src/connectors/egress.ts'
import { createPool, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { SsfConfig } from '../../src/directory/channel-config.ts'
import type { ChannelRecord, Config, Turn, TurnResult } from '../../src/directory/channels.ts'
import { createIntake } from '../../src/directory/intake.ts'
import { createRefusals } from '../../src/directory/refusals.ts'
import { createGate } from '../../src/entitlement/gate.ts'
import { PolicyCache } from '../../src/entitlement/policy.ts'
import { createGrants } from '../../src/ledger/grants.ts'
import { createLogger } from '../../src/log.ts'
import { parsePrivateTargets } from '../../src/private-targets.ts'
import type { ChannelWorkParts } from '../../src/receivers/receiver.ts'
import { ssfWork } from '../../src/receivers/ssf/work.ts'
import { createKeySets } from '../../src/trust/key-sets.ts'
import type { Json } from '../support/clients.ts'
import { type SsfTransmitter, startSsfTransmitter, type TransmitterOptions } from '../support/idps/ssf-transmitter.ts'
import type { LogLine } from '../support/processes.ts'
import { record } from '../support/secret-setup.ts'
import { waitFor } from '../support/wait-for.ts'
import { type ChannelWorld, type Person, startChannelWorld } from './world.ts'

export const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
export const risc = 'https://schemas.openid.net/secevent/risc/event-type/'

/**
 * A Tenure without workers whose directory `acme` has an SSF channel, and transmitters. What the channel asks of one it
 * asks when the test gives it its turn.
 */
export async function startSsfChannelWorld() {
  const world: ChannelWorld = await startChannelWorld('api')
  const db = openDatabase(createPool(world.database.url, { max: 4, name: 'channel work of the test' }))
  const egress = createEgress({ allowPrivateTargets: parsePrivateTargets('127.0.0.1') })
  const lines: LogLine[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      record.output('the log of channel work', String(chunk))
      for (const line of String(chunk).trim().split('\n')) lines.push(JSON.parse(line))
      done()
    },
  })
  const log = createLogger({ level: 'info', destination })
  const hintUser = () => {}
  const refusals = createRefusals({ db, log, everyMs: 10 })
  /** Of the key sets: it goes on by hand. */
  let now = 1_000_000
  const parts: ChannelWorkParts = {
    db,
    channels: world.channels,
    egress,
    intake: createIntake({ db, hintUser }),
    grants: createGrants({ db, gate: createGate({ policies: new PolicyCache(log) }), hintUser }),
    keySets: createKeySets({ egress, now: () => now }),
    publicUrl: () => world.tenure.url,
    refusals,
    log,
  }
  const started: SsfTransmitter[] = []

  async function takeTurn(): Promise<Turn> {
    await world.owner.query(
      `update channel set work_due_at = now(), work_leased_until = null where kind = 'ssf' and work_due_at is not null`,
    )
    // A row that an event is just being noted in is skipped: its turn comes a little later.
    return waitFor(async () => (await world.channels.takeTurns(1))[0], { what: 'the channel to have its turn' })
  }
  function give(turn: Turn, over: Partial<ChannelWorkParts> = {}): Promise<TurnResult> {
    return ssfWork({ ...parts, ...over })(turn, () => world.channels.keepTurn(turn), new AbortController().signal)
  }

  return {
    ...world,
    egress,
    parts,
    lines,
    takeTurn,
    give,
    async transmitter(options?: TransmitterOptions): Promise<SsfTransmitter> {
      const transmitter = await startSsfTransmitter(options)
      record.secret(transmitter.token, 'token of an SSF transmitter')
      started.push(transmitter)
      return transmitter
    },
    /** A channel of `acme`, whose stream is looked after from here. */
    async connect(
      transmitter: SsfTransmitter,
      config: Partial<SsfConfig> = {},
      given: { token?: string | null; inbound?: readonly string[] } = {},
    ): Promise<void> {
      const { issuer, jwksUri, audience, endpoints } = transmitter
      const stream = {
        configurationEndpoint: endpoints.configuration,
        statusEndpoint: endpoints.status,
        verificationEndpoint: endpoints.verification,
      }
      await world.channels.put(
        { directoryId: 'acme', kind: 'ssf' },
        {
          config: { issuer, jwksUri, audience: [audience], delivery: 'push', stream, ...config } as unknown as Config,
          inbound: given.inbound,
          outbound: given.token === undefined ? transmitter.token : given.token,
          works: true,
          source: ['issuer', 'delivery', 'pollUrl', 'stream'],
        },
      )
    },
    /** One turn of the channel's work. */
    async work(over?: Partial<ChannelWorkParts>): Promise<TurnResult> {
      const turn = await takeTurn()
      const result = await give(turn, over)
      await world.channels.endTurn(turn, result)
      return result
    },
    channel: (): Promise<ChannelRecord> => world.channels.get({ directoryId: 'acme', kind: 'ssf' }),
    async state(): Promise<Json> {
      return (await world.channels.get({ directoryId: 'acme', kind: 'ssf' })).state as Json
    },
    /** As if this, a time in the channel's memory, were so long ago. */
    async age(path: string, ms: number): Promise<void> {
      await world.owner.query(
        `update channel set state = jsonb_set(state, $1, to_jsonb(to_char(
           (state #>> $1)::timestamptz at time zone 'utc' - make_interval(secs => $2), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
         where kind = 'ssf'`,
        [`{${path}}`, ms / 1_000],
      )
    },
    /** Of the key sets. */
    pass(ms: number): void {
      now += ms
    },
    /** What became of the events that a SET told of this person. */
    async effects({ id }: Pick<Person, 'id'>): Promise<string[]> {
      const { rows } = await world.owner.query('select effect from inbound_event where user_id = $1 order by seq', [id])
      return rows.map(({ effect }) => effect)
    },
    async refusalsOf(): Promise<Record<string, number>> {
      const { rows } = await world.owner.query(
        `select reason, count::int from channel_refusal where channel_kind = 'ssf' order by reason`,
      )
      return Object.fromEntries(rows.map(({ reason, count }) => [reason, count]))
    },
    async close() {
      for (const transmitter of started) await transmitter.close()
      await refusals.close()
      await egress.close()
      await db.destroy()
      await world.close()
    },
  }
}

export type SsfChannelWorld = Awaited<ReturnType<typeof startSsfChannelWorld>>
