import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import { sql } from 'kysely'
import type { Database, Executor, Transaction } from '../db/pool.ts'
import { transaction } from '../db/transaction.ts'
import { Conflict } from '../errors.ts'
import type { Sealer } from '../secrets.ts'

const alg = 'ES256'
/** A new key is published for so long before it signs: whoever keeps the set for as long has it by then. */
const publishedBefore = '5 minutes'
/** And one that no longer signs for so long: a day, and the longest life that a token can be given. */
const publishedAfter = '48 hours'
const longestUse = '90 days'
/** How long this process signs with what it read. Well under the time for which a key is published before it signs. */
const rememberedMs = 10_000

export interface SigningKeyRecord {
  readonly kid: string
  readonly alg: 'ES256'
  /** `next` is published and signs from `signsFrom` on; `previous` signs no more. */
  readonly state: 'next' | 'signing' | 'previous'
  readonly createdAt: Date
  readonly signsFrom: Date
  /** Null until a newer one is made. */
  readonly publishedUntil: Date | null
}

export interface CurrentKey {
  readonly kid: string
  readonly alg: 'ES256'
  readonly key: CryptoKey
}

/** The keys with which tokens are signed, the same in every process: private halves sealed in the database. */
export function createSigningKeys({ db, sealer }: { db: Database; sealer: Sealer }) {
  let remembered: { current: CurrentKey; readAt: number } | undefined

  return {
    /** The one to sign with now; the very first is made when it is first asked for. @throws UnsealError */
    async current(): Promise<CurrentKey> {
      if (remembered && performance.now() - remembered.readAt < rememberedMs) return remembered.current
      const readAt = performance.now()
      const { kid, sealed } = (await readCurrent()) ?? (await makeFirst())
      const key =
        remembered?.current.kid === kid
          ? remembered.current.key
          : ((await importJWK(JSON.parse(await sealer.unseal(sealed)), alg)) as CryptoKey)
      remembered = { current: { kid, alg, key }, readAt }
      return remembered.current
    },

    /** The public halves: of those that sign, are about to, or signed what may still live. */
    async jwks(): Promise<{ keys: JWK[] }> {
      const read = () =>
        sql<{ jwk: JWK }>`
          select public_jwk as jwk from signing_key
          where published_until is null or published_until > statement_timestamp() order by signs_from desc`.execute(db)
      let { rows } = await read()
      if (rows.length === 0) {
        await makeFirst()
        rows = (await read()).rows
      }
      return { keys: rows.map(({ jwk }) => jwk) }
    },

    /** Newest first; those that are published no longer are gone. */
    async list(): Promise<SigningKeyRecord[]> {
      return readAll(db)
    },

    /** Publishes a new key, which signs in five minutes. @throws Conflict while one is waiting for its time already */
    async rotate(): Promise<SigningKeyRecord> {
      const { kid } = await write(async (trx, made) => {
        const { rows } = await sql<{ kid: string }>`
          select kid from signing_key where signs_from > clock_timestamp() limit 1`.execute(trx)
        if (rows[0]) throw new Conflict(`The key ${rows[0].kid} is published already and has yet to sign`)
        await follow(trx, made)
      })
      return (await readAll(db)).find((record) => record.kid === kid)!
    },

    /** For housekeeping: a key that has signed for 90 days is followed by a new one. @returns whether it was */
    async rotateWhenDue(): Promise<boolean> {
      const isDue = async (executor: Executor) => {
        const { rows } = await sql<{ due: boolean }>`
          select max(signs_from) < clock_timestamp() - ${sql.lit(longestUse)}::interval as due from signing_key`.execute(
          executor,
        )
        return rows[0]!.due === true
      }
      if (!(await isDue(db))) return false
      let isRotated = false
      await write(async (trx, made) => {
        isRotated = await isDue(trx)
        if (isRotated) await follow(trx, made)
      })
      return isRotated
    },
  }

  async function readCurrent(): Promise<{ kid: string; sealed: string } | undefined> {
    const { rows } = await sql<{ kid: string; sealed: string }>`
      select kid, sealed from signing_key where signs_from <= statement_timestamp() order by signs_from desc limit 1`.execute(
      db,
    )
    return rows[0]
  }

  /** Signs at once: nobody can have kept a set without it. */
  async function makeFirst(): Promise<{ kid: string; sealed: string }> {
    await write(async (trx, made) => {
      const { rows } = await sql`select 1 from signing_key limit 1`.execute(trx)
      if (rows.length === 0) await insert(trx, made, sql`clock_timestamp()`)
    })
    return (await readCurrent())!
  }

  /** Makes a key and, one process at a time, does with it what `work` does. */
  async function write(work: (trx: Transaction, made: MadeKey) => Promise<void>): Promise<MadeKey> {
    const made = await makeKey(sealer)
    await transaction(db, async (trx) => {
      await sql`select pg_advisory_xact_lock(hashtext('tenure signing key'))`.execute(trx)
      await work(trx, made)
    })
    return made
  }
}

export type SigningKeys = ReturnType<typeof createSigningKeys>

interface MadeKey {
  readonly kid: string
  readonly publicJwk: JWK
  readonly sealed: string
  readonly sealedUnder: string
}

async function makeKey(sealer: Sealer): Promise<MadeKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(publicJwk)
  const sealed = await sealer.seal(JSON.stringify(await exportJWK(privateKey)))
  return { kid, publicJwk: { ...publicJwk, kid, alg, use: 'sig' }, sealed, sealedUnder: sealer.kid }
}

/** The new one signs from a while on, and those before it are published for a while after that. */
async function follow(trx: Transaction, made: MadeKey): Promise<void> {
  const { rows } = await sql`select 1 from signing_key limit 1`.execute(trx)
  const isFirst = rows.length === 0
  await insert(
    trx,
    made,
    isFirst ? sql`clock_timestamp()` : sql`clock_timestamp() + ${sql.lit(publishedBefore)}::interval`,
  )
  await sql`
    update signing_key set published_until = n.signs_from + ${sql.lit(publishedAfter)}::interval
    from signing_key n where n.kid = ${made.kid} and signing_key.kid <> n.kid and signing_key.published_until is null`.execute(
    trx,
  )
}

async function insert(trx: Transaction, made: MadeKey, signsFrom: ReturnType<typeof sql>): Promise<void> {
  await sql`
    insert into signing_key (kid, public_jwk, sealed, sealed_under, signs_from)
    values (${made.kid}, ${JSON.stringify(made.publicJwk)}::jsonb, ${made.sealed}, ${made.sealedUnder}, ${signsFrom})`.execute(
    trx,
  )
}

async function readAll(db: Database): Promise<SigningKeyRecord[]> {
  const { rows } = await sql<SigningKeyRecord>`
    select kid, 'ES256' as alg, created_at as "createdAt", signs_from as "signsFrom", published_until as "publishedUntil",
      case when signs_from > statement_timestamp() then 'next'
           when signs_from = max(signs_from) filter (where signs_from <= statement_timestamp()) over () then 'signing'
           else 'previous' end as state
    from signing_key where published_until is null or published_until > statement_timestamp()
    order by signs_from desc`.execute(db)
  return rows
}
