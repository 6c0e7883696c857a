import { type Kysely, sql } from 'kysely'
import { expect, inject } from 'vitest'
import type { Tables } from '../../src/db/tables.ts'
import { connect } from './postgres.ts'
import { waitFor } from './wait-for.ts'

/** More than any pool of a test has. */
const mostConnections = 20

/** Who waits for whom in the database of `db`, whose connections go by the name "tenure under test". */
export interface LockWatch {
  /** The statements of ours that wait for a lock now. */
  waiting(): Promise<string[]>
  waitUntilWaiting(count: number): Promise<void>
  /** Postgres breaks a deadlock after a second and our retry would hide it, so its own count is what is asked. */
  expectNoDeadlock(work: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export async function watchLocks({ db, url }: { db: Kysely<Tables>; url: string }): Promise<LockWatch> {
  // Only a superuser sees what another role waits for.
  const { pathname } = new URL(url)
  const watcher = await connect({ url: Object.assign(new URL(inject('postgres').adminUrl), { pathname }).href })

  async function waiting(): Promise<string[]> {
    const { rows } = await watcher.query<{ query: string }>(
      `select query from pg_stat_activity
       where datname = current_database() and application_name = 'tenure under test' and wait_event_type = 'Lock'`,
    )
    return rows.map(({ query }) => query)
  }

  async function deadlocks(): Promise<number> {
    // Every idle connection of ours reports what it has counted so far.
    await Promise.all(
      Array.from({ length: mostConnections }, () =>
        db.connection().execute((one) => sql`select pg_stat_force_next_flush()`.execute(one)),
      ),
    )
    const { rows } = await watcher.query('select deadlocks from pg_stat_database where datname = current_database()')
    return Number(rows[0].deadlocks)
  }

  return {
    waiting,
    async waitUntilWaiting(count) {
      await waitFor(async () => (await waiting()).length === count, {
        what: `${count} of ours to wait for a lock`,
        intervalMs: 2,
      })
    },
    async expectNoDeadlock(work) {
      const before = await deadlocks()
      await work()
      expect(await deadlocks()).toBe(before)
    },
    close: () => watcher.end(),
  }
}
