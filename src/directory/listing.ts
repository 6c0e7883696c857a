import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import { isOf } from './by-key.ts'

/**
 * What rows are ordered by, before their id. `kind` says how it compares, and how it is written down as text;
 * `isNeverNull` that every row has one, so that an index on both can be gone through.
 */
export interface SortKey {
  readonly expression: RawBuilder<unknown>
  readonly kind: 'text' | 'time' | 'boolean' | 'number'
  readonly isNeverNull?: boolean
}

export interface Order {
  readonly key: SortKey
  readonly descending: boolean
}

/** The place of a row in an order: where to go on, whether the row is still there or not. `key` null: it has no value. */
export interface Position {
  readonly key: string | null
  readonly id: string
}

/** From the row of that number, or after a place; `after: undefined` is the beginning. */
export type Start = { readonly offset: number } | { readonly after: Position | undefined }

/** Which resources, in which order (that of creation unless said otherwise), and which part of them. */
export interface Listing {
  readonly where?: RawBuilder<boolean> | undefined
  /** `where` asks for one value of a key, which few have: that and nothing else, or among other things. */
  readonly key?: 'alone' | 'among others' | undefined
  readonly order?: Order | undefined
  readonly from: Start
  readonly limit: number
}

/** `total` is of all that the filter selects. `next`: there is more, after this place; only when asked for by place. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly total: number
  readonly next?: Position | undefined
}

/** Of the directory: by an index that begins with it, unless there is a key to find them by. */
export function within({ key }: Listing, directoryId: string, alias: string): RawBuilder<boolean> {
  return key ? isOf(directoryId, alias) : sql`${sql.ref(`${alias}.directory_id`)} = ${directoryId}`
}

/** Whether its statement is one of the few that identity providers send all day, and not shaped by the request. */
export function isUsual({ where, key, order }: Listing): boolean {
  return !order && (!where || key === 'alone')
}

export function inOrderOfCreation(alias: string): Order {
  return { key: { expression: sql.ref(`${alias}.created_at`), kind: 'time', isNeverNull: true }, descending: false }
}

/** Whether a page without rows says that there are none at all. */
export function isWhole({ from, limit }: Listing): boolean {
  return 'offset' in from && from.offset === 0 && limit > 0
}

/** @param count a subquery */
export async function countOf(executor: Executor, count: RawBuilder<number>): Promise<number> {
  const { rows } = await sql<{ total: number }>`select ${count} as total`.execute(executor)
  return rows[0]!.total
}

/**
 * Ties go by id, so that an order has no two equal places. A resource without a value comes last, and first when
 * descending (RFC 7644 §3.4.2.3), as null does in Postgres.
 */
export function orderBy({ key, descending }: Order, id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`order by ${comparable(key)} ${descending ? sql`desc` : sql`asc`}, ${id}`
}

/** The rows after the place. */
export function after({ key, descending }: Order, id: RawBuilder<unknown>, start: Start): RawBuilder<boolean> {
  if ('offset' in start || !start.after) return sql`true`
  const { after } = start
  const value = comparable(key)
  const beyond = sql<boolean>`${id} > ${after.id}::uuid`
  if (after.key === null) {
    return descending ? sql`(${value} is not null or ${beyond})` : sql`(${value} is null and ${beyond})`
  }
  const place = sql`${after.key}::${types[key.kind]}`
  if (key.isNeverNull && !descending) return sql`(${value}, ${id}) > (${place}, ${after.id}::uuid)`
  return descending
    ? sql`(${value} < ${place} or (${value} = ${place} and ${beyond}))`
    : sql`(${value} > ${place} or ${value} is null or (${value} = ${place} and ${beyond}))`
}

/** The key as text that reads back as exactly that key. */
export function written({ expression, kind }: SortKey): RawBuilder<string | null> {
  return kind === 'time'
    ? sql`to_char((${expression}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : sql`(${expression})::text`
}

/** One row more than asked for tells whether there is more. */
export function limitOf({ from, limit }: Listing): RawBuilder<unknown> {
  return 'offset' in from ? sql`offset ${from.offset} limit ${limit}` : sql`limit ${limit === 0 ? 0 : limit + 1}`
}

/** Cuts off what `limitOf` read too much. */
export function cutPage<Row extends { readonly id: string; readonly place: string | null }>(
  rows: readonly Row[],
  { limit }: Listing,
): { readonly rows: readonly Row[]; readonly next: Position | undefined } {
  const kept = rows.slice(0, limit)
  const last = kept.at(-1)
  return { rows: kept, next: last && rows.length > limit ? { key: last.place, id: last.id } : undefined }
}

const types = {
  text: sql`text`,
  time: sql`timestamptz`,
  boolean: sql`boolean`,
  number: sql`numeric`,
}

/** Bytes order text, whatever the locale of the database. */
function comparable({ expression, kind }: SortKey): RawBuilder<unknown> {
  return kind === 'text' ? sql`(${expression}) collate "C"` : expression
}
