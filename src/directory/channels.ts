import { randomUUID, timingSafeEqual } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { type RawBuilder, sql } from 'kysely'
import { createUseNotes } from '../db/last-used.ts'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import type { ChannelKind } from '../db/tables.ts'
import { transaction } from '../db/transaction.ts'
import { Invalid, NotFound } from '../errors.ts'
import { newId } from '../ids.ts'
import { hashSecret, type Sealer, UnsealError } from '../secrets.ts'
import type { ChannelName } from './channel-name.ts'
import { dropStreamSecret, readStreamSecret, type StreamSecret } from './stream-secret.ts'

/** The kinds of channel that can be set up. */
export const channelKinds = ['okta', 'ssf', 'global-token-revocation'] as const satisfies readonly ChannelKind[]

export type Config = Readonly<Record<string, unknown>>

/** An event channel of a directory as its receiver needs it. */
export interface Channel<C = Config> extends ChannelName {
  readonly config: C
  /** What the channel's own work remembers: a cursor, a stream. */
  readonly state: Readonly<Record<string, unknown>>
  /** Of what the sender must show, newest first; empty: nothing. */
  readonly inbound: ReadonlyArray<{ readonly id: string; readonly hash: Buffer }>
}

export interface ChannelRecord {
  readonly kind: ChannelKind
  readonly directory: string
  readonly config: Config
  readonly state: Readonly<Record<string, unknown>>
  readonly createdAt: Date
  readonly changedAt: Date
  /** The last time that its own work (polling, its stream) succeeded. */
  readonly workedAt: Date | null
  readonly error: string | null
  readonly failingSince: Date | null
  /** Each secret that its sender may show, newest first, to the minute when it was last used. */
  readonly secrets: ReadonlyArray<{ readonly createdAt: Date; readonly lastUsedAt: Date | null }>
  readonly hasToken: boolean
}

export interface GivenChannel {
  readonly config: Config
  /** What the sender must show, newest first; undefined: as before. */
  readonly inbound: readonly string[] | undefined
  /** Whether a sender that shows nothing could tell anything: then the channel must have one. */
  readonly needsInbound?: boolean
  /** What the sender must be shown; null: nothing, undefined: as before. */
  readonly outbound: string | null | undefined
  /** Whether there is something to be asked of the sender: polling, a stream. */
  readonly works: boolean
  /** The settings that say where the channel's memory comes from; changed, it is forgotten. */
  readonly source: readonly string[]
}

/** A turn of a channel's own work, leased. */
export interface Turn extends Channel {
  readonly lease: string
  /** What the sender must be shown, opened. */
  readonly token: string | undefined
}

export interface TurnResult {
  readonly state: Readonly<Record<string, unknown>>
  /** Until the next turn; undefined: nothing more to do until it is set up anew. */
  readonly againMs: number | undefined
  /** What went wrong, in words without secrets. */
  readonly error?: string
}

/** Kinds of channel whose sender signs what it sends. */
const signing: ReadonlySet<ChannelKind> = new Set(['ssf', 'global-token-revocation'])

const leaseSeconds = 60
/** After a turn that could not begin. */
const againMs = 60_000
/** Of the channel's memory: written as events come in, so that the end of a turn that began before must not undo it. */
const heardKeys = ['verified', 'streamStatus']

/** Event channels: how each directory's are set up, and whose turn it is. */
export function createChannels({ db, sealer }: { db: Database; sealer: Sealer }) {
  const noteUse = createUseNotes((id) =>
    sql`update channel_secret set last_used_at = clock_timestamp() where id = ${id}`.execute(db),
  )

  return {
    /** In force for what begins after the commit. @throws NotFound when there is no such directory; Invalid without a secret that it needs */
    async put(
      { directoryId, kind }: ChannelName,
      given: GivenChannel,
    ): Promise<{ channel: ChannelRecord; isNew: boolean }> {
      const sealed = given.outbound && { value: await sealer.seal(given.outbound), under: sealer.kid }
      const isNew = await transaction(db, async (trx) => {
        await lockDirectory(trx, directoryId)
        const before = await readOne(trx, { directoryId, kind })
        const isSame =
          before !== undefined && given.source.every((key) => isDeepStrictEqual(before.config[key], given.config[key]))
        await sql`
          insert into channel (directory_id, kind, config, work_due_at)
          values (${directoryId}, ${kind}, ${JSON.stringify(given.config)}::jsonb, case when ${given.works}::boolean then clock_timestamp() end)
          on conflict (directory_id, kind) do update set config = excluded.config, changed_at = clock_timestamp(),
            state = case when ${isSame}::boolean then channel.state else '{}' end,
            worked_at = case when ${isSame}::boolean then channel.worked_at end, work_due_at = excluded.work_due_at,
            work_lease = null, work_leased_until = null, work_error = null, work_failing_since = null`.execute(trx)
        if (given.inbound !== undefined) await writeInbound(trx, { directoryId, kind }, given.inbound)
        if (given.outbound !== undefined) await writeOutbound(trx, { directoryId, kind }, sealed || undefined)
        if (!isSame) await dropStreamSecret(trx, { directoryId, kind })
        if (given.needsInbound) await requireInbound(trx, { directoryId, kind })
        return before === undefined
      })
      return { channel: await get({ directoryId, kind }), isNew }
    },

    /** @throws NotFound */
    get,

    /** @throws NotFound */
    async list(directoryId: string): Promise<ChannelRecord[]> {
      const { rows } = await sql`select 1 from directory where id = ${directoryId} and deleted_at is null`.execute(db)
      if (rows.length === 0) throw new NotFound(`Directory "${directoryId}" not found`)
      return read(db, sql`c.directory_id = ${directoryId}`)
    },

    /** What it told stays. @throws NotFound */
    async remove(name: ChannelName): Promise<void> {
      await get(name)
      await sql`delete from channel where directory_id = ${name.directoryId} and kind = ${name.kind}`.execute(db)
    },

    /** Undefined: nothing is set up there, or the directory is gone. */
    async find({ directoryId, kind }: ChannelName): Promise<Channel | undefined> {
      const { rows } = await sql<
        Omit<Channel, 'inbound'> & { inbound: Array<{ id: string; hash: string }> }
      >`${prepared}
        select ${channelColumns} from channel c join directory d on d.id = c.directory_id
        where c.directory_id = ${directoryId} and c.kind = ${kind} and d.deleted_at is null`.execute(db)
      return rows[0] && withHashes(rows[0])
    },

    /**
     * Whether the sender showed one of the secrets that may be shown; the time that it takes does not tell which, or how
     * near. A channel without any asks for none, if its sender signs what it sends.
     */
    admits({ kind, inbound }: Pick<Channel, 'kind' | 'inbound'>, shown: string | undefined): boolean {
      if (inbound.length === 0) return signing.has(kind)
      if (shown === undefined) return false
      const given = hashSecret(shown)
      let found: string | undefined
      for (const { id, hash } of inbound) if (timingSafeEqual(given, hash)) found ??= id
      if (found !== undefined) noteUse(found)
      return found !== undefined
    },

    /** Channels whose turn it is, leased for `leaseSeconds` so that no two workers are at one. */
    async takeTurns(limit: number): Promise<Turn[]> {
      const lease = randomUUID()
      const { rows } = await sql<
        Omit<Turn, 'inbound' | 'token'> & { inbound: Array<{ id: string; hash: string }>; sealed: string | null }
      >`
        with due as materialized (
          select c.directory_id, c.kind from channel c join directory d on d.id = c.directory_id and d.deleted_at is null
          where c.work_due_at <= statement_timestamp() and coalesce(c.work_leased_until, '-infinity') < statement_timestamp()
          order by c.work_due_at limit ${limit} for no key update of c skip locked
        ), taken as (
          update channel set work_lease = ${lease}, work_leased_until = clock_timestamp() + make_interval(secs => ${leaseSeconds})
          where (directory_id, kind) in (select directory_id, kind from due)
          returning *)
        select ${channelColumns}, c.work_lease as lease,
          (select s.sealed from channel_secret s
           where s.directory_id = c.directory_id and s.channel_kind = c.kind and s.purpose = 'outbound' and s.place = 0) as sealed
        from taken c`.execute(db)
      const turns: Turn[] = []
      for (const { sealed, ...row } of rows) {
        const turn = { ...withHashes(row), lease: row.lease }
        const token = sealed === null ? undefined : await unseal(sealed)
        if (token instanceof UnsealError) await endTurn(turn, { state: turn.state, againMs, error: token.message })
        else turns.push({ ...turn, token })
      }
      return turns
    },

    /** Keeps the turn for another `leaseSeconds`. @returns false when it has passed to somebody else */
    async keepTurn({ directoryId, kind, lease }: Turn): Promise<boolean> {
      const { numAffectedRows } = await sql`
        update channel set work_leased_until = clock_timestamp() + make_interval(secs => ${leaseSeconds})
        where directory_id = ${directoryId} and kind = ${kind} and work_lease = ${lease}`.execute(db)
      return (numAffectedRows ?? 0n) > 0n
    },

    /** Ends the turn and writes down what it came to, unless it has passed to somebody else. */
    endTurn,

    /**
     * Adds to what the channel remembers, or replaces it, as events come in. In a turn: unless that has passed to somebody
     * else, or the channel was set up anew, whose token must not be shown where the old one's stream was.
     */
    async noteState(
      { directoryId, kind, lease }: ChannelName & { readonly lease?: string },
      heard: Readonly<Record<string, unknown>>,
    ): Promise<void> {
      await sql`
        update channel set state = state || ${JSON.stringify(heard)}::jsonb
        where directory_id = ${directoryId} and kind = ${kind}
          and ${lease === undefined ? sql`true` : sql`work_lease = ${lease}`}`.execute(db)
    },

    /** What its stream is to show, made by us; good from now on. */
    streamSecret: (name: ChannelName): Promise<StreamSecret> => readStreamSecret(db, sealer, name),

    /** Has the channel's own work done at once. @returns false when it has none @throws NotFound */
    async workNow(name: ChannelName): Promise<boolean> {
      await get(name)
      const { numAffectedRows } = await sql`
        update channel set work_due_at = clock_timestamp()
        where directory_id = ${name.directoryId} and kind = ${name.kind} and work_due_at is not null`.execute(db)
      return (numAffectedRows ?? 0n) > 0n
    },
  }

  async function get(name: ChannelName): Promise<ChannelRecord> {
    const record = await readOne(db, name)
    if (!record) throw new NotFound(`Channel "${name.kind}" of directory "${name.directoryId}" not found`)
    return record
  }

  async function endTurn(
    { directoryId, kind, lease }: Pick<Turn, 'directoryId' | 'kind' | 'lease'>,
    { state, againMs, error }: TurnResult,
  ): Promise<void> {
    const isDone = error === undefined
    await sql`
      update channel set work_lease = null, work_leased_until = null,
        state = ${JSON.stringify(state)}::jsonb - ${heardKeys}::text[] || (
          select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(channel.state) where key = any(${heardKeys})),
        work_due_at = clock_timestamp() + make_interval(secs => ${againMs === undefined ? null : againMs / 1_000}),
        worked_at = ${isDone ? sql`clock_timestamp()` : sql`worked_at`},
        work_error = ${error ?? null},
        work_failing_since = ${isDone ? sql`null` : sql`coalesce(work_failing_since, clock_timestamp())`}
      where directory_id = ${directoryId} and kind = ${kind} and work_lease = ${lease}`.execute(db)
  }

  async function unseal(sealed: string): Promise<string | UnsealError> {
    try {
      return await sealer.unseal(sealed)
    } catch (error) {
      if (error instanceof UnsealError) return error
      throw error
    }
  }
}

export type Channels = ReturnType<typeof createChannels>

const channelColumns = sql`
  c.directory_id as "directoryId", c.kind, c.config, c.state,
  (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'hash', encode(s.secret_hash, 'hex')) order by s.place), '[]')
   from channel_secret s
   where s.directory_id = c.directory_id and s.channel_kind = c.kind and s.purpose = 'inbound') as inbound`

function withHashes<T extends { inbound: Array<{ id: string; hash: string }> }>(row: T) {
  return { ...row, inbound: row.inbound.map(({ id, hash }) => ({ id, hash: Buffer.from(hash, 'hex') })) }
}

async function readOne(executor: Executor, { directoryId, kind }: ChannelName): Promise<ChannelRecord | undefined> {
  return (await read(executor, sql`c.directory_id = ${directoryId} and c.kind = ${kind}`))[0]
}

async function read(executor: Executor, where: RawBuilder<unknown>): Promise<ChannelRecord[]> {
  const { rows } = await sql<ChannelRecord & { secrets: Array<{ createdAt: string; lastUsedAt: string | null }> }>`
    select c.kind, c.directory_id as directory, c.config, c.state, c.created_at as "createdAt", c.changed_at as "changedAt",
      c.worked_at as "workedAt", c.work_error as error, c.work_failing_since as "failingSince",
      (select coalesce(jsonb_agg(jsonb_build_object('createdAt', s.created_at, 'lastUsedAt', s.last_used_at) order by s.place), '[]')
       from channel_secret s
       where s.directory_id = c.directory_id and s.channel_kind = c.kind and s.purpose = 'inbound') as secrets,
      exists (select from channel_secret s
       where s.directory_id = c.directory_id and s.channel_kind = c.kind and s.purpose = 'outbound' and s.place = 0) as "hasToken"
    from channel c join directory d on d.id = c.directory_id and d.deleted_at is null
    where ${where} order by c.kind`.execute(executor)
  return rows.map((row) => ({
    ...row,
    secrets: row.secrets.map(({ createdAt, lastUsedAt }) => ({
      createdAt: new Date(createdAt),
      lastUsedAt: lastUsedAt === null ? null : new Date(lastUsedAt),
    })),
  }))
}

/** A secret that stays keeps the times of its row. */
async function writeInbound(trx: Transaction, name: ChannelName, secrets: readonly string[]): Promise<void> {
  const { rows } = await sql<{ hash: string; lastUsedAt: Date | null; createdAt: Date }>`
    delete from channel_secret where ${isOf(name, 'inbound')}
    returning encode(secret_hash, 'hex') as hash, last_used_at as "lastUsedAt", created_at as "createdAt"`.execute(trx)
  const known = new Map(rows.map((row) => [row.hash, row]))
  for (const [place, secret] of secrets.entries()) {
    const hash = hashSecret(secret)
    const before = known.get(hash.toString('hex'))
    await sql`
      insert into channel_secret (id, directory_id, channel_kind, purpose, place, secret_hash, created_at, last_used_at)
      values (${newId('sec')}, ${name.directoryId}, ${name.kind}, 'inbound', ${place}, ${hash},
        coalesce(${before?.createdAt ?? null}::timestamptz, clock_timestamp()), ${before?.lastUsedAt ?? null})`.execute(
      trx,
    )
  }
}

async function requireInbound(trx: Transaction, name: ChannelName): Promise<void> {
  const { rows } = await sql`select 1 from channel_secret where ${isOf(name, 'inbound')}`.execute(trx)
  if (rows.length > 0) return
  throw new Invalid('Without a secret anybody could speak over this channel', [
    { field: 'secret', message: 'is required' },
  ])
}

async function writeOutbound(
  trx: Transaction,
  name: ChannelName,
  sealed: { value: string; under: string } | undefined,
): Promise<void> {
  await sql`delete from channel_secret where ${isOf(name, 'outbound')} and place = 0`.execute(trx)
  if (sealed === undefined) return
  await sql`
    insert into channel_secret (id, directory_id, channel_kind, purpose, place, sealed, sealed_under)
    values (${newId('sec')}, ${name.directoryId}, ${name.kind}, 'outbound', 0, ${sealed.value}, ${sealed.under})`.execute(
    trx,
  )
}

function isOf({ directoryId, kind }: ChannelName, purpose: 'inbound' | 'outbound'): RawBuilder<boolean> {
  return sql`directory_id = ${directoryId} and channel_kind = ${kind} and purpose = ${purpose}`
}

/** A directory that is being deleted takes its channels with it: none may be added behind its back. */
async function lockDirectory(trx: Transaction, id: string): Promise<void> {
  const { rows } = await sql`select 1 from directory where id = ${id} and deleted_at is null for no key update`.execute(
    trx,
  )
  if (rows.length === 0) throw new NotFound(`Directory "${id}" not found`)
}
