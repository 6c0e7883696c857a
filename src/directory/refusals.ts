import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import type { Logger } from '../log.ts'
import type { ChannelName } from './channel-name.ts'

/** Why a call to a channel was turned away, in words of our own: part of the stored count, so never the sender's text. */
export type RefusalReason =
  | 'credential'
  | 'signature'
  | 'algorithm'
  | 'key'
  | 'type'
  | 'issuer'
  | 'audience'
  | 'time'
  | 'state'
  | 'subject'
  | 'content'
  | 'size'

export interface Refusal {
  readonly reason: RefusalReason
  readonly count: number
  readonly firstAt: Date
  readonly lastAt: Date
}

interface Counted extends ChannelName {
  readonly reason: RefusalReason
  readonly count: number
}

/**
 * Calls that were turned away, by channel and reason. Counting one costs no write: whoever is refused could otherwise
 * have the database work. They are written at most once in `everyMs`.
 */
export function createRefusals({
  db,
  log,
  everyMs = 1_000,
}: {
  db: Database
  log: Pick<Logger, 'warn'>
  everyMs?: number
}) {
  const pending = new Map<string, Counted>()
  let writing: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  return {
    /** Only of a channel that is set up. */
    note({ directoryId, kind }: ChannelName, reason: RefusalReason): void {
      add({ directoryId, kind, reason, count: 1 })
      timer ??= setTimeout(write, everyMs).unref()
    },

    /** By reason. */
    async list({ directoryId, kind }: ChannelName): Promise<Refusal[]> {
      const { rows } = await sql<Refusal>`
        select reason, count, first_at as "firstAt", last_at as "lastAt" from channel_refusal
        where directory_id = ${directoryId} and channel_kind = ${kind} order by reason`.execute(db)
      return rows
    },

    /** Writes what is still remembered. */
    async close(): Promise<void> {
      clearTimeout(timer)
      await writing
      clearTimeout(timer)
      await flush()
    },
  }

  function add(given: Counted): void {
    const key = [given.directoryId, given.kind, given.reason].join('\n')
    pending.set(key, { ...given, count: given.count + (pending.get(key)?.count ?? 0) })
  }

  function write(): void {
    timer = undefined
    writing = writing.then(flush).catch((error) => {
      log.warn({ error }, 'channel.refusals_not_noted')
      timer ??= setTimeout(write, everyMs).unref()
    })
  }

  async function flush(): Promise<void> {
    const counted = [...pending.values()]
    if (counted.length === 0) return
    pending.clear()
    try {
      await retrying(() => store(db, counted))
    } catch (error) {
      for (const one of counted) add(one)
      throw error
    }
  }
}

export type Refusals = ReturnType<typeof createRefusals>

async function store(db: Database, counted: readonly Counted[]): Promise<void> {
  const column = <K extends keyof Counted>(name: K) => counted.map((each) => each[name])
  await sql`
    insert into channel_refusal (directory_id, channel_kind, reason, count)
    select n.* from unnest(${column('directoryId')}::text[], ${column('kind')}::text[], ${column('reason')}::text[],
      ${column('count')}::bigint[]) as n (directory_id, channel_kind, reason, count)
    join channel c on c.directory_id = n.directory_id and c.kind = n.channel_kind
    order by 1, 2, 3
    on conflict (directory_id, channel_kind, reason) do update
      set count = channel_refusal.count + excluded.count, last_at = clock_timestamp()`.execute(db)
}
