import type pg from 'pg'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { ChannelName } from '../../src/directory/channel-name.ts'
import { createDirectories, type Directories } from '../../src/directory/directories.ts'
import { createIntake, type Intake } from '../../src/directory/intake.ts'
import type { Cause } from '../../src/directory/state.ts'
import { createUsers, type Users } from '../../src/directory/users.ts'
import type { Identifier, Signal } from '../../src/lifecycle/signals.ts'
import { type LockWatch, watchLocks } from '../support/locks.ts'
import { connect, createDatabase } from '../support/postgres.ts'

export const scim: Cause = { source: 'scim', actor: 'tok_test' }
export const okta: ChannelName = { directoryId: 'acme', kind: 'okta' }
export const ssf: ChannelName = { directoryId: 'acme', kind: 'ssf' }

export interface InboundRow {
  readonly type: string
  readonly effect: string
  readonly user_id: string | null
  readonly event_id: string | null
  readonly received_at: Date
  readonly waits_until: Date | null
  readonly ask_due_at: Date | null
  readonly subject: unknown
}

export interface State {
  readonly epoch: number
  readonly held: boolean
  readonly holdSource: string | null
  readonly cuts: number
  readonly kinds: readonly string[]
}

/** An intake on a database of its own, with directories `acme` and `umbrella`. */
export interface IntakeWorld {
  readonly db: Database
  readonly url: string
  readonly intake: Intake
  readonly users: Users
  readonly directories: Directories
  /** Whatever converge was asked for: the user, the lane. */
  readonly hints: string[]
  readonly owner: pg.Client
  readonly locks: LockWatch
  /** A second intake, as another process has one. */
  another(): Intake
  hire(fields?: Record<string, unknown>, directoryId?: string): Promise<string>
  /** A PATCH or PUT that itself states `active`. */
  state(userId: string, active: boolean): Promise<void>
  stateOf(userId: string): Promise<State>
  events(): Promise<InboundRow[]>
  /** Moves all that has happened into the past. */
  pass(interval: string): Promise<void>
  close(): Promise<void>
}

export async function startIntakeWorld(): Promise<IntakeWorld> {
  const database = await createDatabase()
  const db = openDatabase(createPool(database.url, { max: 12, name: 'tenure under test' }))
  const owner = await connect({ url: database.ownerUrl })
  const locks = await watchLocks({ db, url: database.url })
  const hints: string[] = []
  const hintUser = (userId: string, lane: string) => void hints.push(`${lane} ${userId}`)
  const users = createUsers({ db, hintUser: () => {} })
  const directories = createDirectories({ db, hintUser: () => {} })
  for (const id of ['acme', 'umbrella']) await directories.create({ id, provider: 'okta', name: id })
  let hired = 0

  return {
    db,
    url: database.url,
    intake: createIntake({ db, hintUser }),
    users,
    directories,
    hints,
    owner,
    locks,
    another: () => createIntake({ db, hintUser }),
    async hire(fields = {}, directoryId = 'acme') {
      const userName = `person-${hired++}@acme.example`
      const { id } = await users.create(directoryId, { userName, active: true, ...fields }, scim)
      return id
    },
    async state(userId, active) {
      const { rows } = await owner.query('select directory_id from user_state where user_id = $1', [userId])
      const change = ({ document }: { document: Record<string, unknown> }) => ({
        document: { ...document, active },
        statesActive: active,
      })
      await users.change(rows[0].directory_id, userId, change, scim, 'PATCH')
    },
    async stateOf(userId) {
      const { rows } = await owner.query(
        `select s.epoch::int as epoch, s.hold_at is not null as held, s.hold_source as "holdSource",
           (select count(*)::int from ledger_entry l where l.user_id = s.user_id and l.kind = 'cut') as cuts,
           (select coalesce(array_agg(e.kind order by e.seq), '{}') from lifecycle_event e where e.user_id = s.user_id) as kinds
         from user_state s where user_id = $1`,
        [userId],
      )
      return rows[0]
    },
    async events() {
      return (await owner.query('select * from inbound_event order by seq')).rows
    },
    async pass(interval) {
      await owner.query(`
        update inbound_event set received_at = received_at - interval '${interval}', waits_until = waits_until - interval '${interval}',
          ask_due_at = ask_due_at - interval '${interval}';
        update user_state set stated_active_at = stated_active_at - interval '${interval}', hold_at = hold_at - interval '${interval}';
        update lifecycle_event set occurred_at = occurred_at - interval '${interval}', recorded_at = recorded_at - interval '${interval}'`)
    },
    async close() {
      await locks.close()
      await owner.end()
      await db.destroy()
      await database.drop()
    },
  }
}

let told = 0

/** Of a kind, about whom is named; each its own event unless `dedupeKey` says otherwise. */
export function signal(kind: Signal['kind'], subject: readonly Identifier[], more: Partial<Signal> = {}): Signal {
  return { dedupeKey: `event-${told++}`, type: `test.${kind}`, kind, subject, ...more }
}

export function byId(value: string): Identifier[] {
  return [{ by: 'id', value }]
}

export function minutesAgo(minutes: number): Date {
  return new Date(Date.now() - minutes * 60_000)
}
